//! Who may talk to the runtime, and what they may see and touch.

use std::os::unix::fs::{PermissionsExt, symlink};

use mhnos_protocol::v2::{ErrorCode, Event, Reply, Request, Topic};
use mhnos_tests::http::{KEY, exchange, exchange_on, handshake};
use mhnos_tests::v1::Client;
use mhnos_tests::{ORIGIN, Runtime, STRANGER, Setup, system, v2};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

async fn status_of(runtime: &Runtime, headers: &[&str]) -> u16 {
    exchange(runtime.port(), handshake(headers)).await.status
}

#[tokio::test]
async fn the_host_must_be_our_own_name_with_our_port_and_stand_once() {
    let runtime = Runtime::start();
    let port = runtime.port();
    let origin = format!("Origin: {ORIGIN}");
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"] {
        assert_eq!(status_of(&runtime, &[&format!("Host: {host}:{port}"), &origin]).await, 101, "{host}");
    }
    let other = port ^ 1;
    for host in [
        "localhost".into(),
        "127.0.0.1".into(),
        format!("localhost:{other}"),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("evil.localhost:{port}"),
        format!("0.0.0.0:{port}"),
        format!("127.0.0.2:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("::1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[0:0:0:0:0:0:0:1]:{port}"),
        format!("localhost.:{port}"),
        format!("user@localhost:{port}"),
        format!("localhost:0{port}"),
        format!("localhost:+{port}"),
        format!("localhost:{port}:{port}"),
        format!("localhost:{port}, localhost:{port}"),
        format!("localhost:{port}/"),
        "localhost:".into(),
        format!(":{port}"),
        "".into(),
        format!("http://localhost:{port}"),
        format!("localhöst:{port}"),
    ] {
        let status = status_of(&runtime, &[&format!("Host: {host}"), &origin]).await;
        assert!(status == 403 || status == 400, "{host:?} was answered with {status}");
    }
    let right = format!("Host: localhost:{port}");
    let right = right.as_str();
    for headers in [&[][..], &[right, right], &[right, "Host: evil.example"], &["Host: evil.example", right]]
    {
        let headers: Vec<&str> = headers.iter().copied().chain([origin.as_str()]).collect();
        let status = status_of(&runtime, &headers).await;
        assert!(status == 403 || status == 400, "{headers:?} was answered with {status}");
    }
}

#[tokio::test]
async fn a_further_host_is_accepted_where_the_settings_name_it() {
    let runtime = Setup::default().allow_origin().arg("--allow-host").arg("bridge.example:8443").start();
    let origin = format!("Origin: {ORIGIN}");
    assert_eq!(status_of(&runtime, &["Host: bridge.example:8443", &origin]).await, 101);
    assert_eq!(status_of(&runtime, &["Host: bridge.example", &origin]).await, 403);
    assert_eq!(status_of(&runtime, &["Host: bridge.example:8444", &origin]).await, 403);
}

#[tokio::test]
async fn an_origin_must_be_a_page_of_its_own_and_stand_once() {
    let runtime = Runtime::start();
    let host = format!("Host: localhost:{}", runtime.port());
    assert_eq!(status_of(&runtime, &[&host, &format!("Origin: {ORIGIN}")]).await, 101);
    assert_eq!(status_of(&runtime, &[&host, &format!("Origin: {STRANGER}")]).await, 101, "it waits");
    for origin in [
        "null",
        "",
        "file://",
        "http://",
        "localhost:8000",
        "http://localhost:8000/",
        "http://localhost:8000/page",
        "http://LOCALHOST:8000",
        "HTTP://localhost:8000",
        "http://localhost:08000",
        "http://localhost:80",
        "http://user@localhost:8000",
        "http://localhost:8000 http://localhost:8000",
        "http://localhost:8000, http://evil.example",
        "http://localhost:8000\tx",
        "http://localhost:99999",
        "http://localhost:0",
        "http://[::1",
        "http://a b",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://h\u{f6}st",
    ] {
        let status = status_of(&runtime, &[&host, &format!("Origin: {origin}")]).await;
        assert!(status == 403 || status == 400, "{origin:?} was answered with {status}");
    }
    let (one, two) = (format!("Origin: {ORIGIN}"), format!("Origin: {STRANGER}"));
    for headers in [[&one, &two], [&one, &one], [&two, &one]] {
        assert_eq!(status_of(&runtime, &[&host, headers[0], headers[1]]).await, 403);
    }
    // The token does not help a page that is refused, and a page cannot become a local program with it.
    let token = format!("Authorization: Bearer {}", runtime.token());
    assert_eq!(status_of(&runtime, &[&host, &token, "Origin: null"]).await, 403);
}

