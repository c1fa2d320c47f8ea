//! All processes of one runtime.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use nix::fcntl::OFlag;
use portable_pty::{MasterPty, native_pty_system};
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::JoinSet;

use crate::actor::{self, Owned};
use crate::guard::link::Guards;
use crate::guard::message::Launch;
use crate::input::Input;
use crate::log::{LogLimits, OutputLog, Stream};
use crate::process::{EndReason, Exit, Facts, Measured, Process, State, TerminalSize};
use crate::pump::{Channel, PIPE_READ, TERMINAL_READ, pump};
use crate::sample;
use crate::sandbox::Confinement;

/// First process id.
const FIRST_PID: u32 = 1000;

/// Commands that wait for a process's task. At the bound whoever sends one waits.
const COMMANDS: usize = 16;

/// Between the start of a program and the forking of the guard for the next.
const REPLENISH_AFTER: Duration = Duration::from_millis(1);

/// Events a receiver may lag behind before it is told that it missed some.
const EVENTS: usize = 1024;

/// Bounds of a table.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Processes at once. Beyond it, spawning is refused.
    pub processes: usize,
    /// Bytes of memory one process's tree may hold resident. Beyond it, the tree is ended at the next measurement. 0: none.
    pub memory: u64,
    /// Programs in one process's tree. Beyond it, the tree is ended.
    pub members: u32,
    /// Ended processes that are kept. Beyond it, the oldest is forgotten.
    pub ended: usize,
    /// How long an ended process is kept.
    pub ended_time: Duration,
    /// Bytes of input that wait for one process.
    pub input: usize,
    /// Time between asking and forcing when a time limit passes.
    pub grace: Duration,
    /// Bounds of each process's output.
    pub log: LogLimits,
}

/// A program to start.
#[derive(Debug)]
pub struct SpawnRequest<Tag> {
    /// The executable, absolute.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// An open handle of its working directory.
    pub directory: OwnedFd,
    /// The name of that directory, for people.
    pub directory_name: PathBuf,
    /// Run in a terminal of this size; `None`: pipes.
    pub terminal: Option<TerminalSize>,
    /// End it after so long.
    pub time_limit: Option<Duration>,
    /// A line that stands before its own output, on standard error.
    pub notice: Option<String>,
    /// A file it needs, removed when it is over.
    pub scratch_file: Option<tempfile::TempPath>,
    /// What it is closed in; `None`: nothing.
    pub confinement: Option<Confinement>,
    /// Kept with the process, for whoever asks about it.
    pub tag: Tag,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// So many run already.
    #[error(
        "{0} processes run already, which is the limit: end one first, or raise the limit in the settings"
    )]
    TooMany(usize),
    /// The runtime stops.
    #[error("the runtime is stopping: start it again first")]
    Stopping,
    /// The operating system refused.
    #[error("{program} could not be started: {error}")]
    Failed {
        /// The executable.
        program: String,
        /// The reason.
        error: std::io::Error,
    },
}

/// Something that happened to a process.
pub enum ProcessEvent<Tag> {
    /// It runs now.
    Started(Arc<Process<Tag>>),
    /// It was measured, and is different from before.
    Measured(Arc<Process<Tag>>),
    /// It listens on a port now.
    PortOpened(Arc<Process<Tag>>, u16),
    /// It no longer does.
    PortClosed(Arc<Process<Tag>>, u16),
    /// It is over.
    Ended(Arc<Process<Tag>>),
}

impl<Tag> Clone for ProcessEvent<Tag> {
    fn clone(&self) -> Self {
        match self {
            Self::Started(process) => Self::Started(Arc::clone(process)),
            Self::Measured(process) => Self::Measured(Arc::clone(process)),
            Self::PortOpened(process, port) => Self::PortOpened(Arc::clone(process), *port),
            Self::PortClosed(process, port) => Self::PortClosed(Arc::clone(process), *port),
            Self::Ended(process) => Self::Ended(Arc::clone(process)),
        }
    }
}

