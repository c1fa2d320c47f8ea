//! What happens to a page that nobody has decided about: nothing.

use mhnos_protocol::v2::{ErrorCode, Reply, Request, Topic};
use mhnos_tests::sync::Replica;
use mhnos_tests::v1::Client;
use mhnos_tests::{ORIGIN, Runtime, STRANGER, v2};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn nothing_at_all_happens_for_a_page_that_waits() {
    let runtime = Runtime::start();
    runtime.write("secret", "secret");
    let mut known = Client::connect(&runtime).await;
    let pid = known.bash("echo up; read line; stty size; sleep 1000").await;
    known.output_until(pid, "up").await;
    let mut stranger = Client::connect_as(&runtime, STRANGER).await;
    assert_eq!(
        stranger.connected["type"], "connected",
        "it is let in, because the published client gives up after 5 s"
    );
    for message in [
        json!({"type": "spawn", "processType": "shell", "command": "touch", "args": ["/workspace/spawned"], "options": {}}),
        json!({"type": "attach", "pid": pid}),
        json!({"type": "detach", "pid": pid}),
        json!({"type": "write", "pid": pid, "data": "\n"}),
        json!({"type": "resize", "pid": pid, "cols": 1, "rows": 1}),
        json!({"type": "kill", "pid": pid, "signal": "SIGKILL"}),
        json!({"type": "list"}),
        json!({"type": "status"}),
        json!({"type": "ping"}),
        json!({"type": "fsync", "operation": "push", "files": [{"path": "/pushed", "kind": "file", "content": [1]}]}),
        json!({"type": "fsync", "operation": "pull"}),
        json!({"type": "nonsense"}),
        // No field a client sends says who it is.
        json!({"type": "status", "origin": ORIGIN, "token": runtime.token(), "approved": true, "admin": true}),
    ] {
        stranger.begin(message).await;
    }
    let mut modern = v2::Client::connect_as(&runtime, STRANGER).await;
    for request in [
        Request::Spawn(v2::terminal("touch /workspace/spawned")),
        Request::Attach { pid, from: None, credit: 1000 },
        Request::Kill { pid, signal: None, grace: None },
        Request::CloseInput { pid },
        Request::List,
        Request::Subscribe { topics: vec![Topic::Processes] },
        Request::ListFiles { path: None },
        Request::ReadFile { path: "/secret".into(), credit: 1000 },
        Request::WriteFile { path: "/written".into(), size: 0, mtime: None, executable: None },
        Request::MakeDirectory { path: "/made".into() },
        Replica::new(1).opening(),
        Request::SyncStatus,
        Request::SyncPause,
        Request::SyncConflicts,
        Request::SyncVersions { path: None },
        Request::SyncRestore { version: 1, path: None },
        Request::Origins,
        Request::AllowOrigin { origin: STRANGER.into(), access: None, once: false },
        Request::Ticket { origin: None, resume: false },
        Request::Audit { tail: 10 },
        Request::Log { tail: 10 },
        Request::Doctor,
    ] {
        modern.begin(request).await;
    }
    modern.send_input(pid, b"\n").await;
    // Both queues are full when the last of these is refused: so all that came before was looked at, and nothing done.
    for _ in 0..64 {
        stranger.send(json!({"type": "ping", "id": "filler"})).await;
        modern.begin(Request::Ping).await;
    }
    let first = stranger.next().await;
    assert_eq!((&first["type"], &first["id"]), (&json!("error"), &json!("filler")), "{first}");
    let refused = modern.take_reply("a refusal", |_| true).await;
    assert!(matches!(refused, Reply::Error { code: ErrorCode::NotAllowed, .. }), "{refused:?}");
    let status = known.request(json!({"type": "status"})).await;
    assert_eq!(status["stats"], json!({"totalSpawned": 1, "totalKilled": 0, "active": 1}));
    assert_eq!(runtime.names().len(), 1);
    known.send(json!({"type": "write", "pid": pid, "data": "\n"})).await;
    known.output_until(pid, "30 100").await;
}

#[tokio::test]
async fn what_waits_is_bounded_by_count_and_by_size_and_is_not_parsed() {
    let runtime = Runtime::start();
    // By count. What is kept is not even looked at: nothing of it is answered.
    let mut client = Client::connect_as(&runtime, STRANGER).await;
    for _ in 0..64 {
        client.send_text("not even JSON").await;
    }
    client.send(json!({"type": "ping", "id": "req-65"})).await;
    client.send_message(Message::binary(vec![0; 10])).await;
    let answer = client.next().await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!("req-65")), "{answer}");
    let sentence = answer["error"].as_str().unwrap();
    assert!(sentence.contains(STRANGER) && sentence.contains("not allowed yet"), "{sentence}");
    assert_eq!(client.next().await["type"], "error", "the binary one");
    // By size: 16 messages of just under 64 KiB fill 1 MiB.
    let mut client = Client::connect_as(&runtime, STRANGER).await;
    let data = "x".repeat((64 << 10) - 100);
    for number in 0..17 {
        client.send(json!({"id": number, "type": "write", "pid": 1, "data": data})).await;
    }
    let answer = client.next().await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!(16)), "{answer}");
    // A small one still finds room.
    client.send(json!({"id": "small", "type": "ping"})).await;
    client.send(json!({"id": "large", "type": "write", "pid": 1, "data": data})).await;
    assert_eq!(client.next().await["id"], "large");
}

#[tokio::test]
async fn what_waited_too_long_is_answered_before_the_published_client_gives_up() {
    let runtime = Runtime::start();
    let mut client = Client::connect_as(&runtime, STRANGER).await;
    let mut modern = v2::Client::connect_as(&runtime, STRANGER).await;
    let asked = std::time::Instant::now();
    let number = modern.begin(Request::Ping).await;
    for id in ["req-1", "req-2"] {
        client.send(json!({"type": "spawn", "id": id, "processType": "shell", "command": "true"})).await;
    }
    for id in ["req-1", "req-2"] {
        let answer = client.next().await;
        assert_eq!((answer["type"].as_str(), answer["id"].as_str()), (Some("error"), Some(id)), "{answer}");
        let sentence = answer["error"].as_str().unwrap();
        assert!(sentence.contains(&format!("{STRANGER} is not allowed yet")), "{sentence}");
    }
    assert!(asked.elapsed() < std::time::Duration::from_secs(30), "it waits for 30 s and no longer");
    let refused = modern.answer(number).await;
    assert!(matches!(refused, Reply::Error { code: ErrorCode::NotAllowed, .. }), "{refused:?}");
    // The connections stay: what is asked now waits anew, and nothing was started.
    client.send(json!({"type": "ping", "id": "req-3"})).await;
    let mut known = Client::connect(&runtime).await;
    let status = known.request(json!({"type": "status"})).await;
    assert_eq!(status["stats"]["totalSpawned"], 0);
}

#[tokio::test]
async fn a_websocket_ping_is_answered_while_a_page_waits() {
    let runtime = Runtime::start();
    let mut client = Client::connect_as(&runtime, STRANGER).await;
    client.send_message(Message::Ping(b"x".to_vec().into())).await;
    // The pong itself is read by the library; that the connection lives is seen by the bound that answers.
    for number in 0..65 {
        client.send(json!({"type": "ping", "id": number})).await;
    }
    assert_eq!(client.next().await["id"], 64);
}
