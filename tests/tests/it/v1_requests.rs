//! Every request of 1.x, answered in exactly the form that the published client reads.

use mhnos_tests::v1::Client;
use mhnos_tests::{ORIGIN, Runtime, Setup};
use serde_json::{Value, json};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_connection_begins_with_connected() {
    let runtime = Runtime::start();
    let client = Client::connect(&runtime).await;
    let workspace = runtime.workspace().display().to_string();
    assert_eq!(
        client.connected,
        json!({
            "type": "connected",
            "protocolVersion": "1.0.0",
            "config": {"workspace": workspace, "sandboxMode": "strict", "allowOpenClaw": false},
        })
    );
}

#[tokio::test]
async fn spawn_is_answered_and_its_output_and_exit_follow() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)";
    let reply = client
        .request(json!({"type": "spawn", "processType": "python", "command": "-c", "args": [program], "options": {}}))
        .await;
    assert_eq!(reply, json!({"type": "spawned", "id": "req-1", "pid": 1000, "status": "success"}));
    let run = client.run(1000).await;
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(keys(&run.exit), ["code", "pid", "runtime", "signal", "type"]);
    assert_eq!((&run.exit["code"], &run.exit["signal"]), (&json!(3), &Value::Null));
    assert!(run.exit["runtime"].is_u64());
    // The next one has the next number, and the fewest fields will do.
    let reply = client.request(json!({"type": "spawn", "processType": "shell", "command": "true"})).await;
    assert_eq!(reply["pid"], 1001);
}

#[tokio::test]
async fn attach_replays_from_the_first_byte_while_it_runs_and_after_its_end() {
    let runtime = Runtime::start();
    let mut first = Client::connect(&runtime).await;
    let mut second = Client::connect(&runtime).await;
    let pid = first.bash("echo one; read line; echo two $line").await;
    first.output_until(pid, "one").await;

    let reply = second.request(json!({"type": "attach", "pid": pid})).await;
    assert_eq!(reply, json!({"type": "attached", "id": "req-1", "pid": pid, "status": "success"}));
    second.output_until(pid, "one\r\n").await;
    second.send(json!({"type": "write", "pid": pid, "data": "x\n"})).await;
    for client in [&mut first, &mut second] {
        let run = client.run(pid).await;
        assert!(run.stdout.ends_with("two x\r\n"), "{run:?}");
        assert_eq!(run.exit["code"], 0);
    }
    // Twice the same, and a third time on a connection that saw nothing of it.
    let mut third = Client::connect(&runtime).await;
    for client in [&mut second, &mut third] {
        client.request(json!({"type": "attach", "pid": pid})).await;
        let run = client.run(pid).await;
        assert!(run.stdout.starts_with("one\r\n") && run.stdout.ends_with("two x\r\n"), "{run:?}");
        assert_eq!(run.exit["code"], 0);
        assert_eq!(client.unasked().await, Vec::<Value>::new(), "nothing comes after the exit");
    }
}

#[tokio::test]
async fn an_attach_while_attached_begins_the_replay_anew() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("echo one; read line; echo two").await;
    client.output_until(pid, "one").await;
    // What the published client does at once after every spawn.
    client.request(json!({"type": "attach", "pid": pid})).await;
    client.output_until(pid, "one\r\n").await;
    client.send(json!({"type": "write", "pid": pid, "data": "\n"})).await;
    let run = client.run(pid).await;
    assert_eq!(run.stdout.matches("two").count(), 1, "each byte once from then on: {run:?}");
}

#[tokio::test]
async fn detach_ends_the_output_and_not_the_program() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("echo one; read line; echo two").await;
    client.output_until(pid, "one").await;
    // Often without an id: then the answer has none either.
    client.send(json!({"type": "detach", "pid": pid})).await;
    let reply = client.take("detached", |message| message["type"] == "detached").await;
    assert_eq!(reply["pid"], pid);
    let reply = client.request(json!({"type": "detach", "pid": pid})).await;
    assert_eq!(reply, json!({"type": "detached", "id": "req-2", "pid": pid}));
    let mut other = Client::connect(&runtime).await;
    other.request(json!({"type": "attach", "pid": pid})).await;
    other.send(json!({"type": "write", "pid": pid, "data": "\n"})).await;
    assert!(other.run(pid).await.stdout.contains("two"));
    assert_eq!(client.unasked().await, Vec::<Value>::new());
}

