//! The native prompt for pages that nobody has decided about, answered with the keyboard as a person would.

use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::{STRANGER, eventually, v2};

use crate::panel::Panel;
use crate::session::{App, Session};

const PROMPT: &str = "^MHNOS Runtime asks$";

async fn running() -> (Session, Panel, App) {
    running_in(Session::new()).await
}

async fn running_in(session: Session) -> (Session, Panel, App) {
    session.app_settings(r#"{"startHidden": true}"#);
    let panel = Panel::open(&session).await;
    let app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    (session, panel, app)
}

/// A page that nobody knows, which asks to see programs.
async fn stranger(session: &Session) -> (v2::Client, u32) {
    let mut page = v2::Client::connect_to(session.port, ("origin", STRANGER)).await;
    let asked = page.begin(Request::List).await;
    (page, asked)
}

async fn prompt(session: &Session) -> String {
    eventually("a prompt is there", || session.windows(PROMPT).len() == 1).await;
    session.windows(PROMPT).remove(0)
}

#[tokio::test]
async fn a_page_that_is_allowed_is_served_what_it_asked_for_meanwhile() {
    let (session, panel, _app) = running().await;
    let (mut page, asked) = stranger(&session).await;
    let prompt = prompt(&session).await;
    panel.until("that something waits", |title| title.contains("needs you")).await;
    session.picture(&prompt, "desktop-approval.png").await;
    // The prompt takes nothing but Deny at first: the key is pressed until it is heard, as a person does.
    eventually("the prompt is answered", || {
        if session.windows(PROMPT).is_empty() {
            return true;
        }
        session.press(&prompt, "alt+o");
        false
    })
    .await;
    assert!(matches!(page.answer(asked).await, Reply::Processes { .. }));
    panel.until("that nothing waits", |title| !title.contains("needs you")).await;
}

#[tokio::test]
async fn enter_denies() {
    let session = Session::new();
    session.darken();
    let (session, _panel, _app) = running_in(session).await;
    let (page, _) = stranger(&session).await;
    let prompt = prompt(&session).await;
    session.picture(&prompt, "desktop-approval-dark.png").await;
    session.press(&prompt, "Return");
    let closed = page.closed().await;
    assert_eq!(closed.map(|(code, _)| code), Some(1008));
    eventually("the prompt is gone", || session.windows(PROMPT).is_empty()).await;
}

#[tokio::test]
async fn a_key_meant_for_something_else_does_not_allow() {
    let (session, _panel, _app) = running().await;
    let (mut page, _) = stranger(&session).await;
    let prompt = prompt(&session).await;
    // Of what was being typed when the prompt came. A blank presses the button that is chosen, which is Deny.
    for key in ["a", "o", "1", "space"] {
        session.press(&prompt, key);
    }
    let state = session.run(mhnos_tests::runtime_program(), &["origins", "list", "--json"]);
    let state = String::from_utf8_lossy(&state.stdout).into_owned();
    assert!(!state.contains("\"allowed"), "{state}");
    drop(page.begin(Request::Ping));
}

#[tokio::test]
async fn a_page_has_one_prompt_and_it_goes_with_the_page() {
    let (session, _panel, _app) = running().await;
    let (first, _) = stranger(&session).await;
    let (second, _) = stranger(&session).await;
    prompt(&session).await;
    eventually("there is the one prompt", || session.windows(PROMPT).len() == 1).await;
    drop((first, second));
    eventually("the prompt is gone", || session.windows(PROMPT).is_empty()).await;
}
