//! Every kind of program in the container, by 1.x and by 2.0.

use mhnos_protocol::ProcessKind;
use mhnos_protocol::v2::{Event, Reply, Request, Spawn, Topic};
use mhnos_tests::{v2, within};
use serde_json::json;

use crate::support::Up;

#[tokio::test]
async fn node_python_and_a_shell_run_as_natively() {
    let up = Up::new().await;
    up.write(
        "hello.js",
        "console.log(`node ${process.version} in ${process.cwd()} ${process.argv[2]}`); process.exit(3)",
    );
    up.write(
        "hello.py",
        "import sys\nprint('python', sys.version_info[0])\nprint(input()[::-1], file=sys.stderr)",
    );
    let mut page = up.page().await;
    assert_eq!(page.connected["config"]["workspace"], "/workspace");

    let pid = page.spawn("node", "/workspace/hello.js", &["an argument"], json!({"cwd": "/"})).await;
    let run = page.run(pid).await;
    assert!(
        run.stdout.starts_with("node v24.") && run.stdout.ends_with("in /workspace an argument\n"),
        "{run:?}"
    );
    assert_eq!(run.exit["code"], 3);

    let pid = page.spawn("python", "/hello.py", &[], json!({})).await;
    page.send(json!({"type": "write", "pid": pid, "data": "olleh\n"})).await;
    let run = page.run(pid).await;
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("python 3\n", "hello\n"));

    // As `rshell` asks for it.
    let pid = page.spawn("shell", "/bin/bash", &[], json!({})).await;
    page.send(json!({"type": "resize", "pid": pid, "cols": 81, "rows": 17})).await;
    page.send(json!({"type": "write", "pid": pid, "data": "stty size; pwd; tty | cut -c1-8; exit 5\r"}))
        .await;
    let run = page.run(pid).await;
    for wanted in ["17 81\r\n", "/workspace\r\n", "/dev/pts\r\n"] {
        assert!(run.stdout.contains(wanted), "{wanted:?} in {run:?}");
    }
    assert_eq!(run.exit["code"], 5);
}

#[tokio::test]
async fn npm_and_a_virtual_environment_work_on_the_read_only_image() {
    let up = Up::new().await;
    let mut page = up.page().await;
    let script = "set -e; mkdir -p app/dep && cd app && echo '{\"name\":\"dep\",\"version\":\"1.0.0\"}' > dep/package.json \
                  && npm init -y >/dev/null && npm install --offline ./dep >/dev/null && ls node_modules \
                  && python3 -m venv --without-pip .venv && .venv/bin/python -c 'print(\"venv\")' && git init -q . && echo git";
    let pid = page.bash(script).await;
    let run = page.run(pid).await;
    assert_eq!(run.exit["code"], 0, "{run:?}");
    for wanted in ["dep\r\n", "venv\r\n", "git\r\n"] {
        assert!(run.stdout.contains(wanted), "{run:?}");
    }
}

#[tokio::test]
async fn workerd_serves_the_configuration_of_the_first_steps() {
    let up = Up::new().await;
    up.write(
        "hello.js",
        "export default { async fetch(request) { return new Response(\"Hello from Workerd!\"); } };",
    );
    up.write(
        "hello.capnp",
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  compatibilityDate = "2025-01-01",
  compatibilityFlags = ["nodejs_compat"],
  modules = [(name = "main", esModule = embed "hello.js")]
);"#,
    );
    let mut page = up.page2().await;
    page.request(Request::Subscribe { topics: vec![Topic::Ports] }).await;
    let command = Some("/workspace/hello.capnp".into());
    let pid =
        page.spawn(Spawn { kind: ProcessKind::Workerd, command, args: vec![], ..v2::python("", &[]) }).await;
    let opened = |reply: &Reply| matches!(reply, Reply::Event { event: Event::PortOpened { pid: of, port: 8080 } } if *of == pid);
    page.take_reply("workerd listens", opened).await;
    // A program beside it reaches it; so does a person in `rshell`.
    let mut shell = up.page().await;
    let curl = shell.bash("curl -s http://127.0.0.1:8080/").await;
    assert_eq!(shell.run(curl).await.stdout, "Hello from Workerd!");
}

#[tokio::test]
async fn an_interrupted_viewer_resumes_at_the_exact_byte() {
    let up = Up::new().await;
    let mut page = up.page2().await;
    let pid = page
        .spawn(v2::python("import sys\nfor n in range(2000): print(n)\nsys.stdout.flush(); input()", &[]))
        .await;
    let mut view = v2::View::default();
    page.output_until(pid, &mut view, "\n1000\n").await;
    drop(page);
    let mut page = up.page2().await;
    let (from, ..) = page.attach(pid, Some(view.position()), 1 << 20).await;
    assert_eq!(from, view.position());
    page.output_until(pid, &mut view, "\n1999\n").await;
    let expected: String = (0..2000).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(view.bytes).unwrap(), expected);
}

#[tokio::test]
async fn openclaw_starts_where_it_is_installed_and_is_refused_where_not() {
    let usual = Up::new().await;
    let request =
        json!({"type": "spawn", "processType": "openclaw", "command": "gateway", "args": [], "options": {}});
    let sentence = usual.page().await.refusal(request).await;
    assert!(sentence.contains("MHNOS_ALLOW_OPENCLAW=true"), "{sentence}");
    drop(usual);

    let up = Up::openclaw().await;
    let mut page = up.page().await;
    let pid = page.spawn("openclaw", "gateway", &[], json!({})).await;
    let port = within("openclaw listens", async {
        loop {
            let list = page.request(json!({"type": "list"})).await;
            let process = list["processes"].as_array().unwrap().iter().find(|process| process["pid"] == pid);
            let Some(process) = process.cloned() else { panic!("it ended: {:?}", page.run(pid).await) };
            if let Some(port) = process["ports"][0].as_u64() {
                return port;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    let curl = page.bash(&format!("curl -s -o /dev/null -w '%{{http_code}}' --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:{port}/")).await;
    assert_eq!(page.run(curl).await.stdout, "200");
    page.request(json!({"type": "kill", "pid": pid})).await;
}
