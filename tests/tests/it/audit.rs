//! The audit log: what happened, in facts the runtime itself knows, and whether anybody has changed it since.

use std::path::PathBuf;

use mhnos_protocol::v2::{Access, Request};
use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, STRANGER, Setup, command, v2};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const OTHER: &str = "https://other.example";

async fn entries(runtime: &Runtime) -> Vec<Value> {
    command::run(runtime, &["--json", "audit"]).await.json().as_array().unwrap().clone()
}

/// An entry without what counts and chains it.
fn fact(entry: &Value) -> Value {
    let mut fact = entry.clone();
    for field in ["number", "time", "previous"] {
        assert!(fact.as_object_mut().unwrap().remove(field).is_some(), "{entry}");
    }
    fact
}

#[tokio::test]
async fn it_says_who_was_let_in_and_what_was_done_in_the_runtimes_own_words() {
    let mut runtime = Setup::default().start();
    let mut page = Client::connect_as(&runtime, STRANGER).await;
    // A page can say what it likes of itself.
    let lie = json!({"type": "spawn", "processType": "shell", "command": "bash", "args": ["-c", "sleep 1000", "--password=hunter2"],
        "origin": OTHER, "by": OTHER, "program": "harmless", "options": {"origin": OTHER, "cwd": "/"}});
    let id = page.begin(lie).await;
    let mut control = v2::Client::connect(&runtime).await;
    control.done(Request::AllowOrigin { origin: STRANGER.into(), access: None, once: true }).await;
    let pid = page.answer(&id).await["pid"].as_u64().unwrap();
    page.request(json!({"type": "kill", "pid": pid, "signal": "SIGKILL", "by": OTHER})).await;
    control
        .done(Request::AllowOrigin { origin: OTHER.into(), access: Some(Access::Files), once: false })
        .await;
    control.done(Request::RevokeOrigin { origin: STRANGER.into() }).await;
    control.done(Request::DenyOrigin { origin: STRANGER.into() }).await;
    control.request(Request::Ticket { origin: None, resume: false }).await;
    page.closed().await;
    drop(control);
    runtime.stop(Signal::SIGTERM).await;
    let entries = entries(&runtime).await;
    let facts: Vec<Value> = entries.iter().map(fact).collect();
    let version = facts[0]["version"].clone();
    let sandbox = facts[0]["sandbox"].clone();
    assert!(sandbox.as_str().unwrap().starts_with("strict"), "{sandbox}");
    let directory = runtime.workspace();
    let expected = [
        json!({"event": "started", "version": version, "sandbox": sandbox}),
        json!({"event": "asked", "origin": STRANGER}),
        json!({"event": "connected", "by": "a local program"}),
        json!({"event": "allowed", "origin": STRANGER, "access": "full", "once": true}),
        json!({"event": "connected", "by": STRANGER}),
        json!({"event": "spawned", "pid": pid, "by": STRANGER, "program": "shell bash", "directory": directory}),
        json!({"event": "killed", "pid": pid, "by": STRANGER, "signal": "SIGKILL"}),
        json!({"event": "allowed", "origin": OTHER, "access": "files", "once": false}),
        json!({"event": "revoked", "origin": STRANGER}),
        json!({"event": "denied", "origin": STRANGER}),
        json!({"event": "ticketIssued", "by": "a local program"}),
        json!({"event": "stopped"}),
    ];
    // What happens on several connections at once may be written in either order.
    let sorted = |mut facts: Vec<Value>| {
        facts.sort_by_key(Value::to_string);
        facts
    };
    assert_eq!(sorted(facts), sorted(expected.to_vec()));
    let numbers: Vec<_> = entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert!(entries.is_sorted_by_key(|entry| entry["time"].as_u64()));
}

