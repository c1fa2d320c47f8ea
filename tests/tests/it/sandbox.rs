//! What started programs may touch: programs that try what they must not, in the sandbox `strict` and, to show that they would
//! succeed, without it.
//!
//! What works in it is in [`working`] and [`heavy`], and every other test of this suite runs in it too; [`modes`] is about the others, and
//! about what is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, Setup, http, system, v2};
use serde_json::json;

mod heavy;
mod modes;
mod working;

/// Says of each attempt whether it was made or refused. A name is given twice where more than one way leads to it.
const ATTEMPT: &str = r"
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try:
        action()
        print('did', name, flush=True)
    except OSError as error:
        print('refused', name, errno.errorcode.get(error.errno, error), flush=True)
def call(function, *arguments):
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), 'refused')
";

/// A runtime, and a home of a person who keeps secrets in it.
struct Case {
    runtime: Runtime,
    folder: PathBuf,
}

impl Case {
    fn start(mode: &str) -> Self {
        Self::start_with(mode, |setup| setup)
    }

    fn start_with(mode: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = Setup::default().allow_origin().arg(format!("--sandbox={mode}"));
        let folder = setup.folder().canonicalize().unwrap();
        for (path, content) in [
            ("home/.ssh/id", "the key"),
            ("home/.npm/_cacache/x", "cached"),
            ("home/.cache/pip/x", "cached"),
            ("outside/file", "as it was"),
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Self { runtime: change(setup).start(), folder }
    }

    fn path(&self, path: &str) -> String {
        self.folder.join(path).display().to_string()
    }

    /// Runs attempts, and returns one line for each.
    async fn attempts(&self, program: &str) -> Vec<String> {
        let mut client = Client::connect(&self.runtime).await;
        let pid = client.python(&format!("{ATTEMPT}{program}")).await;
        let run = client.run(pid).await;
        assert_eq!(run.exit["code"], 0, "{run:?}");
        run.stdout.lines().map(str::to_owned).collect()
    }
}

/// All were refused, and not for want of what they were about.
fn assert_all_refused(lines: &[String], count: usize) {
    assert_eq!(lines.len(), count, "{lines:#?}");
    for line in lines {
        let refused = ["EACCES", "EPERM", "EXDEV"].iter().any(|error| line.ends_with(error));
        assert!(line.starts_with("refused ") && refused, "{line}: {lines:#?}");
    }
}

fn assert_all_done(lines: &[String], count: usize) {
    assert_eq!(lines.len(), count, "{lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with("did ")), "{lines:#?}");
}

/// Whether programs of one user may look into each other on this machine, sandbox or not.
fn may_trace() -> bool {
    let restricted =
        fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() != "0");
    if restricted {
        eprintln!(
            "not shown: that these would succeed without a sandbox, because of kernel.yama.ptrace_scope"
        );
    }
    !restricted
}

/// Reads the person's key, the token and the log of the runtime, by every name they have.
fn reads(case: &Case) -> String {
    let (folder, pid) = (case.folder.display(), case.runtime.os_pid());
    format!(
        r"
os.symlink('{folder}/home/.ssh/id', 'link')
os.symlink('{folder}/home', 'links')
for path in ['{folder}/home/.ssh/id', '../home/.ssh/id', 'link', 'links/.ssh/id', '{folder}/state/token',
             '/proc/self/cwd/../state/token', '/proc/{pid}/root{folder}/state/token', '/proc/{pid}/environ', '/proc/{pid}/mem',
             '/proc/{pid}/maps', '/proc/{pid}/fd/0']:
    attempt(path, lambda: open(path, 'rb').close())
for path in ['{folder}/home', '{folder}/home/.ssh', '{folder}/state', '{folder}/state/logs', '/', '/tmp']:
    attempt(path, lambda: os.listdir(path))
"
    )
}

#[tokio::test]
async fn the_persons_files_and_the_token_cannot_be_read() {
    let case = Case::start("strict");
    assert_all_refused(&case.attempts(&reads(&case)).await, 17);
    if may_trace() {
        let case = Case::start("none");
        assert_all_done(&case.attempts(&reads(&case)).await, 17);
    }
}

/// Changes what is outside, in every way there is: what is made, removed, emptied, replaced.
fn writes(case: &Case) -> String {
    let folder = case.folder.display();
    format!(
        r"
home, outside = '{folder}/home', '{folder}/outside'
for path in [home + '/new', outside + '/new', outside + '/file', '{folder}/state/new', '/tmp/mhnos-test-new', '/var/tmp/mhnos-test-new']:
    attempt(path, lambda: open(path, 'a').close())
    if path.endswith('mhnos-test-new') and os.path.exists(path): os.remove(path)
attempt('truncate', lambda: os.truncate(outside + '/file', 5))
attempt('hard link in', lambda: os.link(outside + '/file', 'linked'))
open('mine', 'w').close()
attempt('hard link out', lambda: os.link('mine', outside + '/linked'))
attempt('rename out', lambda: os.rename('mine', outside + '/renamed'))
attempt('rename in', lambda: os.rename(outside + '/file', 'renamed'))
os.symlink(outside, 'out')
attempt('through a link', lambda: open('out/through', 'w').close())
attempt('folder', lambda: os.mkdir(outside + '/folder'))
attempt('symbolic link', lambda: os.symlink('x', outside + '/symbolic'))
attempt('fifo', lambda: os.mkfifo(outside + '/fifo'))
attempt('socket', lambda: socket.socket(socket.AF_UNIX).bind(outside + '/socket'))
attempt('remove', lambda: os.remove(home + '/.ssh/id'))
attempt('remove folder', lambda: os.rmdir(home + '/.ssh'))
"
    )
}

#[tokio::test]
async fn nothing_outside_the_workspace_can_be_written_made_or_removed() {
    let case = Case::start("strict");
    assert_all_refused(&case.attempts(&writes(&case)).await, 18);
    assert_eq!(fs::read_to_string(case.folder.join("outside/file")).unwrap(), "as it was");
    assert_eq!(fs::read_dir(case.folder.join("outside")).unwrap().count(), 1);
    let system = "for path in ['/etc/mhnos-test', '/usr/mhnos-test', '/opt/mhnos-test', '/dev/mhnos-test']:\n    \
                  attempt(path, lambda: open(path, 'w').close())";
    assert_all_refused(&case.attempts(system).await, 4);
    let case = Case::start("none");
    assert_all_done(&case.attempts(&writes(&case)).await, 18);
}

#[tokio::test]
async fn neither_the_runtime_nor_a_guard_nor_another_program_can_be_signalled_or_looked_into() {
    for mode in if may_trace() { &["strict", "none"][..] } else { &["strict"] } {
        let case = Case::start(mode);
        let mut client = v2::Client::connect(&case.runtime).await;
        let other = client.spawn(v2::bash("sleep 1000")).await;
        let Reply::Processes { processes, .. } = client.request(Request::List).await else {
            panic!("a list")
        };
        let other = processes.iter().find(|process| process.pid == other).unwrap().os_pid;
        let guard = system::parent(other).unwrap();
        let spawner = system::parent(guard).unwrap();
        let targets = [case.runtime.os_pid(), spawner, guard, other];
        // Without the sandbox, what does no harm; with it, what would.
        let (signals, repeated) = if *mode == "strict" { ("[9, 15, 19, 18, 0]", 5) } else { ("[18, 0]", 2) };
        let program = format!(
            r"
import resource, signal
for pid in {targets:?} + [os.getppid()]:
    for number in {signals}:
        attempt(f'kill {{pid}} {{number}}', lambda: os.kill(pid, number))
    attempt('pidfd', lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 0))
    attempt('seize', lambda: call(libc.ptrace, 0x4206, pid, 0, 0))
    for path in ['mem', 'environ', 'maps', 'auxv']:
        attempt(path, lambda: open(f'/proc/{{pid}}/{{path}}', 'rb').close())
    attempt('descriptor', lambda: os.readlink(f'/proc/{{pid}}/fd/0'))
    attempt('limits', lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, resource.prlimit(pid, resource.RLIMIT_NOFILE)))
    attempt('root', lambda: os.stat(f'/proc/{{pid}}/root/'))
"
        );
        let lines = case.attempts(&program).await;
        let count = (targets.len() + 1) * (repeated + 9);
        if *mode == "strict" {
            assert_all_refused(&lines, count)
        } else {
            assert_all_done(&lines, count)
        }
        assert!(targets.iter().all(|&pid| system::is_alive(pid)), "{lines:?}");
        client.still_works().await;
    }
}

