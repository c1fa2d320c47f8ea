//! Processes: how they start, how they take input, and that nothing of them lives on when they end.

use std::collections::BTreeSet;

use mhnos_protocol::v2::{ErrorCode, Event, Exit, Member, Process, Reply, Request, Topic};
use mhnos_tests::v2::{self, Client, View};
use mhnos_tests::{Runtime, Setup, eventually, system, v1};
use nix::sys::signal::Signal;
use serde_json::json;

pub(crate) fn kill(pid: u32, grace: u64) -> Request {
    Request::Kill { pid, signal: None, grace: Some(grace) }
}

fn names(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| member.name.as_str()).collect()
}

async fn processes(client: &mut Client) -> Vec<Process> {
    match client.request(Request::List).await {
        Reply::Processes { processes, .. } => processes,
        other => panic!("{other:?}"),
    }
}

/// Numbers of operating-system processes that a program printed, one a line, once there are so many.
pub(crate) async fn printed_pids(client: &mut Client, pid: u32, count: usize) -> Vec<i32> {
    let mut view = View::default();
    loop {
        client.read_frame(pid, &mut view).await;
        let text = String::from_utf8_lossy(&view.bytes);
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let pids: Vec<i32> = whole.split_whitespace().filter_map(|line| line.parse().ok()).collect();
        if pids.len() >= count {
            return pids;
        }
    }
}

/// The end of a process, whatever of its output comes before.
pub(crate) async fn exit(client: &mut Client, pid: u32) -> Exit {
    let fits = |reply: &Reply| matches!(reply, Reply::Exit { pid: of, .. } if *of == pid);
    match client.take_reply("its exit", fits).await {
        Reply::Exit { exit, .. } => exit,
        _ => unreachable!(),
    }
}

/// A double fork into a session of its own, which prints its pid, and closes everything.
pub(crate) const DAEMON: &str = "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        \
    os.write(1, b'%d\\n' % os.getpid())\n        devnull = os.open('/dev/null', os.O_RDWR)\n        \
    [os.dup2(devnull, fd) for fd in (0, 1, 2)]\n        time.sleep(1000)\n    os._exit(0)\nos.wait()\n";

#[tokio::test]
async fn children_left_behind_are_ended_and_reported() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("sleep 1000 & echo $!; sleep 1000 & echo $!; exit 4")).await;
    let children = printed_pids(&mut client, pid, 2).await;
    let exit = exit(&mut client, pid).await;
    assert_eq!((exit.code, exit.reason.as_deref(), exit.drained), (Some(4), None, true));
    // The youngest may not have become what it is to be yet.
    assert!(names(&exit.left_behind).iter().all(|name| ["sleep", "bash"].contains(name)), "{exit:?}");
    assert_eq!(exit.left_behind.iter().map(|member| member.os_pid).collect::<Vec<_>>(), children);
    assert!(exit.survived.is_empty());
    assert!(children.into_iter().all(|child| !system::is_alive(child)));
}

