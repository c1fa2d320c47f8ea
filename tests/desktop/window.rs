//! The window, driven through WebDriver.

use mhnos_tests::{eventually, runtime_program, system};
use serde_json::Value;

use crate::session::Session;
use crate::webdriver::Browser;

#[tokio::test]
async fn the_window_connects_with_a_ticket_and_can_ask_for_nothing_beyond_its_commands() {
    let session = Session::new();
    let browser = Browser::start(&session).await;
    session.healthy(session.port).await;
    // The page's own origin, with the ticket the app gives it, over the same WebSocket as any tab.
    let connect = "
        const done = arguments[arguments.length - 1];
        (async () => {
            const invoke = window.__TAURI_INTERNALS__.invoke;
            while ((await invoke('engine_state')).phase !== 'running') await new Promise((next) => setTimeout(next, 50));
            const { url, ticket } = await invoke('connection');
            const socket = new WebSocket(url, ['mhnos.v2', 'mhnos.ticket.' + ticket]);
            socket.onmessage = ({ data }) => {
                const message = JSON.parse(data);
                if (message.type === 'welcome') socket.send(JSON.stringify({ type: 'origins', id: 1 }));
                else done(message.type);
            };
            socket.onclose = () => done('closed');
        })().catch((error) => done(String(error)));";
    assert_eq!(browser.script_async(connect).await, "origins", "it has the control role");
    let forbidden = "
        const done = arguments[arguments.length - 1];
        const tries = ['plugin:window|close', 'plugin:app|version', 'plugin:webview|create_webview', 'approve'];
        Promise.all(tries.map((name) => window.__TAURI_INTERNALS__.invoke(name).then(() => name, () => null)))
            .then((went) => done(went.filter(Boolean)));";
    assert_eq!(browser.script_async(forbidden).await, Value::Array(Vec::new()));
    let inline = "
        const script = document.createElement('script');
        script.textContent = 'window.wasRun = true';
        document.head.append(script);
        return window.wasRun === true;";
    assert_eq!(browser.script(inline).await, false, "no script but the app's own runs");
    let styled = "
        const style = document.createElement('style');
        style.textContent = 'body { outline-width: 7px; outline-style: solid }';
        document.head.append(style);
        return getComputedStyle(document.body).outlineWidth === '7px';";
    assert_eq!(browser.script(styled).await, true, "the terminal brings styles of its own");
    browser.end().await;
}

#[tokio::test]
async fn the_first_steps_can_each_be_skipped_and_come_only_once() {
    let session = Session::new();
    let browser = Browser::start(&session).await;
    for question in ["Where do your files live?", "What runs the programs?", "Connect a tab"] {
        browser.until_said(question).await;
        browser.click("Skip").await;
    }
    browser.until_said("Running natively").await;
    eventually("it is kept that they were shown", || session.kept_app_settings()["firstRunDone"] == true)
        .await;
    browser.script("location.reload()").await;
    browser.until_said("Running natively").await;
    browser.end().await;
}

/// The window after the first steps.
async fn window(session: &Session) -> Browser {
    session.app_settings(r#"{"firstRunDone": true}"#);
    let browser = Browser::start(session).await;
    browser.until_said("Running natively").await;
    browser
}

#[tokio::test]
async fn the_window_stops_and_starts_the_runtime_and_kills_a_program() {
    let session = Session::new();
    let browser = window(&session).await;
    session.healthy(session.port).await;
    let spawned = session
        .run(runtime_program(), &["spawn", "-d", "--json", "shell", "while sleep 1; do echo beat; done"]);
    assert!(spawned.status.success(), "{}", String::from_utf8_lossy(&spawned.stderr));
    let programs = || {
        let is_one = |pid: &i32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(11).any(|it| it == b"while sleep"))
        };
        system::descendants(session.runtime_pid()).into_iter().filter(is_one).count()
    };
    eventually("the program runs", || programs() > 0).await;
    browser.until_said("1 running").await;
    browser.picture("desktop-overview.png").await;
    browser.click("Processes").await;
    browser.until_said("while sleep").await;
    browser.picture("desktop-processes.png").await;
    browser.kill_a_program().await;
    browser.until_said("Nothing runs").await;
    eventually("the program is gone", || programs() == 0).await;
    browser.click("Overview").await;
    browser.click("Stop").await;
    session.silent(session.port).await;
    browser.until_said("Stopped").await;
    browser.click("Start").await;
    browser.until_said("Running natively").await;
    session.healthy(session.port).await;
    browser.end().await;
}

#[tokio::test]
async fn settings_are_saved_and_docker_and_doctor_say_what_is_missing() {
    let session = Session::new();
    let browser = window(&session).await;
    browser.click("Settings").await;
    browser.click("Start without its window").await;
    browser.until_said("Pages that are always allowed").await;
    browser.click("Save").await;
    eventually("it is kept", || session.kept_app_settings()["startHidden"] == true).await;
    assert_eq!(session.kept_app_settings()["closeToTray"], true, "and nothing else is changed");
    browser.click("Docker").await;
    browser.until_said("No container engine").await;
    browser.until_said("engine at unix:///nonexistent/docker.sock does not answer").await;
    browser.click("Doctor").await;
    browser.until_said("this desktop shows no tray icons").await;
    browser.end().await;
}
