//! 2.0: files in blocks, events, and what else has no counterpart in 1.x.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use bytes::Bytes;
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v1::EntryKind;
use mhnos_protocol::v2::{ErrorCode, Event, FileEntry, Reply, Request, SkippedFile, Topic};
use mhnos_protocol::{RequestId, limits};
use mhnos_tests::v2::{Client, Incoming, id_of};
use mhnos_tests::{Random, Runtime, v2};
use tokio_tungstenite::tungstenite::Message;

fn write(path: &str, size: u64) -> Request {
    Request::WriteFile { path: path.into(), size, mtime: None, executable: None }
}

fn read(path: &str, credit: u64) -> Request {
    Request::ReadFile { path: path.into(), credit }
}

/// The next block of a file.
async fn block(client: &mut Client, transfer: u32) -> (Header, Bytes) {
    let fits = |incoming: &Incoming| matches!(incoming, Incoming::Frame(header, _) if header.kind == Kind::File && header.channel == transfer);
    match client.take("a block", fits).await {
        Incoming::Frame(header, content) => (header, content),
        Incoming::Reply(_) => unreachable!(),
    }
}

/// Reads so many bytes of a file, and not one more.
async fn blocks(client: &mut Client, transfer: u32, content: &mut Vec<u8>, until: usize) {
    while content.len() < until {
        let (header, bytes) = block(client, transfer).await;
        assert_eq!(header.offset, content.len() as u64);
        content.extend_from_slice(&bytes);
    }
    assert_eq!(content.len(), until, "not a byte more than granted");
}

