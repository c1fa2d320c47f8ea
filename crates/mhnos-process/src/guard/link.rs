//! The runtime's side of its guards.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::message::{self, Launch, Order, Report};

/// Guards that wait, forked, for a program.
const WAITING: usize = 2;

/// Hands out guards, and keeps some waiting.
pub(crate) struct Guards {
    program: PathBuf,
    arguments: Vec<String>,
    /// Guards the spawner and the waiting guards. Held for a few system calls, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spawner: Option<BlockingStream>,
    waiting: VecDeque<BlockingStream>,
}

impl Guards {
    /// Guards forked by a spawner that is started as `program` with `arguments`, and again should it ever be gone.
    pub(crate) fn new(program: PathBuf, arguments: Vec<String>) -> Self {
        Self { program, arguments, state: Mutex::default() }
    }

    /// A guard that waits for its launch.
    pub(crate) fn take(&self) -> std::io::Result<Guard> {
        let waiting = self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.pop_front();
        let socket = match waiting {
            Some(socket) => socket,
            None => self.fork()?,
        };
        socket.set_nonblocking(true)?;
        Ok(Guard { stream: UnixStream::from_std(socket)? })
    }

    /// Forks guards until enough wait. Called when nobody is kept waiting by it.
    pub(crate) fn replenish(&self) {
        for _ in 0..WAITING {
            if self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.len() >= WAITING {
                return;
            }
            match self.fork() {
                Ok(socket) => {
                    self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(socket);
                }
                Err(error) => {
                    tracing::warn!(%error, "no guard could be started ahead of time");
                    return;
                }
            }
        }
    }

    /// Forgets the spawner and its guards, because one of them was found dead.
    pub(crate) fn reset(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    fn fork(&self) -> std::io::Result<BlockingStream> {
        let (ours, theirs) = BlockingStream::pair()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spawner) = &state.spawner
            && send_descriptors(spawner.as_raw_fd(), &[0], &[theirs.as_raw_fd()]).is_ok()
        {
            return Ok(ours);
        }
        let spawner = state.spawner.insert(self.start_spawner()?);
        send_descriptors(spawner.as_raw_fd(), &[0], &[theirs.as_raw_fd()])?;
        Ok(ours)
    }

    fn start_spawner(&self) -> std::io::Result<BlockingStream> {
        let (ours, theirs) = BlockingStream::pair()?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        // Reaped by a thread of its own: it ends with the runtime, or is killed by hand.
        std::thread::Builder::new()
            .name("spawner".into())
            .stack_size(64 << 10)
            .spawn(move || child.wait())?;
        Ok(ours)
    }
}

/// A guard that waits for its launch.
pub(crate) struct Guard {
    stream: UnixStream,
}

impl Guard {
    /// Hands the launch over and waits until the program runs: its process id, its guard's, and what to steer it with.
    ///
    /// # Errors
    /// The operating system's reason why the program could not be started; `ConnectionReset` when the guard is gone.
    pub(crate) async fn launch(
        mut self,
        launch: &Launch,
        descriptors: &[RawFd],
    ) -> std::io::Result<(i32, i32, Steering, Reports)> {
        let message = launch.encode();
        // A fresh socket takes some at once. To ask whether it does would cost a turn of the event loop.
        let sent = send_descriptors(self.stream.as_raw_fd(), &message, descriptors)?;
        self.stream.write_all(&message[sent..]).await?;
        let (read, write) = self.stream.into_split();
        let mut reports = Reports { stream: read };
        match reports.next().await? {
            Some(Report::Started { os_pid, guard_pid }) => {
                Ok((os_pid, guard_pid, Steering { stream: write }, reports))
            }
            Some(Report::Failed { errno }) => Err(std::io::Error::from_raw_os_error(errno)),
            Some(_) | None => Err(std::io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// Gives orders to a guard. When it is dropped together with the [`Reports`], the guard ends its tree.
pub(crate) struct Steering {
    stream: OwnedWriteHalf,
}

impl Steering {
    pub(crate) async fn order(&mut self, order: Order) -> std::io::Result<()> {
        self.stream.write_all(&order.encode()).await
    }
}

/// What a guard reports.
pub(crate) struct Reports {
    stream: OwnedReadHalf,
}

impl Reports {
    /// The next report; `None` when the guard is gone. Not cancel-safe: to be called by a task of its own.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Report>> {
        let mut prefix = [0; 4];
        match self.stream.read_exact(&mut prefix).await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let mut message = vec![0; message::length(prefix)?];
        self.stream.read_exact(&mut message).await?;
        Report::decode(&message).map(Some)
    }
}

/// Sends bytes, of which there is at least one, with file descriptors beside them.
fn send_descriptors(socket: RawFd, bytes: &[u8], descriptors: &[RawFd]) -> std::io::Result<usize> {
    let control = [ControlMessage::ScmRights(descriptors)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    Ok(sendmsg::<()>(socket, &[IoSlice::new(bytes)], &control, flags, None)?)
}
