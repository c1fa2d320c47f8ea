//! What is tried on a container, and from inside it.

use std::net::IpAddr;

use mhnos_tests::{STRANGER, http, v1};
use serde_json::json;

use crate::support::{Clean, NAMES, Up, command, docker, exists, inspect, refusal, workspace};

fn upgrade(host: &str, further: &[&str]) -> String {
    http::handshake(&[&[&*format!("Host: {host}")], further].concat())
}

#[tokio::test]
async fn a_peer_behind_the_containers_gateway_is_nobody_in_particular() {
    let up = Up::new().await;
    let found = inspect(up.name).await;
    let network = &found["NetworkSettings"]["Networks"]["mhnos-runtime"];
    let own: IpAddr = network["IPAddress"].as_str().unwrap().parse().unwrap();
    let host = format!("localhost:{}", up.port);
    // Over the published port, and straight to the container: the runtime sees the gateway's address both times.
    for (address, port) in [("127.0.0.1".parse().unwrap(), up.port), (own, up.port)] {
        let (answer, _) = http::exchange_on(address, port, upgrade(&host, &[])).await;
        assert_eq!(answer.status, 401, "without an origin a token is needed: {answer:?}");
        let (answer, _) = http::exchange_on(address, port, upgrade(&host, &["Origin: null"])).await;
        assert_eq!(answer.status, 403);
        let (answer, _) = http::exchange_on(address, port, upgrade(&format!("{own}:{port}"), &[])).await;
        assert_eq!(answer.status, 403, "it has no such name");
        let forwarded = ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"];
        let (answer, _) = http::exchange_on(address, port, upgrade(&host, &forwarded)).await;
        assert_eq!(answer.status, 401, "what a client says of itself counts for nothing");
    }
    // A page nobody allowed waits, and nothing it sends has an effect.
    let mut page = v1::Client::connect_to(up.port, ("origin", STRANGER)).await;
    page.begin(json!({"type": "spawn", "processType": "shell", "command": "/bin/bash", "args": ["-c", "touch /workspace/planted"]})).await;
    let waiting = up.inside("mhnos-runtime origins pending").await;
    assert!(waiting.contains(STRANGER), "{waiting}");
    assert_eq!(crate::support::health(up.port).await["processes"]["totalSpawned"], 0);
    assert!(!up.workspace().join("planted").exists());
}

#[tokio::test]
async fn a_program_inside_is_no_local_command() {
    let up = Up::new().await;
    let mut page = up.page().await;
    let pid = page.bash("mhnos-runtime origins allow http://evil.example; echo code $?").await;
    let run = page.run(pid).await;
    assert!(!run.stdout.contains("code 0"), "{run:?}");
    let known = up.inside("mhnos-runtime origins list").await;
    assert!(!known.contains("evil"), "{known}");
    // Nor is it let in by the port, where it comes from the loopback address.
    let script = format!(
        "curl -s -o /dev/null -w '%{{http_code}}' -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: {}' http://localhost:{}/",
        http::KEY,
        up.port
    );
    let pid = page.bash(&script).await;
    assert_eq!(page.run(pid).await.stdout, "401");
}

#[tokio::test]
async fn the_engines_socket_is_never_given_to_the_container() {
    let _clean = Clean::new();
    let folder = workspace();
    let socket = folder.path().join("run/engine.sock");
    std::fs::create_dir(socket.parent().unwrap()).unwrap();
    crate::support::give_to_person(socket.parent().unwrap());
    // The engine, as it is reached here: wherever its socket is, what holds it is no workspace.
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let real = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).await.done();
    let real = std::env::var("DOCKER_HOST").unwrap_or(real.trim().to_owned());
    let real = std::path::PathBuf::from(real.strip_prefix("unix://").expect("an engine of this machine"));
    tokio::spawn(async move {
        while let Ok((mut asking, _)) = listener.accept().await {
            let mut answering = tokio::net::UnixStream::connect(&real).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut asking, &mut answering).await });
        }
    });
    let link = workspace();
    std::os::unix::fs::symlink(folder.path(), link.path().join("harmless")).unwrap();
    for named in [folder.path().to_owned(), folder.path().join("run"), link.path().join("harmless")] {
        let mut command = command(&["up", "--workspace", &named.display().to_string()]);
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let sentence = refusal(output.into());
        assert!(sentence.contains("the engine's socket"), "{}: {sentence}", named.display());
        assert!(!exists("container", NAMES[0]).await);
    }
}
