//! The socket of the state folder, and tickets: who has the control role, and who has not.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::http::{exchange, handshake};
use mhnos_tests::{ORIGIN, Runtime, STRANGER, Setup, command, system, v2};
use nix::sys::signal::Signal;

/// A Python program that knocks at a Unix socket as our own commands do, and prints the first line of the answer, or that there is none.
const KNOCK: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(sys.argv[1])
try:
    s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mhnos.v2\r\n\r\n")
    print("answered:", s.recv(100).split(b"\r\n")[0].decode(), flush=True)
except (ConnectionResetError, BrokenPipeError):
    print("answered:", flush=True)
"#;

/// The same from a program that nobody's child is any more: its parent has ended before it knocks.
const KNOCK_AS_ORPHAN: &str = r#"
import os, sys, time
if os.fork() == 0:
    os.setsid()
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            time.sleep(0.01)
        exec(sys.argv[2])
        os._exit(0)
    os._exit(0)
os.wait()
time.sleep(1000)
"#;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn socket_of(runtime: &Runtime) -> String {
    runtime.state().join("control.sock").display().to_string()
}

async fn knock(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    text(&output).trim().to_owned()
}

#[tokio::test]
async fn the_control_socket_is_for_its_owner_and_goes_with_its_runtime() {
    let mut runtime = Setup::default().start();
    let path = runtime.state().join("control.sock");
    let metadata = std::fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.uid(), nix::unistd::geteuid().as_raw());
    assert_eq!(std::fs::metadata(runtime.state()).unwrap().permissions().mode() & 0o777, 0o700);
    v2::Client::connect_to_control_socket(&runtime).await.still_works().await;
    runtime.stop(Signal::SIGTERM).await;
    assert!(!path.exists());
    let said = command::run(&runtime, &["origins", "list"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("no runtime is running"), "{}", said.stderr);
}

#[tokio::test]
async fn another_user_is_refused_at_the_control_socket() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root can become another user: not tested");
        return;
    }
    // The `python3` of the PATH may lie in our home, where nobody else can run it.
    const PYTHON: &str = "/usr/bin/python3";
    if !Path::new(PYTHON).exists() {
        eprintln!("there is no Python that another user can run: not tested");
        return;
    }
    let setup = Setup::default();
    let folder = setup.folder().to_owned();
    let runtime = setup.start();
    let socket = socket_of(&runtime);
    assert_eq!(knock("python3", &["-c", KNOCK, &socket]).await, "answered: HTTP/1.1 101 Switching Protocols");
    // By its path, because another user may not look into the folders that `PATH` leads to here.
    let as_nobody =
        ["--reuid=65534", "--regid=65534", "--clear-groups", PYTHON, "-c", KNOCK, socket.as_str()];
    // The folder alone keeps them away.
    let said = knock("setpriv", &as_nobody).await;
    assert!(said.contains("PermissionError"), "{said}");
    // And where somebody has opened it, the runtime asks the kernel.
    for (path, mode) in [(folder.as_path(), 0o755), (runtime.state(), 0o755), (Path::new(&socket), 0o777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(knock("setpriv", &as_nobody).await, "answered:");
    mhnos_tests::eventually("it is in the log", || runtime.log().contains("it is user 65534")).await;
}

#[tokio::test]
async fn a_program_the_runtime_started_is_refused_at_the_control_socket() {
    // Without a sandbox, so that it is not the sandbox that keeps it away.
    let runtime = Setup::default().arg("--sandbox=none").allow_origin().start();
    let socket = socket_of(&runtime);
    let mut page = v2::Client::connect_as(&runtime, ORIGIN).await;
    let (view, _) = page.run(v2::python(KNOCK, &[&socket])).await;
    assert_eq!(String::from_utf8_lossy(&view.bytes).trim(), "answered:");
    // What it left behind, when nothing in its ancestry but the runtime's guard is left.
    let pid = page.spawn(v2::python(KNOCK_AS_ORPHAN, &[&socket, KNOCK])).await;
    let mut view = v2::View::default();
    page.output_until(pid, &mut view, "answered:").await;
    page.output_until(pid, &mut view, "\n").await;
    assert_eq!(String::from_utf8_lossy(&view.bytes).trim(), "answered:");
    // Our own command, used by it, says what is the matter.
    let program = mhnos_tests::runtime_program();
    let script = format!(
        "{} --state-dir {} origins allow {STRANGER}; echo \"code $?\"",
        program.display(),
        runtime.state().display()
    );
    let (view, _) = page.run(v2::bash(&script)).await;
    let said = String::from_utf8_lossy(&view.bytes).into_owned();
    assert!(said.contains("a program that it has started itself") && said.contains("code 1"), "{said}");
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    assert_eq!(control.origin(STRANGER).await, None);
    mhnos_tests::eventually("it is in the log", || runtime.log().contains("was started by this runtime"))
        .await;
}

#[tokio::test]
async fn a_program_in_the_strict_sandbox_is_refused_at_the_control_socket_too() {
    let runtime = Runtime::start();
    let socket = socket_of(&runtime);
    let mut page = v2::Client::connect_as(&runtime, ORIGIN).await;
    let (view, _) = page.run(v2::python(KNOCK, &[&socket])).await;
    let said = String::from_utf8_lossy(&view.bytes).into_owned();
    assert!(!said.contains("101") && !said.trim().is_empty(), "{said}");
}

#[tokio::test]
async fn the_socket_of_a_runtime_that_was_killed_is_replaced() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    let mut runtime = Setup::default().state(&folder).start();
    runtime.stop(Signal::SIGKILL).await;
    assert!(folder.join("control.sock").exists(), "nobody could clean up");
    let said = command::run(&runtime, &["origins", "list"]).await;
    assert!(said.code == Some(1) && said.stderr.contains("no runtime is running"), "{said:?}");
    let runtime = Setup::default().state(&folder).start();
    command::run(&runtime, &["origins", "list"]).await.done();
}