/// See the [module's description](self). Cheap to clone; all clones are one table. `Tag` is what the user of the engine wants to
/// remember of each process.
pub struct ProcessTable<Tag> {
    shared: Arc<Shared<Tag>>,
}

impl<Tag> Clone for ProcessTable<Tag> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<Tag> Drop for Shared<Tag> {
    fn drop(&mut self) {
        self.activity.notify_one();
    }
}

pub(crate) struct Shared<Tag> {
    pub(crate) limits: Limits,
    guards: Guards,
    /// Guards the list and the counts. Held for a look-up or an insertion, never across an await.
    list: Mutex<List<Tag>>,
    pub(crate) events: broadcast::Sender<ProcessEvent<Tag>>,
    /// Wakes the sampler when there is something to measure.
    pub(crate) activity: Arc<Notify>,
    stopping: AtomicBool,
}

struct List<Tag> {
    processes: BTreeMap<u32, Arc<Process<Tag>>>,
    next_pid: u32,
    /// Running, and about to run.
    active: usize,
    spawned: u32,
    killed: u32,
}

/// Counts of a table since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Started.
    pub spawned: u32,
    /// Of these, ended by the runtime.
    pub killed: u32,
    /// Running.
    pub active: u32,
}

impl<Tag: Send + Sync + 'static> ProcessTable<Tag> {
    /// A table whose guards are forked by `guard_program` with `guard_arguments`: an executable that calls
    /// [`crate::guard::main`]. To be called within a tokio runtime.
    pub fn new(limits: Limits, guard_program: PathBuf, guard_arguments: Vec<String>) -> Self {
        let list = List { processes: BTreeMap::new(), next_pid: FIRST_PID, active: 0, spawned: 0, killed: 0 };
        let shared = Arc::new(Shared {
            limits,
            guards: Guards::new(guard_program, guard_arguments),
            list: Mutex::new(list),
            events: broadcast::channel(EVENTS).0,
            activity: Arc::default(),
            stopping: AtomicBool::new(false),
        });
        shared.guards.replenish();
        tokio::spawn(sample::run(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Starts a program and waits until it runs.
    ///
    /// # Errors
    /// When too many run already, the runtime stops, or the operating system refuses.
    pub async fn spawn(&self, request: SpawnRequest<Tag>) -> Result<Arc<Process<Tag>>, SpawnError> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(SpawnError::Stopping);
        }
        {
            let mut list = self.shared.list();
            if list.active >= self.shared.limits.processes {
                return Err(SpawnError::TooMany(list.active));
            }
            list.active += 1;
        }
        // A task of its own: whoever asked may be gone by the time the program runs, and must not leave it ownerless.
        let shared = Arc::clone(&self.shared);
        let program = request.program.display().to_string();
        let started = tokio::spawn(async move {
            let started = shared.start(request).await;
            if started.is_err() {
                shared.list().active -= 1;
            }
            started
        });
        match started.await {
            Ok(started) => started.map_err(|error| SpawnError::Failed { program, error }),
            Err(_) => Err(SpawnError::Failed { program, error: std::io::ErrorKind::Other.into() }),
        }
    }

    /// The process with this number, running or ended and kept.
    pub fn get(&self, pid: u32) -> Option<Arc<Process<Tag>>> {
        self.shared.list().processes.get(&pid).cloned()
    }

    /// All processes, running or ended and kept, oldest first.
    pub fn list(&self) -> Vec<Arc<Process<Tag>>> {
        self.shared.processes()
    }

    /// Counts since the table began.
    pub fn counts(&self) -> Counts {
        let list = self.shared.list();
        Counts { spawned: list.spawned, killed: list.killed, active: list.active as u32 }
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<ProcessEvent<Tag>> {
        self.shared.events.subscribe()
    }

    /// Ends every process, starts no further one, and returns those that ran and how they ended.
    pub async fn shutdown(&self, grace: Duration) -> Vec<(Arc<Process<Tag>>, Arc<Exit>)> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let mut ended = Vec::new();
        // A program that was about to start when this began is found in a further round.
        while self.shared.list().active > 0 {
            let mut ends = JoinSet::new();
            for process in self.list() {
                if process.exit().is_none() {
                    ends.spawn(async move {
                        let exit = process.end(nix::libc::SIGTERM, grace, EndReason::Shutdown).await;
                        (process, exit)
                    });
                }
            }
            if ends.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for (process, exit) in ends.join_all().await {
                if let Some(exit) = exit.ok().or_else(|| process.exit()) {
                    ended.push((process, exit));
                }
            }
        }
        ended
    }
}