#[tokio::test]
async fn children_are_killed_with_their_parent_and_named() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("sleep 1000 & (sleep 1000 & sleep 1000) & echo $$; wait")).await;
    let parent = printed_pids(&mut client, pid, 1).await[0];
    let mut tree = Vec::new();
    eventually("the tree is there", || {
        tree = system::descendants(parent);
        tree.iter()
            .filter(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
            })
            .count()
            == 3
    })
    .await;
    match client.request(kill(pid, 5000)).await {
        Reply::Killed { signalled, forced, survived, .. } => {
            let signalled: BTreeSet<i32> = signalled.into_iter().map(|member| member.os_pid).collect();
            assert_eq!(signalled, tree.iter().copied().chain([parent]).collect());
            assert!(forced.is_empty() && survived.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert!(tree.into_iter().all(|member| !system::is_alive(member)), "gone by the time of the answer");
    let exit = exit(&mut client, pid).await;
    assert_eq!(exit.signal.map(|signal| (signal.number, signal.name)), Some((15, "SIGTERM".into())));
    assert_eq!(exit.reason.as_deref(), Some("it was asked to end"));
}

#[tokio::test]
async fn a_program_that_ignores_the_signal_is_forced_after_the_grace_and_named() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("trap '' TERM HUP; echo $$; while :; do sleep 1000; done")).await;
    let parent = printed_pids(&mut client, pid, 1).await[0];
    match client.request(kill(pid, 100)).await {
        Reply::Killed { signalled, forced, survived, .. } => {
            assert!(names(&signalled).contains(&"bash"));
            assert!(
                forced.iter().any(|member| member.os_pid == parent && member.name == "bash"),
                "{forced:?}"
            );
            assert!(survived.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert!(!system::is_alive(parent));
    assert_eq!(exit(&mut client, pid).await.signal.map(|signal| signal.number), Some(9));
}

#[tokio::test]
async fn a_second_kill_may_shorten_the_grace() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("trap '' TERM; echo $$; while :; do sleep 1000; done")).await;
    printed_pids(&mut client, pid, 1).await;
    let patient = client.begin(kill(pid, 60_000)).await;
    let at_once = client.begin(Request::Kill { pid, signal: Some("SIGKILL".into()), grace: None }).await;
    for number in [patient, at_once] {
        assert!(matches!(client.answer(number).await, Reply::Killed { .. }));
    }
}

#[tokio::test]
async fn a_daemon_does_not_escape() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    // Left behind by a program that ends.
    let pid = client.spawn(v2::python(DAEMON, &[])).await;
    let daemon = printed_pids(&mut client, pid, 1).await[0];
    let ended = exit(&mut client, pid).await;
    assert_eq!(ended.left_behind.iter().map(|member| member.os_pid).collect::<Vec<_>>(), [daemon]);
    assert!(!system::is_alive(daemon));
    // Killed with a program that runs.
    let pid = client.spawn(v2::python(&format!("{DAEMON}\ntime.sleep(1000)"), &[])).await;
    let daemon = printed_pids(&mut client, pid, 1).await[0];
    match client.request(kill(pid, 5000)).await {
        Reply::Killed { signalled, .. } => {
            assert!(signalled.iter().any(|member| member.os_pid == daemon), "{signalled:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!system::is_alive(daemon));
}

#[tokio::test]
async fn a_program_that_closes_its_output_is_still_listed_and_can_be_killed() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let closing = "exec </dev/null >/dev/null 2>&1; touch closed; sleep 1000";
    for spawn in [v2::bash(&format!("echo $$; {closing}")), v2::terminal(&format!("echo $$; {closing}"))] {
        let pid = client.spawn(spawn).await;
        let os_pid = printed_pids(&mut client, pid, 1).await[0];
        let closed = runtime.workspace().join("closed");
        eventually("it has closed its output", || closed.exists()).await;
        std::fs::remove_file(closed).unwrap();
        let listed = processes(&mut client).await;
        assert!(listed.iter().any(|process| process.pid == pid && process.exit.is_none()));
        assert!(matches!(client.request(kill(pid, 5000)).await, Reply::Killed { .. }));
        assert!(!system::is_alive(os_pid));
        let exit = exit(&mut client, pid).await;
        assert!(exit.drained);
    }
}

#[tokio::test]
async fn a_background_job_that_holds_the_terminal_open_does_not_hold_up_the_exit() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    // A job of its own process group, which the hang-up of the terminal does not end.
    let pid = client
        .spawn(v2::terminal("set -m; (trap '' HUP; echo $BASHPID; while :; do sleep 1000; done) & wait"))
        .await;
    let job = printed_pids(&mut client, pid, 1).await[0];
    let shell = processes(&mut client).await[0].os_pid;
    system::signal(shell, Signal::SIGKILL);
    let exit = exit(&mut client, pid).await;
    assert_eq!(exit.signal.map(|signal| signal.number), Some(9));
    assert_eq!(exit.reason, None);
    assert!(exit.left_behind.iter().any(|member| member.os_pid == job), "{:?}", exit.left_behind);
    assert!(exit.drained && !system::is_alive(job));
}

#[tokio::test]
async fn a_kill_of_what_is_dead_or_never_was_names_it() {
    let runtime = Runtime::start();
    let mut client = v1::Client::connect(&runtime).await;
    let pid = client.spawn("shell", "false", &[], json!({})).await;
    client.run(pid).await;
    let sentence = client.refusal(json!({"type": "kill", "pid": pid})).await;
    assert_eq!(sentence, format!("process {pid} has already ended with exit code 1"));
    let sentence = client.refusal(json!({"type": "kill", "pid": 4711})).await;
    assert!(sentence.contains("4711"), "{sentence}");
    let pid = client.spawn("shell", "sleep", &["1000"], json!({})).await;
    client.request(json!({"type": "kill", "pid": pid, "signal": "SIGINT"})).await;
    let sentence = client.refusal(json!({"type": "kill", "pid": pid})).await;
    assert_eq!(sentence, format!("process {pid} has already ended by SIGINT"));
}

#[tokio::test]
async fn what_cannot_be_executed_is_refused_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;
    let runtime = Runtime::start();
    let path = runtime.write("broken", "#!/no/such/interpreter\n");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut client = v1::Client::connect(&runtime).await;
    let request =
        json!({"type": "spawn", "processType": "shell", "command": "/workspace/broken", "args": ["x"]});
    let sentence = client.refusal(request).await;
    assert!(sentence.contains("broken could not be started"), "{sentence}");
    let status = client.request(json!({"type": "status"})).await;
    assert_eq!(status["stats"], json!({"totalSpawned": 0, "totalKilled": 0, "active": 0}));
    // The next one starts.
    let pid = client.spawn("shell", "true", &[], json!({})).await;
    assert_eq!(client.run(pid).await.exit["code"], 0);
}