#[tokio::test]
async fn the_control_socket_speaks_nothing_but_the_protocol() {
    let runtime = Setup::default().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    control.still_works().await;
    let ask = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
               s.sendall(b'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\nprint(s.recv(20).decode())";
    assert!(knock("python3", &["-c", ask, &socket_of(&runtime)]).await.contains("404"));
}

/// The secret of a ticket for a page of this origin, or for the runtime's own page.
async fn ticket(control: &mut v2::Client, origin: Option<&str>) -> String {
    match control.request(Request::Ticket { origin: origin.map(str::to_owned), resume: false }).await {
        Reply::Ticket { ticket, url, lifetime, .. } => {
            assert!(url.ends_with(&format!("/#ticket={ticket}")), "{url}");
            assert_eq!((ticket.len(), lifetime), (64, 30));
            ticket
        }
        other => panic!("no ticket: {other:?}"),
    }
}

#[tokio::test]
async fn a_ticket_is_good_once_and_only_for_its_page() {
    let runtime = Setup::default().allow_origin().start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    let own = format!("http://localhost:{}", runtime.port());
    let connect =
        async |origin: &str, ticket: &str| v2::Client::connect_with_ticket(&runtime, origin, ticket).await;
    let good = ticket(&mut control, None).await;
    let mut console = connect(&own, &good).await.unwrap_or_else(|status| panic!("refused: {status}"));
    // It has the control role.
    console.origins().await;
    assert_eq!(connect(&own, &good).await.err(), Some(403), "a replay");
    // In the hands of another page it is void, also for its own afterwards.
    let stolen = ticket(&mut control, None).await;
    assert_eq!(connect(STRANGER, &stolen).await.err(), Some(403));
    assert_eq!(connect(&own, &stolen).await.err(), Some(403));
    let stolen = ticket(&mut control, None).await;
    assert_eq!(connect(ORIGIN, &stolen).await.err(), Some(403), "not even of an allowed page");
    // One that was given out for another page is not good for our own.
    let named = ticket(&mut control, Some("tauri://localhost")).await;
    assert_eq!(connect(&own, &named).await.err(), Some(403));
    let named = ticket(&mut control, Some("tauri://localhost")).await;
    connect("tauri://localhost", &named)
        .await
        .unwrap_or_else(|status| panic!("refused: {status}"))
        .origins()
        .await;
    // Guesses.
    for guess in ["", "0", &"0".repeat(64), &good.to_uppercase()] {
        assert_eq!(connect(&own, guess).await.err(), Some(403), "{guess:?}");
    }
    // Our own page is nobody without one, and a program needs the token whatever it offers.
    let host = format!("Host: localhost:{}", runtime.port());
    let status = async |headers: &[&str]| exchange(runtime.port(), handshake(headers)).await.status;
    assert_eq!(status(&[&host, &format!("Origin: {own}")]).await, 403);
    assert_eq!(status(&[&host, &format!("Origin: http://127.0.0.1:{}", runtime.port())]).await, 403);
    let fresh = ticket(&mut control, None).await;
    let offer = format!("Sec-WebSocket-Protocol: mhnos.v2, mhnos.ticket.{fresh}");
    assert_eq!(status(&[&host, &offer]).await, 401);
    assert_eq!(status(&[&host, "Origin: null", &offer]).await, 403);
    assert_eq!(status(&["Host: evil.example", &format!("Origin: {own}"), &offer]).await, 403);
    assert!(connect(&own, &fresh).await.is_ok(), "what did not reach the gate did not use it up");
}

#[tokio::test]
async fn a_ticket_of_another_run_of_the_runtime_is_void() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    let mut runtime = Setup::default().state(&folder).start();
    let mut control = v2::Client::connect_to_control_socket(&runtime).await;
    let resume = match control.request(Request::Ticket { origin: None, resume: true }).await {
        Reply::Ticket { ticket, lifetime, .. } => {
            assert_eq!(lifetime, 24 * 3600);
            ticket
        }
        other => panic!("no ticket: {other:?}"),
    };
    let port = runtime.port();
    drop(control);
    runtime.stop(Signal::SIGTERM).await;
    let runtime = Setup::default().state(&folder).port(port).start();
    let own = format!("http://localhost:{port}");
    assert_eq!(v2::Client::connect_with_ticket(&runtime, &own, &resume).await.err(), Some(403));
}