/// Everything below a path.
async fn list(client: &mut Client, path: Option<&str>) -> (Vec<FileEntry>, Vec<SkippedFile>) {
    let number = client.begin(Request::ListFiles { path: path.map(str::to_owned) }).await;
    let (mut all, mut left_out) = (Vec::new(), Vec::new());
    loop {
        match client.answer(number).await {
            Reply::Files { entries, skipped, more, .. } => {
                assert!(entries.len() <= limits::LISTING_ENTRIES);
                all.extend(entries);
                left_out.extend(skipped);
                if !more {
                    return (all, left_out);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_welcome_says_which_runtime_this_is() {
    let (first, second) = (Runtime::start(), Runtime::start());
    let mut instances = BTreeSet::new();
    for runtime in [&first, &first, &second] {
        let client = Client::connect(runtime).await;
        let Reply::Welcome { protocol, version, instance, workspace } = client.welcome else {
            unreachable!()
        };
        assert_eq!((protocol.as_str(), workspace.as_str()), ("2.0", runtime.workspace().to_str().unwrap()));
        assert!(!version.is_empty());
        instances.insert(instance);
    }
    assert_eq!(instances.len(), 2, "one for each start of a runtime");
}

#[tokio::test]
async fn a_file_written_in_blocks_is_read_in_blocks() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let content = Random::new(5).bytes(1_000_003);
    let request = Request::WriteFile {
        path: "/ä/data.bin".into(),
        size: content.len() as u64,
        mtime: Some(1_500_000_000_321),
        executable: Some(true),
    };
    let number = client.begin(request).await;
    let mut offset = 0;
    for size in [1, 0, 99_999, 400_000, 3, 500_000] {
        let end = (offset + size).min(content.len());
        client.send_frame(Kind::File, number, offset as u64, &content[offset..end]).await;
        offset = end;
    }
    assert!(matches!(client.answer(number).await, Reply::Done { .. }));
    assert!(std::fs::read(runtime.workspace().join("ä/data.bin")).unwrap() == content);

    let number = client.begin(read("/workspace/ä/data.bin", 0)).await;
    let reply = client.answer(number).await;
    let Reply::File { size, mtime, executable, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((size, mtime, executable), (1_000_003, 1_500_000_000_321, true));
    let mut received = Vec::new();
    for credit in [1, 70_000, 0, 65_536, 64 << 20] {
        client.tell(Request::CreditFile { transfer: number, bytes: credit }).await;
        let until = (received.len() + credit as usize).min(content.len());
        blocks(&mut client, number, &mut received, until).await;
        client.still_works().await;
    }
    assert!(received == content);
}

#[tokio::test]
async fn an_empty_file_is_written_and_read_without_a_block() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    client.done(write("/empty", 0)).await;
    let reply = client.request(read("/empty", 100)).await;
    assert!(matches!(reply, Reply::File { size: 0, executable: false, .. }), "{reply:?}");
    client.still_works().await;
}

#[tokio::test]
async fn folders_are_made_with_those_above_and_listed_before_what_is_in_them() {
    let runtime = Runtime::start();
    runtime.write("b/c.txt", "123");
    runtime.write("node_modules/x", "no");
    symlink("b/c.txt", runtime.workspace().join("link")).unwrap();
    let mut client = Client::connect(&runtime).await;
    client.done(Request::MakeDirectory { path: "/a/ä/deep".into() }).await;
    client.done(Request::MakeDirectory { path: "/a".into() }).await;
    let (entries, skipped) = list(&mut client, None).await;
    let shown: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.kind, entry.size)).collect();
    use EntryKind::{Directory, File};
    assert_eq!(
        shown,
        [
            ("a", Directory, 0),
            ("a/ä", Directory, 0),
            ("a/ä/deep", Directory, 0),
            ("b", Directory, 0),
            ("b/c.txt", File, 3)
        ]
    );
    assert_eq!(skipped.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["link"]);
    let (entries, _) = list(&mut client, Some("/b")).await;
    assert_eq!(entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["b/c.txt"]);
}

#[tokio::test]
async fn a_long_listing_comes_in_parts() {
    let runtime = Runtime::start();
    for number in 0..2500 {
        runtime.write(&format!("f{number:04}"), "");
    }
    let mut client = Client::connect(&runtime).await;
    let (entries, _) = list(&mut client, None).await;
    assert_eq!(entries.len(), 2500);
    assert!(entries.is_sorted_by(|one, two| one.path < two.path));
}

#[tokio::test]
async fn a_file_that_cannot_be_had_is_refused_with_a_code() {
    let runtime = Runtime::start();
    runtime.write("file", "x");
    std::fs::create_dir(runtime.workspace().join("folder")).unwrap();
    let outside = runtime.workspace().with_file_name("outside");
    std::fs::write(&outside, "secret").unwrap();
    symlink(&outside, runtime.workspace().join("link")).unwrap();
    symlink("..", runtime.workspace().join("up")).unwrap();
    let mut client = Client::connect(&runtime).await;
    use ErrorCode::{Failed, Forbidden, Limit, Malformed, NotFound};
    let directory = |path: &str| Request::MakeDirectory { path: path.into() };
    let listing = |path: &str| Request::ListFiles { path: Some(path.into()) };
    let long = "a".repeat(5000);
    for (request, wanted) in [
        (read("/absent", 1), NotFound),
        (read("/folder", 1), Failed),
        (read("/", 1), Failed),
        (read("/link", 1), Forbidden),
        (read("/up/outside", 1), Forbidden),
        (read("/zero\0byte", 1), Malformed),
        (read(&long, 1), Malformed),
        (write("/folder", 0), Failed),
        (write("/", 0), Failed),
        (write("/file/beneath", 0), Failed),
        (write("/up/new", 0), Forbidden),
        (write("/large", u64::MAX), Limit),
        (directory("/file"), Failed),
        (directory("/up/new"), Forbidden),
        (listing("/absent"), NotFound),
        (listing("/up"), Forbidden),
        (listing("/file"), Failed),
        (Request::Cancel { transfer: 99 }, NotFound),
    ] {
        let shown = format!("{request:?}");
        let (code, sentence) = client.refusal(request).await;
        assert_eq!(code, wanted, "{shown:.100}: {sentence}");
        assert!(sentence.len() > 10, "{sentence}");
    }
    // A path with `..` means a file of the workspace, which is not there.
    assert_eq!(client.refusal(read("/../outside", 1)).await.0, NotFound);
    assert_eq!(std::fs::read(outside).unwrap(), b"secret");
    client.still_works().await;
}

#[tokio::test]
async fn a_transfer_needs_a_number_of_its_own() {
    let runtime = Runtime::start();
    runtime.write("f", vec![7; 100]);
    let mut client = Client::connect(&runtime).await;
    for message in [
        r#"{"type":"readFile","id":"text","path":"/f","credit":10}"#,
        r#"{"type":"readFile","path":"/f","credit":10}"#,
        r#"{"type":"writeFile","id":"text","path":"/g","size":1}"#,
    ] {
        client.send_message(Message::text(message)).await;
        let refused = client.take_reply("a refusal", |reply| matches!(reply, Reply::Error { .. })).await;
        assert!(matches!(refused, Reply::Error { code: ErrorCode::Malformed, .. }), "{refused:?}");
    }
    // A number that is in use.
    client.send_message(Message::text(r#"{"type":"readFile","id":900,"path":"/f","credit":10}"#)).await;
    assert!(matches!(client.answer(900).await, Reply::File { size: 100, .. }));
    client.send_message(Message::text(r#"{"type":"writeFile","id":900,"path":"/g","size":1}"#)).await;
    let reply = client.answer(900).await;
    assert!(matches!(reply, Reply::Error { code: ErrorCode::Malformed, .. }), "{reply:?}");
    let mut content = Vec::new();
    blocks(&mut client, 900, &mut content, 10).await;
    client.tell(Request::CreditFile { transfer: 900, bytes: 1000 }).await;
    blocks(&mut client, 900, &mut content, 100).await;
    assert!(!runtime.workspace().join("g").exists());
}

#[tokio::test]
async fn so_many_transfers_at_once_and_no_more() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let mut numbers = Vec::new();
    for number in 0..limits::TRANSFERS_PER_CONNECTION {
        numbers.push(client.begin(write(&format!("/f{number}"), 1)).await);
    }
    let (code, sentence) = client.refusal(write("/one too many", 1)).await;
    assert_eq!(code, ErrorCode::Limit);
    assert!(sentence.starts_with("64 files"), "{sentence}");
    // Another connection has room of its own, and one that is given up makes room.
    Client::connect(&runtime).await.done(write("/other", 0)).await;
    let given_up = numbers.remove(0);
    client.done(Request::Cancel { transfer: given_up }).await;
    assert!(matches!(client.answer(given_up).await, Reply::Error { .. }));
    let late = client.begin(write("/late", 1)).await;
    for number in numbers.into_iter().chain([late]) {
        client.send_frame(Kind::File, number, 0, b"x").await;
        assert!(matches!(client.answer(number).await, Reply::Done { .. }));
    }
    assert_eq!(runtime.names().len(), 65);
}

#[tokio::test]
async fn a_read_that_is_given_up_sends_nothing_more() {
    let runtime = Runtime::start();
    runtime.write("f", vec![7; 1_000_000]);
    let mut client = Client::connect(&runtime).await;
    let number = client.begin(read("/f", 1000)).await;
    assert!(matches!(client.answer(number).await, Reply::File { .. }));
    blocks(&mut client, number, &mut Vec::new(), 1000).await;
    client.done(Request::Cancel { transfer: number }).await;
    client.tell(Request::CreditFile { transfer: number, bytes: 1_000_000 }).await;
    let ping = client.begin(Request::Ping).await;
    loop {
        match client.next().await {
            Incoming::Frame(header, _) => panic!("{header:?}"),
            Incoming::Reply(reply) if id_of(&reply) == Some(RequestId::Number(ping)) => break,
            Incoming::Reply(_) => {}
        }
    }
}

#[tokio::test]
async fn what_is_subscribed_to_is_told_and_nothing_else() {
    let runtime = Runtime::start();
    let mut everything = Client::connect(&runtime).await;
    let mut ports = Client::connect(&runtime).await;
    let mut page = Client::connect_as(&runtime, mhnos_tests::ORIGIN).await;
    let before = everything.spawn(v2::terminal("sleep 1000")).await;
    let reply = everything
        .request(Request::Subscribe {
            topics: vec![Topic::Processes, Topic::Ports, Topic::Health, Topic::Log],
        })
        .await;
    let Reply::Processes { processes, counts, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((processes[0].pid, counts.active), (before, 1), "the present state comes first");
    ports.request(Request::Subscribe { topics: vec![Topic::Ports] }).await;
    page.request(Request::Subscribe { topics: vec![Topic::Processes, Topic::Health] }).await;

    let (_, _) = everything.run(v2::terminal("true")).await;
    let event = |wanted: fn(&Event) -> bool| move |reply: &Reply| matches!(reply, Reply::Event { event } if wanted(event));
    everything.take_reply("started", event(|event| matches!(event, Event::ProcessStarted { .. }))).await;
    everything.take_reply("ended", event(|event| matches!(event, Event::ProcessEnded { .. }))).await;
    everything
        .take_reply("a log line", event(|event| matches!(event, Event::Log { message, level, .. } if message.contains("spawned") && level == "info")))
        .await;
    let health = everything.take_reply("health", event(|event| matches!(event, Event::Health { .. }))).await;
    let Reply::Event { event: Event::Health { uptime, memory, connections, .. } } = health else {
        unreachable!()
    };
    assert!(uptime > 0.0 && memory > 1 << 20 && connections == 3);
    // The page is told of its own, of the runtime's health, and of no other's process.
    let own = page.spawn(v2::terminal("true")).await;
    let started =
        page.take_reply("started", event(|event| matches!(event, Event::ProcessStarted { .. }))).await;
    assert!(
        matches!(started, Reply::Event { event: Event::ProcessStarted { process } } if process.pid == own)
    );
    page.take_reply("health", event(|event| matches!(event, Event::Health { .. }))).await;
    // A new subscription takes the place of the old one.
    everything.request(Request::Subscribe { topics: vec![] }).await;
    everything.spawn(v2::terminal("true")).await;
    for client in [&mut ports, &mut everything] {
        // What was told before the new subscription may still lie there.
        let ping = client.begin(Request::Ping).await;
        loop {
            match client.next().await {
                Incoming::Reply(Reply::Event { event: Event::ProcessStarted { process } }) => {
                    assert!(process.pid <= own, "{process:?}");
                }
                Incoming::Reply(reply) if id_of(&reply) == Some(RequestId::Number(ping)) => break,
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn status_says_what_holds() {
    let runtime = mhnos_tests::Setup::default().arg("--max-memory=512m").arg("--max-processes=9").start();
    let mut client = Client::connect(&runtime).await;
    let Reply::Status { status, .. } = client.request(Request::Status).await else { panic!("no status") };
    assert_eq!(status.os_pid, runtime.os_pid() as u32);
    let port = runtime.port();
    assert_eq!(status.addresses, [format!("ws://127.0.0.1:{port}"), format!("ws://[::1]:{port}")]);
    assert_eq!((status.max_memory, status.max_processes, status.connections), (512 << 20, 9, 1));
    assert_eq!((status.sandbox.as_str(), status.allow_openclaw), ("strict", false));
    assert!(!status.sandbox_achieved.is_empty());
}

#[tokio::test]
async fn of_several_subprotocols_ours_is_chosen_and_without_it_1_x_is_spoken() {
    use mhnos_tests::http::{exchange, handshake};
    let runtime = Runtime::start();
    let (host, origin) =
        (format!("Host: localhost:{}", runtime.port()), format!("Origin: {}", mhnos_tests::ORIGIN));
    for (offer, chosen) in [
        ("Sec-WebSocket-Protocol: mhnos.v2", Some("mhnos.v2")),
        ("Sec-WebSocket-Protocol: chat, mhnos.v2,other", Some("mhnos.v2")),
        ("Sec-WebSocket-Protocol: chat", None),
        ("Sec-WebSocket-Protocol: MHNOS.V2", None),
        ("X-Nothing: 1", None),
    ] {
        let answer = exchange(runtime.port(), handshake(&[&host, &origin, offer])).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, chosen), "{offer}");
    }
}

#[tokio::test]
async fn a_process_in_2_0_is_described_whole() {
    let runtime = Runtime::start();
    runtime.write("app/x", "");
    let mut client = Client::connect(&runtime).await;
    let mut spawn = v2::terminal("stty size; exec sleep 1000");
    spawn.cwd = Some("/app".into());
    spawn.terminal = Some(mhnos_protocol::v2::TerminalSize { cols: 77, rows: 11 });
    spawn.env.insert("A".into(), "b".into());
    let pid = client.spawn(spawn).await;
    let mut view = v2::View::default();
    client.output_until(pid, &mut view, "11 77\r\n").await;
    let Reply::Processes { processes, .. } = client.request(Request::List).await else { panic!() };
    let process = &processes[0];
    assert_eq!(process.cwd, runtime.workspace().join("app").to_str().unwrap());
    assert_eq!((process.command.as_str(), process.terminal, process.output), ("/bin/bash", true, 7));
    assert_eq!((process.origin.as_deref(), process.exit.as_ref()), (None, None));
    assert!(mhnos_tests::system::is_alive(process.os_pid));
    client.done(Request::Resize { pid, cols: 80, rows: 24 }).await;
    client.done(Request::Detach { pid }).await;
    // A signal that is not meant to end it is delivered, and says to whom. The shell printed before it became `sleep`.
    let name = || std::fs::read_to_string(format!("/proc/{}/comm", process.os_pid)).unwrap_or_default();
    mhnos_tests::eventually("the shell is the program it ran", || name() == "sleep\n").await;
    let reply = client.request(Request::Kill { pid, signal: Some("SIGCONT".into()), grace: None }).await;
    let Reply::Killed { signalled, forced, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(signalled.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["sleep"]);
    assert!(forced.is_empty());
    let (code, _) =
        client.refusal(Request::Kill { pid, signal: Some("SIGNONSENSE".into()), grace: None }).await;
    assert_eq!(code, ErrorCode::Malformed);
}