#[tokio::test]
async fn without_an_origin_the_token_is_needed_in_its_one_form() {
    let runtime = Runtime::start();
    let host = format!("Host: localhost:{}", runtime.port());
    let token = runtime.token();
    let good = format!("Authorization: Bearer {token}");
    assert_eq!(status_of(&runtime, &[&host, &good]).await, 101);
    let other_start = if token.starts_with('0') { "1" } else { "0" };
    for value in [
        "".into(),
        "Bearer".into(),
        "Bearer ".into(),
        "Bearer null".into(),
        format!("bearer {token}"),
        format!("Basic {token}"),
        token.clone(),
        format!("Bearer  {token}"),
        format!("Bearer {token}0"),
        format!("Bearer {}", &token[..63]),
        format!("Bearer {}{}", other_start, &token[1..]),
        format!("Bearer {}", token.to_uppercase() + "x"),
    ] {
        assert_eq!(status_of(&runtime, &[&host, &format!("Authorization: {value}")]).await, 401, "{value}");
    }
    assert_eq!(status_of(&runtime, &[&host]).await, 401);
    assert_eq!(status_of(&runtime, &[&host, &good, &good]).await, 401, "twice");
    // Only in the header.
    assert_eq!(status_of(&runtime, &[&host, &format!("Cookie: token={token}")]).await, 401);
    assert_eq!(status_of(&runtime, &[&host, &format!("Sec-WebSocket-Protocol: {token}")]).await, 401);
    let request = handshake(&[&host]).replacen("GET / ", &format!("GET /?token={token} "), 1);
    assert_eq!(exchange(runtime.port(), request).await.status, 401);
    // What was refused is in the log, the token is not.
    let mut runtime = runtime;
    runtime.stop(nix::sys::signal::Signal::SIGTERM).await;
    let logs = runtime.log() + &runtime.log_files();
    assert!(logs.contains("refused") && !logs.contains(&token));
}

