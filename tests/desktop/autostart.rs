//! The start at login, as a session does it: by the entry in its autostart folder, read by GLib as most desktops read it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use mhnos_tests::{eventually, system};

use crate::panel::Panel;
use crate::session::Session;
use crate::webdriver::Browser;

const WINDOW: &str = "^MHNOS Runtime$";

fn entries(session: &Session) -> Vec<PathBuf> {
    let folder = session.home().join(".config/autostart");
    std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Saves the settings, and waits until nothing is left to be saved.
async fn save(browser: &Browser) {
    browser.click("Save").await;
    let script = "return [...document.querySelectorAll('button')].find((it) => it.innerText.trim() === 'Save').disabled";
    browser.until("all is saved", script).await;
}

/// Does with the entries what a session does when it begins.
fn log_in(session: &Session) {
    for entry in entries(session) {
        let mut launch = Command::new("gio");
        session.prepare(&mut launch);
        // What is started keeps the outputs, so nobody can wait for their end.
        launch.arg("launch").arg(&entry).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(launch.status().unwrap().success(), "{} is not started", entry.display());
    }
}

#[tokio::test]
async fn the_switch_makes_an_entry_that_starts_the_app_as_the_other_switches_say() {
    let session = Session::new();
    session.app_settings(r#"{"firstRunDone": true}"#);
    let panel = Panel::open(&session).await;
    let browser = Browser::start(&session).await;
    browser.until_said("Running natively").await;
    assert!(entries(&session).is_empty());
    browser.click("Settings").await;
    browser.click("Open at login").await;
    save(&browser).await;
    assert_eq!(entries(&session).len(), 1);
    browser.click("Open at login").await;
    save(&browser).await;
    assert!(entries(&session).is_empty());
    browser.click("Open at login").await;
    browser.click("Start without its window").await;
    save(&browser).await;
    assert_eq!(entries(&session).len(), 1);
    assert_eq!(session.kept_app_settings()["startHidden"], true);
    let app = browser.app();
    panel.choose("Quit").await;
    eventually("it ends", || !system::is_alive(app)).await;
    drop(browser);

    // The next day.
    panel.forget();
    log_in(&session);
    panel.until("that it runs", |title| title.starts_with("Running natively")).await;
    session.healthy(session.port).await;
    assert!(session.windows(WINDOW).is_empty(), "it starts hidden");
    let app = system::parent(session.runtime_pid()).unwrap();
    panel.choose("Quit").await;
    eventually("it ends", || !system::is_alive(app)).await;

    // Without the runtime, and with its window.
    session.app_settings(r#"{"firstRunDone": true, "startRuntime": false}"#);
    panel.forget();
    log_in(&session);
    panel.until("that it is stopped", |title| title == "Stopped").await;
    eventually("the window is there", || session.windows(WINDOW).len() == 1).await;
    session.silent(session.port).await;
    panel.choose("Quit").await;
    eventually("the window is gone", || session.windows(WINDOW).is_empty()).await;
}
