//! Whatever comes over the wire: one clear sentence, and everything else lives on.

use mhnos_protocol::RequestId;
use mhnos_protocol::frame::Kind;
use mhnos_protocol::v2::{ErrorCode, Reply, Request};
use mhnos_tests::http::{RawSocket, frame};
use mhnos_tests::{ORIGIN, Runtime, STRANGER, Setup, eventually, v1, v2};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The next error of a connection.
async fn error(client: &mut v1::Client) -> Value {
    client.take("an error", |message| message["type"] == "error").await
}

/// The next error of a 2.0 connection.
async fn error_v2(client: &mut v2::Client) -> (Option<RequestId>, ErrorCode, String) {
    match client.take_reply("an error", |reply| matches!(reply, Reply::Error { .. })).await {
        Reply::Error { id, code, error } => (id, code, error),
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn text_that_is_no_message_is_answered_and_the_connection_lives_on() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect(&runtime).await;
    let mut other = v1::Client::connect(&runtime).await;
    let deep = "[".repeat(100_000);
    for text in [
        "",
        "{",
        "nonsense",
        "\"text\"",
        "[1,2",
        "{\"type\":\"ping\"",
        "\u{0}",
        "{'type':'ping'}",
        "NaN",
        &deep,
    ] {
        client.send_text(text).await;
        let answer = client.next().await;
        assert_eq!(answer, json!({"type": "error", "error": "Invalid message format"}), "{text:.20}");
    }
    for text in ["null", "1", "[]", "[{\"type\":\"ping\"}]", "true"] {
        client.send_text(text).await;
        assert_eq!(client.next().await["type"], "error", "{text}");
    }
    client.still_works().await;
    other.still_works().await;
}

#[tokio::test]
async fn an_unknown_type_is_named_and_the_id_repeated() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect(&runtime).await;
    for name in ["dance", "s3list", "s3get", "Spawn", "", "connected", "welcome", "ünknown"] {
        client.send(json!({"type": name, "id": "req-1"})).await;
        let answer = client.next().await;
        assert_eq!(
            answer,
            json!({"type": "error", "id": "req-1", "error": format!("unknown message type: {name}")})
        );
    }
    let long = "x".repeat(100_000);
    let sentence = client.refusal(json!({"type": long})).await;
    assert!(sentence.len() < 200, "a long name is cut");
    client.still_works().await;

    let mut client = v2::Client::connect(&runtime).await;
    client.send_message(Message::text(r#"{"type":"dance","id":"x"}"#)).await;
    let (id, code, sentence) = error_v2(&mut client).await;
    assert_eq!((id, code), (Some("x".into()), ErrorCode::Malformed));
    assert!(sentence.contains("dance"), "{sentence}");
    client.still_works().await;
}

#[tokio::test]
async fn a_missing_or_wrong_field_is_named_and_the_id_repeated() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect(&runtime).await;
    for (message, wanted) in [
        (json!({}), "type"),
        (json!({"type": 7}), "type"),
        (json!({"type": null}), "type"),
        (json!({"type": "spawn"}), "processType"),
        (json!({"type": "spawn", "processType": "ruby"}), "ruby"),
        (json!({"type": "spawn", "processType": 1}), "spawn"),
        (json!({"type": "spawn", "processType": "node", "command": 1}), "spawn"),
        (json!({"type": "spawn", "processType": "node", "command": "-e", "args": "x"}), "spawn"),
        (json!({"type": "spawn", "processType": "node", "command": "-e", "args": [1]}), "spawn"),
        (json!({"type": "spawn", "processType": "node", "command": "-e", "options": "x"}), "spawn"),
        (
            json!({"type": "spawn", "processType": "node", "command": "-e", "options": {"timeout": -1}}),
            "spawn",
        ),
        (json!({"type": "spawn", "processType": "node", "command": "-e", "options": {"cwd": 1}}), "spawn"),
        (json!({"type": "spawn", "processType": "node"}), "command"),
        (json!({"type": "spawn", "processType": "python", "command": ""}), "command"),
        (json!({"type": "attach"}), "pid"),
        (json!({"type": "attach", "pid": "1000"}), "1000"),
        (json!({"type": "attach", "pid": -1}), "attach"),
        (json!({"type": "attach", "pid": 1e99}), "attach"),
        (json!({"type": "attach", "pid": null}), "attach"),
        (json!({"type": "detach"}), "pid"),
        (json!({"type": "write", "pid": 1000}), "data"),
        (json!({"type": "write", "data": "x"}), "pid"),
        (json!({"type": "write", "pid": 1000, "data": [1]}), "write"),
        (json!({"type": "resize", "pid": 1000}), "cols"),
        (json!({"type": "kill", "pid": 1000, "signal": 9}), "kill"),
        (json!({"type": "kill"}), "pid"),
        (json!({"type": "fsync"}), "operation"),
    ] {
        let shown = message.to_string();
        let sentence = client.refusal(message).await;
        assert!(sentence.contains(wanted), "{shown}: {sentence}");
        assert!(!sentence.contains(" at line "), "{sentence}");
    }
    // An id that is none is not repeated.
    for id in [json!({}), json!([1]), json!(true), json!(1.5), json!(-1)] {
        client.send(json!({"type": "list", "id": id})).await;
        assert_eq!(client.next().await.get("id"), None);
    }
    let status = client.request(json!({"type": "status"})).await;
    assert_eq!(status["stats"]["totalSpawned"], 0);
}

#[tokio::test]
async fn in_2_0_a_missing_or_wrong_field_is_named_and_the_id_repeated() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    for (message, wanted) in [
        (json!({}), "type"),
        (json!({"type": "spawn"}), "kind"),
        (json!({"type": "spawn", "kind": "ruby"}), "ruby"),
        (json!({"type": "spawn", "kind": "node", "terminal": {"cols": 80}}), "rows"),
        (json!({"type": "spawn", "kind": "node", "env": []}), "spawn"),
        (json!({"type": "attach", "pid": 1000}), "credit"),
        (json!({"type": "attach", "pid": 1000, "credit": -1}), "attach"),
        (json!({"type": "attach", "pid": 1000, "credit": 1, "from": "x"}), "attach"),
        (json!({"type": "credit", "pid": 1000}), "bytes"),
        (json!({"type": "subscribe", "topics": ["weather"]}), "weather"),
        (json!({"type": "writeFile", "path": "/a"}), "size"),
        (json!({"type": "kill", "pid": "x"}), "kill"),
    ] {
        let mut message = message;
        message["id"] = json!(77);
        client.send_message(Message::text(message.to_string())).await;
        let (id, code, sentence) = error_v2(&mut client).await;
        assert_eq!((id, code), (Some(RequestId::Number(77)), ErrorCode::Malformed), "{message}");
        assert!(sentence.contains(wanted), "{message}: {sentence}");
    }
    for text in ["", "{", "nonsense"] {
        client.send_message(Message::text(text)).await;
        assert_eq!(
            error_v2(&mut client).await,
            (None, ErrorCode::Malformed, "Invalid message format".into())
        );
    }
    client.still_works().await;
}

