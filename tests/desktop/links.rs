//! Links of the form `mhnos://connect?url=…`, opened as any program of the session opens them.

use mhnos_tests::{STRANGER, eventually, runtime_program};

use crate::panel::Panel;
use crate::session::{App, Session, desktop_program};

const PROMPT: &str = "^MHNOS Runtime asks$";
const WINDOW: &str = "^MHNOS Runtime$";

/// Names a page of [`STRANGER`]'s.
const LINK: &str = "mhnos://connect?url=http%3A%2F%2Flocalhost%3A9999%2Fos%3Fa%3D1";

async fn running() -> (Session, Panel, App) {
    let session = Session::new();
    session.associate();
    session.app_settings(r#"{"startHidden": true}"#);
    let panel = Panel::open(&session).await;
    let app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    (session, panel, app)
}

/// Opens a link as a browser does: by what the system has for it, which starts the app a second time.
fn follow(session: &Session, link: &str) {
    let done = session.run("xdg-open", &[link]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn prompt(session: &Session) -> String {
    eventually("a prompt is there", || session.windows(PROMPT).len() == 1).await;
    session.windows(PROMPT).remove(0)
}

/// Presses a key until the prompt is answered: at first it takes nothing but Deny.
async fn answer(session: &Session, key: &str) {
    let prompt = prompt(session).await;
    eventually("the prompt is answered", || {
        session.windows(PROMPT).is_empty() || !session.press(&prompt, key)
    })
    .await;
}

/// What is known of pages.
fn pages(session: &Session) -> String {
    let listed = session.run(runtime_program(), &["origins", "list", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

#[tokio::test]
async fn a_link_asks_and_allowed_it_lets_the_page_in_and_opens_it() {
    let (session, _panel, _app) = running().await;
    follow(&session, LINK);
    prompt(&session).await;
    assert!(!pages(&session).contains(STRANGER), "it only asks: {}", pages(&session));
    assert!(session.opened().is_empty());
    answer(&session, "alt+a").await;
    eventually("the page is opened", || session.opened() == ["http://localhost:9999/os?a=1"]).await;
    assert!(pages(&session).contains(STRANGER), "{}", pages(&session));
    let mut page = mhnos_tests::v2::Client::connect_to(session.port, ("origin", STRANGER)).await;
    let reply = page.request(mhnos_protocol::v2::Request::List).await;
    assert!(matches!(reply, mhnos_protocol::v2::Reply::Processes { .. }), "{reply:?}");
}

#[tokio::test]
async fn a_link_that_is_denied_does_nothing_and_many_are_one_prompt() {
    let (session, _panel, mut app) = running().await;
    follow(&session, LINK);
    prompt(&session).await;
    for port in 9990..9995 {
        follow(&session, &format!("mhnos://connect?url=http://localhost:{port}"));
    }
    eventually("the others came", || session.said().matches("another link came").count() == 5).await;
    assert_eq!(session.windows(PROMPT).len(), 1);
    answer(&session, "Return").await;
    eventually("the prompt is gone", || session.windows(PROMPT).is_empty()).await;
    assert!(!pages(&session).contains("localhost:99"), "{}", pages(&session));
    assert!(session.opened().is_empty() && session.windows(WINDOW).is_empty() && app.is_running());
    // It can be asked again.
    follow(&session, LINK);
    answer(&session, "Return").await;
}

#[tokio::test]
async fn what_is_no_such_link_is_refused_with_a_sentence() {
    let (session, _panel, mut app) = running().await;
    let no_page = "The address in it is not that of a web page";
    let no_link = "It is not of the form mhnos://connect?url=http://host:port";
    for (link, sentence) in [
        ("mhnos://connect?url=javascript:alert(1)", no_page),
        ("mhnos://connect?url=file:///etc/passwd", no_page),
        ("mhnos://connect?url=", no_page),
        ("mhnos://connect", no_link),
        ("mhnos://quit", no_link),
        ("mhnos:", no_link),
    ] {
        let before = session.said().matches(sentence).count();
        follow(&session, link);
        eventually(&format!("{link} is refused"), || session.said().matches(sentence).count() > before).await;
        eventually("it is said", || session.windows(WINDOW).len() == 1).await;
        assert!(session.windows(PROMPT).is_empty());
        let said = session.windows(WINDOW).remove(0);
        eventually("it is heard", || session.windows(WINDOW).is_empty() || !session.press(&said, "Return"))
            .await;
    }
    let form = "mhnos://connect?url=";
    for (word, advice) in
        [("javascript:alert(1)", form), ("http://localhost:9999", form), ("--allow", "--help")]
    {
        let refused = session.run(desktop_program(), &[word]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{word}");
        assert!(said.contains(word) && said.contains(advice), "{said}");
    }
    assert!(session.opened().is_empty() && app.is_running());
    assert!(!pages(&session).contains("localhost:99"), "{}", pages(&session));
}

#[tokio::test]
async fn a_link_that_starts_the_app_asks_as_well() {
    let session = Session::new();
    session.associate();
    session.app_settings(r#"{"startHidden": true}"#);
    let _panel = Panel::open(&session).await;
    let _app = session.start_with(&[LINK]);
    answer(&session, "alt+o").await;
    eventually("the page is opened", || session.opened() == ["http://localhost:9999/os?a=1"]).await;
}
