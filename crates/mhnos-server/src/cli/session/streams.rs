//! This command's own standard streams, as plain descriptors: unbuffered, and patient with a descriptor that somebody
//! else has set to non-blocking (a terminal shared with a Node program, say).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use mhnos_protocol::frame::Kind;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{mpsc, watch};

use crate::cli::terminal::detach_key::DetachKey;

/// Largest piece read from standard input at once.
const READ_BYTES: usize = 64 << 10;

/// Pieces of input that wait to be sent. At the bound standard input is no longer read.
const PIECES_WAITING: usize = 4;

/// Writes to standard output or standard error without holding up anything else.
pub(crate) async fn write(kind: Kind, bytes: impl AsRef<[u8]> + Send + 'static) -> io::Result<()> {
    let writing = tokio::task::spawn_blocking(move || match kind {
        Kind::Stderr => write_fully(io::stderr().as_fd(), bytes.as_ref()),
        _ => write_fully(io::stdout().as_fd(), bytes.as_ref()),
    });
    writing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn write_fully(descriptor: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(descriptor, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait_for(descriptor, PollFlags::POLLOUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is typed, or what stands in the file or pipe that standard input is.
pub(crate) struct Input {
    pub(crate) pieces: mpsc::Receiver<Vec<u8>>,
    /// True once the detach key was pressed; what was typed before it is in `pieces`.
    pub(crate) detached: watch::Receiver<bool>,
}

impl Input {
    /// Begins to read, on a thread that ends with the process: nothing can interrupt a read.
    pub(crate) fn read(detach_key: Option<DetachKey>) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let (pressed, detached) = watch::channel(false);
        std::thread::spawn(move || {
            let mut buffer = vec![0; READ_BYTES];
            while let Some(read @ 1..) = read_some(&mut buffer) {
                let typed = &buffer[..read];
                let key = detach_key.and_then(|key| key.find(typed));
                let typed = &typed[..key.unwrap_or(read)];
                if !typed.is_empty() && sender.blocking_send(typed.to_vec()).is_err() {
                    return;
                }
                if key.is_some() {
                    pressed.send_replace(true);
                    return;
                }
            }
        });
        Self { pieces, detached }
    }
}

/// None when there is no standard input (any more).
fn read_some(buffer: &mut [u8]) -> Option<usize> {
    let input = io::stdin();
    loop {
        match nix::unistd::read(input.as_fd(), buffer) {
            Ok(read) => return Some(read),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait_for(input.as_fd(), PollFlags::POLLIN).ok()?,
            Err(_) => return None,
        }
    }
}

fn wait_for(descriptor: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(descriptor, what)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