#[tokio::test]
async fn tickets_and_the_token_are_in_no_log_no_audit_and_no_arguments() {
    let setup = Setup::default().arg("--log-level=trace");
    // A desktop that notes what it is asked to open.
    let (bin, noted) = (setup.folder().join("bin"), setup.folder().join("noted"));
    std::fs::create_dir(&bin).unwrap();
    let opener = bin.join("xdg-open");
    std::fs::write(&opener, format!("#!/bin/sh\necho \"$@\" > {}\n", noted.display())).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut runtime = setup.start();
    let mut console = command::command(&runtime, &["--json", "console"]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    console.env("DISPLAY", ":99").env("PATH", path);
    let said =
        command::Said::from(tokio::task::spawn_blocking(move || console.output()).await.unwrap().unwrap());
    let said = said.json();
    assert_eq!(said["opened"], true, "{said}");
    let url = said["url"].as_str().unwrap();
    let secret = url.split_once("#ticket=").unwrap().1.to_owned();
    // What every user can read in the list of processes is a file's name; the file is ours alone, and leads to the page.
    let argument = std::fs::read_to_string(&noted).unwrap();
    assert!(!argument.contains(&secret), "{argument}");
    let file = std::fs::read_to_string(argument.trim()).unwrap();
    assert!(file.contains(&format!("url={url}\"")), "{file}");
    assert_eq!(std::fs::metadata(argument.trim()).unwrap().permissions().mode() & 0o777, 0o600);

    let own = format!("http://localhost:{}", runtime.port());
    let mut page = v2::Client::connect_with_ticket(&runtime, &own, &secret).await.ok().unwrap();
    assert_eq!(v2::Client::connect_with_ticket(&runtime, &own, &secret).await.err(), Some(403));
    let resume = ticket(&mut page, None).await;
    let pid = page.spawn(v2::python("import time; time.sleep(1000)", &[])).await;
    let os_pid = page.os_pid(pid).await;
    for os_pid in system::descendants(runtime.os_pid()).into_iter().chain([runtime.os_pid(), os_pid]) {
        for file in ["cmdline", "environ"] {
            let shown = std::fs::read(format!("/proc/{os_pid}/{file}")).unwrap_or_default();
            let shown = String::from_utf8_lossy(&shown).into_owned();
            assert!(
                [&secret, &resume, &runtime.token()].iter().all(|secret| !shown.contains(*secret)),
                "{shown}"
            );
        }
    }
    drop(page);
    runtime.stop(Signal::SIGTERM).await;
    let audit = std::fs::read_to_string(runtime.state().join("audit.log")).unwrap();
    assert!(audit.contains("ticketIssued"), "{audit}");
    let written = runtime.log() + &runtime.log_files() + &audit;
    assert!(written.contains("refused"), "a refused ticket is in the log");
    for secret in [&secret, &resume, &runtime.token()] {
        assert!(!written.contains(secret.as_str()));
    }
}
