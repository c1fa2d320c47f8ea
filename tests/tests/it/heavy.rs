//! What is large or slow: 50 MB this way and that, hundreds of programs, a thousand connections, the real OpenClaw.

use std::collections::BTreeMap;

use mhnos_protocol::v2::{ErrorCode, Reply, Request};
use mhnos_tests::v2::{self, View};
use mhnos_tests::{DEADLINE, Random, Runtime, Setup, eventually, http, system, tools, v1};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::output::PRINT_IN_PIECES;
use crate::programs::ports;

const LARGE: usize = 50_000_000;

#[tokio::test]
async fn fifty_megabytes_of_text_come_through_1_x_unharmed() {
    let runtime = Runtime::start();
    let text = Random::new(6).text(LARGE);
    runtime.write("text", &text);
    let path = runtime.workspace().join("text").display().to_string();
    let mut client = v1::Client::connect(&runtime).await;
    // Odd sizes, so that every kind of character is cut at every one of its bytes.
    let pid = client
        .spawn("python", "-c", &[PRINT_IN_PIECES, &path, "65537,4093,30011,1,65521,7"], json!({}))
        .await;
    let run = client.run(pid).await;
    assert_eq!(run.exit["code"], 0);
    assert!(run.stdout == text, "{} bytes of {}", run.stdout.len(), text.len());
}

#[tokio::test]
async fn fifty_megabytes_of_bytes_come_through_2_0_unharmed_from_pipes_and_from_a_terminal() {
    let runtime = Runtime::start();
    let content = Random::new(7).bytes(LARGE);
    runtime.write("content", &content);
    let mut client = v2::Client::connect(&runtime).await;
    for mut spawn in [v2::bash("cat content"), v2::terminal("stty raw; cat content")] {
        spawn.credit = Some(1 << 20);
        let (view, exit) = client.run(spawn).await;
        assert_eq!((exit.code, exit.drained), (Some(0), true));
        assert!(view.bytes == content, "{} bytes of {}", view.bytes.len(), content.len());
    }
}

#[tokio::test]
async fn two_hundred_programs_that_print_and_end_at_once_lose_nothing() {
    let runtime = Setup::default().allow_origin().arg("--max-processes=200").start();
    const LENGTH: usize = 70_000;
    // The content says whose it is, so that nothing of one is taken for another's.
    let expected = |number: usize| format!("{number:06} ").repeat(LENGTH / 7);
    for number in 0..200 {
        runtime.write(&format!("f{number}"), expected(number));
    }
    let mut client = v2::Client::connect(&runtime).await;
    for kind in ["pipes", "terminals"] {
        let mut numbers = Vec::new();
        for number in 0..100 {
            let mut spawn = if kind == "pipes" {
                mhnos_protocol::v2::Spawn {
                    kind: mhnos_protocol::ProcessKind::Node,
                    command: Some("-e".into()),
                    args: vec![format!("process.stdout.write(require('fs').readFileSync('f{number}'))")],
                    ..v2::python("", &[])
                }
            } else {
                v2::terminal(&format!("cat f{number}"))
            };
            spawn.credit = Some(LENGTH as u64);
            numbers.push(client.begin(Request::Spawn(spawn)).await);
        }
        let mut pids = BTreeMap::new();
        for (number, request) in numbers.into_iter().enumerate() {
            match client.answer(request).await {
                Reply::Spawned { pid, .. } => pids.insert(pid, number),
                other => panic!("{other:?}"),
            };
        }
        for (pid, number) in pids {
            let mut view = View::default();
            let exit = client.read_to_end(pid, &mut view).await;
            assert_eq!((exit.code, exit.drained), (Some(0), true), "{number}");
            assert!(view.bytes == expected(number).into_bytes(), "{number}: {} bytes", view.bytes.len());
        }
    }
    client.still_works().await;
}

