//! The app with a real container engine, from the screen: into a container and back, and nothing that runs left behind.
//!
//! `cargo xtask test --only containers` runs these, one at a time: it has the engine and has made the image.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::{STRANGER, eventually, http, runtime_program, system, v2};

use crate::panel::Panel;
use crate::pictures;
use crate::session::Session;
use crate::webdriver::Browser;

const CONTAINER: &str = "mhnos-runtime";

const PROMPT: &str = "^MHNOS Runtime asks$";

/// A session with an engine in which there is no container of ours: now, and again at the end.
struct Engine {
    session: Session,
}

impl Engine {
    fn new() -> Self {
        let engine = Self { session: Session::with_engine() };
        engine.clean();
        engine
    }

    /// What a command of the engine's own client prints; nothing, when it fails.
    fn docker(&self, words: &[&str]) -> String {
        let output = self.session.run("docker", words);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The names of all containers that run.
    fn running(&self) -> Vec<String> {
        self.docker(&["ps", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
    }

    /// The names of all containers there are.
    fn all(&self) -> Vec<String> {
        self.docker(&["ps", "--all", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
    }

    /// The command lines of what runs in the container.
    fn programs(&self) -> String {
        self.docker(&["top", CONTAINER, "-eo", "pid,args"])
    }

    fn clean(&self) {
        self.docker(&["rm", "--force", "--volumes", CONTAINER]);
        self.docker(&["volume", "rm", "--force", "mhnos-runtime-state"]);
        self.docker(&["network", "rm", CONTAINER]);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the container ---\n{}\n---", self.docker(&["logs", "--tail", "40", CONTAINER]));
            eprintln!("--- all containers ---\n{}\n---", self.docker(&["ps", "--all"]));
        }
        self.clean();
    }
}

/// How many commands of `mhnos-runtime docker` this process has below it.
fn commands(pid: i32) -> usize {
    let is_one = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(b"docker")
    };
    system::descendants(pid).iter().filter(|pid| is_one(pid)).count()
}

#[tokio::test]
async fn a_person_switches_to_docker_and_back_and_quits_with_nothing_left_behind() {
    let engine = Engine::new();
    let session = &engine.session;
    let before = engine.all();
    let panel = Panel::open(session).await;
    let browser = Browser::start(session).await;
    let app = browser.app();
    panel.until("that it runs", |title| title.starts_with("Running natively")).await;
    let native = session.runtime_pid();

    // There, by the first steps.
    browser.click("Skip").await;
    browser.until_said("Found: ").await;
    pictures::take(session, &browser, "first-run-docker").await;
    session.give_workspace_to_person();
    browser.click("Use Docker").await;
    browser.until_said("Waiting for a tab").await;
    browser.click("Skip").await;
    let title = panel.until("that it runs", |title| title.starts_with("Running in Docker")).await;
    assert!(title.ends_with(&format!("on port {}", session.port)), "{title}");
    browser.until_said("Running in Docker").await;
    session.healthy(session.port).await;
    assert!(!system::is_alive(native), "the native one has made room");
    assert_eq!(engine.running(), [CONTAINER]);
    assert_eq!(session.kept_app_settings()["engine"], "docker");

    // What the page says of it.
    browser.click("Docker").await;
    browser.until_said("MHNOS runtime listening on").await;
    browser.until_said("CPU").await;
    browser.until_said(&format!("{CONTAINER} :{}", session.port)).await;
    browser
        .until(
            "it is said to run",
            "return document.querySelector('[aria-label=Container]').innerText.includes('Running')",
        )
        .await;
    pictures::take(session, &browser, "docker").await;
    browser.click("Doctor").await;
    browser.until_said(&format!("runs in Docker, and answers at port {}", session.port)).await;
    browser.until_said(&format!("{}: held by the container", session.port)).await;

    // A program, from its start to its end.
    browser.click("Processes").await;
    browser.click("New process").await;
    browser.fill("Command", "-e 'setInterval(() => console.log(process.uid, 6 * 7), 500)'").await;
    browser.click("Start").await;
    eventually("node runs in the container", || engine.programs().contains("node -e setInterval")).await;
    browser.until_said("1 running").await;
    assert!(panel.entries().await.iter().any(|entry| entry.label == "1 program running"));
    browser.kill_a_program().await;
    eventually("node is gone", || !engine.programs().contains("node -e")).await;
    assert_eq!(engine.running(), [CONTAINER]);

    // A page that asks is asked about as anywhere else.
    let mut page = v2::Client::connect_to(session.port, ("origin", STRANGER)).await;
    let asked = page.begin(Request::List).await;
    eventually("a prompt is there", || session.windows(PROMPT).len() == 1).await;
    let prompt = session.windows(PROMPT).remove(0);
    eventually("the prompt is answered", || {
        session.windows(PROMPT).is_empty() || !session.press(&prompt, "alt+o")
    })
    .await;
    assert!(matches!(page.answer(asked).await, Reply::Processes { .. }));
    drop(page);

    // Back, by the window.
    browser.click("Overview").await;
    browser.click("Native").await;
    panel.until("that it runs", |title| title.starts_with("Running natively")).await;
    browser.until_said("Running natively").await;
    session.healthy(session.port).await;
    assert_eq!(engine.running(), [""; 0], "the container has made room");

    // And there once more, by the tray; what is left of it then is stopped.
    session.give_workspace_to_person();
    panel.choose("Docker").await;
    panel.until("that it runs", |title| title.starts_with("Running in Docker")).await;
    let there = [vec![app], system::descendants(app)].concat();
    panel.choose("Quit (stops the runtime)").await;
    for pid in there {
        eventually("no process is left", || !system::is_alive(pid)).await;
    }
    session.silent(session.port).await;
    assert_eq!(engine.running(), [""; 0], "nothing runs");
    let beyond: Vec<_> = engine.all().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(beyond, [CONTAINER], "stopped, and with all it knew");
}

#[tokio::test]
async fn what_the_page_listens_to_ends_with_the_window_and_with_the_app() {
    let engine = Engine::new();
    let session = &engine.session;
    session.app_settings(r#"{"firstRunDone": true, "engine": "docker"}"#);
    session.darken();
    let panel = Panel::open(session).await;
    let browser = Browser::start(session).await;
    let app = browser.app();
    panel.until("that it runs", |title| title.starts_with("Running in Docker")).await;
    browser.click("Docker").await;
    browser.until_said("MHNOS runtime listening on").await;
    browser.until_said("CPU").await;
    pictures::take(session, &browser, "docker").await;
    eventually("its three commands go on", || commands(app) == 3).await;
    browser.script("location.reload()").await;
    browser.until_said("MHNOS runtime listening on").await;
    eventually("there are only those of the new page", || commands(app) == 3).await;
    session.close(&session.windows("^MHNOS Runtime$")[0]);
    eventually("none goes on", || commands(app) == 0).await;
    panel.activate().await;
    eventually("the window is back", || session.windows("^MHNOS Runtime$").len() == 1).await;
    // Killed, it can stop nothing itself; only the container goes on.
    let there = system::descendants(app);
    system::signal(app, nix::sys::signal::Signal::SIGKILL);
    for pid in there {
        eventually("no process is left", || !system::is_alive(pid)).await;
    }
    assert_eq!(engine.running(), [CONTAINER]);
}

#[tokio::test]
async fn quit_while_the_container_starts_leaves_nothing_that_runs() {
    let engine = Engine::new();
    let session = &engine.session;
    session.app_settings(r#"{"startHidden": true, "engine": "docker"}"#);
    let panel = Panel::open(session).await;
    let mut events = Command::new("docker");
    session.prepare(&mut events);
    let mut events = events
        .args(["events", "--filter", "event=start", "--format", "{{.Actor.Attributes.name}}"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut app = session.start();
    // It does not get to answer: as one that takes long.
    let mut name = String::new();
    BufReader::new(events.stdout.as_mut().unwrap()).read_line(&mut name).unwrap();
    assert_eq!(name.trim(), CONTAINER);
    engine.docker(&["pause", CONTAINER]);
    events.kill().unwrap();
    events.wait().unwrap();
    assert!(!panel.title().await.starts_with("Running"));
    let there = app.processes();
    panel.choose("Quit (stops the runtime)").await;
    app.gone(&there).await;
    assert_eq!(engine.running(), [""; 0], "nothing runs");
}

#[tokio::test]
async fn a_container_that_runs_already_is_used_and_outlives_the_app() {
    let engine = Engine::new();
    let session = &engine.session;
    let up = session.run(runtime_program(), &["docker", "up", "--port", &session.port.to_string()]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    session.app_settings(r#"{"startHidden": true, "engine": "docker"}"#);
    let panel = Panel::open(session).await;
    let mut app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running in Docker")).await;
    // What it says is no memory: the round trip fails as soon as nobody answers.
    engine.docker(&["pause", CONTAINER]);
    panel.until("that it does not answer", |title| title.contains("does not answer")).await;
    engine.docker(&["unpause", CONTAINER]);
    panel.until("that it runs", |title| title.starts_with("Running in Docker")).await;
    let there = app.processes();
    panel.choose("Quit (the runtime goes on)").await;
    app.gone(&there).await;
    assert_eq!(engine.running(), [CONTAINER]);
    let request =
        format!("GET /health HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", session.port);
    assert_eq!(http::exchange(session.port, request).await.status, 200);
}