#[tokio::test]
async fn a_program_that_is_not_installed_is_named_with_what_to_do() {
    // `true` as the login shell adds nothing to the path.
    let runtime = Setup::default()
        .allow_origin()
        .arg("--allow-openclaw")
        .env("PATH", "/nowhere")
        .env("SHELL", "/bin/true")
        .start();
    runtime.write("a.capnp", "");
    let mut client = v1::Client::connect(&runtime).await;
    for (kind, command, wanted) in [
        ("workerd", "/a.capnp", "workerd is not installed: npm install -g workerd"),
        ("node", "a.js", "node is not installed: "),
        ("python", "a.py", "python3 is not installed: "),
        ("openclaw", "gateway", "openclaw is not installed: npm install -g openclaw"),
        ("shell", "no-such-program", "no-such-program is not installed: "),
    ] {
        let sentence = client
            .refusal(json!({"type": "spawn", "processType": kind, "command": command, "args": ["x"]}))
            .await;
        assert!(sentence.starts_with(wanted), "{sentence}");
    }
    let mut client = Client::connect(&runtime).await;
    let (code, _) = client.refusal(Request::Spawn(v2::python("", &[]))).await;
    assert_eq!(code, ErrorCode::NotInstalled);
}

#[tokio::test]
async fn a_time_limit_ends_the_tree_and_says_so() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let mut spawn = v2::bash("sleep 1000 & sleep 1000");
    spawn.timeout = Some(50);
    let (_, exit) = client.run(spawn).await;
    assert_eq!(exit.reason.as_deref(), Some("its time limit passed"));
    assert_eq!(exit.signal.map(|signal| signal.number), Some(15));
    let mut spawn = v2::terminal("echo done");
    spawn.timeout = Some(u64::MAX);
    let (view, exit) = client.run(spawn).await;
    assert_eq!((view.bytes.as_slice(), exit.code), (&b"done\r\n"[..], Some(0)));
}

#[tokio::test]
async fn a_tree_that_uses_too_much_memory_is_ended_and_says_so() {
    let runtime = Setup::default().allow_origin().arg("--max-memory=256m").start();
    let mut client = Client::connect(&runtime).await;
    // Each is below the limit, all together are not.
    let eaters = "import os, time\nfor _ in range(4):\n    if os.fork() == 0: break\nmemory = bytearray(100 << 20)\ntime.sleep(1000)";
    let (_, exit) = client.run(v2::python(eaters, &[])).await;
    let reason = exit.reason.expect("the runtime ended it");
    assert!(reason.contains("memory") && reason.contains("--max-memory"), "{reason}");
    // The others live on, and so does the runtime.
    let (view, _) = client.run(v2::terminal("echo alive")).await;
    assert_eq!(view.bytes, b"alive\r\n");
}

