//! The output of one process: a log of bytes with absolute offsets.
//!
//! Its readers append; any number of [`Cursor`]s read, each at its own place and pace. The newest bytes are held in
//! memory, as the very buffers they were read into, so that they are not copied again on their way to a socket. Older ones
//! move to a file without a name, used as a ring, which the operating system removes whatever becomes of us.
//! What falls out of the file is forgotten; a cursor that stands there is told of the gap.
//!
//! Pace: readers ask for [`OutputLog::room`] before they read on. There is room while the *fastest* cursor is close to the
//! end, so one viewer alone misses nothing, and a slow one slows nobody who is faster. When none has moved for
//! a while ([`LogLimits::stalled_viewer`]), or there is none, the program prints on without them.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

mod file_ring;

use file_ring::FileRing;

/// Which of a program's streams a byte came from. A terminal has only [`Stream::Stdout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Bounds of one log. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct LogLimits {
    /// Held in memory. Beyond it, the oldest goes to the file.
    pub memory: usize,
    /// Held in the file. Beyond it, the oldest is forgotten.
    pub file: u64,
    /// How far the program may be ahead of its fastest viewer.
    pub ahead: u64,
    /// How long it waits for viewers of which none moves.
    pub stalled_viewer: Duration,
    /// Folder of the file.
    pub folder: PathBuf,
}

/// Buffers held in memory. A program that prints a byte at a time must not cost more than one that prints in blocks.
const PIECES: usize = 4096;

/// Changes between standard output and error that are remembered. Beyond them, the oldest output is forgotten.
const RUNS: usize = 16 << 10;

/// Pieces shorter than this are joined when they are read.
const JOIN_BELOW: usize = 16 << 10;

/// See the [module's description](self).
pub struct OutputLog {
    limits: LogLimits,
    /// Guards all of the log. Held for the time of a copy of one frame at most, never across an await.
    state: Mutex<State>,
    /// Wakes the readers that wait for room.
    progress: Notify,
}

struct State {
    /// Consecutive buffers in memory, the first at `memory_start`.
    pieces: VecDeque<Bytes>,
    memory_start: u64,
    head: u64,
    /// Where a stream begins; the first entry covers the first byte still held.
    runs: VecDeque<(u64, Stream)>,
    file: FileRing,
    closed: bool,
    /// Whether readers have to keep pace with viewers.
    paced: bool,
    cursors: HashMap<u64, CursorState>,
    next_cursor: u64,
}

struct CursorState {
    position: u64,
    /// Found nothing new and wants to be woken.
    waits: bool,
    /// Did not move for so long that nobody waits for it until it does.
    stalled: bool,
    wake: Arc<Notify>,
}

/// What a cursor finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Bytes of one stream, the first at `offset`.
    Bytes {
        /// Where they stand in the log.
        offset: u64,
        /// Where they came from.
        stream: Stream,
        /// At least one.
        bytes: Bytes,
    },
    /// The bytes from `from` up to `to` are no longer held. The cursor stands at `to` now.
    Gap {
        /// First missing.
        from: u64,
        /// First held.
        to: u64,
    },
    /// Nothing yet; the cursor's `Notify` will be notified.
    Pending,
    /// The log was closed, and this is its length.
    End(u64),
}

