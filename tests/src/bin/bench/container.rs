//! The runtime in a container: how long `docker up` takes, what the image adds to its base, and what the published port adds to an echo.
//!
//! The image is made from the program under test, and the names are those that people use, so nothing of a person's is to be in the
//! engine: `cargo xtask bench` sees to that, and has an engine.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use crate::Result;
use crate::client::{Client, Protocol, WINDOW};
use crate::keystrokes::Typist;
use crate::report::{Line, Report};
use crate::runtime::{Runtime, program};
use crate::statistics::{median, milliseconds, percentile};

const STARTS: usize = 10;
const ROUNDS: usize = 4;

/// Who the workspace belongs to where root measures: the runtime in a container is never root.
const PERSON: u32 = 1000;

/// Measures where there is an engine, and says so where there is none.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    if docker(&["version"]).is_err() {
        eprintln!("  there is no container engine, so nothing is measured");
        return Ok(());
    }
    own(&["build", "--json"])?;
    let container = Container::new()?;
    size(report)?;
    start(report, &container)?;
    echo(report, &container)
}

fn size(report: &mut Report) -> Result<()> {
    let size = |image| -> Result<u64> {
        Ok(docker(&["image", "inspect", "--format", "{{.Size}}", image])?.trim().parse()?)
    };
    let (base, ours) = (size("node:24-bookworm-slim")?, size("mhnos/runtime")?);
    let added = ours.saturating_sub(base);
    let megabytes = |bytes: u64| format!("{} MB", bytes / 1_000_000);
    report.add(Line {
        what: "container: the image, without OpenClaw".into(),
        bare: format!("{} (its base)", megabytes(base)),
        ours: format!("{} more", megabytes(added)),
        ratio: None,
        target: "<= 450 MB more",
        met: added <= 450_000_000,
    });
    Ok(())
}

fn start(report: &mut Report, container: &Container) -> Result<()> {
    let mut bare = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        docker(&["run", "--rm", "--network", "none", "--entrypoint", "true", "mhnos/runtime"])?;
        bare.push(began.elapsed().as_secs_f64());
        docker(&["rm", "--force", "mhnos-runtime"])?;
        let began = Instant::now();
        container.up()?;
        ours.push(began.elapsed().as_secs_f64());
    }
    let longest = ours.iter().copied().fold(0.0, f64::max);
    let (bare, ours) = (median(&bare), median(&ours));
    report.add(Line {
        what: "container: `docker up` to healthy, image present".into(),
        bare: format!("{} (docker run true)", milliseconds(bare)),
        ours: format!("{} (longest {})", milliseconds(ours), milliseconds(longest)),
        ratio: None,
        target: "<= 2 s",
        met: longest <= 2.0,
    });
    Ok(())
}

fn echo(report: &mut Report, container: &Container) -> Result<()> {
    let runtime = Runtime::start()?;
    let mut natively = typist(runtime.connect(Protocol::V2)?)?;
    let mut inside = typist(container.connect()?)?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        natively.type_keys(&mut bare)?;
        inside.type_keys(&mut ours)?;
    }
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let (bare, ours) = (percentile(&bare, part), percentile(&ours, part));
        report.add(Line {
            what: format!("container: keystroke echo through the published port, {name}"),
            bare: format!("{} (the runtime outside)", milliseconds(bare)),
            ours: format!("{} ({} more)", milliseconds(ours), milliseconds(ours - bare)),
            ratio: Some(ours / bare),
            target: "<= 1 ms more",
            met: ours - bare <= 1e-3,
        });
    }
    Ok(())
}

/// The same program inside and outside.
fn typist(mut client: Client) -> Result<Typist> {
    let spawned = client.request(json!({
        "type": "spawn", "kind": "shell", "command": "/bin/bash", "args": ["-c", "stty raw -echo; printf .; exec cat"],
        "terminal": {"cols": 100, "rows": 30}, "credit": WINDOW,
    }))?;
    let pid = spawned["pid"].as_u64().ok_or("the reply has no pid")?.try_into()?;
    Typist::new(client, pid)
}

/// The container, with a workspace and a port of its own; gone with this value.
struct Container {
    workspace: TempDir,
    port: u16,
}

impl Container {
    fn new() -> Result<Self> {
        let workspace = tempfile::tempdir()?;
        if fs::metadata(workspace.path())?.uid() == 0 {
            chown(workspace.path(), Some(PERSON), Some(PERSON))?;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let container = Self { workspace, port };
        container.up()?;
        Ok(container)
    }

    fn up(&self) -> Result<()> {
        let workspace = self.workspace.path().display().to_string();
        own(&["up", "--port", &self.port.to_string(), "--workspace", &workspace])
    }

    fn connect(&self) -> Result<Client> {
        let token = docker(&["exec", "mhnos-runtime", "cat", "/var/lib/mhnos/state/token"])?;
        Client::connect(self.port, &format!("Authorization: Bearer {}", token.trim()), Protocol::V2)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = own(&["down"]) {
            eprintln!("the container stays: {error}");
        }
    }
}

/// A command of `mhnos-runtime docker`.
fn own(words: &[&str]) -> Result<()> {
    let mut command = Command::new(program()?);
    output(command.arg("docker").args(words).env_remove("MHNOS_WORKSPACE")).map(drop)
}

fn docker(words: &[&str]) -> Result<String> {
    output(Command::new("docker").args(words))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