#[tokio::test]
async fn a_single_program_that_eats_memory_is_ended_and_says_so() {
    let runtime = Setup::default().allow_origin().arg("--max-memory=256m").start();
    let mut client = Client::connect(&runtime).await;
    let python = v2::python("pieces = []\nwhile True: pieces.append(bytearray(1 << 20))", &[]);
    let node = mhnos_protocol::v2::Spawn {
        kind: mhnos_protocol::ProcessKind::Node,
        command: Some("-e".into()),
        args: vec!["const pieces = []; while (true) pieces.push(Buffer.alloc(1 << 20, 1))".into()],
        ..v2::python("", &[])
    };
    for spawn in [python, node] {
        let (_, exit) = client.run(spawn).await;
        let reason = exit.reason.expect("the runtime ended it");
        assert!(reason.contains("memory") && reason.contains("--max-memory"), "{reason}");
    }
}

#[tokio::test]
async fn so_many_processes_and_no_more() {
    let runtime = Setup::default().allow_origin().arg("--max-processes=2").start();
    let mut client = Client::connect(&runtime).await;
    let first = client.spawn(v2::terminal("sleep 1000")).await;
    client.spawn(v2::terminal("sleep 1000")).await;
    let (code, sentence) = client.refusal(Request::Spawn(v2::terminal("true"))).await;
    assert_eq!(code, ErrorCode::Limit);
    assert!(sentence.starts_with("2 processes run already"), "{sentence}");
    assert!(matches!(client.request(kill(first, 5000)).await, Reply::Killed { .. }));
    client.spawn(v2::terminal("true")).await;
}

#[tokio::test]
async fn whoever_sees_an_exit_may_start_another_in_its_place_at_once() {
    let runtime = Setup::default().allow_origin().arg("--max-processes=1").start();
    let mut client = Client::connect(&runtime).await;
    for _ in 0..20 {
        let (_, exit) = client.run(v2::terminal("true")).await;
        assert_eq!(exit.code, Some(0));
        let pid = client.spawn(v2::terminal("exec sleep 1000")).await;
        assert!(matches!(client.request(kill(pid, 5000)).await, Reply::Killed { .. }));
    }
    match client.request(Request::Status).await {
        Reply::Status { status, .. } => {
            let counts = status.counts;
            assert_eq!((counts.total_spawned, counts.total_killed, counts.active), (40, 20, 0));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn input_that_was_never_read_is_forgotten_with_its_program() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let before = system::resident(runtime.os_pid());
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        let pid = client.spawn(v2::terminal("stty raw -echo; echo up; exec sleep 1000")).await;
        client.output_until(pid, &mut View::default(), "up").await;
        for _ in 0..7 {
            client.send_input(pid, &piece).await;
        }
        assert!(matches!(client.request(kill(pid, 5000)).await, Reply::Killed { .. }));
    }
    let grown = || system::resident(runtime.os_pid()).saturating_sub(before);
    eventually("of 140 MiB, less than half is still held", || grown() < 70 << 20).await;
}

#[tokio::test]
async fn cpu_and_memory_are_told_while_it_runs() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    client.request(Request::Subscribe { topics: vec![Topic::Processes] }).await;
    let mut spawn = v2::python("memory = bytearray(50 << 20)\nwhile True: pass", &[]);
    spawn.credit = None;
    let pid = client.spawn(spawn).await;
    let started = client
        .take_reply("processStarted", |reply| {
            matches!(reply, Reply::Event { event: Event::ProcessStarted { .. } })
        })
        .await;
    let Reply::Event { event: Event::ProcessStarted { process } } = started else { unreachable!() };
    assert_eq!((process.pid, process.terminal, process.exit), (pid, false, None));
    let busy = |reply: &Reply| {
        matches!(reply, Reply::Event { event: Event::ProcessChanged { pid: of, cpu, memory, members } }
            if *of == pid && *cpu > 5.0 && *memory > 50 << 20 && *members >= 1)
    };
    client.take_reply("a busy process", busy).await;
    let listed = processes(&mut client).await;
    assert!(listed[0].memory > 50 << 20 && listed[0].members >= 1, "{listed:?}");
    client.request(kill(pid, 5000)).await;
    let ended = client
        .take_reply("processEnded", |reply| {
            matches!(reply, Reply::Event { event: Event::ProcessEnded { .. } })
        })
        .await;
    let Reply::Event { event: Event::ProcessEnded { process } } = ended else { unreachable!() };
    assert_eq!(process.exit.unwrap().signal.unwrap().name, "SIGTERM");
}

