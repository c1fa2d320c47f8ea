//! What came for one view of a process or one file being read, until it is taken.
//!
//! The receiving task puts in and never waits: what can pile up is bounded by the credit the taker granted, and the
//! taker grants more only for what it really wrote ([`Window`]). Pieces that come while nobody takes are joined, so a
//! program that prints byte by byte costs its bytes and not a hundred times as much. A peer that sends more than it was
//! granted ends the connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v2::{ErrorCode, Exit};
use tokio::sync::{Notify, watch};

/// Bytes the runtime may send ahead of what was written here, per view and per file.
pub(crate) const WINDOW_BYTES: u64 = 1 << 20;

/// Neighbouring pieces are joined up to this size.
const JOINED_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) enum Arrival {
    Bytes {
        kind: Kind,
        offset: u64,
        bytes: BytesMut,
    },
    /// Bytes that are no longer held anywhere.
    Gap {
        from: u64,
        to: u64,
    },
    /// The process ended; `to` is the length of its output.
    Exit {
        to: u64,
        exit: Exit,
    },
    /// The runtime gave up the file, or could not hand over input.
    Refused {
        code: ErrorCode,
        error: String,
    },
    /// The connection is gone. Always the last.
    Disconnected,
}

#[derive(Default)]
pub(crate) struct Feed {
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// Bytes of input the program has been handed, from all clients. Only the newest count matters.
    accepted: watch::Sender<u64>,
}

#[derive(Default)]
struct Waiting {
    arrivals: VecDeque<Arrival>,
    bytes: u64,
}

impl Feed {
    /// Puts bytes in; false when the peer sent more than it was granted.
    #[must_use]
    pub(crate) fn put_bytes(&self, header: Header, payload: Bytes) -> bool {
        let mut waiting = self.lock();
        waiting.bytes += payload.len() as u64;
        if waiting.bytes > WINDOW_BYTES {
            return false;
        }
        match waiting.arrivals.back_mut() {
            Some(Arrival::Bytes { kind, offset, bytes })
                if *kind == header.kind
                    && *offset + bytes.len() as u64 == header.offset
                    && bytes.len() + payload.len() <= JOINED_BYTES =>
            {
                bytes.extend_from_slice(&payload);
            }
            _ => waiting.arrivals.push_back(Arrival::Bytes {
                kind: header.kind,
                offset: header.offset,
                bytes: payload.into(),
            }),
        }
        drop(waiting);
        self.changed.notify_one();
        true
    }

    pub(crate) fn put(&self, arrival: Arrival) {
        self.lock().arrivals.push_back(arrival);
        self.changed.notify_one();
    }

    pub(crate) fn put_accepted(&self, bytes: u64) {
        self.accepted.send_replace(bytes);
    }

    pub(crate) fn accepted(&self) -> watch::Receiver<u64> {
        self.accepted.subscribe()
    }

    /// Waits until something is there and takes all of it. Nothing is lost when the wait is given up.
    pub(crate) async fn take(&self) -> Vec<Arrival> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.arrivals.is_empty() {
                    waiting.bytes = 0;
                    return waiting.arrivals.drain(..).collect();
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of the granted credit was used up since the last grant.
#[derive(Default)]
pub(crate) struct Window {
    written: u64,
}

impl Window {
    /// Counts bytes that were written and says how many to grant now, if it is time: at half the window, so that the
    /// peer neither stops nor is granted every piece anew.
    #[must_use]
    pub(crate) fn written(&mut self, bytes: u64) -> Option<u64> {
        self.written += bytes;
        (self.written >= WINDOW_BYTES / 2).then(|| std::mem::take(&mut self.written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind, offset: u64) -> Header {
        Header { kind, channel: 1, offset }
    }

    fn shape(arrivals: &[Arrival]) -> Vec<(Kind, u64, usize)> {
        arrivals
            .iter()
            .map(|arrival| match arrival {
                Arrival::Bytes { kind, offset, bytes } => (*kind, *offset, bytes.len()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[tokio::test]
    async fn neighbours_of_one_stream_are_joined() {
        let feed = Feed::default();
        for (kind, offset) in [(Kind::Stdout, 0), (Kind::Stdout, 2), (Kind::Stderr, 4), (Kind::Stdout, 6)] {
            assert!(feed.put_bytes(header(kind, offset), Bytes::from_static(b"ab")));
        }
        assert!(feed.put_bytes(header(Kind::Stdout, 100), Bytes::from_static(b"ab")));
        assert_eq!(
            shape(&feed.take().await),
            [(Kind::Stdout, 0, 4), (Kind::Stderr, 4, 2), (Kind::Stdout, 6, 2), (Kind::Stdout, 100, 2)]
        );
    }

    #[tokio::test]
    async fn more_than_was_granted_is_noticed() {
        let feed = Feed::default();
        let half = Bytes::from(vec![0; WINDOW_BYTES as usize / 2]);
        assert!(feed.put_bytes(header(Kind::File, 0), half.clone()));
        assert!(feed.put_bytes(header(Kind::File, half.len() as u64), half.clone()));
        assert!(!feed.put_bytes(header(Kind::File, WINDOW_BYTES), Bytes::from_static(b"a")));
    }

    #[test]
    fn credit_is_granted_for_what_was_written() {
        let mut window = Window::default();
        assert_eq!(window.written(WINDOW_BYTES / 2 - 1), None);
        assert_eq!(window.written(2), Some(WINDOW_BYTES / 2 + 1));
        assert_eq!(window.written(1), None);
    }
}
