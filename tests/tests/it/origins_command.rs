//! `mhnos-runtime origins`, as a person uses it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;

use mhnos_tests::v1::Client;
use mhnos_tests::{DEADLINE, ORIGIN, Runtime, STRANGER, Setup, command, v2};
use serde_json::json;

#[tokio::test]
async fn pages_are_listed_and_decided_about() {
    let runtime = Setup::default().start();
    let run = async |words: &[&str]| command::run(&runtime, words).await;
    assert_eq!(
        run(&["origins", "list"]).await.done(),
        "no web page is allowed, and none waits: say `runtime connect` in MHNOS\n"
    );
    assert_eq!(run(&["origins", "pending"]).await.done(), "no web page waits for an answer\n");
    assert_eq!(run(&["--json", "origins", "pending"]).await.json(), json!([]));
    let page = Client::connect_as(&runtime, STRANGER).await;
    let listed = run(&["--json", "origins", "pending"]).await.json();
    let since = listed[0]["since"].clone();
    assert!(since.is_u64());
    let waiting = json!({"origin": STRANGER, "state": "waiting", "access": null, "since": since, "until": null, "connections": 1});
    assert_eq!(listed, json!([waiting]));
    let listed = run(&["origins", "pending"]).await.done();
    assert!(
        listed.contains(STRANGER) && listed.contains("waits: `mhnos-runtime origins allow` lets it in"),
        "{listed}"
    );
    let said = run(&["origins", "allow", STRANGER]).await.done();
    assert_eq!(said, format!("{STRANGER} may run programs and change files of the workspace from now on\n"));
    let said = run(&["origins", "allow", STRANGER, "--once", "--files-only"]).await.done();
    assert_eq!(said, format!("{STRANGER} may change files of the workspace until it is closed\n"));
    let listed = run(&["origins", "list"]).await.done();
    assert!(listed.contains("files") && listed.contains("allowed until it is closed"), "{listed}");
    assert_eq!(run(&["--json", "origins", "allow", STRANGER]).await.json(), json!({"ok": true}));
    let listed = run(&["origins", "list"]).await.done();
    assert!(listed.contains("programs and files"), "{listed}");
    let said = run(&["origins", "revoke", STRANGER]).await.done();
    assert_eq!(said, format!("{STRANGER} may not any more; what it had started is ended\n"));
    assert_eq!(page.closed().await.unwrap().0, 1008);
    let said = run(&["origins", "deny", STRANGER]).await.done();
    assert_eq!(said, format!("{STRANGER} may not, and is not asked about for a while\n"));
    let listed = run(&["origins", "list"]).await.done();
    assert!(listed.contains("denied until "), "{listed}");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_fails() {
    let runtime = Runtime::start();
    let said = command::run(&runtime, &["origins", "allow", "localhost:8000"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert!(said.stderr.contains("is no origin of a web page: write http://host:port"), "{}", said.stderr);
    let said = command::run(&runtime, &["origins", "revoke", ORIGIN]).await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("is allowed by the settings: take it out of --allow-origin"),
        "{}",
        said.stderr
    );
    let said = command::run(&runtime, &["origins", "allow"]).await;
    assert_eq!(said.code, Some(2), "the origin is missing");
    let listed = command::run(&runtime, &["--json", "origins", "list"]).await.json();
    assert_eq!((&listed[0]["state"], &listed[0]["access"]), (&json!("allowedBySettings"), &json!("full")));
}

#[tokio::test]
async fn who_follows_sees_pages_as_they_begin_to_wait() {
    let runtime = Setup::default().start();
    let _first = Client::connect_as(&runtime, STRANGER).await;
    let mut child = command::command(&runtime, &["origins", "pending", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let next = || lines.recv_timeout(DEADLINE).unwrap();
    assert_eq!(next(), format!("{STRANGER} waits: mhnos-runtime origins allow {STRANGER}   (or deny)"));
    let _second = Client::connect_as(&runtime, "https://second.example").await;
    assert!(next().starts_with("https://second.example waits"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn the_console_command_prints_an_address_that_lets_in_once() {
    let runtime = Setup::default().start();
    let said = command::run(&runtime, &["console", "--no-open"]).await.done();
    let (url, hint) = said.split_once('\n').unwrap();
    assert_eq!(hint, "(open it in your browser; good once, for 30 seconds)\n");
    let prefix = format!("http://localhost:{}/#ticket=", runtime.port());
    let ticket = url.strip_prefix(&prefix).unwrap();
    let own = format!("http://localhost:{}", runtime.port());
    let console = v2::Client::connect_with_ticket(&runtime, &own, ticket).await;
    console.unwrap_or_else(|status| panic!("refused: {status}")).origins().await;
    assert_eq!(v2::Client::connect_with_ticket(&runtime, &own, ticket).await.err(), Some(403));
}