#[tokio::test]
async fn write_types_and_is_not_answered() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("read -r line; echo \"<$line>\"").await;
    client.send(json!({"type": "write", "pid": pid, "data": "grüße 😀\r"})).await;
    let run = client.run(pid).await;
    assert!(run.stdout.contains("<grüße 😀>"), "{run:?}");
    assert_eq!(client.unasked().await, Vec::<Value>::new());
}

#[tokio::test]
async fn kill_is_answered_once_it_is_dead() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.python("import time; print('up', flush=True); time.sleep(1000)").await;
    client.output_until(pid, "up").await;
    let reply = client.request(json!({"type": "kill", "pid": pid})).await;
    assert_eq!(reply, json!({"type": "killed", "id": "req-2", "pid": pid}));
    let list = client.request(json!({"type": "list"})).await;
    assert_eq!(list["processes"], json!([]), "what was killed is not listed");
    let exit = client.run(pid).await.exit;
    assert_eq!((&exit["code"], &exit["signal"]), (&Value::Null, &json!("SIGTERM")));
}

#[tokio::test]
async fn a_signal_is_sent_by_its_name() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let program = "import os, signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'usr1'))\n\
                   os.write(1, b'up')\nwhile True: time.sleep(1000)";
    let pid = client.python(program).await;
    client.output_until(pid, "up").await;
    for name in ["SIGUSR1", "USR1"] {
        let reply = client.request(json!({"type": "kill", "pid": pid, "signal": name})).await;
        assert_eq!(reply["type"], "killed", "{reply}");
        client.output_until(pid, "usr1").await;
    }
    let reply = client.request(json!({"type": "kill", "pid": pid, "signal": "SIGKILL"})).await;
    assert_eq!(reply["type"], "killed");
    assert_eq!(client.run(pid).await.exit["signal"], "SIGKILL");

    let pid = client.python("import time; time.sleep(1000)").await;
    let sentence = client.refusal(json!({"type": "kill", "pid": pid, "signal": "SIGNONSENSE"})).await;
    assert!(sentence.contains("SIGNONSENSE") && sentence.contains("SIGTERM"), "{sentence}");
}

