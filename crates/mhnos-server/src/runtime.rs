//! The runtime: what all connections share, and what they ask of it in the terms of the engines.
//!
//! Both protocols come here with the same few questions; what differs is only how they are asked and answered
//! ([`crate::connection`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use mhnos_process::log::LogLimits;
use mhnos_process::sandbox::{self, Mode, Sandbox};
use mhnos_process::toolchain::Toolchain;
use mhnos_process::{EndReason, Exit, KillError, Limits, Process, ProcessTable, signal};
use mhnos_protocol::v2::ErrorCode;
use mhnos_protocol::{Health, ProcessCounts, ProcessKind, limits, v1, v2};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::gate::{Gate, Principal};
use crate::logging::LogLines;
use crate::origin::Origin;
use crate::settings::Settings;
use crate::state::{StateDirectory, random_hexadecimal};
use crate::sync::Sync;
use crate::trust::audit::Fact;
use crate::trust::{Access, DecideError, Decision, Permit, Trust};
use crate::workspace::{FileError, Workspace};

mod inspect;
mod launch;
mod write;

pub use launch::{Launch, check_terminal_size};

/// Programs in one process's tree. Beyond it, the tree is ended: only a program gone wild starts so many.
const TREE_MEMBERS: u32 = 1024;

/// What the runtime remembers of each process.
#[derive(Debug)]
pub struct Tag {
    /// Its kind.
    pub kind: ProcessKind,
    /// As it was asked for.
    pub command: String,
    /// As they were asked for.
    pub args: Vec<String>,
    /// Who started it.
    pub owner: Principal,
    /// What else it was asked for with, to start it anew.
    pub again: Again,
}

/// What a program is started anew with, beside what its [`Tag`] says.
#[derive(Debug)]
pub struct Again {
    /// As [`Launch::cwd`].
    cwd: Option<String>,
    /// As [`Launch::env`].
    env: BTreeMap<String, String>,
    /// As [`Launch::timeout`].
    timeout: Option<u64>,
    /// As [`Launch::terminal`].
    terminal: Option<v2::TerminalSize>,
}

/// A process of this runtime.
pub type RuntimeProcess = Process<Tag>;

/// A request that failed: a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// What happened and what to do.
    pub error: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        Self { code, error: error.into() }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let code = match &error {
            FileError::Path(_) => ErrorCode::Malformed,
            FileError::LeadsOut(_) => ErrorCode::Forbidden,
            FileError::Io { kind: std::io::ErrorKind::NotFound, .. } => ErrorCode::NotFound,
            FileError::Root | FileError::NotAFile(_) | FileError::Io { .. } => ErrorCode::Failed,
        };
        Self::new(code, error.to_string())
    }
}

/// See the [module's description](self).
pub struct Runtime {
    /// As they were when it started.
    pub settings: Settings,
    /// Who may talk to it.
    pub gate: Gate,
    /// What web pages may do.
    pub trust: Arc<Trust>,
    /// The files.
    pub workspace: Arc<Workspace>,
    /// Two-way sync of the files.
    pub sync: Arc<Sync>,
    /// The processes.
    pub table: ProcessTable<Tag>,
    /// What they are closed in.
    pub sandbox: Sandbox,
    /// The lines of its log.
    pub log_lines: LogLines,
    /// Addresses it listens on.
    pub addresses: Vec<String>,
    /// Differs from every other runtime's, earlier and later ones of this machine included.
    pub instance: String,
    state: StateDirectory,
    /// Asked for when first needed, because the person's shell may take its time.
    toolchain: OnceCell<Arc<Toolchain>>,
    started: Instant,
    connections: AtomicU32,
}

/// What a [`Runtime`] is made of.
pub struct Parts {
    /// As they are from now on.
    pub settings: Settings,
    /// Who may talk to it.
    pub gate: Gate,
    /// The files.
    pub workspace: Workspace,
    /// Two-way sync of the files.
    pub sync: Sync,
    /// The state folder.
    pub state: StateDirectory,
    /// An empty folder for the output of programs.
    pub scratch: PathBuf,
    /// Addresses it listens on.
    pub addresses: Vec<String>,
    /// The lines of its log.
    pub log_lines: LogLines,
}

