//! A person decides about a page: allow, once, files only, deny, revoke; and what each of them means for what the page does at that moment.

use std::collections::BTreeMap;

use mhnos_protocol::frame::Kind;
use mhnos_protocol::v2::{Access, ErrorCode, Event, OriginState, Reply, Request, Topic};
use mhnos_tests::http::{exchange, handshake};
use mhnos_tests::v1::Client;
use mhnos_tests::{ORIGIN, Runtime, STRANGER, Setup, eventually, system, v2};
use nix::sys::signal::Signal;
use serde_json::json;

/// A Python program that leaves a file and then waits, unmoved by SIGTERM where `stubborn`.
fn leaves(file: &str, stubborn: bool) -> String {
    let ignore = if stubborn { "signal.signal(signal.SIGTERM, signal.SIG_IGN)" } else { "pass" };
    format!("import signal, time\n{ignore}\nopen({file:?}, 'w').close()\ntime.sleep(1000)")
}

fn spawn_v1(program: &str) -> serde_json::Value {
    json!({"type": "spawn", "processType": "python", "command": "-c", "args": [program], "options": {"cwd": "/"}})
}

#[tokio::test]
async fn what_waited_is_carried_out_in_order_once_the_page_is_allowed_in_1x() {
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    let mut page = Client::connect_as(&runtime, STRANGER).await;
    let requests = [
        json!({"type": "list"}),
        json!({"type": "status"}),
        json!({"type": "attach", "pid": 4711}),
        json!({"type": "list"}),
        spawn_v1(&leaves("spawned", false)),
        json!({"type": "fsync", "operation": "push", "files": [{"path": "/pushed", "kind": "file", "content": [1]}]}),
    ];
    let mut ids = Vec::new();
    for request in requests {
        ids.push(page.begin(request).await);
    }
    control.until_origin("it waits", STRANGER, |known| known.state == OriginState::Waiting).await;
    control.allow(STRANGER).await;
    // What is answered at once is answered in the order it was asked.
    for (id, kind) in ids.iter().zip(["processList", "status", "error", "processList"]) {
        let answer = page.next().await;
        assert_eq!((&answer["id"], answer["type"].as_str()), (id, Some(kind)), "{answer}");
    }
    assert_eq!(page.answer(&ids[4]).await["type"], "spawned");
    assert_eq!(page.answer(&ids[5]).await["results"]["synced"], 1);
    assert!(runtime.workspace().join("pushed").exists());
    let spawned = runtime.workspace().join("spawned");
    eventually("the program ran", || spawned.exists()).await;
    page.still_works().await;
}

#[tokio::test]
async fn what_waited_is_carried_out_in_order_once_the_page_is_allowed_in_2_0() {
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    let mut page = v2::Client::connect_as(&runtime, STRANGER).await;
    // Blocks that came in another order than they were sent would be refused.
    let write = Request::WriteFile { path: "/written".into(), size: 4, mtime: None, executable: None };
    let write = page.begin(write).await;
    page.send_frame(Kind::File, write, 0, b"ab").await;
    page.send_frame(Kind::File, write, 2, b"cd").await;
    let numbers =
        [page.begin(Request::List).await, page.begin(Request::Status).await, page.begin(Request::Ping).await];
    control.until_origin("it waits", STRANGER, |known| known.state == OriginState::Waiting).await;
    control.allow(STRANGER).await;
    let mut answered = Vec::new();
    while answered.len() < 4 {
        if let v2::Incoming::Reply(reply) = page.next().await
            && let Some(mhnos_protocol::RequestId::Number(number)) = v2::id_of(&reply)
        {
            answered.push(number);
        }
    }
    assert!(answered.contains(&write));
    answered.retain(|number| *number != write);
    assert_eq!(answered, numbers);
    assert_eq!(std::fs::read(runtime.workspace().join("written")).unwrap(), b"abcd");
}