#[tokio::test]
async fn an_abstract_socket_outside_is_out_of_reach_and_its_own_is_not() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    for (mode, refused) in [("strict", true), ("none", false)] {
        let case = Case::start(mode);
        let name = format!("mhnos-test-{}", case.runtime.os_pid());
        let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let connect = |name: &str| {
            format!("attempt('connect', lambda: socket.socket(socket.AF_UNIX).connect('\\0{name}'))\n")
        };
        let lines = case.attempts(&connect(&name)).await;
        if refused {
            assert_all_refused(&lines, 1)
        } else {
            assert_all_done(&lines, 1)
        }
        let own = format!("own = socket.socket(socket.AF_UNIX); own.bind('\\0{name}-own'); own.listen()\n");
        assert_all_done(&case.attempts(&format!("{own}{}", connect(&format!("{name}-own")))).await, 1);
    }
}

#[tokio::test]
async fn the_control_socket_has_no_ear_for_a_started_program() {
    use std::io::{Read, Write};
    for mode in ["strict", "relaxed", "none"] {
        let case = Case::start(mode);
        let path = case.path("state/control.sock");
        let request = http::handshake(&["Host: localhost"]);
        // That it answers at all: to us, who were not started by it.
        let mut ours = std::os::unix::net::UnixStream::connect(&path).unwrap();
        ours.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        ours.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
        // The second and third way: who connected is gone, or has left its parents, when the runtime looks.
        let program = format!(
            r"
def answer(asks):
    end = socket.socket(socket.AF_UNIX)
    asks(end)
    try:
        end.sendall({request:?}.encode())
        return end.recv(100)
    except OSError as error:
        return error
def by_a_child(end):
    child = os.fork()
    if child == 0:
        end.connect('{path}')
        os._exit(0)
    os.waitpid(child, 0)
def by_an_orphan(end):
    ready, go = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            end.connect('{path}')
            os.write(go, b'1')
            import time; time.sleep(1000)
        os._exit(0)
    os.read(ready, 1)
for asks in [lambda end: end.connect('{path}'), by_a_child, by_an_orphan]:
    print(answer(asks))
"
        );
        for line in case.attempts(&program).await {
            assert!(
                line == "b''" || line.contains("Broken pipe") || line.contains("reset"),
                "{mode}: {line}"
            );
        }
    }
}

