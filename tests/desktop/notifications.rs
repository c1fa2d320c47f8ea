//! What is said by the desktop's notifications: heard by what shows them, as far as D-Bus sees it.

use std::sync::{Arc, Mutex};

use mhnos_protocol::v2::Request;
use mhnos_tests::sync::{Replica, files};
use mhnos_tests::{STRANGER, eventually, runtime_program, system, v2};
use nix::sys::signal::Signal;
use zbus::zvariant::OwnedValue;
use zbus::{Connection, connection, interface};

use crate::panel::Panel;
use crate::session::{App, Session};

/// A heading and a text.
type Note = (String, String);

/// `org.freedesktop.Notifications`, which remembers.
struct Daemon {
    notes: Arc<Mutex<Vec<Note>>>,
}

#[interface(name = "org.freedesktop.Notifications")]
impl Daemon {
    #[allow(clippy::too_many_arguments, reason = "the specification has so many")]
    async fn notify(
        &self,
        _app: String,
        _replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        _hints: std::collections::HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut notes = self.notes.lock().unwrap();
        notes.push((summary, body));
        notes.len() as u32
    }

    async fn close_notification(&self, _id: u32) {}

    async fn get_capabilities(&self) -> Vec<String> {
        vec!["body".into(), "body-markup".into()]
    }

    async fn get_server_information(&self) -> (String, String, String, String) {
        ("test".into(), "test".into(), "1".into(), "1.2".into())
    }
}

/// The session, and who listens in it.
struct Listening {
    session: Session,
    panel: Panel,
    app: App,
    notes: Arc<Mutex<Vec<Note>>>,
    _connection: Connection,
}

impl Listening {
    async fn with(settings: &str) -> Self {
        let session = Session::new();
        session.app_settings(settings);
        let panel = Panel::open(&session).await;
        let notes = Arc::new(Mutex::new(Vec::new()));
        let connection = connection::Builder::address(session.bus_address())
            .unwrap()
            .serve_at("/org/freedesktop/Notifications", Daemon { notes: Arc::clone(&notes) })
            .unwrap()
            .name("org.freedesktop.Notifications")
            .unwrap()
            .build()
            .await
            .unwrap();
        let app = session.start();
        panel.until("that it runs", |title| title.starts_with("Running")).await;
        Self { session, panel, app, notes, _connection: connection }
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap().clone()
    }

    /// Waits for one whose heading begins so, and returns its text.
    async fn told(&self, heading: &str) -> String {
        let found = || self.notes().into_iter().find(|(summary, _)| summary.starts_with(heading));
        eventually(&format!("{heading:?} is told, of {:?}", self.notes()), || found().is_some()).await;
        found().unwrap().1
    }

    /// A program that ends at once, with this code.
    fn fail(&self, code: u32) {
        self.spawn(&format!("exit {code}"));
    }

    fn spawn(&self, script: &str) {
        let spawned = self.session.run(runtime_program(), &["spawn", "-d", "--json", "shell", script]);
        assert!(spawned.status.success(), "{}", String::from_utf8_lossy(&spawned.stderr));
    }

    /// A file that is changed on both sides.
    async fn conflict(&self) -> Replica {
        let workspace = self.session.workspace();
        let token = std::fs::read_to_string(self.session.state().join("token")).unwrap();
        let bearer = format!("Bearer {}", token.trim());
        let connect = || v2::Client::connect_to(self.session.port, ("authorization", &bearer));
        let mut control = connect().await;
        std::fs::write(workspace.join("note.txt"), "base").unwrap();
        let mut replica = Replica::new(1);
        replica.open(connect().await).await;
        replica.until_equal(&workspace).await;
        control.done(Request::SyncPause).await;
        std::fs::write(workspace.join("note.txt"), "of the host").unwrap();
        replica.write("note.txt", "of the replica");
        replica.changed().await;
        control.done(Request::SyncRescan).await;
        control.done(Request::SyncResume).await;
        replica.until_equal(&workspace).await;
        assert_eq!(files(&workspace).len(), 2, "both are kept");
        replica
    }
}