#[tokio::test]
async fn two_hundred_programs_of_the_published_client_lose_nothing() {
    let runtime = Setup::default().allow_origin().arg("--max-processes=50").start();
    let line = "ä€😀 0123456789\n".repeat(3334);
    runtime.write("text", &line);
    let expected = line.replace('\n', "\r\n");
    let mut client = v1::Client::connect(&runtime).await;
    for _ in 0..4 {
        let mut requests = Vec::new();
        for _ in 0..50 {
            let request =
                json!({"type": "spawn", "processType": "shell", "command": "cat", "args": ["text"]});
            requests.push(client.begin(request).await);
        }
        let mut pids = Vec::new();
        for id in requests {
            let reply = client.answer(&id).await;
            assert_eq!(reply["type"], "spawned", "{reply}");
            pids.push(reply["pid"].as_u64().unwrap() as u32);
        }
        for pid in pids {
            let run = client.run(pid).await;
            assert!(run.stdout == expected, "{pid}: {} bytes of {}", run.stdout.len(), expected.len());
        }
        assert!(client.unasked().await.is_empty(), "nothing comes after an exit");
    }
}

#[tokio::test]
async fn fifty_megabytes_of_input_arrive_whole_with_flow_control() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    let content = Random::new(8).bytes(LARGE);
    runtime.write("expected", &content);
    let script = "cmp - expected && echo the same";
    let pid = client.spawn(v2::bash(script)).await;
    // Never more than 4 MiB ahead of what the program was handed: so nothing is refused.
    let (mut sent, mut accepted) = (0, 0);
    while accepted < content.len() {
        if sent < content.len() && sent - accepted < 4 << 20 {
            let end = (sent + 300_001).min(content.len());
            client.send_input(pid, &content[sent..end]).await;
            sent = end;
            continue;
        }
        let progress = client
            .take_reply("input is accepted", |reply| {
                matches!(reply, Reply::InputAccepted { .. } | Reply::Error { .. })
            })
            .await;
        match progress {
            Reply::InputAccepted { to, .. } => {
                assert!(to as usize >= accepted && to as usize <= sent);
                accepted = to as usize;
            }
            other => panic!("{other:?}"),
        }
    }
    client.done(Request::CloseInput { pid }).await;
    let mut view = View::default();
    let exit = client.read_to_end(pid, &mut view).await;
    assert_eq!((String::from_utf8_lossy(&view.bytes).as_ref(), exit.code), ("the same\n", Some(0)));
}