impl OutputLog {
    /// An empty log.
    pub(crate) fn new(limits: LogLimits) -> Arc<Self> {
        let file = FileRing::new(limits.file, limits.folder.clone());
        let state = State {
            pieces: VecDeque::new(),
            memory_start: 0,
            head: 0,
            runs: VecDeque::new(),
            file,
            closed: false,
            paced: true,
            cursors: HashMap::new(),
            next_cursor: 0,
        };
        Arc::new(Self { limits, state: Mutex::new(state), progress: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offset behind the last byte.
    pub fn head(&self) -> u64 {
        self.lock().head
    }

    /// Offset of the first byte still held.
    pub fn start(&self) -> u64 {
        self.lock().start()
    }

    /// Adds bytes behind the last. Ignored once the log is closed.
    pub(crate) fn append(&self, stream: Stream, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.append(stream, bytes, self.limits.memory);
        state.wake_waiting();
    }

    /// Waits until the program may print on. See the [module's description](self).
    pub(crate) async fn room(&self) {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.lock().has_room(self.limits.ahead) {
                return;
            }
            if tokio::time::timeout(self.limits.stalled_viewer, progress).await.is_err() {
                for cursor in self.lock().cursors.values_mut() {
                    cursor.stalled = true;
                }
            }
        }
    }

    /// From now on the program no longer waits for viewers: it has ended, and what is left of its output is little.
    pub(crate) fn stop_pacing(&self) {
        self.lock().paced = false;
        self.progress.notify_waiters();
    }

    /// Ends the log: nothing follows what it holds.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.wake_waiting();
    }

    /// A cursor at `from`, or at the first byte still held, or at the end where `from` is beyond it. `wake` is notified when
    /// there is something new after [`Next::Pending`]; any number of cursors may share it.
    pub fn cursor(self: &Arc<Self>, from: Option<u64>, wake: Arc<Notify>) -> Cursor {
        let mut state = self.lock();
        let position = from.map_or(state.start(), |from| from.min(state.head));
        let id = state.next_cursor;
        state.next_cursor += 1;
        state.cursors.insert(id, CursorState { position, waits: false, stalled: false, wake });
        drop(state);
        // Where a new, faster viewer arrives, whoever waited for a slower one may go on.
        self.progress.notify_waiters();
        Cursor { log: Arc::clone(self), id }
    }
}

impl State {
    fn start(&self) -> u64 {
        self.file.start.max(self.runs.front().map_or(0, |&(start, _)| start)).min(self.memory_start)
    }

    fn append(&mut self, stream: Stream, bytes: Bytes, memory: usize) {
        if self.runs.back().is_none_or(|&(_, last)| last != stream) {
            self.runs.push_back((self.head, stream));
        }
        self.head += bytes.len() as u64;
        self.pieces.push_back(bytes);
        while self.head - self.memory_start > memory as u64 || self.pieces.len() > PIECES {
            let Some(oldest) = self.pieces.pop_front() else { break };
            self.file.append(self.memory_start, &oldest);
            self.memory_start += oldest.len() as u64;
        }
        // Runs that no longer cover a held byte go; too many of them take the output they cover with them.
        let start = self.file.start.min(self.memory_start);
        while self.runs.len() > RUNS || self.runs.get(1).is_some_and(|&(next, _)| next <= start) {
            self.runs.pop_front();
        }
        if let Some(first) = self.runs.front_mut() {
            first.0 = first.0.max(start);
        }
    }

    fn wake_waiting(&mut self) {
        for cursor in self.cursors.values_mut() {
            if std::mem::take(&mut cursor.waits) {
                cursor.wake.notify_one();
            }
        }
    }

    fn has_room(&self, ahead: u64) -> bool {
        let fastest =
            self.cursors.values().filter(|cursor| !cursor.stalled).map(|cursor| cursor.position).max();
        !self.paced || fastest.is_none_or(|position| self.head - position < ahead)
    }

    /// The stream at `position`, and where the next one begins.
    fn run_at(&self, position: u64) -> (Stream, u64) {
        let index = self.runs.partition_point(|&(start, _)| start <= position).saturating_sub(1);
        let stream = self.runs.get(index).map_or(Stream::Stdout, |&(_, stream)| stream);
        (stream, self.runs.get(index + 1).map_or(self.head, |&(next, _)| next))
    }