impl<Tag> Shared<Tag> {
    fn list(&self) -> MutexGuard<'_, List<Tag>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn processes(&self) -> Vec<Arc<Process<Tag>>> {
        self.list().processes.values().cloned().collect()
    }
}

/// The two sides of what connects a program with its log.
struct Connection {
    /// The program's ends: a terminal, or input, output and errors.
    theirs: Vec<OwnedFd>,
    terminal: Option<Box<dyn MasterPty + Send>>,
    input: Arc<tokio::io::unix::AsyncFd<Channel>>,
    outputs: Vec<(Arc<tokio::io::unix::AsyncFd<Channel>>, Stream, usize)>,
}

impl Connection {
    fn pipes() -> std::io::Result<Self> {
        let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
        let (their_input, input) = pipe()?;
        let (output, their_output) = pipe()?;
        let (errors, their_errors) = pipe()?;
        Ok(Self {
            theirs: vec![their_input, their_output, their_errors],
            terminal: None,
            input: Arc::new(Channel::new(input)?),
            outputs: vec![
                (Arc::new(Channel::new(output)?), Stream::Stdout, PIPE_READ),
                (Arc::new(Channel::new(errors)?), Stream::Stderr, PIPE_READ),
            ],
        })
    }

    fn terminal(size: TerminalSize) -> std::io::Result<Self> {
        let pair = native_pty_system().openpty(size.into()).map_err(std::io::Error::other)?;
        let name = pair.master.tty_name().ok_or(std::io::ErrorKind::NotFound)?;
        // The crate would start the program itself, without a guard. The guard needs the terminal's descriptor.
        let theirs = nix::fcntl::open(
            &name,
            OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC,
            nix::sys::stat::Mode::empty(),
        )?;
        let master = pair.master.as_raw_fd().ok_or(std::io::ErrorKind::NotFound)?;
        // SAFETY: the master is open for the length of this call; what is made is a descriptor of our own.
        #[allow(unsafe_code, reason = "the crate hands its descriptor out as a plain number")]
        let ours = unsafe { std::os::fd::BorrowedFd::borrow_raw(master) }.try_clone_to_owned()?;
        let channel = Arc::new(Channel::new(ours)?);
        Ok(Self {
            theirs: vec![theirs],
            terminal: Some(pair.master),
            input: Arc::clone(&channel),
            outputs: vec![(channel, Stream::Stdout, TERMINAL_READ)],
        })
    }
}