#[tokio::test]
async fn root_cannot_reach_past_the_files_either() {
    let case = Case::start("strict");
    let program = r"
attempt('block device', lambda: os.mknod('disk', 0o60600, os.makedev(254, 0)))
attempt('character device', lambda: os.mknod('memory', 0o20600, os.makedev(1, 1)))
for path in ['/dev/kmsg', '/dev/vda', '/dev/sda', '/dev/mem', '/proc/kcore', '/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern']:
    if os.path.exists(path): attempt(path, lambda: os.close(os.open(path, os.O_WRONLY)))
attempt('mount', lambda: call(libc.mount, b'none', b'.', b'tmpfs', 0, None))
attempt('host name', lambda: call(libc.sethostname, b'x', 1))
";
    let lines = case.attempts(program).await;
    assert!(lines.len() >= 5, "{lines:?}");
    assert_all_refused(&lines, lines.len());
    // What could give rights back: nothing is inherited, bounded or effective but what is for files and ports.
    let lines = case.attempts("print(open('/proc/self/status').read())").await;
    let field = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("{name} in {lines:?}")).to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1");
    if nix::unistd::geteuid().is_root() {
        for name in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(u64::from_str_radix(&field(name), 16).unwrap() & !0x4fb, 0, "{name}");
        }
        assert_eq!(field("CapAmb").trim_start_matches('0'), "");
    }
}