/// Counts an open connection.
pub struct ConnectionCount {
    runtime: Arc<Runtime>,
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.runtime.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Runtime {
    /// A runtime whose parts are ready. To be called within a tokio runtime.
    pub fn new(parts: Parts) -> Self {
        let Parts { settings, gate, workspace, sync, state, scratch, addresses, log_lines } = parts;
        let limits = Limits {
            processes: settings.max_processes as usize,
            memory: settings.max_memory,
            members: TREE_MEMBERS,
            ended: limits::ENDED_PROCESSES,
            ended_time: limits::ENDED_TIME,
            input: limits::INPUT_WAITING_BYTES,
            grace: limits::KILL_GRACE,
            log: LogLimits {
                memory: limits::OUTPUT_MEMORY_BYTES,
                file: limits::OUTPUT_FILE_BYTES,
                ahead: limits::OUTPUT_AHEAD_BYTES,
                stalled_viewer: limits::STALLED_VIEWER_TIME,
                folder: scratch,
            },
        };
        // The running executable, even where its file was replaced by an upgrade in the meantime.
        let table = ProcessTable::new(limits, "/proc/self/exe".into(), vec!["guard".into()]);
        let places = state.places(workspace.root().to_owned());
        let sandbox = Sandbox::new(settings.sandbox, &sandbox::probe(), places);
        match sandbox.achieved() {
            Ok(_) if sandbox.mode() == Mode::None => {
                tracing::warn!("programs run with all your rights on files, because the sandbox is none");
            }
            Ok(_) => {}
            Err(error) => tracing::error!("no program will be started: {error}"),
        }
        Self {
            settings,
            trust: Arc::clone(gate.trust()),
            gate,
            workspace: Arc::new(workspace),
            sync: Arc::new(sync),
            table,
            sandbox,
            log_lines,
            addresses,
            instance: random_hexadecimal::<8>(),
            state,
            toolchain: OnceCell::new(),
            started: Instant::now(),
            connections: AtomicU32::new(0),
        }
    }

    /// Where the programs are.
    pub async fn toolchain(&self) -> Arc<Toolchain> {
        let resolve = || async {
            // A shell that cannot even be asked leaves us with the PATH we have.
            Arc::new(tokio::task::spawn_blocking(Toolchain::resolve).await.unwrap_or_default())
        };
        Arc::clone(self.toolchain.get_or_init(resolve).await)
    }

    /// See [`Workspace::relative`].
    ///
    /// # Errors
    /// When no file can have this name.
    pub fn relative(&self, named: &str, directory: &Path) -> Result<PathBuf, Failure> {
        self.workspace.relative(named, directory).map_err(|error| FileError::from(error).into())
    }

    /// A process that `principal` may touch. Others do not exist for it.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn process(&self, principal: &Principal, pid: u32) -> Result<Arc<RuntimeProcess>, Failure> {
        self.table.get(pid).filter(|process| principal.may_touch(&process.tag().owner)).ok_or_else(|| {
            let error = format!("there is no process {pid}: `list` names those there are");
            Failure::new(ErrorCode::NotFound, error)
        })
    }

    /// As [`Self::process`], and it runs.
    ///
    /// # Errors
    /// When there is none, or it has ended.
    pub fn running(&self, principal: &Principal, pid: u32) -> Result<Arc<RuntimeProcess>, Failure> {
        let process = self.process(principal, pid)?;
        match process.exit() {
            None => Ok(process),
            Some(exit) => Err(has_ended(pid, &exit)),
        }
    }

    /// As [`Self::running`], and `principal` may run programs: what is typed into a shell is as good as starting one.
    ///
    /// # Errors
    /// When there is none, it has ended, or programs are not for this page (any more).
    pub fn running_to_use(&self, principal: &Principal, pid: u32) -> Result<Arc<RuntimeProcess>, Failure> {
        let process = self.running(principal, pid)?;
        self.may_run(principal).map(|()| process)
    }

