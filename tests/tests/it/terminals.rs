//! Shells in terminals, and what every started program finds around it.

use std::collections::BTreeSet;

use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, Setup};
use serde_json::json;

#[tokio::test]
async fn a_terminal_has_100_columns_and_30_rows_until_it_is_resized() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("stty size; while read line; do stty size; done").await;
    client.output_until(pid, "30 100").await;
    client.send(json!({"type": "resize", "pid": pid, "cols": 132, "rows": 43})).await;
    client.send(json!({"type": "write", "pid": pid, "data": "\n"})).await;
    client.output_until(pid, "43 132").await;
    // With an id, an error would be answered; a resize that works is not.
    client.begin(json!({"type": "resize", "pid": pid, "cols": 80, "rows": 24})).await;
    client.send(json!({"type": "write", "pid": pid, "data": "\n"})).await;
    client.output_until(pid, "24 80").await;
    assert!(client.unasked().await.iter().all(|message| message["type"] == "stdout"));
}

#[tokio::test]
async fn a_program_is_told_that_its_terminal_was_resized() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("trap 'stty size' WINCH; sleep 1000 & echo ready; while :; do wait; done").await;
    client.output_until(pid, "ready").await;
    client.send(json!({"type": "resize", "pid": pid, "cols": 132, "rows": 43})).await;
    client.output_until(pid, "43 132").await;
}

#[tokio::test]
async fn a_size_no_terminal_has_is_refused() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("echo up; read line; stty size").await;
    client.output_until(pid, "up").await;
    for (cols, rows) in [(0, 24), (80, 0), (5000, 24), (65535, 65535)] {
        let sentence =
            client.refusal(json!({"type": "resize", "pid": pid, "cols": cols, "rows": rows})).await;
        assert!(sentence.contains("1 to 4096"), "{sentence}");
    }
    for cols in [json!(-1), json!(65536), json!("80"), json!(1.5), json!(null)] {
        let sentence = client.refusal(json!({"type": "resize", "pid": pid, "cols": cols, "rows": 24})).await;
        assert!(sentence.starts_with("resize was not understood"), "{sentence}");
    }
    client.send(json!({"type": "write", "pid": pid, "data": "\n"})).await;
    assert!(client.run(pid).await.stdout.contains("30 100"), "no refused size was set");

    let pid = client.python("import time; time.sleep(1000)").await;
    let sentence = client.refusal(json!({"type": "resize", "pid": pid, "cols": 80, "rows": 24})).await;
    assert!(sentence.contains("has no terminal"), "{sentence}");
}

#[tokio::test]
async fn a_person_can_work_in_an_interactive_shell() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("shell", "/bin/bash", &["--norc"], json!({"cwd": "/"})).await;
    client.send(json!({"type": "write", "pid": pid, "data": "echo $((6 * 7)) $TERM; tty; jobs\r"})).await;
    let text = client.output_until(pid, "/dev/pts/").await;
    assert!(text.contains("42 xterm-256color"), "{text:?}");
    // Job control: stop a program in the foreground, and find it among the jobs.
    client.send(json!({"type": "write", "pid": pid, "data": "sh -c 'echo fore''ground; exec cat'\r"})).await;
    client.output_until(pid, "foreground").await;
    client.send(json!({"type": "write", "pid": pid, "data": "\x1a"})).await;
    client.output_until(pid, "Stopped").await;
    client.send(json!({"type": "write", "pid": pid, "data": "kill %1; exit 7\r"})).await;
    loop {
        let message = client.of(pid).await;
        if message["type"] == "exit" {
            assert_eq!(message["code"], 7);
            break;
        }
        // A shell warns once of jobs that are stopped.
        if message["data"].as_str().unwrap().contains("There are stopped jobs") {
            client.send(json!({"type": "write", "pid": pid, "data": "exit 7\r"})).await;
        }
    }
}

#[tokio::test]
async fn control_c_interrupts_what_runs_in_the_terminal() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("trap 'echo interrupted; exit 5' INT; echo up; while :; do sleep 0.1; done").await;
    client.output_until(pid, "up").await;
    client.send(json!({"type": "write", "pid": pid, "data": "\x03"})).await;
    let run = client.run(pid).await;
    assert!(run.stdout.contains("interrupted"), "{run:?}");
    assert_eq!(run.exit["code"], 5);
}