    fn read(&self, position: u64, most: usize) -> Next {
        let start = self.start();
        if position < start {
            return Next::Gap { from: position, to: start };
        }
        if position >= self.head {
            return if self.closed { Next::End(self.head) } else { Next::Pending };
        }
        let (stream, run_end) = self.run_at(position);
        let most = most.min((run_end - position) as usize);
        let bytes = if position < self.memory_start {
            let most = most.min((self.memory_start - position) as usize);
            match self.file.read(position, most) {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::warn!(%error, "the file of a process's output could not be read");
                    return Next::Gap { from: position, to: self.memory_start };
                }
            }
        } else {
            self.read_memory(position, most)
        };
        Next::Bytes { offset: position, stream, bytes }
    }

    /// Bytes of the pieces from `position` on: one piece as it is, or several small ones joined.
    fn read_memory(&self, position: u64, most: usize) -> Bytes {
        // Cursors are nearly always at the newest pieces, so the search begins there.
        let mut piece_start = self.head;
        let mut index = self.pieces.len();
        while piece_start > position && index > 0 {
            index -= 1;
            piece_start -= self.pieces[index].len() as u64;
        }
        let first = self.pieces[index].slice((position - piece_start) as usize..);
        if first.len() >= most {
            return first.slice(..most);
        }
        if first.len() >= JOIN_BELOW || index + 1 == self.pieces.len() {
            return first;
        }
        let mut joined = BytesMut::with_capacity(most.min((self.head - position) as usize));
        joined.extend_from_slice(&first);
        for piece in self.pieces.range(index + 1..) {
            let left = most - joined.len();
            if left == 0 {
                break;
            }
            joined.extend_from_slice(&piece[..piece.len().min(left)]);
        }
        joined.freeze()
    }
}

/// A place in a log. Dropped, it no longer holds the program back.
pub struct Cursor {
    log: Arc<OutputLog>,
    id: u64,
}

impl Cursor {
    /// Where it stands.
    pub fn position(&self) -> u64 {
        self.log.lock().cursors.get(&self.id).map_or(0, |cursor| cursor.position)
    }