#[tokio::test]
async fn once_holds_while_the_page_is_there_or_loads_anew_and_is_forgotten_with_the_runtime() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    let mut runtime = Setup::default().state(&folder).start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.done(Request::AllowOrigin { origin: STRANGER.into(), access: None, once: true }).await;
    let mut page = Client::connect_as(&runtime, STRANGER).await;
    page.still_works().await;
    let known = control.origin(STRANGER).await.unwrap();
    assert_eq!(
        (known.state, known.access, known.connections),
        (OriginState::AllowedOnce, Some(Access::Full), 1)
    );
    drop(page);
    control.until_origin("it has gone", STRANGER, |known| known.connections == 0).await;
    // As a page does that is loaded anew.
    Client::connect_as(&runtime, STRANGER).await.still_works().await;
    drop(control);
    runtime.stop(Signal::SIGTERM).await;
    let runtime = Setup::default().state(&folder).start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    assert_eq!(control.origin(STRANGER).await, None);
    let _page = Client::connect_as(&runtime, STRANGER).await;
    assert_eq!(control.origin(STRANGER).await.unwrap().state, OriginState::Waiting);
}

#[tokio::test]
async fn always_is_remembered_by_the_next_runtime() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    let mut runtime = Setup::default().state(&folder).start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.allow(STRANGER).await;
    drop(control);
    // Killed, not stopped: a decision that was answered for is on the disk.
    runtime.stop(Signal::SIGKILL).await;
    let runtime = Setup::default().state(&folder).start();
    Client::connect_as(&runtime, STRANGER).await.still_works().await;
}

#[tokio::test]
async fn files_only_means_files_and_no_programs() {
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    let files = Request::AllowOrigin { origin: STRANGER.into(), access: Some(Access::Files), once: false };
    control.done(files).await;
    assert_eq!(control.origin(STRANGER).await.unwrap().access, Some(Access::Files));
    let (mut page, mut modern) =
        (Client::connect_as(&runtime, STRANGER).await, v2::Client::connect_as(&runtime, STRANGER).await);
    let results = page.push(json!([{"path": "/a/pushed", "kind": "file", "content": [104, 105]}])).await;
    assert_eq!(results["synced"], 1, "{results}");
    assert_eq!(page.pull().await["files"].as_array().unwrap().len(), 2);
    let number = modern.begin(Request::ReadFile { path: "/a/pushed".into(), credit: 10 }).await;
    assert!(matches!(modern.answer(number).await, Reply::File { size: 2, .. }));
    modern.done(Request::MakeDirectory { path: "/made".into() }).await;
    let write = Request::WriteFile { path: "/written".into(), size: 1, mtime: None, executable: None };
    let number = modern.begin(write).await;
    modern.send_frame(Kind::File, number, 0, b"x").await;
    assert!(matches!(modern.answer(number).await, Reply::Done { .. }));
    let wanted = format!(
        "{STRANGER} may read and change files of the workspace, but not run programs: run: mhnos-runtime origins allow {STRANGER}"
    );
    assert_eq!(page.refusal(spawn_v1(&leaves("spawned", false))).await, wanted);
    let spawn = Request::Spawn(v2::python(&leaves("spawned", false), &[]));
    assert_eq!(modern.refusal(spawn).await, (ErrorCode::Forbidden, wanted));
    let status = page.request(json!({"type": "status"})).await;
    assert_eq!(status["stats"]["totalSpawned"], 0);
    assert!(!runtime.workspace().join("spawned").exists());
    // Allowed more, on the same connection.
    control.allow(STRANGER).await;
    page.python(&leaves("spawned", false)).await;
}

