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

impl State {
    /// Nothing is written any more.
    fn end(&mut self) {
        self.channel = None;
        self.queue.clear();
        self.waiting = 0;
    }
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
        self.lock().end();
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
            while let Some(channel) = self.next() {
                let Ok(mut ready) = channel.writable().await else { break };
                if !self.write_first(&channel) {
                    ready.clear_ready();
                }
                self.progress.notify_waiters();
            }
        }
    }

    /// The way in, if something waits; if nothing does, a wanted close takes place.
    fn next(&self) -> Option<std::sync::Arc<AsyncFd<Channel>>> {
        let mut state = self.lock();
        if !state.queue.is_empty() {
            return state.channel.clone();
        }
        if state.closing {
            state.channel = None;
        }
        None
    }

    /// Writes of what waits what came first, unless it was forgotten meanwhile. Whether the program took all of it.
    fn write_first(&self, channel: &AsyncFd<Channel>) -> bool {
        let mut state = self.lock();
        let State { queue, waiting, accepted, .. } = &mut *state;
        let Some(first) = queue.front_mut() else { return true };
        let Ok(written) = write_some(channel, first) else {
            state.end();
            return true;
        };
        *accepted += written as u64;
        *waiting -= written;
        let all = first.is_empty();
        if all {
            queue.pop_front();
        }
        all
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_waits_may_be_forgotten_while_it_is_written() {
        for round in 0..300 {
            let (mut reader, writer) = io::pipe().unwrap();
            let channel = Channel::new(writer.into()).unwrap();
            let input = Arc::new(Input::new(Arc::new(channel), false, 0));
            let program = std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
            let writing = Arc::clone(&input);
            let task = tokio::spawn(async move { writing.run().await });
            input.write(vec![0; 2 << 20].into()).unwrap();
            // At another moment each time.
            let began = Instant::now();
            while began.elapsed() < Duration::from_micros(round) {
                std::hint::spin_loop();
            }
            input.end();
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled(), "round {round}: the task has failed");
            assert_eq!(input.accepted().1, 0, "round {round}");
            program.join().unwrap().unwrap();
        }
    }
}
