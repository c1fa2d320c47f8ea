//! Messages in any order, good and bad, on several connections at once: every request is answered once, and the runtime lives.
//!
//! The seed of each run is printed; `MHNOS_TEST_SEED=<seed>` plays it again.

use std::collections::BTreeMap;

use mhnos_protocol::frame::{Header, Kind};
use mhnos_tests::v1::Client;
use mhnos_tests::{Random, Runtime, eventually, system, v2};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const MESSAGES: usize = 400;

/// How many answers a request must get. Of 1.x, `pong` and `fsyncResult` are repeated as `status`, and what is typed is answered only
/// when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    One,
    OneOrRepeated,
    OneIfItFails,
}

/// A process id: most often one that may be there.
fn pid(random: &mut Random) -> u32 {
    match random.below(10) {
        0 => random.number() as u32,
        1 => 0,
        _ => 1000 + random.below(12) as u32,
    }
}

fn kind(random: &mut Random) -> &'static str {
    const KINDS: [&str; 7] = ["shell", "shell", "shell", "shell", "node", "workerd", "openclaw"];
    KINDS[random.below(KINDS.len())]
}

fn command(random: &mut Random) -> (&'static str, Vec<&'static str>) {
    random
        .of(&[
            ("true", vec![]),
            ("/bin/sh", vec!["-c", "echo out; read line; echo $line"]),
            ("/bin/sh", vec!["-c", "sleep 1000 & exit 1"]),
            ("/bin/sh", vec!["-c", "trap '' HUP; sleep 1000"]),
            ("sleep", vec!["1000"]),
            ("yes", vec![]),
            ("no-such-program", vec![]),
            ("", vec![]),
        ])
        .clone()
}

fn path(random: &mut Random) -> &'static str {
    const PATHS: [&str; 10] =
        ["/a", "/a/b", "/d/e", "/d", "/", "", "../x", "/workspace/a", "/ä", "/zero\0byte"];
    PATHS[random.below(PATHS.len())]
}

fn request_v1(random: &mut Random) -> (Value, Expected) {
    use Expected::{One, OneIfItFails, OneOrRepeated};
    match random.below(16) {
        0 | 1 => {
            let (command, args) = command(random);
            let options = json!({"cwd": path(random), "timeout": random.of(&[0, 50, 5000])});
            (
                json!({"type": "spawn", "processType": kind(random), "command": command, "args": args, "options": options}),
                One,
            )
        }
        2 | 3 => (json!({"type": "attach", "pid": pid(random)}), One),
        4 => (json!({"type": "detach", "pid": pid(random)}), One),
        5 | 6 => (
            json!({"type": "write", "pid": pid(random), "data": random.text(random.clone().below(100))}),
            OneIfItFails,
        ),
        7 => (
            json!({"type": "resize", "pid": pid(random), "cols": random.below(300), "rows": random.below(100)}),
            OneIfItFails,
        ),
        8 => {
            let signal = *random.of(&["SIGKILL", "SIGKILL", "SIGUSR1", "SIGINT", "SIGNONSENSE"]);
            (json!({"type": "kill", "pid": pid(random), "signal": signal}), One)
        }
        9 => (json!({"type": "list"}), One),
        10 => (json!({"type": "status"}), One),
        11 => (json!({"type": "ping"}), OneOrRepeated),
        12 => {
            let files = json!([
                {"path": path(random), "kind": "file", "content": random.bytes(50)},
                {"path": path(random), "kind": "directory"},
            ]);
            (json!({"type": "fsync", "operation": "push", "files": files}), OneOrRepeated)
        }
        13 => (json!({"type": "fsync", "operation": "pull"}), OneOrRepeated),
        14 => (json!({"type": random.text(5)}), One),
        _ => (json!({"type": "spawn", "processType": 5, "junk": [[[]]]}), One),
    }
}

fn request_v2(random: &mut Random) -> (Value, Expected) {
    use Expected::One;
    let request = match random.below(15) {
        0 | 1 => {
            let (command, args) = command(random);
            let credit = random.of(&[json!(null), json!(0), json!(10), json!(1 << 20)]).clone();
            json!({"type": "spawn", "kind": kind(random), "command": command, "args": args, "cwd": path(random), "credit": credit})
        }
        2 | 3 => {
            json!({"type": "attach", "pid": pid(random), "from": random.below(100), "credit": random.below(100_000)})
        }
        4 => json!({"type": "detach", "pid": pid(random)}),
        5 => json!({"type": "closeInput", "pid": pid(random)}),
        6 => json!({"type": "kill", "pid": pid(random), "grace": random.below(200)}),
        7 => json!({"type": "list"}),
        8 => json!({"type": "status"}),
        9 => json!({"type": "ping"}),
        10 => json!({"type": "subscribe", "topics": ["processes", "ports", "health"]}),
        11 => json!({"type": "makeDirectory", "path": path(random)}),
        12 => json!({"type": "cancel", "transfer": random.below(5)}),
        13 => {
            json!({"type": "resize", "pid": pid(random), "cols": random.below(300), "rows": random.below(100)})
        }
        _ => json!({"type": random.text(5), "pid": {}}),
    };
    (request, One)
}

