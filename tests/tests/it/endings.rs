//! The end of the bridge, in good order or not, and of its helpers: no program lives on, no file is half.

use mhnos_tests::v2::{self, Client, View};
use mhnos_tests::{Runtime, eventually, system, v1, within};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::processes::{DAEMON, exit, kill, printed_pids};

#[tokio::test]
async fn a_bridge_that_is_killed_leaves_no_program_alive() {
    let mut runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client
        .spawn(v2::python(&format!("{DAEMON}\nos.write(1, b'%d\\n' % os.getpid())\ntime.sleep(1000)"), &[]))
        .await;
    let mut doomed = printed_pids(&mut client, pid, 2).await;
    let stubborn = "trap '' TERM HUP INT; setsid bash -c 'trap \"\" TERM HUP; echo $$; sleep 1000; sleep 1000' & echo $$; wait; sleep 1000";
    for spawn in [v2::bash(stubborn), v2::terminal(stubborn)] {
        let pid = client.spawn(spawn).await;
        doomed.extend(printed_pids(&mut client, pid, 2).await);
    }
    let descendants = system::descendants(runtime.os_pid());
    assert!(doomed.iter().all(|os_pid| descendants.contains(os_pid)), "{doomed:?} {descendants:?}");
    runtime.stop(Signal::SIGKILL).await;
    // Guards, spawner, programs and all they started.
    eventually("nothing of it lives on", || descendants.iter().all(|&os_pid| !system::is_alive(os_pid)))
        .await;
}

#[tokio::test]
async fn a_bridge_that_is_killed_in_a_push_leaves_each_file_whole() {
    let mut runtime = Runtime::start();
    let path = runtime.write("f", vec![0; 2_000_000]);
    let mut client = v1::Client::connect(&runtime).await;
    for number in 1..=8 {
        // Not waited for: the runtime is busy with them when it dies.
        client
            .begin(json!({"type": "fsync", "operation": "push", "files": [
                {"path": "/f", "kind": "file", "content": vec![number; 2_000_000]},
                {"path": format!("/new/{number}"), "kind": "file", "content": vec![number; 1000]},
            ]}))
            .await;
    }
    client.take("the first answer", |message| message["type"] == "fsyncResult").await;
    runtime.stop(Signal::SIGKILL).await;
    let content = std::fs::read(path).unwrap();
    assert_eq!(content.len(), 2_000_000);
    assert!(content.iter().all(|byte| *byte == content[0]), "wholly one version");
    for entry in std::fs::read_dir(runtime.workspace().join("new")).unwrap() {
        let entry = entry.unwrap();
        assert!(
            entry.file_name().to_str().unwrap().parse::<u8>().is_ok(),
            "nothing unfinished is left: {entry:?}"
        );
        assert_eq!(entry.metadata().unwrap().len(), 1000);
    }
    assert_eq!(runtime.names().len(), 2);
}

#[tokio::test]
async fn a_bridge_that_is_stopped_ends_all_programs_and_says_which() {
    let mut runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let mut old = v1::Client::connect(&runtime).await;
    let mut doomed = Vec::new();
    let mut pids = Vec::new();
    for spawn in [
        v2::bash("trap 'echo bye; exit 3' TERM; echo $$; while :; do sleep 0.1; done"),
        v2::terminal("echo $$; sleep 1000"),
    ] {
        let pid = client.spawn(spawn).await;
        doomed.extend(printed_pids(&mut client, pid, 1).await);
        pids.push(pid);
    }
    let shell = old.bash("echo up; sleep 1000").await;
    old.output_until(shell, "up").await;
    let status = runtime.stop(Signal::SIGTERM).await;
    assert_eq!(status.code(), Some(0));
    assert!(doomed.into_iter().all(|os_pid| !system::is_alive(os_pid)));
    // Who is connected sees their end first, then the goodbye.
    let ended = exit(&mut client, pids[0]).await;
    assert_eq!((ended.code, ended.reason.as_deref()), (Some(3), Some("the runtime was stopped")));
    assert_eq!(exit(&mut client, pids[1]).await.reason.as_deref(), Some("the runtime was stopped"));
    assert_eq!(old.run(shell).await.exit["type"], "exit");
    assert_eq!(client.closed().await, Some((1001, "the runtime was stopped".into())));
    assert_eq!(old.closed().await.map(|(code, _)| code), Some(1001));
    let log = runtime.log();
    for pid in pids.into_iter().chain([shell]) {
        assert!(
            log.lines().any(|line| line.contains("ended") && line.contains(&format!("pid={pid}"))),
            "{log}"
        );
    }
    assert!(!runtime.state().join("runtime.json").exists());
}

#[tokio::test]
async fn a_stop_ends_what_ignores_it_too() {
    let mut runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("trap '' TERM HUP; echo $$; while :; do sleep 1000; done")).await;
    let stubborn = printed_pids(&mut client, pid, 1).await[0];
    let status = runtime.stop(Signal::SIGINT).await;
    assert_eq!(status.code(), Some(0));
    assert!(!system::is_alive(stubborn));
}

#[tokio::test]
async fn a_program_whose_guard_is_killed_is_reported_and_does_not_live_on() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("sleep 1000 & echo $!; echo $$; setsid sleep 1000 & wait")).await;
    let printed = printed_pids(&mut client, pid, 2).await;
    let tree = system::descendants(printed[1]);
    let guard = system::parent(printed[1]).unwrap();
    assert_ne!(guard, runtime.os_pid());
    system::signal(guard, Signal::SIGKILL);
    let exit = exit(&mut client, pid).await;
    assert_eq!(exit.reason.as_deref(), Some("its guard was killed"));
    eventually("the program itself is gone", || !system::is_alive(printed[1])).await;
    eventually("what it started is gone", || tree.iter().all(|&os_pid| !system::is_alive(os_pid))).await;
    client.spawn(v2::terminal("true")).await;
}

#[tokio::test]
async fn after_the_death_of_the_spawner_programs_start_as_before() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("echo $$; cat")).await;
    let program = printed_pids(&mut client, pid, 1).await[0];
    let spawner = system::parent(system::parent(program).unwrap()).unwrap();
    assert_eq!(system::parent(spawner), Some(runtime.os_pid()));
    system::signal(spawner, Signal::SIGKILL);
    eventually("it is dead", || !system::is_alive(spawner)).await;
    for _ in 0..4 {
        let (view, _) = client.run(v2::terminal("echo again")).await;
        assert_eq!(view.bytes, b"again\r\n");
    }
    // What ran before still does, and is still held.
    client.send_input(pid, b"still here\n").await;
    client.output_until(pid, &mut View { from: 0, ..View::default() }, "").await;
    within("it is ended", client.request(kill(pid, 5000))).await;
    assert!(!system::is_alive(program));
}