impl<Tag: Send + Sync + 'static> Shared<Tag> {
    /// Starts a program. The caller has counted it as active, and uncounts it if this fails.
    async fn start(self: &Arc<Self>, request: SpawnRequest<Tag>) -> std::io::Result<Arc<Process<Tag>>> {
        let connection = match request.terminal {
            Some(size) => Connection::terminal(size)?,
            None => Connection::pipes()?,
        };
        let launch = Launch {
            terminal: request.terminal.is_some(),
            confined: request.confinement.is_some(),
            data_limit: data_limit(self.limits.memory),
            program: request.program.into_os_string().into_vec(),
            arguments: request.arguments.into_iter().map(OsString::into_vec).collect(),
            environment: request
                .environment
                .into_iter()
                .map(|(name, value)| (name.into_vec(), value.into_vec()))
                .collect(),
        };
        let descriptors: Vec<_> = std::iter::once(request.directory.as_raw_fd())
            .chain(request.confinement.as_ref().map(AsRawFd::as_raw_fd))
            .chain(connection.theirs.iter().map(AsRawFd::as_raw_fd))
            .collect();
        let launched = match self.guards.take()?.launch(&launch, &descriptors).await {
            // The spawner, or the waiting guard, was killed: a new one once.
            Err(error) if is_connection_lost(&error) => {
                self.guards.reset();
                self.guards.take()?.launch(&launch, &descriptors).await
            }
            other => other,
        };
        let (os_pid, guard_pid, steering, reports) = launched?;
        drop(connection.theirs);
        drop(request.directory);

        let log = OutputLog::new(self.limits.log.clone());
        if let Some(notice) = request.notice {
            log.append(Stream::Stderr, Bytes::from(notice));
        }
        let input = Arc::new(Input::new(connection.input, connection.terminal.is_some(), self.limits.input));
        let (mut pumps, mut outputs) = (JoinSet::new(), Vec::new());
        for (channel, stream, most) in connection.outputs {
            pumps.spawn(pump(Arc::clone(&channel), stream, Arc::clone(&log), most));
            outputs.push((channel, stream));
        }
        let (commands, received) = mpsc::channel(COMMANDS);
        let process = {
            let mut list = self.list();
            let process = Arc::new(Process {
                pid: list.next_pid,
                os_pid,
                guard_pid,
                started: SystemTime::now(),
                directory: request.directory_name,
                tag: request.tag,
                log,
                input: Arc::clone(&input),
                terminal: connection.terminal.map(|terminal| Mutex::new(Some(terminal))),
                commands,
                facts: Mutex::new(Facts {
                    state: State::Running,
                    measured: Measured { members: 1, ..Measured::default() },
                }),
            });
            list.processes.insert(process.pid, Arc::clone(&process));
            list.next_pid += 1;
            list.spawned += 1;
            process
        };
        let _ = self.events.send(ProcessEvent::Started(Arc::clone(&process)));
        self.activity.notify_one();

        let owned = Owned {
            steering,
            reports,
            commands: received,
            pumps,
            outputs,
            time_limit: request.time_limit,
            grace: self.limits.grace,
        };
        let shared = Arc::clone(self);
        let owner = Arc::clone(&process);
        tokio::spawn(async move {
            let writer = tokio::spawn(async move { input.run().await });
            let ended = |exit: &Exit| {
                writer.abort();
                owner.input.end();
                drop(request.scratch_file);
                shared.ended(&owner, exit);
            };
            actor::run(&owner, owned, ended).await;
            tokio::time::sleep(shared.limits.ended_time).await;
            shared.list().processes.remove(&owner.pid);
        });
        // A moment behind the program's own start, so that the two do not contend for a core.
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(REPLENISH_AFTER).await;
            shared.guards.replenish();
        });
        Ok(process)
    }

    fn ended(&self, process: &Arc<Process<Tag>>, exit: &Exit) {
        {
            let mut list = self.list();
            list.active -= 1;
            list.killed += u32::from(exit.reason.is_some());
            let ended: Vec<u32> = list
                .processes
                .values()
                .filter(|process| process.exit().is_some())
                .map(|process| process.pid)
                .collect();
            // Pids rise with time; who started first is forgotten first.
            for pid in ended.iter().take(ended.len().saturating_sub(self.limits.ended)) {
                list.processes.remove(pid);
            }
        }
        let _ = self.events.send(ProcessEvent::Ended(Arc::clone(process)));
    }
}

/// What the kernel lets one program allocate, used or not, where its tree may hold `memory`: a bound for those who are
/// faster than a measurement. Far above, because V8 reserves gigabytes for each worker, and because here the whole
/// stack of every thread counts.
fn data_limit(memory: u64) -> u64 {
    const RESERVED: u64 = 8 << 30;
    if memory == 0 { 0 } else { memory.saturating_mul(4).saturating_add(RESERVED) }
}

fn is_connection_lost(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}