#[tokio::test]
async fn a_page_that_may_only_files_any_more_keeps_its_connection_and_loses_its_programs_at_once() {
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.request(Request::Subscribe { topics: vec![Topic::Origins] }).await;
    control.allow(STRANGER).await;
    let mut page = Client::connect_as(&runtime, STRANGER).await;
    // A shell that does not end when it is asked to, and does what it is told meanwhile.
    let pid = page.bash("trap '' TERM HUP; echo up; while read name; do touch $name; done").await;
    page.output_until(pid, "up").await;
    let os_pid = control.os_pid(pid).await;
    let files = Request::AllowOrigin { origin: STRANGER.into(), access: Some(Access::Files), once: false };
    let number = control.begin(files).await;
    let is_told = |reply: &Reply| matches!(reply, Reply::Event { event: Event::OriginChanged { origin } } if origin.access == Some(Access::Files));
    control.take_reply("the decision", is_told).await;
    // From the decision on, also while the program still runs.
    let sentence = page.refusal(json!({"type": "write", "pid": pid, "data": "typed\n"})).await;
    assert!(sentence.contains("not run programs"), "{sentence}");
    assert!(matches!(control.answer(number).await, Reply::Done { .. }));
    assert!(!system::is_alive(os_pid), "once it is answered, the program has ended");
    assert!(!runtime.workspace().join("typed").exists());
    assert_eq!(page.push(json!([{"path": "/a", "kind": "file", "content": []}])).await["synced"], 1);
}

#[tokio::test]
async fn a_denied_page_is_closed_its_requests_are_dropped_and_nobody_is_asked_again() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    let mut runtime = Setup::default().state(&folder).start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.request(Request::Subscribe { topics: vec![Topic::Origins] }).await;
    let mut page = Client::connect_as(&runtime, STRANGER).await;
    page.begin(spawn_v1(&leaves("spawned", false))).await;
    let mut modern = v2::Client::connect_as(&runtime, STRANGER).await;
    modern.begin(Request::MakeDirectory { path: "/made".into() }).await;
    let asked = |reply: &Reply| matches!(reply, Reply::Event { event: Event::OriginAsked { .. } });
    control.take_reply("the question", asked).await;
    control.done(Request::DenyOrigin { origin: STRANGER.into() }).await;
    let sentence = format!("denied by a person; to undo it: mhnos-runtime origins allow {STRANGER}");
    assert_eq!(page.closed().await, Some((1008, sentence.clone())));
    assert_eq!(modern.closed().await, Some((1008, sentence)));
    assert!(runtime.names().is_empty());
    let known = control.origin(STRANGER).await.unwrap();
    assert_eq!((known.state, known.access), (OriginState::Denied, None));
    let minutes =
        (known.until.unwrap() - std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64) / 60_000;
    assert!((8..10).contains(&minutes), "{minutes}");
    // It comes back, as the published client does by itself, and is not even greeted.
    assert_closed_without_greeting(&runtime).await;
    let told = control.request(Request::Ping).await;
    assert!(matches!(told, Reply::Pong { .. }));
    let origins = control.origins().await;
    assert_eq!(origins.len(), 1);
    let mut further = Vec::new();
    let number = control.begin(Request::Ping).await;
    loop {
        match control.next().await {
            v2::Incoming::Reply(reply)
                if v2::id_of(&reply) == Some(mhnos_protocol::RequestId::Number(number)) =>
            {
                break;
            }
            v2::Incoming::Reply(Reply::Event { event: Event::OriginAsked { origin } }) => {
                further.push(origin)
            }
            _ => {}
        }
    }
    assert_eq!(further, []);
    // The next runtime remembers it, too; and a person may think better of it.
    drop(control);
    runtime.stop(Signal::SIGTERM).await;
    let runtime = Setup::default().state(&folder).start();
    assert_closed_without_greeting(&runtime).await;
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.allow(STRANGER).await;
    Client::connect_as(&runtime, STRANGER).await.still_works().await;
}