#[tokio::test]
async fn a_request_line_with_a_host_of_its_own_and_old_http_do_not_pass() {
    let runtime = Runtime::start();
    let port = runtime.port();
    let good = handshake(&[&format!("Host: localhost:{port}"), &format!("Origin: {ORIGIN}")]);
    let evil = handshake(&["Host: evil.example", &format!("Origin: {ORIGIN}")]);
    for (what, request, wanted) in [
        (
            "another host in the line",
            good.replacen("GET /", &format!("GET http://evil.example:{port}/"), 1),
            &[400, 403][..],
        ),
        (
            "ours in the line, another in the header",
            evil.replacen("GET /", &format!("GET http://localhost:{port}/"), 1),
            &[400, 403],
        ),
        ("HTTP/1.0", good.replacen("HTTP/1.1", "HTTP/1.0", 1), &[400, 403, 426, 505]),
        ("HTTP/1.0 without a host", format!("GET /health HTTP/1.0\r\nOrigin: {ORIGIN}\r\n\r\n"), &[400, 403]),
        ("HTTP/2.0", good.replacen("HTTP/1.1", "HTTP/2.0", 1), &[0, 400, 505]),
        ("no HTTP at all", "hello\r\n\r\n".into(), &[0, 400]),
        ("POST", good.replacen("GET", "POST", 1), &[405, 426]),
        (
            "a tunnel",
            format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            &[0, 400, 404, 405, 426],
        ),
        ("another path", good.replacen("GET /", "GET /other", 1), &[404]),
        ("a path that climbs", good.replacen("GET /", "GET /../health", 1), &[400, 404]),
        ("no key", good.replacen(&format!("Sec-WebSocket-Key: {KEY}\r\n"), "", 1), &[400, 426]),
        ("another version", good.replacen("Version: 13", "Version: 8", 1), &[400, 426]),
        ("no upgrade", good.replacen("Upgrade: websocket\r\n", "", 1), &[400, 426]),
        ("bytes that are no header", good.replacen("Connection:", "Connec\u{1}tion:", 1), &[400]),
        ("a line folded", good.replacen("Origin:", " Origin:", 1), &[400]),
    ] {
        let answer = exchange(port, request).await;
        assert!(
            wanted.contains(&answer.status),
            "{what} was answered with {}: {}",
            answer.status,
            answer.body
        );
    }
    Client::connect(&runtime).await.still_works().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_kept() {
    let runtime = Runtime::start();
    let mut request = format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n", runtime.port());
    for number in 0..200 {
        request.push_str(&format!("X-{number}: {}\r\n", "x".repeat(5000)));
    }
    let answer = exchange(runtime.port(), request).await;
    assert!([0, 400, 431].contains(&answer.status), "{answer:?}");
    Client::connect(&runtime).await.still_works().await;
}

#[tokio::test]
async fn health_has_a_constant_shape_and_no_permission_for_pages() {
    let runtime = Runtime::start();
    let port = runtime.port();
    let ask = |headers: &str| format!("GET /health HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let ours = format!("Host: localhost:{port}\r\n");
    for headers in [ours.clone(), format!("{ours}Origin: {STRANGER}\r\n"), format!("{ours}Origin: null\r\n")]
    {
        let answer = exchange(port, ask(&headers)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
        let health: Value = serde_json::from_str(&answer.body).unwrap();
        let uptime = health["uptime"].clone();
        assert!(uptime.as_f64().is_some_and(|uptime| uptime > 0.0));
        assert_eq!(
            health,
            json!({"status": "ok", "uptime": uptime, "processes": {"totalSpawned": 0, "totalKilled": 0, "active": 0}})
        );
    }
    for host in ["Host: evil.example\r\n".to_owned(), format!("Host: evil.example:{port}\r\n"), String::new()]
    {
        assert!([400, 403].contains(&exchange(port, ask(&host)).await.status), "{host}");
    }
    let answer = exchange(port, ask(&ours).replace("GET", "OPTIONS")).await;
    assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    assert_eq!(exchange(port, format!("GET /other HTTP/1.1\r\n{ours}\r\n")).await.status, 404);
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("shell", "sleep", &["1000"], json!({})).await;
    client.request(json!({"type": "kill", "pid": pid})).await;
    let health: Value = serde_json::from_str(&exchange(port, ask(&ours)).await.body).unwrap();
    assert_eq!(health["processes"], json!({"totalSpawned": 1, "totalKilled": 1, "active": 0}));
}

#[tokio::test]
async fn it_listens_on_this_machine_alone() {
    let runtime = Runtime::start();
    let mut addresses = system::listening_addresses(runtime.os_pid());
    addresses.sort();
    let port = format!("{:04X}", runtime.port());
    let expected = [format!("00000000000000000000000001000000:{port}"), format!("0100007F:{port}")];
    assert_eq!(addresses, expected);
}

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
    assert_eq!(std::fs::read_dir(runtime.workspace()).unwrap().count(), 1);
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

#[tokio::test]
async fn pages_of_this_machine_are_welcome_only_where_the_settings_say_so() {
    let runtime = Setup::default().arg("--allow-origin=loopback").start();
    for origin in
        ["http://localhost:1234", "http://127.0.0.1:8080", "https://[::1]:1", "http://app.localhost:3000"]
    {
        Client::connect_as(&runtime, origin).await.still_works().await;
    }
    let mut other = Client::connect_as(&runtime, "http://localhost.evil.example").await;
    for number in 0..65 {
        other.send(json!({"type": "ping", "id": number})).await;
    }
    assert_eq!(other.next().await["type"], "error");
}

#[tokio::test]
async fn an_origin_sees_and_touches_only_what_it_started() {
    const OTHER: &str = "https://other.example";
    let runtime = Setup::default().allow_origin().arg("--allow-origin").arg(OTHER).start();
    let mut first = Client::connect(&runtime).await;
    let mut same = Client::connect(&runtime).await;
    let mut other = Client::connect_as(&runtime, OTHER).await;
    let mut other_v2 = v2::Client::connect_as(&runtime, OTHER).await;
    let mut control = v2::Client::connect(&runtime).await;
    for client in [&mut other_v2, &mut control] {
        client.request(Request::Subscribe { topics: vec![Topic::Processes, Topic::Ports] }).await;
    }
    let pid = first.bash("echo up; read line; stty size; sleep 1000").await;
    first.output_until(pid, "up").await;
    for message in [
        json!({"type": "attach", "pid": pid}),
        json!({"type": "detach", "pid": pid}),
        json!({"type": "write", "pid": pid, "data": "\n"}),
        json!({"type": "resize", "pid": pid, "cols": 1, "rows": 1}),
        json!({"type": "kill", "pid": pid}),
    ] {
        let sentence = other.refusal(message).await;
        assert_eq!(
            sentence,
            format!("there is no process {pid}: `list` names those there are"),
            "as if there were none"
        );
    }
    for request in [
        Request::Attach { pid, from: None, credit: 100 },
        Request::Detach { pid },
        Request::Resize { pid, cols: 1, rows: 1 },
        Request::CloseInput { pid },
        Request::Kill { pid, signal: None, grace: None },
    ] {
        assert_eq!(other_v2.refusal(request).await.0, ErrorCode::NotFound);
    }
    other_v2.send_input(pid, b"\n").await;
    let refused = other_v2.take_reply("a refusal", |reply| matches!(reply, Reply::Error { .. })).await;
    assert!(matches!(refused, Reply::Error { code: ErrorCode::NotFound, .. }));
    let list = other.request(json!({"type": "list"})).await;
    assert_eq!(list["processes"], json!([]));
    let (code, _) = other_v2.refusal(Request::Subscribe { topics: vec![Topic::Log] }).await;
    assert_eq!(code, ErrorCode::Forbidden);
    // Another tab of the same page sees it; so does a local program, and it is told whose it is.
    let list = same.request(json!({"type": "list"})).await;
    assert_eq!(list["processes"][0]["pid"], pid);
    let started = control
        .take_reply("an event", |reply| matches!(reply, Reply::Event { event: Event::ProcessStarted { .. } }))
        .await;
    let Reply::Event { event: Event::ProcessStarted { process } } = started else { unreachable!() };
    assert_eq!((process.pid, process.origin.as_deref()), (pid, Some(ORIGIN)));
    control.attach(pid, Some(0), 1000).await;
    control.send_input(pid, b"\n").await;
    first.output_until(pid, "30 100").await;
    assert!(matches!(
        control.request(Request::Kill { pid, signal: None, grace: None }).await,
        Reply::Killed { .. }
    ));
    // What a local program starts is no page's.
    let own = control.spawn(v2::terminal("sleep 1000")).await;
    let sentence = first.refusal(json!({"type": "kill", "pid": own})).await;
    assert!(sentence.contains("there is no process"), "{sentence}");
    // Nothing of either was told to the other page.
    let number = other_v2.begin(Request::Ping).await;
    loop {
        match other_v2.next().await {
            v2::Incoming::Reply(Reply::Event { event }) => panic!("told: {event:?}"),
            v2::Incoming::Reply(reply)
                if v2::id_of(&reply) == Some(mhnos_protocol::RequestId::Number(number)) =>
            {
                break;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_planted_token_is_refused_and_what_it_points_to_stays() {
    let plant = |planted: &dyn Fn(&std::path::Path, &std::path::Path)| {
        let setup = Setup::default();
        let state = setup.folder().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
        let victim = setup.folder().join("victim");
        std::fs::write(&victim, "a".repeat(64)).unwrap();
        planted(&state.join("token"), &victim);
        let absent = setup.folder().join("absent");
        let Err(refused) = setup.try_start() else { panic!("a planted token was used") };
        assert!(refused.said.contains("token"), "{refused:?}");
        assert!(!absent.exists());
        refused
    };
    let refused = plant(&|token, victim| symlink(victim, token).unwrap());
    assert!(refused.said.contains("symbolic link"), "{refused:?}");
    plant(&|token, victim| symlink(victim.with_file_name("absent"), token).unwrap());
    plant(&|token, victim| std::fs::hard_link(victim, token).unwrap());
    let refused = plant(&|token, victim| {
        std::fs::copy(victim, token).unwrap();
        std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o644)).unwrap();
    });
    assert!(refused.said.contains("open to other users"), "{refused:?}");
    plant(&|token, _| std::fs::create_dir(token).unwrap());
    plant(&|token, _| std::fs::write(token, "").unwrap());
}

#[tokio::test]
async fn the_state_is_for_its_owner_alone() {
    let runtime = Runtime::start();
    let mode = |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(runtime.state().to_owned()), 0o700);
    assert_eq!(mode(runtime.state().join("token")), 0o600);
    assert_eq!(runtime.token().len(), 64);
}

#[tokio::test]
async fn the_token_is_kept_over_a_restart_and_is_in_no_log_and_no_answer() {
    let mut runtime = Setup::default().allow_origin().arg("--log-level=trace").start();
    let token = runtime.token();
    let mut control = v2::Client::connect(&runtime).await;
    let reply = control.request(Request::Subscribe { topics: vec![Topic::Log, Topic::Processes] }).await;
    assert!(matches!(reply, Reply::Processes { .. }));
    let (view, _) = control.run(v2::terminal("env; cat /proc/self/cmdline")).await;
    assert!(!String::from_utf8_lossy(&view.bytes).contains(&token));
    let status = control.request(Request::Status).await;
    assert!(!format!("{status:?}{:?}", control.welcome).contains(&token));
    let (answer, _) = exchange_on("::1".parse().unwrap(), runtime.port(), handshake(&[])).await;
    assert!(!format!("{answer:?}").contains(&token));
    runtime.stop(nix::sys::signal::Signal::SIGTERM).await;
    let logs = runtime.log() + &runtime.log_files();
    assert!(logs.contains("spawned") && !logs.contains(&token));
    assert_eq!(runtime.token(), token);
}

#[tokio::test]
async fn the_log_file_holds_what_happened() {
    let mut runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("shell", "true", &[], json!({})).await;
    client.run(pid).await;
    runtime.stop(nix::sys::signal::Signal::SIGTERM).await;
    let lines: Vec<Value> =
        runtime.log_files().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert!(lines.iter().any(|line| line["fields"]["message"] == "spawned" && line["fields"]["pid"] == pid));
}