    /// Leave to change files on behalf of `principal`, to be held while they are changed.
    ///
    /// # Errors
    /// When it is not allowed (any more).
    pub async fn permit_files(&self, principal: &Principal) -> Result<Permit<'_>, Failure> {
        let permit = self.trust.permit(principal, Access::Files).await;
        permit.ok_or_else(|| no_longer_allowed(principal))
    }

    /// Makes a folder of the workspace and those above it.
    ///
    /// # Errors
    /// When it is not allowed (any more), or the operating system refuses.
    pub fn make_directory(&self, principal: &Principal, path: &Path) -> Result<(), Failure> {
        let permit = self.trust.permit_blocking(principal, Access::Files);
        let _permit = permit.ok_or_else(|| no_longer_allowed(principal))?;
        self.refuse_own_folder(path)?;
        Ok(self.workspace.make_directory(path)?)
    }

    /// The processes `principal` may see, ended ones that are kept included, oldest first.
    pub fn processes(&self, principal: &Principal) -> Vec<Arc<RuntimeProcess>> {
        self.table.list().into_iter().filter(|process| principal.may_touch(&process.tag().owner)).collect()
    }

    /// Sends a signal. One that is meant to end the process ends all of it, by force after `grace`, and answers with its exit
    /// once it is gone; others are delivered, and answer with those they were delivered to.
    ///
    /// # Errors
    /// When there is no such process or signal, or the process has ended.
    pub async fn kill(
        &self,
        principal: &Principal,
        pid: u32,
        name: Option<&str>,
        grace: Duration,
    ) -> Result<Killed, Failure> {
        let process = self.running(principal, pid)?;
        let name = name.unwrap_or("SIGTERM");
        let number = signal::number(name).ok_or_else(|| {
            let error = format!(
                "there is no signal {name:?}: use SIGTERM, SIGINT, SIGKILL or another name of signal(7)"
            );
            Failure::new(ErrorCode::Malformed, error)
        })?;
        tracing::info!(pid, signal = name, by = %principal, "kill");
        self.trust.audit.write(Fact::Killed { pid, by: principal.to_string(), signal: name.into() });
        let killed = if signal::is_meant_to_end(number) {
            process.end(number, grace, EndReason::Requested).await.map(Killed::Ended)
        } else {
            process.signal(number).await.map(Killed::Signalled)
        };
        killed.map_err(|KillError::Ended| match process.exit() {
            Some(exit) => has_ended(pid, &exit),
            None => Failure::new(ErrorCode::Ended, format!("process {pid} has already ended")),
        })
    }

    /// Carries out what a person decided about a web page. What a page may no longer do ends: its connections close themselves, and once this
    /// returns, what it started has ended and nothing it asked for is being done any more. Only for local programs.
    ///
    /// # Errors
    /// When this is a page, the text is no origin, the settings say otherwise, or the decision cannot be written down.
    pub async fn decide(
        &self,
        principal: &Principal,
        origin: &str,
        decision: Decision,
    ) -> Result<(), Failure> {
        self.only_control(principal)?;
        let origin = Origin::from_setting(origin).ok_or_else(|| {
            let error = format!("{origin:?} is no origin of a web page: write http://host:port");
            Failure::new(ErrorCode::Malformed, error)
        })?;
        let (trust, page) = (Arc::clone(&self.trust), Principal::Page(origin.clone()));
        let decided = tokio::task::spawn_blocking(move || trust.decide(&origin, decision)).await;
        if self.trust.access(&page) != Some(Access::Full) {
            // What was being started at that moment has its place among the processes now.
            self.trust.until_quiet().await;
            if self.trust.access(&page).is_none() {
                self.sync.disconnect(&page).await;
            }
            let mut ending = JoinSet::new();
            for process in self.processes(&page) {
                ending.spawn(async move {
                    process.end(nix::libc::SIGTERM, limits::KILL_GRACE, EndReason::Requested).await
                });
            }
            while ending.join_next().await.is_some() {}
        }
        match decided {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ DecideError::Settled(_))) => {
                Err(Failure::new(ErrorCode::Forbidden, error.to_string()))
            }
            Ok(Err(error @ DecideError::Store(_))) => Err(Failure::new(ErrorCode::Failed, error.to_string())),
            Err(error) => Err(Failure::new(ErrorCode::Failed, error.to_string())),
        }
    }

    /// A ticket for a page of our own, and the address of the one we serve with it.
    pub fn ticket(&self, by: &Principal, origin: Option<Origin>, lifetime: Duration) -> (String, String) {
        let ticket = self.trust.tickets.issue(origin, lifetime);
        self.trust.audit.write(Fact::TicketIssued { by: by.to_string() });
        let url = format!("http://localhost:{}/#ticket={ticket}", self.gate.port());
        (ticket, url)
    }

    /// Refuses what is not for web pages.
    ///
    /// # Errors
    /// When this is one.
    pub fn only_control(&self, principal: &Principal) -> Result<(), Failure> {
        match principal {
            Principal::Control => Ok(()),
            Principal::Page(_) => Err(Failure::new(
                ErrorCode::Forbidden,
                "only local programs with the token may do this, not web pages",
            )),
        }
    }

    /// Counts since the start.
    pub fn counts(&self) -> ProcessCounts {
        let counts = self.table.counts();
        ProcessCounts { total_spawned: counts.spawned, total_killed: counts.killed, active: counts.active }
    }

    /// Seconds since the start.
    pub fn uptime(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What `/health` says.
    pub fn health(&self) -> Health {
        Health { status: "ok".into(), uptime: self.uptime(), processes: self.counts() }
    }

    /// What 1.x clients are told of the settings.
    pub fn config(&self) -> v1::Config {
        v1::Config {
            workspace: self.workspace.root().display().to_string(),
            sandbox_mode: self.settings.sandbox.name().into(),
            allow_open_claw: self.settings.allow_openclaw,
        }
    }

    /// What 2.0 clients are told.
    pub fn status(&self) -> v2::Status {
        v2::Status {
            version: env!("CARGO_PKG_VERSION").into(),
            os_pid: std::process::id(),
            uptime: self.uptime(),
            addresses: self.addresses.clone(),
            workspace: self.workspace.root().display().to_string(),
            sandbox: self.settings.sandbox.name().into(),
            sandbox_achieved: self.sandbox_achieved(),
            allow_openclaw: self.settings.allow_openclaw,
            max_processes: self.settings.max_processes,
            max_memory: self.settings.max_memory,
            connections: self.connections(),
            counts: self.counts(),
        }
    }

    /// What programs really run in, or why none is started. Said as it is, whatever was asked for.
    pub fn sandbox_achieved(&self) -> String {
        self.sandbox.achieved().unwrap_or_else(|error| format!("no program is started: {error}"))
    }

    /// Open connections.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Counts one more connection, for as long as the answer is held; `None` when there are too many.
    pub fn count_connection(self: &Arc<Self>) -> Option<ConnectionCount> {
        if self.connections.fetch_add(1, Ordering::SeqCst) >= limits::CONNECTIONS as u32 {
            self.connections.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        Some(ConnectionCount { runtime: Arc::clone(self) })
    }
}

/// What became of a kill.
#[derive(Debug)]
pub enum Killed {
    /// The whole tree is gone.
    Ended(Arc<Exit>),
    /// The signal was delivered to these.
    Signalled(Vec<mhnos_process::Member>),
}

/// What a page is told whose rights were taken from it in the meantime.
fn no_longer_allowed(principal: &Principal) -> Failure {
    Failure::new(ErrorCode::NotAllowed, format!("{principal} is no longer allowed"))
}

fn has_ended(pid: u32, exit: &Exit) -> Failure {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("with exit code {code}"),
        (None, Some(number)) => format!("by {}", signal::name(number)),
        (None, None) => "for an unknown reason".into(),
    };
    Failure::new(ErrorCode::Ended, format!("process {pid} has already ended {how}"))
}

/// When a process was started, in milliseconds since 1970.
pub fn started(process: &RuntimeProcess) -> u64 {
    process.started().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
