//! The window, driven through WebDriver.

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
async fn the_window_shows_that_the_runtime_runs() {
    let session = Session::new();
    let browser = Browser::start(&session).await;
    browser.until("the window says that it runs", "return /running/i.test(document.body.innerText)").await;
    session.picture("desktop-window.png");
    browser.end().await;
}