async fn assert_closed_without_greeting(runtime: &Runtime) {
    let headers = [format!("Host: localhost:{}", runtime.port()), format!("Origin: {STRANGER}")];
    let headers = headers.each_ref().map(String::as_str);
    let socket = mhnos_tests::http::RawSocket::open(runtime.port(), &headers).await;
    let (messages, close) = socket.all().await;
    assert_eq!((messages.len(), close.map(|(code, _)| code)), (0, Some(1008)), "{messages:?}");
}

#[tokio::test]
async fn revoked_a_page_is_closed_its_programs_are_ended_and_others_go_on() {
    const OTHER: &str = "https://other.example";
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.allow(STRANGER).await;
    control.allow(OTHER).await;
    let mut first = Client::connect_as(&runtime, STRANGER).await;
    let mut second = Client::connect_as(&runtime, STRANGER).await;
    let third = v2::Client::connect_as(&runtime, STRANGER).await;
    let mut other = Client::connect_as(&runtime, OTHER).await;
    let mut pids = Vec::new();
    for program in [leaves("one", false), leaves("two", true)] {
        let pid = first.python(&program).await;
        pids.push((pid, control.os_pid(pid).await));
    }
    let of_other = other.python(&leaves("three", false)).await;
    let of_control = control.spawn(v2::python(&leaves("four", false), &[])).await;
    let ours = [control.os_pid(of_other).await, control.os_pid(of_control).await];
    let there = || ["one", "two", "three", "four"].iter().all(|name| runtime.workspace().join(name).exists());
    eventually("all programs run", there).await;
    let shell = second.bash("echo up; sleep 1000").await;
    second.output_until(shell, "up").await;
    pids.push((shell, control.os_pid(shell).await));
    control.done(Request::RevokeOrigin { origin: STRANGER.into() }).await;
    // Not soon, but now: that is what the answer says.
    for (pid, os_pid) in &pids {
        assert!(!system::is_alive(*os_pid), "program {pid} runs after its page was revoked");
    }
    assert!(ours.iter().all(|&os_pid| system::is_alive(os_pid)));
    let sentence = format!("{STRANGER} is no longer allowed");
    assert_eq!(first.closed().await, Some((1008, sentence.clone())));
    assert_eq!(second.closed().await, Some((1008, sentence.clone())));
    assert_eq!(third.closed().await, Some((1008, sentence)));
    other.still_works().await;
    control.still_works().await;
    // It is as unknown as before: it waits, and a person is asked.
    control.request(Request::Subscribe { topics: vec![Topic::Origins] }).await;
    let _page = Client::connect_as(&runtime, STRANGER).await;
    let asked = |reply: &Reply| matches!(reply, Reply::Event { event: Event::OriginAsked { origin } } if origin.origin == STRANGER);
    control.take_reply("it is asked about again", asked).await;
}

#[tokio::test]
async fn nothing_is_begun_for_a_page_after_it_is_said_to_be_revoked() {
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    for round in 0..8 {
        control.allow(STRANGER).await;
        let mut page = Client::connect_as(&runtime, STRANGER).await;
        // More than is carried out at once, so that some of it is still to come when the page is revoked.
        for number in 0..90 {
            let file = format!("{round}-{number}");
            let push = json!({"type": "fsync", "operation": "push", "files": [{"path": file, "kind": "file", "content": [1]}]});
            page.begin(if number % 30 == 7 { spawn_v1(&leaves(&file, false)) } else { push }).await;
        }
        page.take("something is done", |message| message["type"] == "fsyncResult").await;
        control.done(Request::RevokeOrigin { origin: STRANGER.into() }).await;
        let now = || {
            let entries = std::fs::read_dir(runtime.workspace()).unwrap().flatten();
            entries
                .map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap()))
                .filter(|(name, _)| name.to_string_lossy().contains('-') && name != ".mhnos-sync")
                .collect::<BTreeMap<_, _>>()
        };
        let at_the_answer = now();
        page.closed().await;
        // A request of somebody else's takes at least as long as anything of the page's that was under way.
        let mut other = v2::Client::connect(&runtime).await;
        let number = other
            .begin(Request::WriteFile { path: "/other".into(), size: 0, mtime: None, executable: None })
            .await;
        other.answer(number).await;
        assert_eq!(now(), at_the_answer, "a file changed after the page was revoked");
        let Reply::Processes { processes, .. } = other.request(Request::List).await else {
            panic!("not listed")
        };
        let left =
            processes.iter().filter(|process| process.exit.is_none() || system::is_alive(process.os_pid));
        assert_eq!(left.count(), 0, "a program was left");
    }
}

