//! Reads a program's output into its log.
//!
//! A descriptor is watched for something to read only while there is nothing. Watched all the time, it would wake a thread
//! for every block the program writes, although another thread is reading block after block already; that costs a
//! terminal half its speed.
//!
//! What was read goes to the log at once, unless there was as much as was asked for: then more is at hand, and is read first, up
//! to [`AHEAD`]. So an echo waits for nothing, and a flood comes in large pieces.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use bytes::BytesMut;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::log::{OutputLog, Stream};

/// What a pipe holds, and gives at once. The more it holds, the less often program and reader have to wake each other.
pub(crate) const PIPE_READ: usize = 256 << 10;

/// What a terminal gives at once.
pub(crate) const TERMINAL_READ: usize = 4 << 10;

/// What is read ahead of the log at most, but for the last read.
const AHEAD: usize = 64 << 10;

/// A new buffer is begun when less than this is left of the old.
const READ_LEAST: usize = 16 << 10;

/// Our end of a pipe or a terminal, in non-blocking mode.
pub(crate) struct Channel(File);

impl Channel {
    /// Takes a descriptor over, and watches it for room to write. The mode belongs to the open file, of which the program has
    /// the other end: it sees no change.
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<AsyncFd<Self>> {
        let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL)?);
        fcntl(&descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // SAFETY: the file owns its descriptor, and nothing replaces or closes it while the `AsyncFd` has it.
        #[allow(unsafe_code, reason = "what tokio asks to be promised holds of every owned file")]
        let registered =
            unsafe { AsyncFd::register_with_interest(Self(descriptor.into()), Interest::WRITABLE) };
        Ok(registered?)
    }

    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Reads until the output ends: all who could write to it have closed it.
pub(crate) async fn pump(channel: Arc<AsyncFd<Channel>>, stream: Stream, log: Arc<OutputLog>, most: usize) {
    if let Err(error) = read_all(channel.get_ref().file(), stream, &log, most).await {
        tracing::warn!(%error, "the output of a process could not be read");
    }
}

async fn read_all(file: &File, stream: Stream, log: &OutputLog, most: usize) -> io::Result<()> {
    // One descriptor cannot be watched twice, and the channel's own is watched already.
    let file = file.try_clone()?;
    // A terminal has no such size, and who has many pipes is refused: that is no reason not to read.
    let _ = fcntl(&file, FcntlArg::F_SETPIPE_SZ(PIPE_READ as i32));
    let mut buffer = BytesMut::new();
    loop {
        log.room().await;
        if buffer.capacity() < READ_LEAST {
            buffer = BytesMut::with_capacity(PIPE_READ);
        }
        match fill(&file, &mut buffer, most).await {
            Ok(()) if buffer.is_empty() => return Ok(()),
            Ok(()) => log.append(stream, buffer.split().freeze()),
            // A terminal whose last user has closed it answers EIO where a pipe answers 0.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(()),
            Err(error) => return Err(error),
        }
        // There may always be more: others want to do something too.
        tokio::task::yield_now().await;
    }
}

/// What [`read_rest`] reads: more than any pipe or terminal holds, so that only somebody who writes on can pass it.
const REST: usize = 4 << 20;

/// Reads what is there at this moment, without waiting. True when that was the end. Not to be called while a pump reads.
pub(crate) fn read_rest(file: &File, stream: Stream, log: &OutputLog) -> bool {
    let mut rest = 0;
    while rest < REST {
        let mut buffer = BytesMut::with_capacity(PIPE_READ);
        match read(file, &mut buffer, PIPE_READ) {
            Ok(0) => return true,
            Ok(read) => {
                rest += read;
                log.append(stream, buffer.freeze());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.raw_os_error() == Some(libc::EIO),
        }
    }
    false
}

/// Waits for something to read, and reads it and what is at hand behind it. The buffer is empty when the output has ended.
async fn fill(file: &File, buffer: &mut BytesMut, most: usize) -> io::Result<()> {
    loop {
        let asked = most.min(room(buffer));
        match read(file, buffer, asked) {
            // A terminal has a byte less than it has room for.
            Ok(read) if read + 1 >= asked && buffer.len() < AHEAD && room(buffer) >= READ_LEAST => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whatever it is, the next read meets it again.
            Err(_) if !buffer.is_empty() => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable(file).await?,
            Err(error) => return Err(error),
        }
    }
}

fn room(buffer: &BytesMut) -> usize {
    buffer.capacity() - buffer.len()
}

async fn readable(file: &File) -> io::Result<()> {
    // SAFETY: the file outlives what is registered here, and nothing replaces or closes its descriptor meanwhile.
    #[allow(unsafe_code, reason = "what tokio asks to be promised holds of every borrowed file")]
    let watched = unsafe { AsyncFd::register_with_interest(file.as_fd(), Interest::READABLE) }?;
    watched.readable().await.map(drop)
}

/// Reads at most so many bytes behind what the buffer holds, into room it has.
fn read(file: &File, buffer: &mut BytesMut, asked: usize) -> io::Result<usize> {
    let room = buffer.spare_capacity_mut();
    let asked = asked.min(room.len());
    // SAFETY: read writes into the room, which is not shorter than asked.
    #[allow(unsafe_code, reason = "the safe way zeroes the room first, which costs as much as the read")]
    let read = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), asked) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: so many bytes were just written behind the buffer's length.
    #[allow(unsafe_code, reason = "as above")]
    unsafe {
        buffer.set_len(buffer.len() + read);
    }
    Ok(read)
}
