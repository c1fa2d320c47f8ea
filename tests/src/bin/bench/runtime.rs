//! A runtime of our own: started, found, measured from outside, ended.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Result;
use crate::client::{Client, Protocol};

/// A running `mhnos-runtime serve`. Dropped, it is told to stop, and waited for.
pub(crate) struct Runtime {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
    /// What local programs show.
    pub(crate) token: String,
    folders: TempDir,
}

/// The runtime under test.
pub(crate) fn program() -> Result<PathBuf> {
    let path = std::env::var_os("MHNOS_TEST_RUNTIME");
    Ok(path.ok_or("MHNOS_TEST_RUNTIME must name the runtime's executable, a release build")?.into())
}

/// The folders of a runtime, and a `PATH` on which `node` is this executable and `python3` is `/bin/true`: so a program of
/// the bench's choice is run the way real ones are, with pipes or a terminal.
fn folders() -> Result<TempDir> {
    let folders = tempfile::tempdir()?;
    for name in ["bin", "workspace", "state"] {
        fs::create_dir(folders.path().join(name))?;
    }
    let bin = folders.path().join("bin");
    symlink(std::env::current_exe()?, bin.join("node"))?;
    symlink("/bin/true", bin.join("python3"))?;
    Ok(folders)
}

fn command(folders: &Path) -> Result<Command> {
    let mut command = Command::new(program()?);
    command.args(["serve", "--port", "0", "--max-processes", "100", "--workspace"]);
    command.arg(folders.join("workspace")).arg("--state-dir").arg(folders.join("state"));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", folders.join("bin").display())).env("SHELL", "/bin/sh");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(fs::File::create(folders.join("log"))?);
    Ok(command)
}

/// Starts the program, and waits until it says that it listens; on which port.
fn launch(folders: &Path, arguments: &[&str]) -> Result<(Child, u16)> {
    let mut child = command(folders)?.args(arguments).spawn()?;
    let output = child.stdout.take().ok_or("the runtime has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if let Some(port) = line.trim().rsplit(':').next().and_then(|port| port.parse().ok()) {
        return Ok((child, port));
    }
    let _ = child.kill();
    let _ = child.wait();
    let log = fs::read_to_string(folders.join("log")).unwrap_or_default();
    Err(format!("the runtime did not start: {log}").into())
}

impl Runtime {
    /// Starts one, and waits until it says that it listens.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Result<Self> {
        Self::start_in(folders()?, arguments)
    }

    fn start_in(folders: TempDir, arguments: &[&str]) -> Result<Self> {
        let (child, port) = launch(folders.path(), arguments)?;
        let token = fs::read_to_string(folders.path().join("state/token")).unwrap_or_default();
        Ok(Self { child, port, token: token.trim().into(), folders })
    }

    /// One whose workspace has something in it from the start.
    pub(crate) fn start_filled(fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folders = folders()?;
        fill(&folders.path().join("workspace"))?;
        Self::start_in(folders, &[])
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        use nix::sys::signal::{Signal, kill};
        kill(nix::unistd::Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`Runtime::stop`], in the same folders.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        (self.child, self.port) = launch(self.folders.path(), &[])?;
        Ok(())
    }

    /// The most bytes the runtime itself has held resident.
    pub(crate) fn peak(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// A connection that is welcome.
    pub(crate) fn connect(&self, protocol: Protocol) -> Result<Client> {
        Client::connect(self.port, &format!("Authorization: Bearer {}", self.token), protocol)
    }

    /// The folder its programs work in.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.folders.path().join("workspace")
    }

    /// Bytes the runtime itself holds resident.
    pub(crate) fn resident(&self) -> Result<u64> {
        memory(self.child.id(), "Rss:")
    }

    /// Bytes the runtime and its guards hold, with what they share divided among those who share it.
    pub(crate) fn resident_with_guards(&self) -> Result<u64> {
        let guards = descendants(self.child.id()).into_iter().filter(|&pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("mhnos"))
        });
        // A guard may end while it is looked at.
        let of_guards: u64 = guards.filter_map(|pid| memory(pid, "Pss:").ok()).sum();
        Ok(memory(self.child.id(), "Pss:")? + of_guards)
    }

    /// Seconds of cpu the runtime itself has used.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let schedule = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let nanoseconds = schedule.flatten().filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        Ok(nanoseconds.sum::<f64>() / 1e9)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill};
        let _ = kill(nix::unistd::Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Bytes of a process's memory.
pub(crate) fn memory(pid: u32, field: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn descendants(pid: u32) -> Vec<u32> {
    let children = |pid: u32| -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|pid| pid.parse().ok())
            .collect()
    };
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}
