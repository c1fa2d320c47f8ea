//! What must work in the sandbox `strict`. What installs packages is in `heavy`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, Setup, within};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{Case, assert_all_done};

#[tokio::test]
async fn a_program_writes_its_workspace_its_own_home_and_its_own_temporary_folder() {
    let case = Case::start("strict");
    let lines = case
        .attempts(
            r"
import subprocess, tempfile
home, scratch = os.path.expanduser('~'), tempfile.gettempdir()
attempt('workspace', lambda: open('a', 'w').close())
attempt('folders', lambda: os.makedirs('x/y'))
attempt('rename between folders', lambda: os.rename('a', 'x/y/a'))
attempt('hard link between folders', lambda: os.link('x/y/a', 'b'))
attempt('home', lambda: open(home + '/.config', 'w').close())
attempt('temporary', lambda: tempfile.NamedTemporaryFile().close())
attempt('socket', lambda: socket.socket(socket.AF_UNIX).bind(scratch + '/socket'))
attempt('shared memory', lambda: __import__('multiprocessing').Lock())
for device in ['null', 'zero', 'full', 'random', 'urandom']:
    attempt(device, lambda: open('/dev/' + device, 'rb').close())
attempt('write to null', lambda: open('/dev/null', 'w').write('x'))
open('program', 'w').write('#!/bin/sh\nexit 0\n'); os.chmod('program', 0o755)
attempt('run', lambda: subprocess.run(['./program'], check=True))
open('where', 'w').write(home + '\n' + scratch)
",
        )
        .await;
    assert_all_done(&lines, 15);
    let state = case.runtime.state().canonicalize().unwrap();
    let at = fs::read_to_string(case.runtime.workspace().join("where")).unwrap();
    assert_eq!(at, format!("{}\n{}", state.join("home").display(), state.join("scratch/tmp").display()));
    for folder in ["home", "scratch/tmp"] {
        assert_eq!(fs::metadata(state.join(folder)).unwrap().permissions().mode() & 0o777, 0o700, "{folder}");
    }
}

#[tokio::test]
async fn a_program_signals_and_traces_its_own_tree() {
    let case = Case::start("strict");
    let program = r"
import resource, signal, subprocess
attempt('own limits', lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
attempt('read limits', lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE))
child = subprocess.Popen(['sleep', '1000'], start_new_session=True)
attempt('stop', lambda: os.kill(child.pid, signal.SIGSTOP))
attempt('look', lambda: open(f'/proc/{child.pid}/environ', 'rb').close())
attempt('seize', lambda: call(libc.ptrace, 0x4206, child.pid, 0, 0))
attempt('kill', lambda: os.kill(child.pid, signal.SIGKILL))
print('did end by', -child.wait())
";
    let lines = case.attempts(program).await;
    assert_all_done(&lines, 7);
    assert_eq!(lines[6], "did end by 9");
}

#[tokio::test]
async fn the_temporary_folder_is_emptied_at_the_next_start_and_the_home_is_kept() {
    let state = tempfile::tempdir().unwrap();
    let start = || Setup::default().allow_origin().state(state.path()).start();
    let mut runtime = start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("echo a > $TMPDIR/file; echo b > ~/file").await;
    client.run(pid).await;
    assert!(runtime.state().join("scratch/tmp/file").exists());
    runtime.stop(Signal::SIGTERM).await;
    let runtime = start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.bash("cat $TMPDIR/file; cat ~/file").await;
    let text = client.run(pid).await.stdout;
    assert!(text.contains("No such file") && text.contains("b\r\n"), "{text}");
}

#[tokio::test]
async fn a_person_works_in_vim_and_with_jobs_in_the_sandbox() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let pid = client.spawn("shell", "/bin/bash", &["--norc"], json!({"cwd": "/"})).await;
    let keys = async |client: &mut Client, keys: &str| {
        client.send(json!({"type": "write", "pid": pid, "data": keys})).await;
    };
    keys(&mut client, "vi note.txt\r").await;
    // The first line of an empty buffer: it has drawn its screen.
    client.output_until(pid, "~").await;
    // Not by the escape key, which is told from the beginning of a longer sequence by time alone.
    keys(&mut client, ":a\rhello from vim\r.\r").await;
    // A full-screen program is told of a new size, and asks the terminal for it.
    client.send(json!({"type": "resize", "pid": pid, "cols": 120, "rows": 40})).await;
    keys(&mut client, ":w\r").await;
    client.output_until(pid, "written").await;
    // Into the background, and back.
    keys(&mut client, "\x1a").await;
    client.output_until(pid, "Stopped").await;
    keys(&mut client, "jobs; stty size\r").await;
    client.output_until(pid, "40 120").await;
    keys(&mut client, "fg\r").await;
    client.output_until(pid, "hello from vim").await;
    keys(&mut client, ":q\r").await;
    // What is typed before the prompt is there, vim would take for itself.
    client.output_until(pid, "bash-").await;
    // A terminal of a program's own, within the terminal.
    let own = "python3 -c 'import pty; pty.spawn([\"/bin/sh\", \"-c\", \"tty; stty size; echo in''side\"])'; exit 3\r";
    keys(&mut client, own).await;
    client.output_until(pid, "inside").await;
    let run = within("the shell ends", client.run(pid)).await;
    assert_eq!(run.exit["code"], 3, "{run:?}");
    let note = fs::read_to_string(runtime.workspace().join("note.txt")).unwrap();
    assert_eq!(note, "hello from vim\n");
}

#[tokio::test]
async fn git_clones_commits_and_pushes() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let script = "set -e; git config --global user.name Me; git config --global user.email me@example.org
        git init -q -b main origin; cd origin; echo one > file; git add file; git commit -qm one
        git config receive.denyCurrentBranch ignore; cd ..
        git clone -q origin copy; cd copy; cat file; echo two > file; git commit -qam two; git push -q
        git --no-pager -C ../origin log --format=%s";
    let pid = client.bash(script).await;
    let run = client.run(pid).await;
    assert_eq!(
        (run.exit["code"].as_i64(), run.stdout.as_str()),
        (Some(0), "one\r\ntwo\r\none\r\n"),
        "{run:?}"
    );
}
