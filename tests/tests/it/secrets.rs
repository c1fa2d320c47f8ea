//! The token and the files of the state folder: for their owner alone, and in no log.

use std::os::unix::fs::{PermissionsExt, symlink};

use mhnos_protocol::v2::{Reply, Request, Topic};
use mhnos_tests::http::{exchange_on, handshake};
use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, Setup, v2};
use serde_json::{Value, json};

#[tokio::test]
async fn a_planted_token_is_refused_and_what_it_points_to_stays() {
    let plant = |planted: &dyn Fn(&std::path::Path, &std::path::Path)| {
        let setup = Setup::default();
        let state = setup.folder().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
        let victim = setup.folder().join("victim");
        std::fs::write(&victim, "a".repeat(64)).unwrap();
        planted(&state.join("token"), &victim);
        let absent = setup.folder().join("absent");
        let Err(refused) = setup.try_start() else { panic!("a planted token was used") };
        assert!(refused.said.contains("token"), "{refused:?}");
        assert!(!absent.exists());
        refused
    };
    let refused = plant(&|token, victim| symlink(victim, token).unwrap());
    assert!(refused.said.contains("symbolic link"), "{refused:?}");
    plant(&|token, victim| symlink(victim.with_file_name("absent"), token).unwrap());
    plant(&|token, victim| std::fs::hard_link(victim, token).unwrap());
    let refused = plant(&|token, victim| {
        std::fs::copy(victim, token).unwrap();
        std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o644)).unwrap();
    });
    assert!(refused.said.contains("open to other users"), "{refused:?}");
    plant(&|token, _| std::fs::create_dir(token).unwrap());
    plant(&|token, _| std::fs::write(token, "").unwrap());
}

#[tokio::test]
async fn the_state_is_for_its_owner_alone() {
    let runtime = Runtime::start();
    let mode = |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(runtime.state().to_owned()), 0o700);
    assert_eq!(mode(runtime.state().join("token")), 0o600);
    assert_eq!(runtime.token().len(), 64);
}

#[tokio::test]
async fn the_token_is_kept_over_a_restart_and_is_in_no_log_and_no_answer() {
    let mut runtime = Setup::default().allow_origin().arg("--log-level=trace").start();
    let token = runtime.token();
    let mut control = v2::Client::connect(&runtime).await;
    let reply = control.request(Request::Subscribe { topics: vec![Topic::Log, Topic::Processes] }).await;
    assert!(matches!(reply, Reply::Processes { .. }));
    let (view, _) = control.run(v2::terminal("env; cat /proc/self/cmdline")).await;
    assert!(!String::from_utf8_lossy(&view.bytes).contains(&token));
    let status = control.request(Request::Status).await;
    assert!(!format!("{status:?}{:?}", control.welcome).contains(&token));
    let (answer, _) = exchange_on("::1".parse().unwrap(), runtime.port(), handshake(&[])).await;
    assert!(!format!("{answer:?}").contains(&token));
    runtime.stop(nix::sys::signal::Signal::SIGTERM).await;
    let logs = runtime.log() + &runtime.log_files();
    assert!(logs.contains("spawned") && !logs.contains(&token));
    assert_eq!(runtime.token(), token);
}

#[tokio::test]
async fn the_log_file_holds_what_happened() {
    let mut runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("shell", "true", &[], json!({})).await;
    client.run(pid).await;
    runtime.stop(nix::sys::signal::Signal::SIGTERM).await;
    let lines: Vec<Value> =
        runtime.log_files().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert!(lines.iter().any(|line| line["fields"]["message"] == "spawned" && line["fields"]["pid"] == pid));
}
