//! Who may talk to the runtime: Host, Origin, token, and the request itself.

use mhnos_tests::http::{KEY, exchange, handshake};
use mhnos_tests::v1::Client;
use mhnos_tests::{ORIGIN, Runtime, STRANGER, Setup, system};
use serde_json::{Value, json};

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
async fn pages_of_this_machine_are_welcome_only_where_the_settings_say_so() {
    let of_this_machine =
        ["http://localhost:1234", "http://127.0.0.1:8080", "https://[::1]:1", "http://app.localhost:3000"];
    let runtime = Setup::default().arg("--allow-origin=loopback").start();
    for origin in of_this_machine {
        Client::connect_as(&runtime, origin).await.still_works().await;
    }
    assert_waits(&runtime, "http://localhost.evil.example").await;
    let runtime = Runtime::start();
    for origin in of_this_machine {
        assert_waits(&runtime, origin).await;
    }
}

/// What a page asks is kept and not answered, until no more can be kept.
async fn assert_waits(runtime: &Runtime, origin: &str) {
    let mut page = Client::connect_as(runtime, origin).await;
    for number in 0..65 {
        page.send(json!({"type": "ping", "id": number})).await;
    }
    assert_eq!(page.next().await["type"], "error", "{origin}");
}