#[tokio::test]
async fn a_child_left_behind_stays_in_the_sandbox_and_ends_with_its_program() {
    let case = Case::start("strict");
    let key = case.path("home/.ssh/id");
    let mut client = v2::Client::connect(&case.runtime).await;
    let script = format!(
        "(trap '' HUP TERM; exec setsid nohup bash -c 'cat {key} 2>&1; echo $$ > left; sleep 1000') & \
         until [ -s left ]; do sleep 0.01; done"
    );
    let (view, exit) = client.run(v2::bash(&script)).await;
    let printed = String::from_utf8(view.bytes).unwrap();
    assert!(printed.contains("Permission denied") && !printed.contains("the key"), "{printed}");
    assert_eq!(exit.code, Some(0));
    let left: i32 =
        fs::read_to_string(case.runtime.workspace().join("left")).unwrap().trim().parse().unwrap();
    assert!(!system::is_alive(left), "a program is over when its whole tree is");
}

#[tokio::test]
async fn of_a_home_only_the_workspace_and_the_toolchain_in_it_are_opened() {
    // The home is the folder that holds workspace and state folder, as it is for most people.
    let node = |home: &Path| home.join(".nvm/versions/node/v99/bin");
    let case = Case::start_with("strict", |setup| {
        let home = setup.folder().to_owned();
        fs::rename(home.join("home/.ssh"), home.join(".ssh")).unwrap();
        fs::create_dir_all(node(&home)).unwrap();
        let program = node(&home).join("node");
        // Asks for something of the same version's beside it, and for the person's key.
        let text = "#!/bin/sh\ncat \"${0%/*}/../lib/x\"\ncat \"${0%/*}/../../../../../.ssh/id\" && echo closed is open\nexit 0\n";
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(node(&home).join("../lib")).unwrap();
        fs::write(node(&home).join("../lib/x"), "of the toolchain\n").unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", node(&home).display());
        setup.env("PATH", path).env("SHELL", "/bin/sh").env("HOME", home)
    });
    let mut client = Client::connect(&case.runtime).await;
    let pid = client.spawn("node", "x.js", &[], json!({})).await;
    let run = client.run(pid).await;
    assert_eq!(run.stdout, "of the toolchain\n", "{run:?}");
    assert!(run.stderr.contains("Permission denied"), "{run:?}");
    let pid = client.bash("pwd; echo mine > file; cat file ../.ssh/id").await;
    let text = client.run(pid).await.stdout;
    assert!(text.contains("/workspace\r\n") && text.contains("mine\r\n"), "{text}");
    assert!(text.contains("Permission denied") && !text.contains("the key"), "{text}");
}

#[tokio::test]
async fn a_program_of_the_persons_is_refused_and_the_answer_says_why() {
    let case = Case::start("strict");
    let tool = case.folder.join("home/tool");
    fs::write(&tool, "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let mut client = Client::connect(&case.runtime).await;
    let request = json!({"type": "spawn", "processType": "shell", "command": tool, "args": []});
    let sentence = client.refusal(request.clone()).await;
    assert!(
        sentence.contains("Permission denied") && sentence.contains("in the sandbox strict only"),
        "{sentence}"
    );
    let case = Case::start("relaxed");
    let tool = case.folder.join("home/tool");
    fs::write(&tool, "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let mut client = Client::connect(&case.runtime).await;
    let pid = client.spawn("shell", tool.to_str().unwrap(), &[], json!({})).await;
    assert_eq!(client.run(pid).await.stdout, "ran\r\n");
}
