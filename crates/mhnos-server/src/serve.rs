//! `mhnos-runtime serve`: puts the parts together, says where it listens, and ends everything in good order.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use mhnos_protocol::limits;
use mhnos_sync::host::OpenError;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::control;
use crate::gate::{Gate, Principal};
use crate::http;
use crate::listen::{ListenError, listen};
use crate::logging;
use crate::own_command;
use crate::runtime::{Parts, Runtime};
use crate::settings::{ServeArguments, Settings, SettingsError};
use crate::state::{RunningRuntime, StateDirectory, StateError};
use crate::sync::Sync;
use crate::trust::audit::Fact;
use crate::trust::{StoreError, Trust};
use crate::workspace::{Workspace, now};

/// Why the runtime does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// What a person decided about web pages.
    #[error(transparent)]
    Trust(#[from] StoreError),
    /// Two-way sync of the workspace.
    #[error("the workspace {path} cannot be synced: {error}")]
    Sync {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// The workspace.
    #[error(
        "the workspace {path} cannot be used: {error}: check its owner and permissions, or name another with --workspace"
    )]
    Workspace {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The port, or a socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The operating system.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the runtime until it is told to stop (SIGTERM, SIGINT).
///
/// # Errors
/// With a sentence that says what to do.
pub fn run(arguments: ServeArguments, state_dir: Option<PathBuf>) -> Result<(), ServeError> {
    let state = StateDirectory::open(state_dir.as_deref())?;
    let settings = Settings::load(&arguments, &state)?;
    let _lock = state.lock()?;
    let (log_lines, _log_guard) = logging::begin(settings.log_level, &state.log_directory());
    raise_open_files();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Sockets and programs are looked at after so many steps of other work: what floods must not hold up what types.
        .event_interval(11)
        .global_queue_interval(7)
        .on_thread_start(ask_for_short_slices)
        .build()?
        .block_on(serve(settings, state, log_lines))
}

async fn serve(
    settings: Settings,
    state: StateDirectory,
    log_lines: logging::LogLines,
) -> Result<(), ServeError> {
    let listeners = listen(settings.port, settings.dangerous_address).await?;
    let port =
        listeners.first().and_then(|listener| listener.local_addr().ok()).map_or(settings.port, |a| a.port());
    let token = state.token_or_new()?;
    let scratch = state.fresh_scratch()?;
    let workspace = Workspace::open(&settings.workspace)
        .map_err(|error| ServeError::Workspace { path: settings.workspace.clone(), error })?;
    let sync = Sync::start(&workspace, &state)
        .map_err(|error| ServeError::Sync { path: settings.workspace.clone(), error })?;
    let trust = Trust::open(
        settings.allowed_origins.iter().cloned().collect(),
        settings.allow_loopback_origins,
        state.path(),
    )?;
    let gate = Gate::new(settings.allowed_hosts.clone(), port, token, Arc::new(trust));
    let commands = control::bind(&state)?;
    let addresses = listeners
        .iter()
        .filter_map(|listener| Some(format!("ws://{}", listener.local_addr().ok()?)))
        .collect();
    let runtime = Arc::new(Runtime::new(Parts {
        settings,
        gate,
        workspace,
        sync,
        state: state.clone(),
        scratch,
        addresses,
        log_lines,
    }));

    // Before anybody can be let in.
    runtime.trust.audit.write(Fact::Started {
        version: env!("CARGO_PKG_VERSION").into(),
        sandbox: runtime.sandbox_achieved(),
    });
    let mut interrupts = Stops::new()?;
    let (stop, stopping) = watch::channel(false);
    let url = format!("ws://127.0.0.1:{port}");
    // Before anything is answered: who found it well may look for its address next. Connections wait in the sockets until then.
    state.announce(&RunningRuntime {
        pid: std::process::id(),
        port,
        url: url.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        started: now(),
        workspace: runtime.workspace.root().to_owned(),
    })?;
    let mut serving = JoinSet::new();
    for listener in listeners {
        serving.spawn(http::serve(listener, Arc::clone(&runtime), stopping.clone()));
    }
    serving.spawn(control::serve(commands, Arc::clone(&runtime), stopping.clone()));
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "the service manager was not told that the runtime is ready");
    }
    // Whoever started us may have closed our output; that is no reason to stop.
    let _ = writeln!(std::io::stdout(), "MHNOS runtime listening on {url}");
    if own_command::is_unusual() {
        // Where the log is all a person sees of us, it begins with what they need next.
        let _ = writeln!(
            std::io::stdout(),
            "To let a web page in: {} origins allow http://localhost:8000   (or whatever its address is)",
            own_command::name()
        );
    }
    if std::io::stdout().is_terminal() {
        // Only to a person: a ticket must not end up in a log.
        let (_, console) = runtime.ticket(&Principal::Control, None, limits::FIRST_TICKET_TIME);
        let _ = writeln!(std::io::stdout(), "Console, for the next five minutes: {console}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        workspace = %runtime.workspace.root().display(),
        state = %state.path().display(),
        sandbox = runtime.sandbox_achieved(),
        "listening on {url}"
    );
    let warming = Arc::clone(&runtime);
    tokio::spawn(async move { warming.toolchain().await });

    let name = interrupts.next().await;
    tracing::info!(signal = name, "stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    // No new connections; those that are open see their programs end.
    serving.shutdown().await;
    tokio::select! {
        () = end_programs(&runtime) => {}
        name = interrupts.next() => tracing::warn!(signal = name, "stopped at once: programs are ended by force"),
    }
    state.withdraw();
    runtime.sync.stop().await;
    runtime.trust.audit.write(Fact::Stopped);
    let _ = stop.send(true);
    let deadline = tokio::time::Instant::now() + limits::CLOSE_TIME;
    while runtime.connections() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Asks the kernel (Linux 6.12 and later) to let this thread run often and briefly: woken by a key or its echo, it is then run at
/// once, where it would have to wait for another's turn to end. An older kernel refuses, and nothing changes.
fn ask_for_short_slices() {
    const SLICE_NANOSECONDS: u64 = 100_000;
    // SAFETY: reads a number of this thread.
    #[allow(unsafe_code, reason = "a system call without a wrapper")]
    let nice = unsafe { nix::libc::getpriority(nix::libc::PRIO_PROCESS, 0) };
    let attributes = nix::libc::sched_attr {
        size: size_of::<nix::libc::sched_attr>() as u32,
        sched_policy: nix::libc::SCHED_OTHER as u32,
        // Programs are not to inherit it.
        sched_flags: nix::libc::SCHED_FLAG_RESET_ON_FORK as u64,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE_NANOSECONDS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads the structure, whose size stands in it. There is no wrapper for this call.
    #[allow(unsafe_code, reason = "a system call without a wrapper")]
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "no short slices");
    }
}

/// Lets this process have as many files open as it may: each connection is one, and most logins begin with 1024.
fn raise_open_files() {
    if let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, most.min(OPEN_FILES).max(now), most)
    {
        tracing::warn!(%error, now, "few connections are possible");
    }
}

/// Files the runtime can have any use for.
const OPEN_FILES: u64 = 64 << 10;

/// Ends every program, and says which.
async fn end_programs(runtime: &Runtime) {
    for (process, exit) in runtime.table.shutdown(limits::SHUTDOWN_GRACE).await {
        let forced = exit.ending.forced.len();
        let survived: Vec<_> = exit.ending.survived.iter().map(|member| member.os_pid).collect();
        let command = &process.tag().command;
        tracing::info!(pid = process.pid(), %command, code = exit.code, signal = exit.signal, forced, ?survived, "ended");
    }
}

/// The signals that ask us to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Stops {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}
