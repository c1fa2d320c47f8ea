//! A page sees and touches what its own origin started, and nothing else.

use mhnos_protocol::v2::{ErrorCode, Event, Reply, Request, Topic};
use mhnos_tests::v1::Client;
use mhnos_tests::{ORIGIN, Setup, v2};
use serde_json::json;

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