#[tokio::test]
async fn a_thousand_idle_connections_are_served_and_hold_up_nobody() {
    // Both ends of each are files of ours or of the runtime.
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
    // Of several pages, because one alone may not have so many.
    let pages: Vec<String> = (8001..8006).map(|port| format!("http://localhost:{port}")).collect();
    let allow = |setup: Setup, page: &String| setup.arg("--allow-origin").arg(page);
    let runtime = pages.iter().fold(Setup::default().allow_origin(), allow).start();
    let mut worker = v1::Client::connect(&runtime).await;
    let before = system::resident(runtime.os_pid());
    let mut idle = Vec::new();
    for number in 0..1000 {
        let page = &pages[number % pages.len()];
        idle.push(if number % 2 == 0 {
            Idle::Old(v1::Client::connect_as(&runtime, page).await)
        } else {
            Idle::New(v2::Client::connect_as(&runtime, page).await)
        });
    }
    let grown = system::resident(runtime.os_pid()).saturating_sub(before);
    assert!(grown < 1000 * (128 << 10), "{} KiB for each", grown / 1000 / 1024);
    let mut control = v2::Client::connect(&runtime).await;
    match control.request(Request::Status).await {
        Reply::Status { status, .. } => assert_eq!(status.connections, 1002),
        other => panic!("{other:?}"),
    }
    let pid = worker.bash("echo hello").await;
    assert_eq!(worker.run(pid).await.stdout, "hello\r\n");
    // Each of them is as alive as the first.
    for client in &mut idle {
        match client {
            Idle::Old(client) => client.still_works().await,
            Idle::New(client) => client.still_works().await,
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "a thousand of either size are little")]
enum Idle {
    Old(v1::Client),
    New(v2::Client),
}

#[tokio::test]
async fn a_message_beyond_128_mib_is_dropped_and_answered_with_its_id() {
    let runtime = Runtime::start();
    let mut other = v1::Client::connect(&runtime).await;
    let before = system::resident(runtime.os_pid());
    let mut client = v1::Client::connect(&runtime).await;
    let mut modern = v2::Client::connect(&runtime).await;
    let data = "x".repeat(128 << 20);
    client.send_text(format!(r#"{{"type":"write","id":"req-1","pid":1,"data":"{data}"}}"#)).await;
    let answer = client.next().await;
    assert_eq!((answer["type"].as_str(), answer["id"].as_str()), (Some("error"), Some("req-1")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("larger than 128 MiB"), "{answer}");
    client.still_works().await;
    modern.send_message(Message::text(format!(r#"{{"id":7,"type":"ping","x":"{data}"}}"#))).await;
    let answer = modern.answer(7).await;
    assert!(matches!(answer, Reply::Error { code: ErrorCode::Limit, .. }), "{answer:?}");
    modern.send_message(Message::binary(vec![2; (128 << 20) + 1])).await;
    let answer = modern.take_reply("an error", |_| true).await;
    assert!(matches!(answer, Reply::Error { id: None, code: ErrorCode::Limit, .. }), "{answer:?}");
    modern.still_works().await;
    other.still_works().await;
    let grown = system::resident(runtime.os_pid()).saturating_sub(before);
    assert!(grown < 64 << 20, "what is skipped is not kept: {grown}");
}

#[tokio::test]
async fn five_files_of_four_mib_in_one_message_arrive_whole() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect(&runtime).await;
    let contents: Vec<Vec<u8>> = (0..5).map(|seed| Random::new(seed).bytes(4 << 20)).collect();
    let mut message = String::from(r#"{"type":"fsync","id":"req-1","operation":"push","files":["#);
    for (number, content) in contents.iter().enumerate() {
        if number > 0 {
            message.push(',');
        }
        let numbers: Vec<String> = content.iter().map(u8::to_string).collect();
        message
            .push_str(&format!(r#"{{"path":"/f{number}","kind":"file","content":[{}]}}"#, numbers.join(",")));
    }
    client.send_text(message + "]}").await;
    let answer = client.next().await;
    assert_eq!(answer["results"], json!({"synced": 5, "failed": 0, "errors": []}));
    for (number, content) in contents.iter().enumerate() {
        assert!(std::fs::read(runtime.workspace().join(format!("f{number}"))).unwrap() == *content);
    }
}

#[tokio::test]
async fn a_program_that_starts_programs_without_end_is_ended() {
    let runtime = Setup::default().allow_origin().arg("--max-memory=16g").start();
    let mut client = v2::Client::connect(&runtime).await;
    // Bounded here as well, should the runtime fail to.
    let pid = client.spawn(v2::bash("for number in {1..1300}; do sleep 1000 & done; wait")).await;
    let mut view = View::default();
    let exit = client.read_to_end(pid, &mut view).await;
    let reason = exit.reason.expect("the runtime ended it");
    assert!(reason.contains("more programs than the limit"), "{reason}");
    assert!(exit.survived.is_empty());
    client.still_works().await;
    let guards_and_spawner = system::descendants(runtime.os_pid());
    assert!(guards_and_spawner.len() < 10, "{guards_and_spawner:?}");
}

#[tokio::test]
async fn openclaw_starts_its_gateway_which_answers() {
    if tools("openclaw").is_none() {
        eprintln!("skipped: there is no openclaw in MHNOS_TEST_TOOLS (`cargo xtask setup` installs it)");
        return;
    }
    let runtime = Setup::default().allow_origin().arg("--allow-openclaw").start();
    let mut client = v1::Client::connect(&runtime).await;
    assert_eq!(client.connected["config"]["allowOpenClaw"], true);
    // As the published client asks for it.
    let pid = client.spawn("openclaw", "gateway", &[], json!({"cwd": "/"})).await;
    let mut answered = 0;
    let began = std::time::Instant::now();
    while answered != 200 {
        assert!(began.elapsed() < 2 * DEADLINE, "the gateway did not answer: {answered}");
        for port in ports(&mut client, pid).await {
            let request = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
            let answer = http::exchange(port, request).await;
            answered = if answer.status == 200 { 200 } else { answered.max(answer.status) };
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let tree = system::descendants(runtime.os_pid());
    client.request(json!({"type": "kill", "pid": pid, "signal": "SIGKILL"})).await;
    assert_eq!(client.run(pid).await.exit["type"], "exit");
    let list = client.request(json!({"type": "list"})).await;
    assert_eq!(list["processes"], json!([]));
    drop(runtime);
    eventually("nothing of it lives on", || tree.iter().all(|&os_pid| !system::is_alive(os_pid))).await;
}
