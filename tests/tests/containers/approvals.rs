//! How a page is let into a container.

use mhnos_tests::{ORIGIN, v1, within};
use serde_json::json;

use crate::support::{Up, cli, docker};

#[tokio::test]
async fn the_first_screen_of_the_log_says_how_to_let_a_page_in() {
    let up = Up::with(&[]).await;
    let said = docker(&["logs", up.name]).await;
    let log = said.stdout + &said.stderr;
    let screen: Vec<&str> = log.lines().take(24).collect();
    let wanted = "docker exec mhnos-runtime mhnos-runtime origins allow";
    assert!(screen.iter().any(|line| line.contains(wanted)), "{screen:#?}");
    // The same by our own command.
    let own = cli(&["logs"]).await;
    assert!((own.stdout + &own.stderr).contains(wanted));
}

#[tokio::test]
async fn what_a_page_asked_for_while_it_waited_is_done_once_it_is_allowed() {
    let up = Up::with(&[]).await;
    let mut page = up.page().await;
    let waiting = page
        .begin(json!({"type": "spawn", "processType": "python", "command": "-c", "args": ["print(6 * 7)"]}))
        .await;
    // The very commands that the log names.
    let pending = docker(&["exec", "mhnos-runtime", "mhnos-runtime", "origins", "pending"]).await.done();
    assert!(pending.contains(ORIGIN), "{pending}");
    docker(&["exec", "mhnos-runtime", "mhnos-runtime", "origins", "allow", ORIGIN]).await.done();
    let spawned = page.answer(&waiting).await;
    assert_eq!(spawned["type"], "spawned");
    let run = page.run(spawned["pid"].as_u64().unwrap() as u32).await;
    assert_eq!(run.stdout, "42\n");
    // It is known from now on, and until it is revoked.
    up.page().await.still_works().await;
    docker(&["exec", "mhnos-runtime", "mhnos-runtime", "origins", "revoke", ORIGIN]).await.done();
    assert_eq!(within("it is closed", page.closed()).await.map(|(code, _)| code), Some(1008));
}

#[tokio::test]
async fn what_waits_is_told_in_the_containers_own_words() {
    let up = Up::with(&[]).await;
    let mut page = v1::Client::connect_to(up.port, ("origin", ORIGIN)).await;
    let sentence = page.refusal(json!({"type": "list"})).await;
    assert!(
        sentence.contains("docker exec mhnos-runtime mhnos-runtime origins allow http://localhost:8000"),
        "{sentence}"
    );
}