    /// What stands there, up to `most` bytes, moving behind it. With 0, [`Next::Pending`] where there are bytes.
    pub fn next(&mut self, most: usize) -> Next {
        let mut state = self.log.lock();
        let Some(position) = state.cursors.get(&self.id).map(|cursor| cursor.position) else {
            return Next::Pending;
        };
        if most == 0 && position < state.head {
            return Next::Pending;
        }
        let next = state.read(position, most);
        let Some(cursor) = state.cursors.get_mut(&self.id) else { return Next::Pending };
        match &next {
            Next::Bytes { bytes, .. } => cursor.position = position + bytes.len() as u64,
            Next::Gap { to, .. } => cursor.position = *to,
            Next::Pending => cursor.waits = true,
            Next::End(_) => {}
        }
        let moved = cursor.position != position;
        cursor.stalled &= !moved;
        drop(state);
        if moved {
            self.log.progress.notify_waiters();
        }
        next
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.log.lock().cursors.remove(&self.id);
        self.log.progress.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(memory: usize, file: u64) -> Arc<OutputLog> {
        OutputLog::new(LogLimits {
            memory,
            file,
            ahead: 1 << 20,
            stalled_viewer: Duration::from_millis(10),
            folder: std::env::temp_dir(),
        })
    }

    fn rest(cursor: &mut Cursor, most: usize) -> (Vec<(Stream, u64, Vec<u8>)>, Next) {
        let mut found: Vec<(Stream, u64, Vec<u8>)> = Vec::new();
        loop {
            match cursor.next(most) {
                Next::Bytes { offset, stream, bytes } => match found.last_mut() {
                    Some((last, start, sofar))
                        if *last == stream && *start + sofar.len() as u64 == offset =>
                    {
                        sofar.extend_from_slice(&bytes);
                    }
                    _ => found.push((stream, offset, bytes.to_vec())),
                },
                other => return (found, other),
            }
        }
    }

    #[test]
    fn a_cursor_reads_memory_and_file_as_one_and_is_told_of_what_is_gone() {
        let log = log(10, 20);
        let wake = Arc::new(Notify::new());
        let mut early = log.cursor(None, Arc::clone(&wake));
        assert_eq!(early.next(5), Next::Pending);
        for round in 0..8u8 {
            log.append(if round % 2 == 0 { Stream::Stdout } else { Stream::Stderr }, vec![round; 5].into());
        }
        assert_eq!(log.head(), 40);
        assert_eq!(log.start(), 10);
        assert_eq!(early.next(5), Next::Gap { from: 0, to: 10 });
        let (found, end) = rest(&mut early, 3);
        assert_eq!(end, Next::Pending);
        let streams: Vec<_> =
            found.iter().map(|(stream, offset, bytes)| (*stream, *offset, bytes[0], bytes.len())).collect();
        assert_eq!(streams[0], (Stream::Stdout, 10, 2, 5));
        assert_eq!(streams[5], (Stream::Stderr, 35, 7, 5));
        log.close();
        assert_eq!(early.next(5), Next::End(40));
        assert_eq!(log.cursor(Some(100), wake).next(1), Next::End(40));
    }

    #[test]
    fn without_a_file_only_the_newest_is_held() {
        let log = OutputLog::new(LogLimits {
            memory: 10,
            file: 100,
            ahead: 1,
            stalled_viewer: Duration::ZERO,
            folder: "/nonexistent".into(),
        });
        for _ in 0..5 {
            log.append(Stream::Stdout, Bytes::from_static(b"12345"));
        }
        assert_eq!(log.start(), 15);
        let (found, _) = rest(&mut log.cursor(None, Arc::default()), 64);
        assert_eq!(found, [(Stream::Stdout, 15, b"1234512345".to_vec())]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_fastest_viewer_sets_the_pace_and_a_stalled_one_does_not() {
        let log = log(1 << 20, 1 << 20);
        let full = Bytes::from(vec![0; 1 << 20]);
        let mut fast = log.cursor(None, Arc::default());
        let _slow = log.cursor(None, Arc::default());
        log.append(Stream::Stdout, full.clone());
        assert!(!log.lock().has_room(1 << 20));
        let _ = rest(&mut fast, 1 << 16);
        log.room().await;
        log.append(Stream::Stdout, full.clone());
        // Neither moves: after the patience is used up, the program goes on.
        log.room().await;
        assert!(log.lock().cursors.values().all(|cursor| cursor.stalled));
        // Who moves again is waited for again.
        fast.next(10);
        log.append(Stream::Stdout, full);
        assert!(!log.lock().has_room(1 << 20));
        drop(fast);
        log.room().await;
    }

    proptest! {
        /// Whatever was appended in whatever pieces is read back, from any held offset and in any steps.
        #[test]
        fn what_is_held_is_what_was_written(
            pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..40)), 1..60),
            memory in 1..200usize,
            file in 1..300u64,
            from in 0..1000u64,
            most in 1..100usize,
        ) {
            let log = log(memory, file);
            let mut all = Vec::new();
            for (error, bytes) in &pieces {
                let stream = if *error { Stream::Stderr } else { Stream::Stdout };
                all.extend(bytes.iter().map(|&byte| (stream, byte)));
                log.append(stream, bytes.clone().into());
            }
            log.close();
            let from = from % (all.len() as u64 + 1);
            let start = log.start().max(from);
            let mut cursor = log.cursor(Some(from), Arc::default());
            if log.start() > from {
                prop_assert_eq!(cursor.next(most), Next::Gap { from, to: start });
            }
            let (found, end) = rest(&mut cursor, most);
            prop_assert_eq!(end, Next::End(all.len() as u64));
            let read: Vec<_> =
                found.into_iter().flat_map(|(stream, _, bytes)| bytes.into_iter().map(move |byte| (stream, byte))).collect();
            prop_assert_eq!(read, &all[start as usize..]);
        }
    }
}
