//! Whose replica is whose, and what a page may do.

use mhnos_protocol::frame::Kind;
use mhnos_protocol::v2::{ErrorCode, Reply, Request};
use mhnos_tests::sync::{Replica, files, status};
use mhnos_tests::v2::Client;
use mhnos_tests::{ORIGIN, Runtime, STRANGER, Setup, eventually};

#[tokio::test]
async fn a_page_has_replicas_of_its_own_whatever_it_calls_them() {
    let runtime = Runtime::start();
    let mut control = Client::connect_to_control_socket(&runtime).await;
    control.allow(STRANGER).await;
    runtime.write("a", "1");
    let mut own = Replica::new(7);
    own.open(Client::connect_as(&runtime, ORIGIN).await).await;
    own.until_equal(runtime.workspace()).await;
    // The same digits from another page are another replica: nothing is ended, nothing is known.
    let mut other = Replica::new(7);
    other.open(Client::connect_as(&runtime, STRANGER).await).await;
    assert!(other.was_full);
    other.until_equal(runtime.workspace()).await;
    runtime.write("b", "2");
    own.until_equal(runtime.workspace()).await;
    assert_eq!(own.ended, None);
    let mut page = Client::connect_as(&runtime, STRANGER).await;
    let seen = status(&mut page).await.replicas;
    let [replica] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((replica.origin.as_deref(), replica.key.as_str()), (Some(STRANGER), other.key()));
    assert_eq!(status(&mut control).await.replicas.len(), 2);
    for request in [Request::SyncPause, Request::SyncResume, Request::SyncRescan] {
        assert_eq!(page.refusal(request).await.0, ErrorCode::Forbidden, "not for pages: it stops others");
    }
}

#[tokio::test]
async fn a_page_whose_rights_are_taken_back_syncs_no_more() {
    let runtime = Setup::default().start();
    let mut control = Client::connect_to_control_socket(&runtime).await;
    control.allow(STRANGER).await;
    let mut replica = Replica::new(1);
    replica.open(Client::connect_as(&runtime, STRANGER).await).await;
    replica.until_equal(runtime.workspace()).await;
    // More than is written at once, so that some of it is still to come when the page is revoked.
    for number in 0..1000 {
        replica.write(&format!("late/{number}"), "1");
    }
    replica.changed().await;
    eventually("some of it is there", || runtime.workspace().join("late").exists()).await;
    control.done(Request::RevokeOrigin { origin: STRANGER.into() }).await;
    let at_the_answer = files(runtime.workspace());
    let seen = status(&mut control).await.replicas;
    assert!(seen.iter().all(|replica| !replica.connected), "{seen:?}");
    // What is looked at anew is answered after all that was under way.
    control.done(Request::SyncRescan).await;
    let mut other = Replica::opened(2, &runtime).await;
    other.until_equal(runtime.workspace()).await;
    assert_eq!(
        files(runtime.workspace()).len(),
        at_the_answer.len(),
        "something was written after the page was revoked"
    );
}

#[tokio::test]
async fn what_is_no_opening_is_refused_with_what_is_wrong() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let good = || Replica::new(1).opening();
    let change = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut request = serde_json::to_value(good()).unwrap();
        edit(&mut request);
        serde_json::from_value::<Request>(request).unwrap()
    };
    for (field, value) in [
        ("replica", serde_json::json!("12")),
        ("replica", serde_json::json!("g".repeat(32))),
        ("digest", serde_json::json!("0")),
        ("name", serde_json::json!("")),
        ("name", serde_json::json!("x".repeat(65))),
        ("name", serde_json::json!("a\u{1b}[2J")),
        ("window", serde_json::json!(1)),
        ("window", serde_json::json!(u64::from(u32::MAX))),
    ] {
        let (code, error) = client.refusal(change(&|request| request[field] = value.clone())).await;
        assert_eq!(code, ErrorCode::Malformed, "{field}: {value}");
        assert!(error.contains(field), "{error}");
    }
    let opened = client.request(good()).await;
    assert!(matches!(opened, Reply::SyncOpened { full: true, .. }), "{opened:?}");
}

#[tokio::test]
async fn malformed_frames_end_the_session_and_nothing_else() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let frames: [(u64, &[u8]); 4] = [
        (0, b"\xff\x00\x00\x00\x00"),
        (0, b"\x01\xff\xff\xff\xff"),
        (7, b""),
        // An order, which only the hub gives.
        (0, b"\x0d\x00\x00\x00\x00"),
    ];
    for (turn, payload) in frames {
        let id = client.begin(Replica::new(1).opening()).await;
        assert!(matches!(client.answer(id).await, Reply::SyncOpened { .. }));
        client.send_frame(Kind::Sync, id, turn, payload).await;
        let said = format!("sync session {id} was ended");
        let is_end = |reply: &Reply| matches!(reply, Reply::Error { error, .. } if error.starts_with(&said));
        client.take_reply("the session is ended", is_end).await;
        client.send_frame(Kind::Sync, id, 0, b"").await;
        let is_unknown = |reply: &Reply| matches!(reply, Reply::Error { code: ErrorCode::NotFound, .. });
        client.take_reply("it is over", is_unknown).await;
    }
    // A path that leads out is no path.
    let mut out = Vec::from(*b"\x01\x15\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0b\x00../outside/\x01");
    out[1] = u8::try_from(out.len() - 5).unwrap();
    let id = client.begin(Replica::new(1).opening()).await;
    client.answer(id).await;
    client.send_frame(Kind::Sync, id, 0, &out).await;
    let names_it =
        |reply: &Reply| matches!(reply, Reply::Error { error, .. } if error.contains("../outside"));
    client.take_reply("it is named", names_it).await;
    assert!(matches!(client.request(Request::Ping).await, Reply::Pong { .. }));
}

#[tokio::test]
async fn cancel_ends_a_session() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let id = client.begin(Replica::new(1).opening()).await;
    client.answer(id).await;
    client.done(Request::Cancel { transfer: id }).await;
    assert_eq!(client.refusal(Request::Cancel { transfer: id }).await.0, ErrorCode::NotFound);
}