#[tokio::test]
async fn list_names_what_runs_and_only_that() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let ended = client.python("pass").await;
    client.run(ended).await;
    let before = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let pid = client.spawn("python", "-c", &["import time; time.sleep(1000)"], json!({})).await;
    let list = client.request(json!({"type": "list"})).await;
    assert_eq!(list["type"], "processList");
    assert_eq!(list["stats"], json!({"totalSpawned": 2, "totalKilled": 0, "active": 1}));
    let mut process = list["processes"][0].clone();
    let started = process["startTime"].take().as_u64().unwrap();
    assert!((before - 1000..before + 60_000).contains(&started));
    assert_eq!(
        process,
        json!({
            "pid": pid, "type": "python", "command": "-c", "args": ["import time; time.sleep(1000)"],
            "startTime": null, "status": "running", "ports": [],
        })
    );
    assert_eq!(list["processes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn status_says_what_is_set_and_counted() {
    let runtime = Setup::default()
        .allow_origin()
        .arg("--max-processes=7")
        .arg("--sandbox=none")
        .arg("--allow-openclaw")
        .start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.python("import time; time.sleep(1000)").await;
    client.request(json!({"type": "kill", "pid": pid})).await;
    let status = client.request(json!({"type": "status"})).await;
    let workspace = runtime.workspace().display().to_string();
    assert_eq!(
        status,
        json!({
            "type": "status", "id": "req-3",
            "config": {"workspace": workspace, "sandboxMode": "none", "allowOpenClaw": true, "maxProcesses": 7},
            "stats": {"totalSpawned": 1, "totalKilled": 1, "active": 0},
        })
    );
}

#[tokio::test]
async fn settings_come_from_the_environment_and_a_flag_wins() {
    let runtime = Setup::default()
        .env("MHNOS_ALLOWED_ORIGINS", format!("https://other.example, {ORIGIN}"))
        .env("MHNOS_SANDBOX", "none")
        .env("MHNOS_ALLOW_OPENCLAW", "true")
        .env("MHNOS_MAX_PROCESSES", "3")
        .env("MHNOS_WORKSPACE", "/no/such/place")
        .env("MHNOS_RUNTIME_PORT", "1")
        .arg("--max-processes=4")
        .start();
    let mut client = Client::connect(&runtime).await;
    let status = client.request(json!({"type": "status"})).await;
    let workspace = runtime.workspace().display().to_string();
    let config =
        json!({"workspace": workspace, "sandboxMode": "none", "allowOpenClaw": true, "maxProcesses": 4});
    assert_eq!(status["config"], config);
}

#[tokio::test]
async fn ping_is_answered_and_the_answer_repeated_as_a_status() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let id = client.begin(json!({"type": "ping"})).await;
    let (pong, repeated) = (client.next().await, client.next().await);
    assert_eq!(pong, json!({"type": "pong", "id": id, "time": pong["time"]}));
    assert!(pong["time"].is_u64());
    assert_eq!(repeated, json!({"type": "status", "id": id, "time": pong["time"]}));
}

#[tokio::test]
async fn push_and_pull_are_answered_and_the_answers_repeated_as_a_status() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let files =
        json!([{"path": "/a.txt", "kind": "file", "content": [104, 105], "mtime": 1_700_000_000_123_u64}]);
    let id = client.begin(json!({"type": "fsync", "operation": "push", "files": files})).await;
    let (result, repeated) = (client.next().await, client.next().await);
    let expected = json!({
        "type": "fsyncResult", "id": id, "operation": "push", "status": "success",
        "results": {"synced": 1, "failed": 0, "errors": []},
    });
    assert_eq!(result, expected);
    let mut expected = expected;
    expected["type"] = "status".into();
    assert_eq!(repeated, expected);

    let id = client.begin(json!({"type": "fsync", "operation": "pull"})).await;
    let (result, repeated) = (client.next().await, client.next().await);
    let expected = json!({
        "type": "fsyncResult", "id": id, "operation": "pull", "status": "success",
        "files": [{"path": "/a.txt", "kind": "file", "content": [104, 105], "mtime": 1_700_000_000_123_u64}],
        "skipped": [],
    });
    assert_eq!(result, expected);
    let mut expected = expected;
    expected["type"] = "status".into();
    assert_eq!(repeated, expected);
}

#[tokio::test]
async fn an_id_of_any_form_is_repeated_as_it_came() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    for id in [json!("req-7"), json!(""), json!("ünï 😀 \"quoted\""), json!(0), json!(4_000_000_000_u32)]
    {
        client.send(json!({"type": "status", "id": id})).await;
        assert_eq!(client.next().await["id"], id);
    }
}

#[tokio::test]
async fn the_published_client_has_its_first_answer_without_any_header_of_ours() {
    // `new WebSocket('ws://localhost:18790')`: an Origin and nothing else, both address families.
    let runtime = Runtime::start();
    let host = format!("Host: localhost:{}", runtime.port());
    let headers = [host.as_str(), &format!("Origin: {ORIGIN}")];
    for address in ["127.0.0.1", "::1"] {
        let request = mhnos_tests::http::handshake(&headers);
        let (answer, _socket) =
            mhnos_tests::http::exchange_on(address.parse().unwrap(), runtime.port(), request).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(answer.header("sec-websocket-protocol"), None);
    }
}