#[tokio::test]
async fn who_may_decide_is_told_what_happens_to_pages_and_pages_are_not() {
    let runtime = Runtime::start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    let mut with_token = v2::Client::connect(&runtime).await;
    for client in [&mut control, &mut with_token] {
        client.request(Request::Subscribe { topics: vec![Topic::Origins] }).await;
    }
    let page = Client::connect_as(&runtime, STRANGER).await;
    control.allow(STRANGER).await;
    drop(page);
    control.done(Request::RevokeOrigin { origin: STRANGER.into() }).await;
    for client in [&mut control, &mut with_token] {
        let mut seen = Vec::new();
        // Waiting; allowed; and gone, before or after it is revoked.
        while seen.len() < 4 {
            if let v2::Incoming::Reply(Reply::Event { event }) = client.next().await {
                match event {
                    Event::OriginAsked { origin } => seen.push(("asked", origin.state, origin.connections)),
                    Event::OriginChanged { origin } => {
                        seen.push(("changed", origin.state, origin.connections))
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(seen[0], ("asked", OriginState::Waiting, 1));
        assert_eq!(seen[1], ("changed", OriginState::Allowed, 1));
        assert_eq!(seen[3], ("changed", OriginState::Unknown, 0));
    }
    // Not even a page that may do everything else.
    let mut page = v2::Client::connect_as(&runtime, ORIGIN).await;
    for request in [
        Request::Subscribe { topics: vec![Topic::Processes, Topic::Origins] },
        Request::Origins,
        Request::AllowOrigin { origin: STRANGER.into(), access: None, once: false },
        Request::DenyOrigin { origin: STRANGER.into() },
        Request::RevokeOrigin { origin: ORIGIN.into() },
        Request::Ticket { origin: None, resume: false },
        Request::Ticket { origin: Some(ORIGIN.into()), resume: true },
    ] {
        let shown = format!("{request:?}");
        assert_eq!(page.refusal(request).await.0, ErrorCode::Forbidden, "{shown}");
    }
    assert_eq!(control.origin(STRANGER).await, None);
}

#[tokio::test]
async fn what_is_no_origin_cannot_be_decided_about_and_the_settings_have_the_last_word() {
    let runtime = Runtime::start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    for text in ["null", "", "localhost:8000", "file:///tmp", "http://a/b", "http://a b", "*", "http://*"] {
        let allow = Request::AllowOrigin { origin: text.into(), access: None, once: false };
        let (code, sentence) = control.refusal(allow).await;
        assert_eq!(code, ErrorCode::Malformed, "{text:?}");
        assert!(sentence.contains("write http://host:port"), "{sentence}");
    }
    for request in
        [Request::DenyOrigin { origin: ORIGIN.into() }, Request::RevokeOrigin { origin: ORIGIN.into() }]
    {
        let (code, sentence) = control.refusal(request).await;
        assert!(code == ErrorCode::Forbidden && sentence.contains("--allow-origin"), "{sentence}");
    }
    // What a person writes and what a browser sends are the same origin.
    control.allow("HTTP://LocalHost:80/").await;
    Client::connect_as(&runtime, "http://localhost").await.still_works().await;
    let headers = [&format!("Host: localhost:{}", runtime.port()), "Origin: http://localhost:80"];
    assert_eq!(exchange(runtime.port(), handshake(&headers)).await.status, 403, "no browser sends this");
}
