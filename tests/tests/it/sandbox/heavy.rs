//! What installs packages from the registries, or fills the machine.
//!
//! The sandbox's home is not the person's, so what npm and pip are told on this machine (a registry, certificates) is told to them here
//! with the spawn.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use mhnos_tests::v1::{Client, Run};
use mhnos_tests::{DEADLINE, Runtime, Setup, eventually, http, system, v2};
use serde_json::json;

use crate::programs::ports;

/// What reaching the registries takes on this machine.
fn registries() -> BTreeMap<String, String> {
    let needed = |name: &str| {
        let name = name.to_ascii_lowercase();
        let exact = ["ssl_cert_file", "ssl_cert_dir", "node_extra_ca_certs"].contains(&name.as_str());
        exact || name.starts_with("pip_") || name.starts_with("npm_config_") || name.ends_with("_proxy")
    };
    let mut variables: BTreeMap<_, _> = std::env::vars().filter(|(name, _)| needed(name)).collect();
    // Folders of the person's: the sandbox has its own.
    variables.retain(|name, _| {
        !["npm_config_cache", "PIP_CACHE_DIR", "npm_config_userconfig"].contains(&name.as_str())
    });
    let output = Command::new("npm").args(["config", "get", "registry"]).output().expect("npm is installed");
    let registry = String::from_utf8(output.stdout).expect("an address").trim().to_owned();
    variables.insert("npm_config_registry".into(), registry);
    variables
}

/// Runs a line in a shell in the workspace, with `further` variables, to its end, however long that takes.
async fn run(client: &mut Client, line: &str, further: &[(&str, String)]) -> Run {
    let mut variables = registries();
    variables.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    // Something is printed all the while, so that waiting for output tells a build that is slow from one that hangs.
    let line = format!("set -e; (while sleep 10; do echo …; done) & ticks=$!; {line}; kill $ticks");
    let pid = client.spawn("shell", "/bin/bash", &["-c", &line], json!({"env": variables})).await;
    client.run(pid).await
}

/// Where the headers of the Node.js are that comes first on the path: beside it.
fn node_headers() -> PathBuf {
    let output = Command::new("node").args(["-p", "process.execPath"]).env("PATH", test_path()).output();
    let node = String::from_utf8(output.expect("node is installed").stdout).expect("a path");
    let prefix = PathBuf::from(node.trim()).ancestors().nth(2).expect("it lies in a bin").to_owned();
    assert!(
        prefix.join("include/node/node.h").exists(),
        "there are no headers of Node.js in {}",
        prefix.display()
    );
    prefix
}

/// The path the runtime of a test has.
fn test_path() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::env::var_os("MHNOS_TEST_TOOLS").map(PathBuf::from);
    std::env::join_paths(tools.into_iter().chain(std::env::split_paths(&path)))
        .expect("folders can stand in PATH")
}

#[tokio::test]
async fn npm_installs_a_module_and_builds_its_native_part() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    // npm of today runs install scripts only of those that are named.
    runtime.write("package.json", r#"{"allowScripts": {"bufferutil": true}}"#);
    let variables = [
        ("npm_config_nodedir", node_headers().display().to_string()),
        ("npm_config_build_from_source", "true".into()),
    ];
    let line = "npm install --no-audit --no-fund bufferutil@4; \
                node -e 'const b = require(\"bufferutil\"), x = Buffer.from([1]); b.unmask(x, Buffer.from([3, 0, 0, 0])); console.log(\"unmasked \" + x[0])'";
    let done = run(&mut client, line, &variables).await;
    assert!(done.exit["code"] == 0 && done.stdout.contains("unmasked 2"), "{done:?}");
    let built = runtime.workspace().join("node_modules/bufferutil/build/Release/bufferutil.node");
    assert!(built.exists(), "it was built here: {done:?}");
}

#[tokio::test]
async fn pip_installs_into_a_virtual_environment() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let line = "python3 -m venv env; env/bin/pip install six==1.17.0; env/bin/python -c 'import six; print(\"six\", six.__version__, six.__file__)'";
    let done = run(&mut client, line, &[]).await;
    let folder = runtime.workspace().join("env").display().to_string();
    assert!(done.exit["code"] == 0 && done.stdout.contains(&format!("six 1.17.0 {folder}")), "{done:?}");
}

#[tokio::test]
async fn an_express_server_is_installed_and_answers() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let done = run(&mut client, "npm install --no-audit --no-fund express@5", &[]).await;
    assert_eq!(done.exit["code"], 0, "{done:?}");
    runtime.write(
        "server.js",
        "const app = require('express')();
         app.get('/', (request, response) => response.send('hello from express'));
         const server = app.listen(0, '127.0.0.1', () => console.log('listens', server.address().port));",
    );
    let pid = client.spawn("node", "/workspace/server.js", &[], json!({})).await;
    let port = ports(&mut client, pid).await[0];
    let answer = http::exchange(port, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello from express"));
}

#[tokio::test]
async fn a_fork_bomb_is_ended_and_the_runtime_answers_all_the_while() {
    let runtime = Setup::default().allow_origin().arg("--max-memory=16g").start();
    let mut client = v2::Client::connect(&runtime).await;
    // Each becomes two; bounded here as well, at 4096, should the runtime fail to.
    let bomb = "import os, time\nfor _ in range(12):\n    try: os.fork()\n    except OSError: pass\ntime.sleep(1000)";
    let began = std::time::Instant::now();
    let pid = client.spawn(v2::python(bomb, &[])).await;
    let mut other = v2::Client::connect(&runtime).await;
    other.still_works().await;
    let exit = client.read_to_end(pid, &mut v2::View::default()).await;
    let reason = exit.reason.expect("the runtime ended it");
    assert!(reason.contains("more programs than the limit"), "{reason}");
    assert!(exit.survived.is_empty() && began.elapsed() < DEADLINE);
    other.still_works().await;
    let few = || system::descendants(runtime.os_pid()).len() < 10;
    eventually("only guards are left", few).await;
}