#[tokio::test]
async fn it_goes_on_over_restarts_and_a_kill_and_is_whole() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM] {
        let mut runtime = Setup::default().state(&folder).start();
        v2::Client::connect(&runtime).await.run(v2::python("pass", &[])).await;
        runtime.stop(signal).await;
    }
    let runtime = Setup::default().state(&folder).start();
    let entries = entries(&runtime).await;
    let numbers: Vec<_> = entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
    assert_eq!(entries.iter().filter(|entry| entry["event"] == "started").count(), 4);
    let said = command::run(&runtime, &["audit", "--verify"]).await.done();
    assert_eq!(said, format!("{} entries, all as they were written\n", entries.len()));
}

#[tokio::test]
async fn tampering_is_found_and_the_line_is_named() {
    type Tamper = fn(&mut Vec<String>);
    let mut runtime = Setup::default().start();
    v2::Client::connect(&runtime).await.run(v2::python("pass", &[])).await;
    runtime.stop(Signal::SIGTERM).await;
    let log: PathBuf = runtime.state().join("audit.log");
    let original = std::fs::read_to_string(&log).unwrap();
    let cases: [(&str, Tamper, &str); 6] = [
        (
            "changed",
            |lines| lines[1] = lines[1].replace("a local program", "http://innocent"),
            "the line before line 3 of audit.log (number 2) was changed after it was written",
        ),
        (
            "taken out",
            |lines| drop(lines.remove(1)),
            "line 2 of audit.log has the number 3, where 2 is expected",
        ),
        ("the first taken out", |lines| drop(lines.remove(0)), "the lines before number 2 are missing"),
        ("cut off", |lines| drop(lines.pop()), "the last line has the number 3, where 4 was written last"),
        (
            "the last changed",
            |lines| lines[3] = lines[3].replace("stopped", "stoppeD"),
            "line 4 of audit.log is not an entry",
        ),
        ("swapped", |lines| lines.swap(1, 2), "line 2 of audit.log has the number 3, where 2 is expected"),
    ];
    for (what, tamper, wanted) in cases {
        let mut lines: Vec<String> = original.lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 4, "{original}");
        tamper(&mut lines);
        std::fs::write(&log, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let said = command::run(&runtime, &["audit", "--verify"]).await;
        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        assert!(said.stdout.contains(wanted), "{what}: {}", said.stdout);
        let said = command::run(&runtime, &["--json", "audit", "--verify"]).await;
        let found: Value = serde_json::from_str(&said.stdout).unwrap();
        assert!(said.code == Some(1) && !found["faults"].as_array().unwrap().is_empty(), "{what}: {found}");
    }
    std::fs::write(&log, original).unwrap();
    command::run(&runtime, &["audit", "--verify"]).await.done();
}

#[tokio::test]
async fn a_page_nobody_allowed_cannot_fill_it() {
    let runtime = Setup::default().start();
    for _ in 0..50 {
        Client::connect_as(&runtime, STRANGER).await;
    }
    let mut control = v2::Client::connect(&runtime).await;
    control.done(Request::DenyOrigin { origin: STRANGER.into() }).await;
    let headers = [format!("Host: localhost:{}", runtime.port()), format!("Origin: {STRANGER}")];
    for _ in 0..50 {
        let socket =
            mhnos_tests::http::RawSocket::open(runtime.port(), &headers.each_ref().map(String::as_str)).await;
        assert_eq!(socket.closed().await.unwrap().0, 1008);
    }
    let events: Vec<Value> = entries(&runtime).await.iter().map(|entry| entry["event"].clone()).collect();
    assert_eq!(events, ["started", "asked", "connected", "denied"]);
}

#[tokio::test]
async fn people_read_it_as_lines_and_the_last_few_of_them() {
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect(&runtime).await;
    control.allow(STRANGER).await;
    control.done(Request::RevokeOrigin { origin: STRANGER.into() }).await;
    let said = command::run(&runtime, &["audit", "-n", "3"]).await.done();
    let lines: Vec<&str> = said.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let allowed = format!("allowed {STRANGER}: full");
    assert_eq!(lines, ["connected: a local program", &allowed, &format!("revoked {STRANGER}")]);
}
