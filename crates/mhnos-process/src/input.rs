//! Input on its way to a program.
//!
//! What a program can take at once is written at once, by whoever has it: a keystroke costs no change of task. What it cannot
//! take yet waits, up to a bound, and a task of the process writes it when the program reads on.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::pump::Channel;

/// Why input was not taken. Nothing of it was.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InputError {
    /// The program has not read what it was sent before.
    #[error(
        "the program has not read its input yet ({waiting} bytes wait): send less, or wait until it reads"
    )]
    Full {
        /// Bytes that wait.
        waiting: usize,
    },
    /// The program has closed its input, or it was closed for it.
    #[error("the program no longer reads its input")]
    Closed,
}

/// The way into one program.
pub(crate) struct Input {
    bound: usize,
    /// Guards the queue and the order of writes. Never held across an await.
    state: Mutex<State>,
    /// Wakes the task when there is something to write, or to close.
    work: Notify,
    /// Wakes whoever wants to know that the program reads.
    progress: Notify,
}

struct State {
    /// `None` once closed.
    channel: Option<std::sync::Arc<AsyncFd<Channel>>>,
    queue: VecDeque<Bytes>,
    waiting: usize,
    accepted: u64,
    /// Close as soon as the queue is empty.
    closing: bool,
    /// What a terminal is told instead of a close.
    end_of_transmission: bool,
}

/// Ctrl-D, which a terminal in its usual mode takes for the end of input.
const END_OF_TRANSMISSION: u8 = 4;

impl Input {
    pub(crate) fn new(channel: std::sync::Arc<AsyncFd<Channel>>, terminal: bool, bound: usize) -> Self {
        let state = State {
            channel: Some(channel),
            queue: VecDeque::new(),
            waiting: 0,
            accepted: 0,
            closing: false,
            end_of_transmission: terminal,
        };
        Self { bound, state: Mutex::new(state), work: Notify::new(), progress: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes input for the program, all or nothing.
    pub(crate) fn write(&self, mut bytes: Bytes) -> Result<(), InputError> {
        let mut state = self.lock();
        if state.closing {
            return Err(InputError::Closed);
        }
        let Some(channel) = state.channel.clone() else { return Err(InputError::Closed) };
        // One message larger than the bound is taken when nothing else waits, so that none is too large for ever.
        if state.waiting > 0 && state.waiting + bytes.len() > self.bound {
            return Err(InputError::Full { waiting: state.waiting });
        }
        if state.queue.is_empty() {
            match write_some(&channel, &mut bytes) {
                Ok(written) => state.accepted += written as u64,
                Err(_) => {
                    state.channel = None;
                    return Err(InputError::Closed);
                }
            }
        }
        if !bytes.is_empty() {
            state.waiting += bytes.len();
            state.queue.push_back(bytes);
            self.work.notify_one();
        }
        Ok(())
    }

    /// Ends the program's input behind what waits.
    pub(crate) fn close(&self) -> Result<(), InputError> {
        let mut state = self.lock();
        if state.channel.is_none() || state.closing {
            return Err(InputError::Closed);
        }
        if state.end_of_transmission {
            drop(state);
            return self.write(Bytes::from_static(&[END_OF_TRANSMISSION]));
        }
        state.closing = true;
        self.work.notify_one();
        Ok(())
    }

    /// Forgets what waits: the program is over.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.channel = None;
        state.queue.clear();
        state.waiting = 0;
        drop(state);
        self.progress.notify_waiters();
    }

    /// Bytes handed to the program so far, and bytes that wait.
    pub(crate) fn accepted(&self) -> (u64, usize) {
        let state = self.lock();
        (state.accepted, state.waiting)
    }

    /// Waits until more was handed over than `accepted`, or nothing waits any more.
    pub(crate) async fn progress(&self, accepted: u64) {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            let (now, waiting) = self.accepted();
            if now > accepted || waiting == 0 {
                return;
            }
            progress.await;
        }
    }

    /// Writes what waits, for as long as the program lives.
    pub(crate) async fn run(&self) {
        loop {
            self.work.notified().await;
            while let Some((channel, bytes)) = self.next() {
                let Some(mut bytes) = bytes else { break };
                let ready = channel.writable().await;
                let Ok(mut ready) = ready else { break };
                let written = write_some(&channel, &mut bytes);
                if !bytes.is_empty() {
                    ready.clear_ready();
                }
                let mut state = self.lock();
                match written {
                    Ok(written) => {
                        state.accepted += written as u64;
                        state.waiting -= written;
                        if let Some(front) = state.queue.front_mut() {
                            front.advance(written);
                        }
                        if state.queue.front().is_some_and(Bytes::is_empty) {
                            state.queue.pop_front();
                        }
                    }
                    Err(_) => {
                        state.channel = None;
                        state.queue.clear();
                        state.waiting = 0;
                    }
                }
                drop(state);
                self.progress.notify_waiters();
            }
        }
    }

    /// What to write next: nothing more where the queue is empty, and then a wanted close takes place.
    #[allow(clippy::type_complexity, reason = "used once, above")]
    fn next(&self) -> Option<(std::sync::Arc<AsyncFd<Channel>>, Option<Bytes>)> {
        let mut state = self.lock();
        let channel = state.channel.clone()?;
        let front = state.queue.front().cloned();
        if front.is_none() && state.closing {
            state.channel = None;
        }
        Some((channel, front))
    }
}

/// Writes as much as the program takes now, and moves `bytes` behind it.
fn write_some(channel: &AsyncFd<Channel>, bytes: &mut Bytes) -> io::Result<usize> {
    let before = bytes.len();
    while !bytes.is_empty() {
        match channel.get_ref().file().write(bytes) {
            Ok(written) => bytes.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(before - bytes.len())
}
