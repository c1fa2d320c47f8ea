//! A handle to one process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use nix::libc;
use portable_pty::{MasterPty, PtySize};
use tokio::sync::{mpsc, oneshot};

use crate::actor::Command;
use crate::guard::message::{Ending, Member};
use crate::input::{Input, InputError};
use crate::log::OutputLog;

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl From<TerminalSize> for PtySize {
    fn from(size: TerminalSize) -> Self {
        Self { rows: size.rows, cols: size.columns, pixel_width: 0, pixel_height: 0 }
    }
}

/// Why the runtime ended a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Somebody asked for it.
    Requested,
    /// Its time limit passed.
    TimeLimit,
    /// Its tree used more memory than it may.
    MemoryLimit,
    /// Its tree had more members than it may.
    MemberLimit,
    /// The runtime stops.
    Shutdown,
    /// Its guard was killed from outside, so that the runtime lost hold of it.
    GuardLost,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// Why, if the runtime did it.
    pub reason: Option<EndReason>,
    /// How long it ran.
    pub runtime: Duration,
    /// Whether its output was read to its end.
    pub drained: bool,
    /// What became of its tree.
    pub ending: Ending,
}

/// Where a process is in its life. A process that could not be started never has a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, or what it left behind is being ended.
    Running,
    /// It and all it started are gone.
    Ended(Arc<Exit>),
}

/// What was last measured of a running process's tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Percent of one core since the measurement before.
    pub cpu: f32,
    /// Bytes resident: each program's own, and once what they share.
    pub memory: u64,
    /// Programs.
    pub members: u32,
    /// Ports it listens on, ascending.
    pub ports: Vec<u16>,
}

/// Why a signal could not be delivered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KillError {
    /// It is over.
    #[error("it has already ended")]
    Ended,
}

/// Why a terminal could not be resized.
#[derive(Debug, thiserror::Error)]
pub enum ResizeError {
    /// It has pipes.
    #[error("it has no terminal")]
    NoTerminal,
    /// It is over.
    #[error("it has already ended")]
    Ended,
    /// The operating system refused.
    #[error("its terminal could not be resized: {0}")]
    Failed(String),
}

/// A handle to one process; the task behind it is the only owner of the child.
pub struct Process<Tag> {
    pub(crate) pid: u32,
    pub(crate) os_pid: i32,
    pub(crate) guard_pid: i32,
    pub(crate) started: SystemTime,
    pub(crate) directory: PathBuf,
    pub(crate) tag: Tag,
    pub(crate) log: Arc<OutputLog>,
    pub(crate) input: Arc<Input>,
    /// `None` for pipes, and once the process has ended.
    pub(crate) terminal: Option<Mutex<Option<Box<dyn MasterPty + Send>>>>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Guards the small facts that change. Held for an assignment, never across an await.
    pub(crate) facts: Mutex<Facts>,
}

pub(crate) struct Facts {
    pub(crate) state: State,
    pub(crate) measured: Measured,
}

impl<Tag> Process<Tag> {
    /// The table's number for it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The operating system's number for it.
    pub fn os_pid(&self) -> i32 {
        self.os_pid
    }

    /// When it was started.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Where it was started.
    pub fn directory(&self) -> &PathBuf {
        &self.directory
    }

    /// What whoever spawned it wants to know of it.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Its output.
    pub fn log(&self) -> &Arc<OutputLog> {
        &self.log
    }

    /// Whether it has a terminal.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.facts().state.clone()
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Arc<Exit>> {
        match &self.facts().state {
            State::Running => None,
            State::Ended(exit) => Some(Arc::clone(exit)),
        }
    }

    /// What was last measured of it.
    pub fn measured(&self) -> Measured {
        self.facts().measured.clone()
    }

    /// Hands it input, all or nothing.
    ///
    /// # Errors
    /// When too much waits already, or it no longer reads.
    pub fn write(&self, bytes: Bytes) -> Result<(), InputError> {
        self.input.write(bytes)
    }

    /// Bytes of input it was handed so far, and bytes that wait.
    pub fn input_accepted(&self) -> (u64, usize) {
        self.input.accepted()
    }

    /// Waits until it was handed more than `accepted` bytes of input, or nothing waits any more.
    pub async fn input_progress(&self, accepted: u64) {
        self.input.progress(accepted).await;
    }

    /// Ends its input behind what waits: closes a pipe, types Ctrl-D into a terminal.
    ///
    /// # Errors
    /// When it no longer reads.
    pub fn close_input(&self) -> Result<(), InputError> {
        self.input.close()
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// When it has none, or not any more.
    pub fn resize(&self, size: TerminalSize) -> Result<(), ResizeError> {
        let terminal = self.terminal.as_ref().ok_or(ResizeError::NoTerminal)?;
        let terminal = terminal.lock().unwrap_or_else(PoisonError::into_inner);
        let terminal = terminal.as_ref().ok_or(ResizeError::Ended)?;
        terminal.resize(size.into()).map_err(|error| ResizeError::Failed(error.to_string()))
    }

    /// Delivers a signal to the whole tree and no more.
    ///
    /// # Errors
    /// When it has already ended.
    pub async fn signal(&self, signal: i32) -> Result<Vec<Member>, KillError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Signal { signal, answer }).await.map_err(|_| KillError::Ended)?;
        answered.await.map_err(|_| KillError::Ended)
    }

    /// Ends the whole tree: delivers `signal`, forces what is left after `grace`, and answers once all are gone.
    ///
    /// # Errors
    /// When it has already ended.
    pub async fn end(&self, signal: i32, grace: Duration, reason: EndReason) -> Result<Arc<Exit>, KillError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::End { signal, grace, reason, answer: Some(answer) };
        self.commands.send(command).await.map_err(|_| KillError::Ended)?;
        answered.await.map_err(|_| KillError::Ended)
    }

    /// Ends the tree at once because of a limit, without waiting. Given up when the task is busy: the next
    /// measurement tries again.
    pub(crate) fn end_for(&self, reason: EndReason) {
        let command = Command::End { signal: libc::SIGKILL, grace: Duration::ZERO, reason, answer: None };
        let _ = self.commands.try_send(command);
    }
}
