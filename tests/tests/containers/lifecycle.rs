//! From nothing to a runtime that answers, and back to nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mhnos_tests::{http, v1, within};
use serde_json::json;

use crate::support::{
    Clean, NAMES, Up, cli, command, docker, exists, free_port, health, inspect, last_line, refusal,
    until_healthy, workspace,
};

#[tokio::test]
async fn up_answers_at_both_loopback_addresses_and_down_leaves_nothing_but_the_workspace() {
    let up = Up::new().await;
    up.write("kept.txt", "kept");
    assert_eq!(health(up.port).await["status"], "ok");
    let request = format!("GET /health HTTP/1.1\r\nHost: [::1]:{}\r\nConnection: close\r\n\r\n", up.port);
    let (answer, _) = http::exchange_on(std::net::Ipv6Addr::LOCALHOST.into(), up.port, request).await;
    assert_eq!(answer.status, 200);
    let again = last_line(up.again(&["--allow-origin", mhnos_tests::ORIGIN, "--json"]).await);
    assert_eq!((&again["event"], &again["outcome"]), (&json!("done"), &json!("ran already")));
    assert_eq!(again["url"], format!("ws://localhost:{}", up.port));

    // Both, because the network is shared: the last one takes it away.
    let removed = cli(&["down", "--json"]).await.json();
    let removed: Vec<&str> =
        removed["removed"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(
        removed,
        [
            "the container mhnos-runtime",
            "the volume mhnos-runtime-state",
            "the network mhnos-runtime",
            "the image mhnos/runtime:latest"
        ]
    );
    for (kind, name) in [
        ("container", "mhnos-runtime"),
        ("volume", "mhnos-runtime-state"),
        ("network", "mhnos-runtime"),
        ("image", "mhnos/runtime:latest"),
    ] {
        assert!(!exists(kind, name).await, "{kind} {name} is still there");
    }
    let stages =
        docker(&["images", "--quiet", "--filter", "dangling=true", "--filter", "label=mhnos.runtime"]);
    assert_eq!(stages.await.done(), "", "what the build left is gone too");
    assert_eq!(std::fs::read_to_string(up.workspace().join("kept.txt")).unwrap(), "kept");
    assert!(std::net::TcpStream::connect(("127.0.0.1", up.port)).is_err());
    assert_eq!(cli(&["down"]).await.done(), "there was nothing to remove\n");
}

#[tokio::test]
async fn a_container_that_was_stopped_starts_again_with_what_it_knew() {
    let up = Up::with(&[]).await;
    up.inside("mhnos-runtime origins allow http://localhost:8000").await;
    assert!(cli(&["stop"]).await.done().contains("is stopped"));
    let status = cli(&["status", "--json"]).await.json();
    assert_eq!((&status[0]["state"], &status[0]["exitCode"]), (&json!("exited"), &json!(0)));
    let again = last_line(up.again(&["--json"]).await);
    assert_eq!(again["outcome"], "started");
    up.page().await.still_works().await;
    cli(&["restart"]).await.done();
    up.page().await.still_works().await;
}

#[tokio::test]
async fn a_container_made_from_another_spec_is_made_anew() {
    let up = Up::new().await;
    let old = inspect(up.name).await["Id"].clone();
    let port = free_port();
    let folder = up.workspace().display().to_string();
    let words = ["up", "--json", "--port", &port.to_string(), "--workspace", &folder];
    let done = last_line(cli(&words).await);
    assert_eq!(done["outcome"], "made anew");
    assert_ne!(inspect(up.name).await["Id"], old);
    assert_eq!(health(port).await["status"], "ok");
    assert!(std::net::TcpStream::connect(("127.0.0.1", up.port)).is_err(), "the old port is closed");
}

#[tokio::test]
async fn a_container_that_was_removed_by_hand_is_seen_and_made_again() {
    let up = Up::new().await;
    docker(&["rm", "--force", up.name]).await.done();
    let status = cli(&["status"]).await.done();
    assert!(status.contains("absent") && status.contains("mhnos-runtime docker up"), "{status}");
    for words in [["logs"].as_slice(), &["stats"], &["stop"], &["restart"]] {
        let sentence = crate::support::refusal(cli(words).await);
        assert!(
            sentence.contains("there is no container mhnos-runtime")
                && sentence.contains("mhnos-runtime docker up"),
            "{words:?}: {sentence}"
        );
    }
    let done = last_line(up.again(&["--json"]).await);
    assert_eq!(done["outcome"], "made");
}

#[tokio::test]
async fn a_container_of_docker_run_is_adopted_as_it_is() {
    let clean = Clean::new();
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:18790");
    let words = ["run", "--detach", "--name", NAMES[0], "--publish", &publish];
    docker(&[&words[..], &["--volume", "mhnos-workspace:/workspace", "mhnos/runtime"]].concat()).await.done();
    let made = inspect(NAMES[0]).await["Id"].clone();
    let folder = workspace();
    let done = last_line(cli(&["up", "--json", "--workspace", &folder.path().display().to_string()]).await);
    assert_eq!(
        (&done["outcome"], &done["url"]),
        (&json!("adopted"), &json!(format!("ws://localhost:{port}")))
    );
    assert_eq!(inspect(NAMES[0]).await["Id"], made);
    let status = cli(&["status", "--json"]).await.json();
    assert_eq!((&status[0]["madeHere"], &status[0]["answers"]), (&json!(false), &json!(true)));
    drop(clean);
}

#[tokio::test]
async fn each_variant_has_a_workspace_of_its_own_and_one_that_is_taken_is_said() {
    let usual = Up::new().await;
    let port = free_port().to_string();
    let shared = usual.workspace().display().to_string();
    let sentence =
        refusal(cli(&["up", "--variant", "openclaw", "--port", &port, "--workspace", &shared]).await);
    assert!(sentence.contains("synced by another runtime"), "{sentence}");
    assert_eq!(health(usual.port).await["status"], "ok");
    // Where a person names none, it stands beside the usual one.
    let beside = PathBuf::from(format!("{shared}-openclaw"));
    let mut up = command(&["up", "--json", "--variant", "openclaw", "--port", &port]);
    up.env("MHNOS_WORKSPACE", &shared);
    let done = last_line(up.output().unwrap().into());
    std::fs::remove_dir_all(&beside).unwrap();
    assert_eq!(done["workspace"], beside.to_str().unwrap());
}

#[tokio::test]
async fn two_variants_run_side_by_side_and_go_one_by_one() {
    let usual = Up::new().await;
    let folder = workspace();
    let port = free_port();
    let words = ["--port", &port.to_string(), "--workspace", &folder.path().display().to_string()];
    cli(&[["up", "--variant", "openclaw"].as_slice(), &words].concat()).await.done();
    assert_eq!(health(usual.port).await["status"], "ok");
    assert_eq!(health(port).await["status"], "ok");
    let status = cli(&["status", "--json"]).await.json();
    let seen: Vec<_> =
        (0..2).map(|index| (&status[index]["container"], &status[index]["ports"][0])).collect();
    assert_eq!(seen, [(&json!(NAMES[0]), &json!(usual.port)), (&json!(NAMES[1]), &json!(port))], "{status}");
    let mut page = v1::Client::connect_to(port, ("origin", mhnos_tests::STRANGER)).await;
    assert_eq!(page.connected["config"]["allowOpenClaw"], true);
    page.begin(json!({"type": "list"})).await;
    let removed = cli(&["down", "--variant", "openclaw"]).await.done();
    assert!(removed.contains(NAMES[1]) && !removed.contains("network"), "{removed}");
    assert_eq!(health(usual.port).await["status"], "ok");
}

#[tokio::test]
async fn a_stop_takes_three_seconds_at_most_and_loses_no_output() {
    let up = Up::new().await;
    let mut page = up.page().await;
    let polite = page
        .bash("trap 'seq 1 5000; echo the end; exit 3' TERM HUP; echo up; while :; do sleep 0.05; done")
        .await;
    page.output_until(polite, "up").await;
    let stubborn = page.bash("trap '' TERM HUP; echo up; while :; do sleep 0.05; done").await;
    page.output_until(stubborn, "up").await;
    let began = Instant::now();
    cli(&["stop"]).await.done();
    let took = began.elapsed();
    let run = page.run(polite).await;
    assert!(
        run.stdout.contains("\r\n5000\r\nthe end\r\n"),
        "{:?}",
        &run.stdout[run.stdout.len().saturating_sub(60)..]
    );
    assert_eq!(run.exit["code"], 3);
    assert_eq!(page.closed().await.map(|(code, _)| code), Some(1001));
    let status = cli(&["status", "--json"]).await.json();
    assert_eq!(status[0]["exitCode"], 0, "it was not killed");
    // Three seconds, and what the engine itself takes.
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn the_engine_sees_its_health_and_orphans_are_reaped() {
    let up = Up::new().await;
    within("it is healthy", async {
        while inspect(up.name).await["State"]["Health"]["Status"] != "healthy" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let status = cli(&["status"]).await.done();
    assert!(status.contains("running, healthy") && status.contains("yes"), "{status}");
    // Its parent ends first, so it becomes a child of the first process.
    up.inside("sh -c 'sleep 0.2 & exit'").await;
    within("it is reaped", async {
        while up.inside("ps -e -o stat,comm").await.lines().any(|line| line.contains("sleep")) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let first = up.inside("ps -p 1 -o comm=").await;
    assert_eq!(first.trim(), "tini");
}

#[tokio::test]
async fn after_the_runtime_inside_was_killed_it_is_back() {
    let up = Up::new().await;
    let before = inspect(up.name).await["State"]["StartedAt"].clone();
    up.inside("kill -9 $(pgrep -x -o mhnos-runtime)").await;
    within("the engine starts it again", async {
        while inspect(up.name).await["State"]["StartedAt"] == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    until_healthy(up.port).await;
}
