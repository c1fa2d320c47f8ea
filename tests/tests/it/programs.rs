//! The real workerd, and programs that listen on ports.

use mhnos_protocol::v2::{Event, Reply, Request, Topic};
use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, http, tools, v2, within};
use serde_json::json;

/// The ports that `list` shows of a process, once there are some.
pub(crate) async fn ports(client: &mut Client, pid: u32) -> Vec<u16> {
    within("the bridge reports a port", async {
        loop {
            let list = client.request(json!({"type": "list"})).await;
            let processes = list["processes"].as_array().unwrap();
            let Some(process) = processes.iter().find(|process| process["pid"] == pid) else {
                panic!("it has ended: {:?}", client.run(pid).await);
            };
            let ports: Vec<u16> = serde_json::from_value(process["ports"].clone()).unwrap();
            if !ports.is_empty() {
                return ports;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
}

async fn get(port: u16) -> http::Answer {
    http::exchange(port, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await
}

fn need_workerd() {
    assert!(
        tools("workerd").is_some()
            || std::env::var("PATH")
                .unwrap()
                .split(':')
                .any(|folder| { std::path::Path::new(folder).join("workerd").exists() }),
        "these tests run the real workerd: `cargo xtask test` installs it, or name a folder that has it in MHNOS_TEST_TOOLS"
    );
}

#[tokio::test]
async fn workerd_serves_the_persons_own_configuration() {
    need_workerd();
    let runtime = Runtime::start();
    runtime
        .write("app/worker.js", "export default { fetch() { return new Response('from a configuration') } }");
    runtime.write(
        "app/config.capnp",
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  compatibilityDate = "2025-01-01",
  modules = [(name = "worker.js", esModule = embed "worker.js")]
);"#,
    );
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("workerd", "/workspace/app/config.capnp", &[], json!({"cwd": "/"})).await;
    let port = ports(&mut client, pid).await[0];
    let answer = get(port).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "from a configuration"));
    client.request(json!({"type": "kill", "pid": pid})).await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "it is gone, and so is its port");
}

#[tokio::test]
async fn workerd_serves_a_module_from_the_default_template() {
    need_workerd();
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let module = "export default { fetch() { return new Response('from a module') } }";
    for name in ["plain \"one\".js", "plain.mjs"] {
        runtime.write(name, module);
        let pid = client.spawn("workerd", &format!("/{name}"), &[], json!({})).await;
        let port = ports(&mut client, pid).await[0];
        let answer = get(port).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "from a module"), "{name}");
        client.request(json!({"type": "kill", "pid": pid})).await;
    }
    let typed = "const text: string = 'from TypeScript'; export default { fetch(): Response { return new Response(text) } }";
    runtime.write("typed.ts", typed);
    let pid = client.spawn("workerd", "typed.ts", &[], json!({"cwd": "/"})).await;
    let answer = get(ports(&mut client, pid).await[0]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "from TypeScript"));
}

#[tokio::test]
async fn workerd_serves_a_module_that_needs_node_from_the_other_template() {
    need_workerd();
    let runtime = Runtime::start();
    let module = "import { createHash } from 'node:crypto';\nexport default { fetch() { \
                  return new Response(createHash('sha256').update('').digest('hex')) } }";
    runtime.write("node.mjs", module);
    let mut client = Client::connect(&runtime).await;
    // The port may be chosen.
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let options = json!({"env": {"PORT": port.to_string()}});
    let pid = client.spawn("workerd", "/workspace/node.mjs", &[], options).await;
    assert_eq!(ports(&mut client, pid).await, [port]);
    let answer = get(port).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("e3b0c44298fc1c14"), "{}", answer.body);
}

#[tokio::test]
async fn workerd_and_a_module_that_cannot_be_served_say_why() {
    need_workerd();
    let runtime = Runtime::start();
    runtime.write("broken.js", "this is no JavaScript");
    runtime.write("ok.js", "export default {}");
    let mut client = Client::connect(&runtime).await;
    let spawn = |command: &str, port: &str| json!({"type": "spawn", "processType": "workerd", "command": command, "args": [], "options": {"env": {"PORT": port}}});
    let sentence = client.refusal(spawn("/absent.js", "0")).await;
    assert!(sentence.contains("absent.js could not be read"), "{sentence}");
    let sentence = client.refusal(spawn("/ok.js", "http")).await;
    assert!(sentence.contains("PORT is not a port"), "{sentence}");
    let sentence = client.refusal(json!({"type": "spawn", "processType": "workerd", "args": []})).await;
    assert!(sentence.contains(".capnp"), "{sentence}");
    let pid = client.spawn("workerd", "/broken.js", &[], json!({})).await;
    let run = client.run(pid).await;
    assert_ne!(run.exit["code"], 0);
    assert!(run.stderr.contains("SyntaxError"), "{run:?}");
    let scratch = std::fs::read_dir(runtime.state().join("scratch/made")).unwrap().count();
    assert_eq!(scratch, 0, "the configuration that was made is gone with the process");
}

#[tokio::test]
async fn ports_that_open_and_close_are_told_of() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    let reply = client.request(Request::Subscribe { topics: vec![Topic::Ports] }).await;
    assert!(matches!(reply, Reply::Processes { .. }));
    // It says that it listens, as servers do, and again when it no longer does.
    let program = "import socket, sys\nlistener = socket.create_server(('127.0.0.1', 0))\n\
                   print(listener.getsockname()[1], flush=True)\nsys.stdin.readline()\nlistener.close()\n\
                   print('closed', flush=True)\nsys.stdin.readline()";
    let pid = client.spawn(v2::python(program, &[])).await;
    let mut view = v2::View::default();
    client.output_until(pid, &mut view, "\n").await;
    let listening: u16 = String::from_utf8(view.bytes.clone()).unwrap().trim().parse().unwrap();
    let opened = |reply: &Reply| matches!(reply, Reply::Event { event: Event::PortOpened { pid: of, port } } if *of == pid && *port == listening);
    client.take_reply("portOpened", opened).await;
    match client.request(Request::List).await {
        Reply::Processes { processes, .. } => assert_eq!(processes[0].ports, [listening]),
        other => panic!("{other:?}"),
    }
    client.send_input(pid, b"\n").await;
    let closed = |reply: &Reply| matches!(reply, Reply::Event { event: Event::PortClosed { pid: of, port } } if *of == pid && *port == listening);
    client.take_reply("portClosed", closed).await;
}

#[tokio::test]
async fn openclaw_is_refused_unless_it_was_allowed() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let request =
        json!({"type": "spawn", "processType": "openclaw", "command": "gateway", "args": [], "options": {}});
    let sentence = client.refusal(request).await;
    assert!(
        sentence.contains("MHNOS_ALLOW_OPENCLAW=true") && sentence.contains("--allow-openclaw"),
        "{sentence}"
    );
    let status = client.request(json!({"type": "status"})).await;
    assert_eq!(status["stats"]["totalSpawned"], 0);
}
