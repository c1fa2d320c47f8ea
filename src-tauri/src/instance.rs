//! One app for each state folder. A second start hands over what it was started with, and ends.
//!
//! The first holds a lock for as long as it lives and listens on a Unix socket beside it. Neither needs a session bus. All that can be
//! said over it is *show yourself* and *a link was opened*, and a link only ever asks the person; so it does no harm that programs in
//! the sandbox could connect.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use mhnos_server::state::StateDirectory;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// How long the first may take between its lock and its socket.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that are read of a message.
const MESSAGE_BYTES: u64 = 16 << 10;

/// What a second start says to the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Call {
    /// Raise the window.
    Show,
    /// A link was opened.
    Link(String),
}

/// Being the first.
pub(crate) struct First {
    _lock: Flock<File>,
    listener: UnixListener,
}

/// Becomes the first, or hands `call` to the one that is; then there is nothing left to do.
///
/// # Errors
/// When the state folder cannot be used, or the first does not listen.
pub(crate) fn become_first(state: &StateDirectory, call: &Call) -> io::Result<Option<First>> {
    let socket = state.path().join("desktop.sock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(state.path().join("desktop.lock"))?;
    if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        return Ok(Some(First { _lock: lock, listener }));
    }
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut line = serde_json::to_vec(call)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(None)
}

impl First {
    /// Hands each call of a later start to `called`, for as long as the app runs.
    pub(crate) async fn listen(self, called: impl Fn(Call)) {
        let Ok(listener) = tokio::net::UnixListener::from_std(self.listener) else { return };
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let mut line = String::new();
            let mut reader = BufReader::new(stream).take(MESSAGE_BYTES);
            let reading = tokio::time::timeout(PATIENCE, reader.read_line(&mut line));
            if let Ok(Ok(_)) = reading.await
                && let Ok(call) = serde_json::from_str(&line)
            {
                called(call);
            }
        }
    }
}
