//! What the other commands of `mhnos-runtime docker` show.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::{http, v2, within};
use serde_json::Value;

use crate::support::{Clean, NAMES, Up, cli, command, docker, last_line, refusal};

#[tokio::test]
async fn doctor_says_which_engine_and_why_and_what_to_beware_of() {
    let _clean = Clean::new();
    let report = cli(&["doctor", "--json"]).await.json();
    let version = docker(&["version", "--format", "{{.Server.Version}}"]).await.done();
    assert_eq!(report["version"], version.trim());
    assert!(report["address"].as_str().unwrap().starts_with("unix://"), "{report}");
    assert!(!report["reason"].as_str().unwrap().is_empty());
    let images = report["images"].as_array().unwrap();
    assert!(images.iter().all(|image| image["size"].as_u64().unwrap() > 100_000_000), "{report}");
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    let warnings = report["warnings"].to_string();
    assert_eq!(warnings.contains("other machines of the same network"), major < 28, "{warnings}");
    let text = cli(&["doctor"]).await.done();
    assert!(text.contains("because") && text.contains("mhnos/runtime:openclaw"), "{text}");
}

/// The lines of JSON that a command prints until one fits; it is ended then. Something may be done after its first line.
fn lines_until(words: &[&str], fits: impl Fn(&[Value]) -> bool, meanwhile: &[&str]) -> Vec<Value> {
    let mut child = command(words).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = Vec::new();
    while !fits(&found) {
        let line = lines.next().expect("it goes on").unwrap();
        found.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("a line of JSON: {line}")));
        if found.len() == 1 && !meanwhile.is_empty() {
            assert!(Command::new("docker").args(meanwhile).output().unwrap().status.success());
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    found
}

#[tokio::test]
async fn logs_and_stats_go_on_in_lines_of_json() {
    let up = Up::new().await;
    let log = cli(&["logs", "--json"]).await.done();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["line"].as_str().unwrap().starts_with("MHNOS runtime listening on"))
    );
    assert_eq!(cli(&["logs", "--tail", "1", "--json"]).await.done().lines().count(), 1);

    // What happens from now on is shown too.
    let allow = ["exec", up.name, "mhnos-runtime", "origins", "allow", "http://localhost:8111"];
    let told =
        |lines: &[Value]| lines.iter().any(|line| line["line"].as_str().unwrap().contains("localhost:8111"));
    lines_until(&["logs", "--follow", "--json"], told, &allow);

    for sample in lines_until(&["stats", "--follow", "--json"], |lines| lines.len() == 3, &[]) {
        assert!(sample["memory"].as_u64().unwrap() > 1_000_000, "{sample}");
        assert_eq!(sample["memoryLimit"], 4_u64 << 30);
        assert!(sample["processes"].as_u64().unwrap() >= 3 && sample["processor"].is_number(), "{sample}");
    }
    let once = cli(&["stats"]).await.done();
    assert!(once.contains("memory") && once.contains("4.0 GiB") && once.lines().count() == 1, "{once}");
}

#[tokio::test]
async fn the_token_it_shows_lets_a_program_of_this_machine_in_and_no_other_does() {
    let up = Up::new().await;
    let token = cli(&["token"]).await.done();
    let token = token.trim();
    assert_eq!(cli(&["token", "--json"]).await.json()["token"], token);
    let bearer = format!("Bearer {token}");
    let mut program = v2::Client::connect_to(up.port, ("authorization", &bearer)).await;
    // Which a page may not.
    assert!(matches!(program.request(Request::Origins).await, Reply::Origins { .. }));
    let wrong = format!("Bearer {}", token.chars().rev().collect::<String>());
    let handshake = http::handshake(&["Host: localhost", &format!("Authorization: {wrong}")]);
    assert_eq!(within("an answer", http::exchange(up.port, handshake)).await.status, 401);
    cli(&["stop"]).await.done();
    let sentence = refusal(cli(&["token"]).await);
    assert!(sentence.contains("does not run") && sentence.contains("mhnos-runtime docker up"), "{sentence}");
    cli(&["down"]).await.done();
    let sentence = refusal(cli(&["token"]).await);
    assert!(sentence.contains("there is no container mhnos-runtime"), "{sentence}");
}

#[tokio::test]
async fn status_follows_what_happens_to_a_container() {
    let _up = Up::new().await;
    let state = |lines: &[Value]| lines.last().map(|line| line[0]["state"].as_str().unwrap().to_owned());
    let exited = |lines: &[Value]| state(lines).as_deref() == Some("exited");
    let seen = lines_until(&["status", "--follow", "--json"], exited, &["stop", NAMES[0]]);
    assert_eq!(state(&seen[..1]).as_deref(), Some("running"));
    let running = |lines: &[Value]| state(lines).as_deref() == Some("running");
    lines_until(&["status", "--follow", "--json"], running, &["start", NAMES[0]]);
    // Removed by hand, too.
    let absent = |lines: &[Value]| state(lines).as_deref() == Some("absent");
    lines_until(&["status", "--follow", "--json"], absent, &["rm", "--force", NAMES[0]]);
}

#[tokio::test]
async fn build_tells_each_step_and_ends_with_the_image() {
    let _clean = Clean::new();
    let said = cli(&["build", "--json"]).await;
    let text = said.clone().done();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<u64> = lines
        .iter()
        .filter(|line| line["event"] == "step")
        .map(|line| line["number"].as_u64().unwrap())
        .collect();
    let of = lines.iter().find(|line| line["event"] == "step").unwrap()["of"].as_u64().unwrap();
    assert_eq!(steps, (1..=of).collect::<Vec<_>>());
    let done = last_line(said);
    assert_eq!(
        (done["event"].as_str(), done["image"].as_str()),
        (Some("done"), Some("mhnos/runtime:latest"))
    );
}