#[tokio::test]
async fn without_a_command_a_shell_is_the_persons_own() {
    let runtime = Setup::default().allow_origin().env("SHELL", "/bin/sh").start();
    let mut client = Client::connect(&runtime).await;
    for request in [
        json!({"type": "spawn", "processType": "shell"}),
        json!({"type": "spawn", "processType": "shell", "command": "", "args": []}),
        json!({"type": "spawn", "processType": "shell", "command": null, "args": []}),
        // What the published client asks for, on a machine that does not have it there.
        json!({"type": "spawn", "processType": "shell", "command": "/no/such/bin/bash", "args": []}),
    ] {
        let reply = client.request(request.clone()).await;
        assert_eq!(reply["type"], "spawned", "{request}: {reply}");
        let pid = reply["pid"].as_u64().unwrap() as u32;
        client.send(json!({"type": "write", "pid": pid, "data": "echo \"I am <$0>\"; exit\r"})).await;
        client.output_until(pid, "I am </bin/sh>").await;
        client.run(pid).await;
    }
    // Asked for by its path, it is that one.
    let pid = client.spawn("shell", "/bin/bash", &["-c", "echo \"I am $0\""], json!({})).await;
    assert_eq!(client.run(pid).await.stdout, "I am /bin/bash\r\n");
}

#[tokio::test]
async fn a_line_in_place_of_a_command_is_run_by_the_shell() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("shell", "echo a | tr a b", &[], json!({})).await;
    assert_eq!(client.run(pid).await.stdout, "b\r\n");
}

#[tokio::test]
async fn a_program_finds_a_clean_environment_and_what_was_asked_for() {
    let runtime = Setup::default()
        .allow_origin()
        .env("SECRET_OF_THE_PARENT", "do not tell")
        .env("LANG", "C.UTF-8")
        .env("TZ", "Europe/Berlin")
        .start();
    let mut client = Client::connect(&runtime).await;
    let asked = json!({"env": {"ASKED": "ä = b", "EMPTY": "", "HOME": "/elsewhere"}});
    let pid = client.spawn("shell", "env", &[], asked.clone()).await;
    let text = client.run(pid).await.stdout;
    let names: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["ASKED", "EMPTY", "HOME", "LANG", "PATH", "TERM", "TMPDIR", "TZ"]
    );
    for line in ["ASKED=ä = b\r", "EMPTY=\r", "HOME=/elsewhere\r", "LANG=C.UTF-8\r", "TERM=xterm-256color\r"]
    {
        assert!(text.contains(line), "{line:?} in {text:?}");
    }
    // With pipes, the same. Python adds nothing of its own.
    let program = "import os; print(sorted(os.environ), os.environ['TERM'], 'TZ' in os.environ)";
    let pid = client
        .spawn("node", "-p", &["Object.keys(process.env).sort().join() + process.env.TERM"], asked)
        .await;
    let run = client.run(pid).await;
    assert_eq!(run.stdout.trim_end(), "ASKED,EMPTY,HOME,LANG,PATH,TERM,TMPDIR,TZdumb", "{run:?} {program}");
}

#[tokio::test]
async fn an_environment_no_program_can_have_is_refused() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    for env in [json!({"": "x"}), json!({"A=B": "x"}), json!({"A": "a\0b"}), json!({"A\0": "x"})] {
        let sentence = client
            .refusal(
                json!({"type": "spawn", "processType": "shell", "command": "env", "options": {"env": env}}),
            )
            .await;
        assert!(sentence.contains("environment"), "{sentence}");
    }
    for env in [json!({"A": 1}), json!(["A"]), json!("A=1")] {
        let sentence = client
            .refusal(
                json!({"type": "spawn", "processType": "shell", "command": "env", "options": {"env": env}}),
            )
            .await;
        assert!(sentence.starts_with("spawn was not understood"), "{sentence}");
    }
    let large = json!({"A": "x".repeat(1 << 20)});
    let sentence = client
        .refusal(
            json!({"type": "spawn", "processType": "shell", "command": "env", "options": {"env": large}}),
        )
        .await;
    assert!(sentence.contains("pass large data in a file"), "{sentence}");
}

#[tokio::test]
async fn a_program_ends_when_its_time_is_over() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("shell", "sleep", &["1000"], json!({"timeout": 100})).await;
    let exit = client.run(pid).await.exit;
    assert_eq!((exit["code"].as_i64(), exit["signal"].as_str()), (None, Some("SIGTERM")));
    assert!(exit["runtime"].as_u64().unwrap() >= 100);
    // 0 is none at all.
    let pid = client.spawn("shell", "echo", &["done"], json!({"timeout": 0})).await;
    assert_eq!(client.run(pid).await.exit["code"], 0);
}