#[tokio::test]
async fn input_that_is_not_read_is_refused_at_the_bound_and_hangs_nothing() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("echo up; exec sleep 1000")).await;
    client.output_until(pid, &mut View::default(), "up").await;
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..12 {
        client.send_input(pid, &piece).await;
    }
    let refused = client.take_reply("a refusal", |reply| matches!(reply, Reply::Error { .. })).await;
    let Reply::Error { code, error, .. } = refused else { unreachable!() };
    assert_eq!(code, ErrorCode::Limit);
    assert!(error.contains(&pid.to_string()) && error.contains("has not read its input"), "{error}");
    client.still_works().await;
    // 1.x: typed without an id there is no answer, with one there is.
    let mut old = v1::Client::connect_with_token(&runtime).await;
    let sentence = old.refusal(json!({"type": "write", "pid": pid, "data": "x".repeat(1 << 20)})).await;
    assert!(sentence.contains("has not read its input"), "{sentence}");
    assert!(matches!(client.request(kill(pid, 5000)).await, Reply::Killed { .. }));
}

#[tokio::test]
async fn a_frame_of_input_may_not_be_larger_than_its_bound() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn(v2::bash("wc -c")).await;
    client.send_input(pid, &vec![b'x'; (1 << 20) + 1]).await;
    let refused = client.take_reply("a refusal", |reply| matches!(reply, Reply::Error { .. })).await;
    assert!(matches!(refused, Reply::Error { code: ErrorCode::Limit, .. }), "{refused:?}");
    client.send_input(pid, &vec![b'x'; 1 << 20]).await;
    client.done(Request::CloseInput { pid }).await;
    let mut view = View::default();
    client.read_to_end(pid, &mut view).await;
    assert_eq!(
        String::from_utf8_lossy(&view.bytes).trim(),
        "1048576",
        "nothing of what was refused came through"
    );
}

#[tokio::test]
async fn the_end_of_input_reaches_pipes_and_terminals() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    for (spawn, expected) in [
        (v2::bash("cat; echo over"), "a\nover\n"),
        (v2::terminal("stty -echo; echo up; cat; echo over"), "up\r\na\r\nover\r\n"),
    ] {
        let in_terminal = expected.starts_with("up");
        let pid = client.spawn(spawn).await;
        let mut view = View::default();
        if in_terminal {
            client.output_until(pid, &mut view, "up\r\n").await;
        }
        client.send_input(pid, b"a\n").await;
        client.output_until(pid, &mut view, "a").await;
        client.done(Request::CloseInput { pid }).await;
        let exit = client.read_to_end(pid, &mut view).await;
        assert_eq!((String::from_utf8_lossy(&view.bytes).as_ref(), exit.code), (expected, Some(0)));
    }
    // What was closed is closed.
    let pid = client.spawn(v2::bash("cat >/dev/null; echo over; sleep 1000")).await;
    client.done(Request::CloseInput { pid }).await;
    client.output_until(pid, &mut View::default(), "over").await;
    let (code, sentence) = client.refusal(Request::CloseInput { pid }).await;
    assert_eq!((code, sentence.contains(&pid.to_string())), (ErrorCode::Ended, true));
    client.send_input(pid, b"x").await;
    let refused = client.take_reply("a refusal", |reply| matches!(reply, Reply::Error { .. })).await;
    assert!(matches!(refused, Reply::Error { code: ErrorCode::Ended, .. }), "{refused:?}");
}