#[tokio::test]
async fn a_process_that_does_not_exist_is_named_with_the_requests_id() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect(&runtime).await;
    for message in [
        json!({"type": "attach", "pid": 4711}),
        json!({"type": "detach", "pid": 4711}),
        json!({"type": "write", "pid": 4711, "data": "x"}),
        json!({"type": "resize", "pid": 4711, "cols": 80, "rows": 24}),
        json!({"type": "kill", "pid": 4711}),
        json!({"type": "kill", "pid": 0}),
        json!({"type": "kill", "pid": 1}),
        json!({"type": "attach", "pid": u32::MAX}),
    ] {
        let pid = message["pid"].to_string();
        let sentence = client.refusal(message).await;
        assert!(sentence.contains(&format!("no process {pid}")), "{sentence}");
    }
    // Keystrokes without an id are not answered, one by one.
    client.send(json!({"type": "write", "pid": 4711, "data": "x"})).await;
    client.send(json!({"type": "resize", "pid": 4711, "cols": 80, "rows": 24})).await;
    client.send(json!({"type": "detach", "pid": 4711})).await;
    assert_eq!(client.unasked().await, Vec::<Value>::new());
    // What has ended cannot be typed into; the answer says that it has ended.
    let pid = client.spawn("shell", "true", &[], json!({})).await;
    client.run(pid).await;
    for message in [
        json!({"type": "write", "pid": pid, "data": "x"}),
        json!({"type": "resize", "pid": pid, "cols": 80, "rows": 24}),
        json!({"type": "kill", "pid": pid}),
    ] {
        let sentence = client.refusal(message).await;
        assert!(sentence.contains("already ended with exit code 0"), "{sentence}");
    }

    let mut client = v2::Client::connect(&runtime).await;
    for request in [
        Request::Attach { pid: 4711, from: None, credit: 0 },
        Request::Detach { pid: 4711 },
        Request::Resize { pid: 4711, cols: 80, rows: 24 },
        Request::CloseInput { pid: 4711 },
        Request::Kill { pid: 4711, signal: None, grace: None },
    ] {
        let (code, sentence) = client.refusal(request).await;
        assert_eq!(code, ErrorCode::NotFound);
        assert!(sentence.contains("no process 4711"), "{sentence}");
    }
    let (code, _) = client.refusal(Request::Resize { pid, cols: 80, rows: 24 }).await;
    assert_eq!(code, ErrorCode::Ended);
    client.send_input(4711, b"x").await;
    assert_eq!(error_v2(&mut client).await.1, ErrorCode::NotFound);
    // Credit is not answered, whatever it is for.
    client.tell(Request::Credit { pid: 4711, bytes: 5 }).await;
    client.tell(Request::CreditFile { transfer: 4711, bytes: 5 }).await;
    client.still_works().await;
}

