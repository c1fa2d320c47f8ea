//! The other modes, what is said of each, and what happens where one cannot be had.

use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::v1::Client;
use mhnos_tests::{Setup, eventually, v2};
use serde_json::json;

use super::{Case, assert_all_done, assert_all_refused, writes};

#[tokio::test]
async fn relaxed_reads_what_the_person_can_but_the_token_and_writes_as_strict_and_the_caches() {
    let case = Case::start("relaxed");
    let (folder, pid) = (case.folder.display(), case.runtime.os_pid());
    let allowed = format!(
        r"
for path in ['{folder}/home/.ssh/id', '{folder}/outside/file', '/etc/passwd']:
    attempt(path, lambda: open(path, 'rb').close())
for path in ['/', '{folder}/home', '/var']:
    attempt(path, lambda: os.listdir(path))
for path in [os.environ['npm_config_cache'], os.environ['PIP_CACHE_DIR'], os.environ['HOME'], os.environ['TMPDIR'], '.']:
    attempt(path, lambda: open(path + '/new', 'w').close())
"
    );
    assert_all_done(&case.attempts(&allowed).await, 11);
    assert!(case.folder.join("home/.npm/new").exists() && case.folder.join("home/.cache/pip/new").exists());
    let refused = format!(
        r"
for path in ['{folder}/state/token', '{folder}/state/lock', '/proc/{pid}/environ', '/proc/{pid}/mem', '/proc/{pid}/root{folder}/state/token']:
    attempt(path, lambda: open(path, 'rb').close())
attempt('kill', lambda: os.kill({pid}, 9))
"
    );
    assert_all_refused(&case.attempts(&refused).await, 6);
    assert_all_refused(&case.attempts(&writes(&case)).await, 18);
    let mut client = v2::Client::connect(&case.runtime).await;
    let Reply::Status { status, .. } = client.request(Request::Status).await else { panic!("a status") };
    assert!(status.sandbox_achieved.starts_with("relaxed (Landlock ABI "), "{}", status.sandbox_achieved);
}

#[tokio::test]
async fn what_was_achieved_is_said_in_the_status_the_log_health_and_doctor() {
    for (mode, said) in [("strict", "strict (Landlock ABI "), ("none", "none: limits only")] {
        let case = Case::start(mode);
        let mut client = v2::Client::connect(&case.runtime).await;
        let Reply::Status { status, .. } = client.request(Request::Status).await else { panic!("a status") };
        assert_eq!(status.sandbox, mode);
        assert!(status.sandbox_achieved.starts_with(said), "{}", status.sandbox_achieved);
        for command in ["health", "doctor"] {
            let output = command_line(&case, &["--state-dir", &case.path("state"), command], mode);
            let line = output.lines().find(|line| line.contains("sandbox")).unwrap_or_default();
            assert!(line.contains(said), "{command}: {output}");
            assert_eq!(line.starts_with("warn"), command == "doctor" && mode == "none", "{line}");
        }
        eventually("the log says so", || case.runtime.log().contains(said)).await;
        let warned = case.runtime.log().contains("programs run with all your rights on files");
        assert_eq!(warned, mode == "none", "{}", case.runtime.log());
    }
}

/// What a command of the runtime's executable prints.
fn command_line(case: &Case, arguments: &[&str], mode: &str) -> String {
    let output = std::process::Command::new(mhnos_tests::runtime_program())
        .args(arguments)
        .env("HOME", case.folder.join("home"))
        .env("MHNOS_SANDBOX", mode)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A kernel without Landlock, for one runtime.
fn without_landlock(setup: Setup) -> Setup {
    let calls = "trace=landlock_create_ruleset";
    let answer = "inject=landlock_create_ruleset:error=EOPNOTSUPP";
    // `-D`: the runtime is our child, and the tracer its.
    setup.under("strace", &["-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", calls, "-e", answer])
}

#[tokio::test]
async fn where_it_cannot_be_had_nothing_is_started_unless_the_person_chose_so() {
    for mode in ["strict", "relaxed"] {
        let case = Case::start_with(mode, without_landlock);
        let mut client = Client::connect(&case.runtime).await;
        let request = json!({"type": "spawn", "processType": "shell", "command": "echo", "args": ["ran"]});
        let sentence = client.refusal(request).await;
        assert!(sentence.contains("not switched on at boot: switch it on"), "{sentence}");
        assert!(sentence.contains("--sandbox none") && sentence.contains(mode), "{sentence}");
        let status = client.request(json!({"type": "status"})).await;
        assert_eq!(status["stats"]["totalSpawned"], 0);
        // Files are no matter of it.
        client.push(json!([{"path": "/a", "kind": "file", "content": [120]}])).await;
        let mut client = v2::Client::connect(&case.runtime).await;
        let Reply::Status { status, .. } = client.request(Request::Status).await else { panic!("a status") };
        assert!(
            status.sandbox_achieved.starts_with("no program is started: "),
            "{}",
            status.sandbox_achieved
        );
    }
    let case = Case::start_with("none", without_landlock);
    let mut client = Client::connect(&case.runtime).await;
    let pid = client.spawn("shell", "echo", &["ran"], json!({})).await;
    assert_eq!(client.run(pid).await.stdout, "ran\r\n");
}

#[tokio::test]
async fn a_workspace_that_holds_the_token_starts_nothing() {
    let case = Case::start_with("strict", |setup| {
        let within = setup.folder().join("workspace/state");
        setup.state(&within)
    });
    let mut client = Client::connect(&case.runtime).await;
    let request = json!({"type": "spawn", "processType": "shell", "command": "echo", "args": []});
    let sentence = client.refusal(request).await;
    assert!(
        sentence.contains("the runtime's state folder") && sentence.contains("--workspace"),
        "{sentence}"
    );
}