#[tokio::test]
async fn what_fails_and_what_waits_is_told_once_with_what_to_do() {
    let listening = Listening::with(r#"{"startHidden": true}"#).await;
    let (session, panel) = (&listening.session, &listening.panel);

    listening.fail(0);
    listening.fail(3);
    let text = listening.told("shell").await;
    assert_eq!(text, "It ended with code 3. What it printed is under Processes.");
    // Others soon after it are one more, whatever their number.
    for code in 4..8 {
        listening.fail(code);
    }
    let text = listening.told("4 more programs failed").await;
    assert_eq!(text, "They are under Processes, with what they printed.");

    // What a person ends has not failed, and what ends with the runtime neither.
    listening.spawn("sleep 1000");
    panel.choose("Kill").await;
    panel.until_entry("No program runs").await;
    listening.spawn("sleep 1000");
    panel.until_entry("1 program running").await;
    panel.choose("Stop").await;
    panel.until("that it is stopped", |title| title == "Stopped").await;
    panel.choose("Start").await;
    panel.until("that it runs again", |title| title.starts_with("Running")).await;

    // A page that comes, goes and comes again.
    let stranger = async || {
        let mut page = v2::Client::connect_to(session.port, ("origin", STRANGER)).await;
        page.begin(Request::List).await;
        page
    };
    let page = stranger().await;
    let text = listening.told("A page wants to use MHNOS Runtime").await;
    assert_eq!(text, format!("{STRANGER} asks to run programs. Answer in the window that is open."));
    drop(page);
    panel.until("that nothing waits", |title| !title.contains("needs you")).await;
    let again = stranger().await;

    let replica = listening.conflict().await;
    let text = listening.told("A file was changed on both sides").await;
    assert_eq!(text, "Both versions are kept. Choose one under Files.");
    drop((replica, again));

    // The conflict is known from before, and so is no news when the runtime has come back.
    system::signal(session.runtime_pid(), Signal::SIGKILL);
    let text = listening.told("The runtime was started again").await;
    assert_eq!(text, "It had ended by itself, and programs with it. Its log, under Logs, says why.");
    panel
        .until("that it still needs a person", |title| {
            title.starts_with("Running") && title.contains("needs you")
        })
        .await;
    // It falls silent and speaks again, without an end.
    let runtime = session.runtime_pid();
    system::signal(runtime, Signal::SIGSTOP);
    panel.until("that it does not answer", |title| title.contains("does not answer")).await;
    system::signal(runtime, Signal::SIGCONT);
    panel.until("that it runs again", |title| title.starts_with("Running")).await;

    panel.choose("Docker").await;
    let text = listening.told("The runtime cannot run").await;
    assert!(text.contains("unix:///nonexistent/docker.sock does not answer"), "{text}");
    assert_eq!(listening.notes().len(), 6, "{:#?}", listening.notes());
}

#[tokio::test]
async fn switched_off_nothing_is_told() {
    let mut listening = Listening::with(r#"{"startHidden": true, "notifications": false}"#).await;
    let (session, panel) = (&listening.session, &listening.panel);
    listening.fail(3);
    let mut page = v2::Client::connect_to(session.port, ("origin", STRANGER)).await;
    page.begin(Request::List).await;
    panel.until("that something waits", |title| title.contains("needs you")).await;
    drop(listening.conflict().await);
    system::signal(session.runtime_pid(), Signal::SIGKILL);
    panel.until("that it does not run", |title| !title.starts_with("Running")).await;
    panel.until("that it runs again", |title| title.starts_with("Running")).await;
    panel.choose("Docker").await;
    panel.until("that it failed", |title| title.starts_with("Failed")).await;
    // All that was to be told has been by the time it has ended.
    let there = listening.app.processes();
    panel.choose("Quit").await;
    listening.app.gone(&there).await;
    assert_eq!(listening.notes(), []);
}