#[tokio::test]
async fn a_message_too_large_for_one_who_waits_is_dropped_and_answered() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect_as(&runtime, STRANGER).await;
    let mut other = v1::Client::connect(&runtime).await;
    let large = "x".repeat(65 << 10);
    client.send_text(format!(r#"{{"type":"write","id":"req-1","pid":1,"data":"{large}"}}"#)).await;
    let answer = error(&mut client).await;
    assert_eq!(answer["id"], "req-1", "it stands early");
    let sentence = answer["error"].as_str().unwrap();
    assert!(sentence.contains("more than 64 KiB") && sentence.contains(STRANGER), "{sentence}");
    client.send_text(format!(r#"{{"type":"write","pid":1,"data":"{large}","id":"req-2"}}"#)).await;
    assert_eq!(error(&mut client).await.get("id"), None, "it stands late");
    other.still_works().await;
    // The connection lives on: it still fills its queue, and is told when that is full.
    for number in 0..65 {
        client.send(json!({"type": "ping", "id": number})).await;
    }
    assert_eq!(error(&mut client).await["id"], 64);
}

#[tokio::test]
async fn a_frame_that_breaks_the_protocol_closes_its_connection_with_1002_and_no_other() {
    let runtime = Runtime::start();
    let mut other = v1::Client::connect(&runtime).await;
    let unmasked = [0x81, 2, b'{', b'}'];
    let long_ping = frame(0x89, &[0; 126]);
    let cases: [(&str, Vec<u8>); 9] = [
        ("not masked", unmasked.to_vec()),
        ("a reserved bit", frame(0xc1, b"{}")),
        ("an unknown kind of data", frame(0x83, b"{}")),
        ("an unknown kind of control", frame(0x8b, b"")),
        ("a control frame in pieces", frame(0x09, b"")),
        ("a control frame too long", long_ping),
        ("a continuation of nothing", frame(0x80, b"{}")),
        ("a new message within another", [frame(0x01, b"{"), frame(0x81, b"}")].concat()),
        ("text within another", [frame(0x01, b"{"), frame(0x82, b"}")].concat()),
    ];
    for (what, bytes) in cases {
        let mut socket = RawSocket::with_token(&runtime).await;
        socket.send(&bytes).await;
        let close = socket.closed().await;
        assert_eq!(close.as_ref().map(|(code, _)| *code), Some(1002), "{what}: {close:?}");
        assert!(!close.unwrap().1.is_empty(), "{what}: it is said why");
        other.still_works().await;
    }
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_is_understood() {
    use tokio::io::AsyncReadExt;
    let runtime = Runtime::start();
    let mut socket = RawSocket::with_token(&runtime).await;
    let pieces = [
        frame(0x01, b"{\"type\":"),
        frame(0x89, b"hello"),
        frame(0x00, b"\"pi"),
        frame(0x80, b"ng\",\"id\":1}"),
    ]
    .concat();
    // A byte at a time.
    for byte in pieces {
        socket.send(&[byte]).await;
    }
    let mut received = Vec::new();
    let wanted: &[u8] = b"{\"id\":1,\"time\"";
    mhnos_tests::within("pong and answer", async {
        while !received.windows(wanted.len()).any(|window| window == wanted) {
            received.push(socket.socket.read_u8().await.unwrap());
        }
    })
    .await;
    let pong: &[u8] = b"\x8a\x05hello";
    assert!(received.windows(pong.len()).any(|window| window == pong), "the ping was answered");
}

#[tokio::test]
async fn a_client_that_goes_without_a_word_or_in_mid_frame_harms_nobody() {
    let runtime = Runtime::start();
    let mut other = v1::Client::connect(&runtime).await;
    let pid = other.bash("echo up; read line; echo done").await;
    other.output_until(pid, "up").await;
    for bytes in [&b""[..], b"\x81", b"\x81\xff\0\0\0", b"\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0half"] {
        let mut socket = RawSocket::with_token(&runtime).await;
        socket.send(bytes).await;
        drop(socket);
    }
    let mut control = v2::Client::connect(&runtime).await;
    // Two are ours; the others are noticed to be gone.
    mhnos_tests::within("their connections end", async {
        loop {
            match control.request(Request::Status).await {
                Reply::Status { status, .. } if status.connections == 2 => break,
                Reply::Status { .. } => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    other.send(json!({"type": "write", "pid": pid, "data": "\n"})).await;
    assert_eq!(other.run(pid).await.exit["code"], 0);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_answered() {
    use tokio::io::AsyncReadExt;
    let runtime = Runtime::start();
    for protocol in ["", "Sec-WebSocket-Protocol: mhnos.v2"] {
        let host = format!("Host: localhost:{}", runtime.port());
        let origin = format!("Origin: {ORIGIN}");
        let headers = [host.as_str(), &origin, protocol];
        let headers: Vec<&str> = headers.into_iter().filter(|header| !header.is_empty()).collect();
        let mut socket = RawSocket::open(runtime.port(), &headers).await;
        socket.send(&frame(0x81, b"{\"type\":\"\xff\xfe\"}")).await;
        socket.send(&frame(0x81, b"{\"type\":\"ping\",\"id\":1}")).await;
        let mut received = Vec::new();
        let wanted: &[u8] = b"\"pong\"";
        mhnos_tests::within("an error and then an answer", async {
            while !received.windows(wanted.len()).any(|window| window == wanted) {
                received.push(socket.socket.read_u8().await.unwrap());
            }
        })
        .await;
        assert!(String::from_utf8_lossy(&received).contains("Invalid message format"));
    }
}

#[tokio::test]
async fn a_binary_message_is_refused_in_1_x() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect(&runtime).await;
    for bytes in [&b""[..], b"{\"type\":\"ping\"}", &[0; 100]] {
        client.send_message(Message::binary(bytes.to_vec())).await;
        let sentence = error(&mut client).await["error"].as_str().unwrap().to_owned();
        assert!(sentence.contains("no binary messages"), "{sentence}");
    }
    client.still_works().await;
}

#[tokio::test]
async fn a_malformed_binary_frame_is_refused_in_2_0() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    let mut other = v2::Client::connect(&runtime).await;
    let header = |kind, stream, flags| {
        let mut frame = vec![kind, stream, flags, 0];
        frame.extend_from_slice(&1000_u32.to_le_bytes());
        frame.extend_from_slice(&[0; 8]);
        frame
    };
    for bytes in [
        vec![],
        vec![2],
        vec![2; 15],
        header(0, 0, 0),
        header(9, 0, 0),
        header(2, 0, 1),
        header(2, 7, 0),
        header(1, 3, 0),
    ] {
        client.send_message(Message::binary(bytes.clone())).await;
        let (id, code, _) = error_v2(&mut client).await;
        assert_eq!((id, code), (None, ErrorCode::Malformed), "{bytes:?}");
    }
    for kind in [Kind::Stdout, Kind::Stderr] {
        client.send_frame(kind, 1000, 0, b"x").await;
        let (_, code, sentence) = error_v2(&mut client).await;
        assert_eq!(code, ErrorCode::Malformed);
        assert!(sentence.contains("comes from the runtime"), "{sentence}");
    }
    client.send_frame(Kind::File, 5, 0, b"x").await;
    assert_eq!(error_v2(&mut client).await.1, ErrorCode::NotFound);
    client.still_works().await;
    other.still_works().await;
}

#[tokio::test]
async fn a_block_that_does_not_fit_ends_its_transfer_and_leaves_nothing() {
    let runtime = Runtime::start();
    runtime.write("f", "old");
    let mut client = v2::Client::connect(&runtime).await;
    let write = || Request::WriteFile { path: "/f".into(), size: 10, mtime: None, executable: None };
    for (offset, bytes) in [(1, &b"x"[..]), (0, b"12345678901"), (u64::MAX, b"x"), (5, b"123456")] {
        let number = client.begin(write()).await;
        client.send_frame(Kind::File, number, offset, bytes).await;
        let (id, code, sentence) = error_v2(&mut client).await;
        let fits_not = sentence.contains("does not fit");
        // The block is refused, and so is the transfer it belonged to; which of the two comes first is open.
        let (also_id, _, also) = error_v2(&mut client).await;
        assert!(fits_not || also.contains("does not fit"), "{sentence} / {also}");
        assert!(
            id == Some(RequestId::Number(number)) || also_id == Some(RequestId::Number(number)),
            "{code:?}"
        );
    }
    // Half of it, then the connection is lost.
    let mut lost = v2::Client::connect(&runtime).await;
    let number = lost.begin(write()).await;
    lost.send_frame(Kind::File, number, 0, b"12345").await;
    lost.still_works().await;
    drop(lost);
    // Half of it, then it is given up.
    let number = client.begin(write()).await;
    client.send_frame(Kind::File, number, 0, b"12345").await;
    client.done(Request::Cancel { transfer: number }).await;
    assert_eq!(error_v2(&mut client).await.0, Some(RequestId::Number(number)));
    client.still_works().await;
    assert_eq!(std::fs::read(runtime.workspace().join("f")).unwrap(), b"old");
    let workspace = runtime.workspace().to_owned();
    eventually("no unfinished file is left", || mhnos_tests::names_in(&workspace).len() == 1).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_to_be_taken_by_whom() {
    let first = Runtime::start();
    let Err(refused) = Setup::default().port(first.port()).try_start() else {
        panic!("two runtimes on one port")
    };
    assert_ne!(refused.code, Some(0));
    let name = mhnos_tests::runtime_program().file_name().unwrap().to_string_lossy()[..13].to_owned();
    let wanted = format!("port {} is taken by {name}", first.port());
    let pid = format!("(pid {})", first.os_pid());
    assert!(refused.said.contains(&wanted) && refused.said.contains(&pid), "{refused:?}");
    assert!(refused.said.contains("--port"), "it says what to do: {refused:?}");
    v1::Client::connect(&first).await.still_works().await;
}

#[tokio::test]
async fn a_workspace_that_cannot_be_made_is_named() {
    let setup = Setup::default();
    let folder = setup.folder().to_owned();
    std::fs::write(folder.join("workspace"), "in the way").unwrap();
    let Err(refused) = setup.try_start() else { panic!("a file was taken for a workspace") };
    assert_ne!(refused.code, Some(0));
    assert!(refused.said.contains("workspace") && refused.said.contains("cannot be used"), "{refused:?}");
    assert!(refused.said.contains("--workspace"), "it says what to do: {refused:?}");

    let setup = Setup::default();
    std::fs::write(setup.folder().join("state"), "in the way").unwrap();
    let Err(refused) = setup.try_start() else { panic!("a file was taken for a state folder") };
    assert!(refused.said.contains("state") && refused.said.contains("--state-dir"), "{refused:?}");
}

#[tokio::test]
async fn a_setting_that_cannot_be_used_is_named() {
    for (name, value, wanted) in [
        ("MHNOS_SANDBOX", "loose", "strict, relaxed or none"),
        ("MHNOS_MAX_MEMORY", "lots", "512m"),
        ("MHNOS_MAX_PROCESSES", "-3", "MHNOS_MAX_PROCESSES"),
        ("MHNOS_ALLOWED_ORIGINS", "localhost", "http://host:port"),
        ("MHNOS_ALLOW_OPENCLAW", "perhaps", "true or false"),
        ("MHNOS_LOG_LEVEL", "loud", "error, warn, info"),
    ] {
        let Err(refused) = Setup::default().env(name, value).try_start() else {
            panic!("{name}={value} was taken")
        };
        assert!(refused.said.contains(wanted) && refused.said.contains(value), "{refused:?}");
    }
}

#[tokio::test]
async fn one_state_folder_has_one_runtime() {
    let first = Runtime::start();
    let Err(refused) = Setup::default().state(first.state()).try_start() else {
        panic!("two runtimes on one state folder")
    };
    let pid = format!("pid {}", first.os_pid());
    assert!(refused.said.contains(&pid) && refused.said.contains("--state-dir"), "{refused:?}");
    v1::Client::connect(&first).await.still_works().await;
}
