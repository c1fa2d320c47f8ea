//! The binary under test.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{DEADLINE, eventually, system};

/// Where the binary is: where `MHNOS_TEST_RUNTIME` says, else beside the running test.
///
/// # Panics
/// When it is not there.
pub fn runtime_program() -> PathBuf {
    let program = std::env::var_os("MHNOS_TEST_RUNTIME").map_or_else(
        || {
            let test = std::env::current_exe().expect("the test has a path");
            let built =
                test.parent().and_then(Path::parent).expect("tests are built into target/<profile>/deps");
            built.join("mhnos-runtime")
        },
        PathBuf::from,
    );
    assert!(
        program.is_file(),
        "there is no runtime to test at {}: build it first (cargo build), or name one in MHNOS_TEST_RUNTIME",
        program.display()
    );
    program
}

/// The folder of real programs that `MHNOS_TEST_TOOLS` names (node 24, workerd, openclaw), if it has this one.
pub fn tools(program: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("MHNOS_TEST_TOOLS")?);
    folder.join(program).exists().then_some(folder)
}

/// How a runtime is to be started.
pub struct Setup {
    folder: TempDir,
    port: u16,
    state: PathBuf,
    workspace: PathBuf,
    command: Command,
}

/// A runtime that did not start.
#[derive(Debug)]
pub struct Refused {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it said.
    pub said: String,
}

/// A running runtime, ended when it is dropped.
pub struct Runtime {
    child: Child,
    port: u16,
    workspace: PathBuf,
    state: PathBuf,
    log: Arc<Mutex<Vec<u8>>>,
    _folder: TempDir,
}

impl Default for Setup {
    fn default() -> Self {
        let folder =
            tempfile::Builder::new().prefix("mhnos-test-").tempdir().expect("there is room for a folder");
        let home = folder.path().join("home");
        std::fs::create_dir(&home).expect("there is room for a folder");
        let mut command = Command::new(runtime_program());
        command
            .arg("serve")
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MHNOS_"))
        {
            command.env_remove(name);
        }
        if let Some(tools) = std::env::var_os("MHNOS_TEST_TOOLS") {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(PathBuf::from(tools)).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(folders).expect("folders can stand in PATH"));
        }
        let (state, workspace) = (folder.path().join("state"), folder.path().join("workspace"));
        Self { port: 0, state, workspace, folder, command }
    }
}

impl Setup {
    /// A port, in place of any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A state folder, in place of one of its own.
    #[must_use]
    pub fn state(mut self, folder: &Path) -> Self {
        self.state = folder.to_owned();
        self
    }

    /// A workspace, in place of one of its own.
    #[must_use]
    pub fn workspace(mut self, folder: &Path) -> Self {
        self.workspace = folder.to_owned();
        self
    }

    /// A further argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.command.arg(argument.into());
        self
    }

    /// Welcomes [`crate::ORIGIN`].
    #[must_use]
    pub fn allow_origin(self) -> Self {
        self.arg("--allow-origin").arg(crate::ORIGIN)
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Starts it through another program, which takes this command as its last arguments and becomes it.
    #[must_use]
    pub fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    /// The folder that holds `workspace`, `state` and `home`, none of which but the last is there yet.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(self) -> Runtime {
        match self.try_start() {
            Ok(runtime) => runtime,
            Err(refused) => panic!("the runtime did not start: {refused:?}"),
        }
    }

    /// Starts it, or says why it did not start.
    ///
    /// # Errors
    /// When it ended before it listened.
    ///
    /// # Panics
    /// When it does neither.
    pub fn try_start(mut self) -> Result<Runtime, Refused> {
        self.command.arg("--state-dir").arg(&self.state).args(["--port", &self.port.to_string()]);
        self.command.arg("--workspace").arg(&self.workspace);
        let mut child = self.command.spawn().expect("the runtime can be executed");
        let log = Arc::new(Mutex::new(Vec::new()));
        let said = collect(child.stderr.take().expect("its errors are piped"), Arc::clone(&log));
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = output.read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
            // What else it may print is read, so that it never waits for us.
            let _ = std::io::copy(&mut output, &mut std::io::sink());
        });
        let line = receiver.recv_timeout(DEADLINE).expect("the runtime listens or ends").unwrap_or_default();
        let port = line.trim_end().strip_prefix("MHNOS runtime listening on ws://127.0.0.1:");
        let Some(port) = port.and_then(|port| port.parse().ok()) else {
            let _ = child.kill();
            let status = child.wait().expect("it can be waited for");
            let _ = said.join();
            let said = String::from_utf8_lossy(&log.lock().expect("no reader panics")).into_owned();
            return Err(Refused { code: status.code(), said: line + &said });
        };
        Ok(Runtime {
            child,
            port,
            workspace: self.workspace.canonicalize().unwrap_or(self.workspace),
            state: self.state,
            log,
            _folder: self.folder,
        })
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            into.lock().expect("no reader panics").extend_from_slice(&buffer[..read]);
        }
    })
}

impl Runtime {
    /// One with the usual settings, that welcomes [`crate::ORIGIN`].
    pub fn start() -> Self {
        Setup::default().allow_origin().start()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn os_pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The names in its workspace, in order, without the folder of two-way sync.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn names(&self) -> Vec<String> {
        names_in(&self.workspace)
    }

    /// Its workspace, without symbolic links in the path.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// Its state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The secret of local programs.
    ///
    /// # Panics
    /// When there is none.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.state.join("token")).expect("a runtime that listens has a token")
    }

    /// Puts a file into the workspace, past the runtime.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.workspace.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder can be made");
        std::fs::write(&path, content).expect("the file can be written");
        path
    }

    /// What it has logged to its standard error so far.
    ///
    /// # Panics
    /// Never.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("no reader panics")).into_owned()
    }

    /// Everything in its log folder.
    pub fn log_files(&self) -> String {
        let files = std::fs::read_dir(self.state.join("logs")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// Never.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Asks it to stop with a signal, and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self, signal: Signal) -> ExitStatus {
        if let Some(status) = self.child.try_wait().expect("it is our child") {
            return status;
        }
        system::signal(self.os_pid(), signal);
        let mut status = None;
        eventually("the runtime ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        })
        .await;
        status.unwrap_or(ExitStatus::from_raw(0))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the runtime ---\n{}---", self.log());
        }
    }
}

/// The names in a workspace, in order, without the folder of two-way sync.
///
/// # Panics
/// When it cannot be read.
pub fn names_in(workspace: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(workspace).expect("the workspace can be read");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name != ".mhnos-sync").collect();
    names.sort();
    names
}
