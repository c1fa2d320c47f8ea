//! The tray, over D-Bus.

use mhnos_tests::{eventually, system};

use crate::panel::Panel;
use crate::session::{App, Session, desktop_program};

#[tokio::test]
async fn the_menu_stops_starts_and_quits_and_the_icon_follows() {
    let session = Session::new();
    let panel = Panel::open(&session).await;
    let mut app = session.start();
    session.healthy(session.port).await;
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let running = panel.icon().await;
    let labels: Vec<_> = panel.entries().await.into_iter().map(|entry| entry.label).collect();
    assert!(labels[0].starts_with("Running natively"), "status first: {labels:?}");
    assert_eq!(labels.last().unwrap(), "Quit (stops the runtime)", "Quit last, and says what it stops");

    panel.choose("Stop").await;
    session.silent(session.port).await;
    panel.until("that it is stopped", |title| title == "Stopped").await;
    assert_ne!(panel.icon().await, running, "the icon is another one");

    panel.choose("Start").await;
    session.healthy(session.port).await;
    panel.until("that it runs again", |title| title.starts_with("Running")).await;
    assert_eq!(panel.icon().await, running);

    let there = app.processes();
    assert!(there.len() > 1, "the runtime is among them");
    panel.choose("Quit").await;
    app.gone(&there).await;
    session.silent(session.port).await;
}

#[tokio::test]
async fn the_menu_lists_programs_and_kills_one() {
    let session = Session::new();
    let panel = Panel::open(&session).await;
    let _app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let runtime = mhnos_tests::runtime_program();
    let spawned = session.run(&runtime, &["spawn", "-d", "--json", "shell", "sleep 1000"]);
    assert!(spawned.status.success(), "{}", String::from_utf8_lossy(&spawned.stderr));
    let sleeping = || {
        let below = system::descendants(session.runtime_pid());
        below.into_iter().find(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\x001000"))
        })
    };
    eventually("the program runs", || sleeping().is_some()).await;
    panel.choose("Kill").await;
    eventually("the program is gone", || sleeping().is_none()).await;
    let quit = panel.entries().await.pop().unwrap().label;
    assert!(quit.starts_with("Quit (stops the runtime"), "{quit}");
}

#[tokio::test]
async fn a_second_start_raises_the_window_of_the_first() {
    let session = Session::new();
    session.app_settings(r#"{"startHidden": true}"#);
    let panel = Panel::open(&session).await;
    let mut app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    assert!(session.windows("^MHNOS Runtime$").is_empty(), "it starts hidden");
    let second = session.run(desktop_program(), &[]);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    eventually("the window is there", || session.windows("^MHNOS Runtime$").len() == 1).await;
    assert!(app.is_running());
    // A click on the icon itself shows the same one.
    panel.activate().await;
    eventually("there is the one window", || session.windows("^MHNOS Runtime$").len() == 1).await;
    let there = app.processes();
    panel.choose("Quit").await;
    app.gone(&there).await;
}

#[tokio::test]
async fn a_closed_window_leaves_no_web_view_and_a_click_on_the_icon_brings_it_back() {
    let session = Session::new();
    session.app_settings(r#"{"firstRunDone": true}"#);
    let panel = Panel::open(&session).await;
    let mut app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let web_views = |app: &App| {
        let is_one = |pid: &i32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.starts_with("WebKitWebProces"))
        };
        app.processes().into_iter().filter(is_one).count()
    };
    for _ in 0..2 {
        eventually("the window is there", || session.windows("^MHNOS Runtime$").len() == 1).await;
        eventually("it has a web view", || web_views(&app) == 1).await;
        session.close(&session.windows("^MHNOS Runtime$")[0]);
        eventually("the window is gone", || session.windows("^MHNOS Runtime$").is_empty()).await;
        eventually("its web view is gone", || web_views(&app) == 0).await;
        assert!(app.is_running());
        session.healthy(session.port).await;
        panel.activate().await;
    }
}

#[tokio::test]
async fn without_a_panel_the_window_is_never_hidden() {
    let session = Session::new();
    session.app_settings(r#"{"startHidden": true}"#);
    let _app = session.start();
    session.healthy(session.port).await;
    eventually("the window is there", || session.windows("^MHNOS Runtime$").len() == 1).await;
}

#[tokio::test]
async fn without_a_bus_the_window_and_the_runtime_are_there_and_a_second_start_still_finds_the_first() {
    let session = Session::without_bus();
    session.app_settings(r#"{"startHidden": true}"#);
    let mut app = session.start();
    session.healthy(session.port).await;
    eventually("the window is there", || session.windows("^MHNOS Runtime$").len() == 1).await;
    let second = session.run(desktop_program(), &[]);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(app.is_running());
    eventually("there is the one window", || session.windows("^MHNOS Runtime$").len() == 1).await;
}

#[tokio::test]
async fn a_panel_that_goes_brings_the_window_back() {
    let session = Session::new();
    session.app_settings(r#"{"startHidden": true}"#);
    let panel = Panel::open(&session).await;
    let _app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    assert!(session.windows("^MHNOS Runtime$").is_empty());
    drop(panel);
    eventually("the window is there", || session.windows("^MHNOS Runtime$").len() == 1).await;
}