/// What nobody should send, and has no id to answer to.
fn junk(random: &mut Random) -> Message {
    let length = random.below(200);
    match random.below(5) {
        0 => Message::text(random.text(length)),
        1 => Message::binary(random.bytes(length)),
        2 => Message::text("{\"type\":"),
        3 => {
            let kind = *random.of(&[Kind::Input, Kind::File, Kind::Stdout]);
            let header = Header { kind, channel: pid(random), offset: random.number() };
            Message::binary([&header.encode()[..], &random.bytes(length)].concat())
        }
        _ => Message::Ping(random.bytes(length % 100).into()),
    }
}

/// Sends and receives in turns, and returns how often each request was answered.
async fn converse(
    mut send: impl AsyncFnMut(Message),
    mut receive: impl AsyncFnMut() -> Option<Value>,
    random: &mut Random,
    request: fn(&mut Random) -> (Value, Expected),
) {
    let mut expected = BTreeMap::new();
    let mut answers: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for number in 0..MESSAGES as u64 {
        if random.below(4) == 0 {
            send(junk(random)).await;
        }
        let (mut message, answered) = request(random);
        message["id"] = json!(number);
        expected.insert(number, (answered, message.clone()));
        send(Message::text(message.to_string())).await;
    }
    // The answer to this comes when everything before has at least been begun.
    let is_missing = |answers: &BTreeMap<u64, Vec<Value>>| {
        expected.iter().any(|(number, (answered, _))| {
            let answers = answers.get(number).map_or(&[][..], Vec::as_slice);
            match answered {
                Expected::One => answers.is_empty(),
                Expected::OneOrRepeated => {
                    answers.is_empty() || (answers[0]["type"] != "error" && answers.len() < 2)
                }
                Expected::OneIfItFails => false,
            }
        })
    };
    while is_missing(&answers) {
        let Some(message) = receive().await else { break };
        if let Some(number) = message["id"].as_u64() {
            answers.entry(number).or_default().push(message);
        }
    }
    for (number, (answered, request)) in expected {
        let answers = answers.remove(&number).unwrap_or_default();
        let repeated = answers.len() == 2 && answers[1]["type"] == "status" && answers[0]["type"] != "status";
        let fits = match answered {
            Expected::One => answers.len() == 1,
            Expected::OneOrRepeated => repeated || (answers.len() == 1 && answers[0]["type"] == "error"),
            Expected::OneIfItFails => answers.len() <= 1,
        };
        assert!(fits, "{request} was answered {} times: {answers:?}", answers.len());
    }
}

async fn converse_v1(client: Client, mut random: Random) -> Client {
    let client = tokio::sync::Mutex::new(client);
    converse(
        async |message| client.lock().await.send_message(message).await,
        async || Some(client.lock().await.next().await),
        &mut random,
        request_v1,
    )
    .await;
    client.into_inner()
}

async fn converse_v2(client: v2::Client, mut random: Random) -> v2::Client {
    let client = tokio::sync::Mutex::new(client);
    converse(
        async |message| client.lock().await.send_message(message).await,
        async || {
            Some(match client.lock().await.next().await {
                v2::Incoming::Reply(reply) => serde_json::to_value(reply).unwrap(),
                v2::Incoming::Frame(..) => Value::Null,
            })
        },
        &mut random,
        request_v2,
    )
    .await;
    client.into_inner()
}

#[tokio::test]
async fn any_messages_in_any_order_are_each_answered_once_and_the_runtime_lives() {
    let mut random = Random::from_environment("MHNOS_TEST_SEED");
    let mut runtime = Runtime::start();
    let first = Client::connect(&runtime).await;
    let second = v2::Client::connect_as(&runtime, mhnos_tests::ORIGIN).await;
    let third = v2::Client::connect(&runtime).await;
    let seeds = [random.number(), random.number(), random.number()];
    let (mut first, mut second, mut third) = tokio::join!(
        converse_v1(first, Random::new(seeds[0])),
        converse_v2(second, Random::new(seeds[1])),
        converse_v2(third, Random::new(seeds[2])),
    );
    assert!(runtime.is_running());
    first.still_works().await;
    second.still_works().await;
    third.still_works().await;
    let log = runtime.log();
    assert!(!log.contains("panicked"), "{log}");
    let programs = system::descendants(runtime.os_pid());
    drop((first, second, third));
    assert_eq!(runtime.stop(Signal::SIGTERM).await.code(), Some(0));
    eventually("nothing is left", || programs.iter().all(|&os_pid| !system::is_alive(os_pid))).await;
    let names = runtime.names();
    assert!(names.iter().all(|name| ["a", "d", "x", "ä"].contains(&name.as_str())), "{names:?}");
}
