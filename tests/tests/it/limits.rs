//! A page cannot be a nuisance: what it could pile up is bounded, and others do not notice.

use std::net::IpAddr;

use mhnos_protocol::v2::{Event, OriginState, Reply, Request, Topic};
use mhnos_protocol::{RequestId, limits};
use mhnos_tests::http::{Answer, exchange_on, handshake};
use mhnos_tests::v1::Client;
use mhnos_tests::{ORIGIN, Runtime, STRANGER, v2};
use serde_json::json;
use tokio::net::TcpStream;

/// A handshake over one of the two loopback addresses, with the `Host` a page would send that was given it.
async fn knock(runtime: &Runtime, address: &str, origin: &str) -> (Answer, TcpStream) {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let headers = [format!("Host: {host}:{}", runtime.port()), format!("Origin: {origin}")];
    let address: IpAddr = address.parse().unwrap();
    exchange_on(address, runtime.port(), handshake(&headers.each_ref().map(String::as_str))).await
}

/// The questions a control client has been told of so far.
async fn questions(control: &mut v2::Client) -> Vec<String> {
    let number = control.begin(Request::Ping).await;
    let mut asked = Vec::new();
    loop {
        match control.next().await {
            v2::Incoming::Reply(Reply::Event { event: Event::OriginAsked { origin } }) => {
                asked.push(origin.origin)
            }
            v2::Incoming::Reply(reply) if v2::id_of(&reply) == Some(RequestId::Number(number)) => {
                return asked;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn many_sockets_of_one_page_in_both_address_forms_are_one_question() {
    let runtime = Runtime::start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.request(Request::Subscribe { topics: vec![Topic::Origins] }).await;
    let mut known = Client::connect(&runtime).await;
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..2 * limits::WAITING_CONNECTIONS_PER_ORIGIN {
        for address in ["127.0.0.1", "::1"] {
            let (answer, socket) = knock(&runtime, address, STRANGER).await;
            match answer.status {
                101 => held.push(socket),
                429 => refused += 1,
                other => panic!("answered with {other}"),
            }
        }
    }
    assert_eq!(held.len(), limits::WAITING_CONNECTIONS_PER_ORIGIN as usize);
    assert_eq!(refused, 3 * held.len());
    assert_eq!(questions(&mut control).await, [STRANGER]);
    // Those that go and come again are not asked about anew.
    drop(held);
    control.until_origin("all have gone", STRANGER, |known| known.connections == 0).await;
    for _ in 0..20 {
        assert_eq!(knock(&runtime, "::1", STRANGER).await.0.status, 101);
        control.until_origin("it has gone", STRANGER, |known| known.connections == 0).await;
    }
    assert_eq!(questions(&mut control).await, Vec::<String>::new());
    known.still_works().await;
    Client::connect(&runtime).await.still_works().await;
}

#[tokio::test]
async fn many_pages_are_so_many_questions_and_no_more_and_allowed_pages_do_not_notice() {
    let runtime = Runtime::start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.request(Request::Subscribe { topics: vec![Topic::Origins] }).await;
    let mut held = Vec::new();
    let mut refused = 0;
    for number in 0..100 {
        // A page of each address form and port is an origin of its own.
        let form = ["127.0.0.1", "[::1]", "localhost", "evil.example"][number % 4];
        let address = ["127.0.0.1", "::1"][number % 2];
        let (answer, socket) = knock(&runtime, address, &format!("http://{form}:{}", 10_000 + number)).await;
        match answer.status {
            101 => held.push(socket),
            429 => refused += 1,
            other => panic!("answered with {other}"),
        }
    }
    assert_eq!((held.len(), refused), (limits::WAITING_ORIGINS, 100 - limits::WAITING_ORIGINS));
    assert_eq!(questions(&mut control).await.len(), limits::PROMPTS);
    let waiting = control.origins().await.into_iter().filter(|known| known.state == OriginState::Waiting);
    assert_eq!(waiting.count(), limits::WAITING_ORIGINS);
    // The refusal says what a person can do.
    let (answer, _) = knock(&runtime, "127.0.0.1", "http://one-more.example").await;
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("mhnos-runtime origins"), "{}", answer.body);
    Client::connect(&runtime).await.still_works().await;
    control.still_works().await;
    // More of them have come and gone than may be asked about in a minute: they wait, and stand in the list.
    drop(held);
    control.until_origin("they have gone", "http://evil.example:10015", |known| known.connections == 0).await;
    let (answer, _socket) = knock(&runtime, "127.0.0.1", "http://later.example").await;
    assert_eq!(answer.status, 101);
    assert_eq!(questions(&mut control).await, Vec::<String>::new());
    assert_eq!(control.origin("http://later.example").await.unwrap().state, OriginState::Waiting);
}

#[tokio::test]
async fn a_page_has_so_many_connections_and_others_have_theirs() {
    let runtime = Runtime::start();
    let mut held = Vec::new();
    for _ in 0..limits::CONNECTIONS_PER_ORIGIN {
        let (answer, socket) = knock(&runtime, "127.0.0.1", ORIGIN).await;
        assert_eq!(answer.status, 101);
        held.push(socket);
    }
    let (answer, _) = knock(&runtime, "::1", ORIGIN).await;
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("close some of its tabs"), "{}", answer.body);
    assert_eq!(knock(&runtime, "::1", STRANGER).await.0.status, 101);
    let mut control = v2::Client::connect(&runtime).await;
    held.pop();
    let most = limits::CONNECTIONS_PER_ORIGIN;
    control.until_origin("one has gone", ORIGIN, |known| known.connections < most).await;
    assert_eq!(knock(&runtime, "127.0.0.1", ORIGIN).await.0.status, 101);
}

#[tokio::test]
async fn a_page_that_starts_programs_without_end_is_slowed_down() {
    let runtime = Runtime::start();
    let mut page = Client::connect(&runtime).await;
    let mut other = v2::Client::connect(&runtime).await;
    // Each is refused for what it asks; the last ones before that, for how often it asks.
    let count = 2 * limits::SPAWNS_IN_A_ROW;
    for _ in 0..count {
        page.begin(json!({"type": "spawn", "processType": "openclaw", "command": "gateway"})).await;
    }
    let mut slowed = 0;
    for _ in 0..count {
        let sentence = page.next().await["error"].as_str().unwrap().to_owned();
        slowed += u32::from(sentence.contains("too many programs in a row"));
    }
    assert!((1..=count - limits::SPAWNS_IN_A_ROW).contains(&slowed), "{slowed}");
    other.run(v2::python("pass", &[])).await;
}
