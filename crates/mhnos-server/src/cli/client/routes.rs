//! Where what the runtime sends goes: replies to who asked, output to the view of its pid, blocks of files to the
//! transfer of their id. One lock, held for a table look-up and never across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v2::{Event, FileEntry, Reply, SkippedFile};
use mhnos_protocol::{RequestId, limits};
use tokio::sync::{mpsc, oneshot};

use super::feed::{Arrival, Feed};

#[derive(Default)]
pub(super) struct Routes {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    /// Who listens to events, if anybody does.
    events: Option<mpsc::Sender<Event>>,
    last_id: u32,
    asked: HashMap<u32, Asked>,
    views: HashMap<u32, Arc<Feed>>,
    transfers: HashMap<u32, Arc<Feed>>,
    closed: bool,
}

struct Asked {
    answer: oneshot::Sender<Reply>,
    /// Becomes the view of the process that a `spawned` names: its output follows at once, so it must be registered
    /// before the next frame is read.
    view: Option<Arc<Feed>>,
    /// A listing comes in parts; who asked gets it whole.
    entries: Vec<FileEntry>,
    skipped: Vec<SkippedFile>,
}

impl Routes {
    /// A number no other request of this connection has.
    pub(super) fn next_id(&self) -> u32 {
        let mut tables = self.lock();
        tables.last_id += 1;
        tables.last_id
    }

    /// Expects the reply to the request `id`. The receiver fails when the connection ends first.
    pub(super) fn expect(&self, id: u32, view: Option<Arc<Feed>>) -> oneshot::Receiver<Reply> {
        let (answer, receiver) = oneshot::channel();
        let mut tables = self.lock();
        if !tables.closed {
            tables.asked.insert(id, Asked { answer, view, entries: Vec::new(), skipped: Vec::new() });
        }
        receiver
    }

    /// Events from now on. Ends with the connection.
    pub(super) fn events(&self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(limits::EVENTS_WAITING);
        let mut tables = self.lock();
        if !tables.closed {
            tables.events = Some(sender);
        }
        receiver
    }

    pub(super) fn add_view(&self, pid: u32, feed: Arc<Feed>) {
        let mut tables = self.lock();
        if tables.closed {
            feed.put(Arrival::Disconnected);
        } else {
            tables.views.insert(pid, feed);
        }
    }

    pub(super) fn add_transfer(&self, id: u32, feed: Arc<Feed>) {
        let mut tables = self.lock();
        if tables.closed {
            feed.put(Arrival::Disconnected);
        } else {
            tables.transfers.insert(id, feed);
        }
    }

    pub(super) fn remove_transfer(&self, id: u32) {
        let mut tables = self.lock();
        tables.asked.remove(&id);
        tables.transfers.remove(&id);
    }

    /// Delivers a binary frame; false when the runtime broke the rules.
    pub(super) fn deliver_frame(&self, frame: Bytes) -> bool {
        let Ok((header, payload)) = Header::decode(frame) else { return false };
        let tables = self.lock();
        let feed = match header.kind {
            Kind::Stdout | Kind::Stderr => tables.views.get(&header.channel),
            Kind::File => tables.transfers.get(&header.channel),
            // The first goes the other way; no command opens a session of the second.
            Kind::Input | Kind::Sync => return false,
        };
        // Frames for a view or transfer that was just given up are still on their way.
        feed.is_none_or(|feed| feed.put_bytes(header, payload))
    }

    pub(super) fn deliver_reply(&self, reply: Reply) {
        let mut tables = self.lock();
        match reply {
            Reply::Gap { pid, from, to } => tables.to_view(pid, Arrival::Gap { from, to }),
            Reply::Exit { pid, to, exit } => tables.to_view(pid, Arrival::Exit { to, exit }),
            Reply::InputAccepted { pid, to } => {
                if let Some(feed) = tables.views.get(&pid) {
                    feed.put_accepted(to);
                }
            }
            Reply::Files { id, entries, skipped, more: true } => {
                if let Some(asked) = number(id.as_ref()).and_then(|id| tables.asked.get_mut(&id)) {
                    asked.entries.extend(entries);
                    asked.skipped.extend(skipped);
                }
            }
            Reply::Error { id: None, code, error } => {
                // Input has no id. Whose it was cannot be told, and there is one view per connection.
                for feed in tables.views.values() {
                    feed.put(Arrival::Refused { code, error: error.clone() });
                }
            }
            Reply::Event { event } => {
                // Who listens and does not take them has missed the newest.
                if let Some(events) = &tables.events {
                    let _ = events.try_send(event);
                }
            }
            reply => tables.answer(reply),
        }
    }

    /// The connection is gone: everyone who waits is told.
    pub(super) fn close(&self) {
        let mut tables = self.lock();
        tables.closed = true;
        tables.asked.clear();
        tables.events = None;
        for (_, feed) in
            std::mem::take(&mut tables.views).into_iter().chain(std::mem::take(&mut tables.transfers))
        {
            feed.put(Arrival::Disconnected);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn to_view(&self, pid: u32, arrival: Arrival) {
        if let Some(feed) = self.views.get(&pid) {
            feed.put(arrival);
        }
    }

    fn answer(&mut self, mut reply: Reply) {
        let Some(id) = number(id_of(&reply)) else { return };
        let Some(asked) = self.asked.remove(&id) else {
            // A file that began well and then failed: its request was answered already.
            if let (Some(feed), Reply::Error { code, error, .. }) = (self.transfers.get(&id), reply) {
                feed.put(Arrival::Refused { code, error });
            }
            return;
        };
        if let (Some(feed), Reply::Spawned { pid, .. }) = (asked.view, &reply) {
            self.views.insert(*pid, feed);
        }
        if let Reply::Files { entries, skipped, .. } = &mut reply {
            entries.splice(0..0, asked.entries);
            skipped.splice(0..0, asked.skipped);
        }
        // Who asked may have given up meanwhile; then nobody wants the answer.
        let _ = asked.answer.send(reply);
    }
}

fn number(id: Option<&RequestId>) -> Option<u32> {
    match id {
        Some(RequestId::Number(id)) => Some(*id),
        _ => None,
    }
}

fn id_of(reply: &Reply) -> Option<&RequestId> {
    match reply {
        Reply::Spawned { id, .. }
        | Reply::Attached { id, .. }
        | Reply::Killed { id, .. }
        | Reply::Done { id }
        | Reply::Processes { id, .. }
        | Reply::Status { id, .. }
        | Reply::Audit { id, .. }
        | Reply::Log { id, .. }
        | Reply::Doctor { id, .. }
        | Reply::Origins { id, .. }
        | Reply::Ticket { id, .. }
        | Reply::SyncOpened { id, .. }
        | Reply::SyncStatus { id, .. }
        | Reply::SyncConflicts { id, .. }
        | Reply::SyncVersions { id, .. }
        | Reply::Pong { id, .. }
        | Reply::Files { id, .. }
        | Reply::File { id, .. }
        | Reply::Error { id, .. } => id.as_ref(),
        Reply::Welcome { .. }
        | Reply::Gap { .. }
        | Reply::InputAccepted { .. }
        | Reply::Exit { .. }
        | Reply::Event { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> FileEntry {
        let kind = mhnos_protocol::v1::EntryKind::File;
        FileEntry { path: path.into(), kind, size: 0, mtime: 0, executable: false }
    }

    #[tokio::test]
    async fn a_listing_in_parts_arrives_whole_and_in_order() {
        let routes = Routes::default();
        let id = routes.next_id();
        let answer = routes.expect(id, None);
        for (path, more) in [("a", true), ("b", true), ("c", false)] {
            let id = Some(RequestId::Number(id));
            routes.deliver_reply(Reply::Files { id, entries: vec![entry(path)], skipped: Vec::new(), more });
        }
        let Reply::Files { entries, more: false, .. } = answer.await.unwrap() else {
            panic!("another reply")
        };
        assert_eq!(entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn output_right_behind_spawned_is_not_lost() {
        let (routes, feed) = (Routes::default(), Arc::new(Feed::default()));
        let id = routes.next_id();
        let answer = routes.expect(id, Some(feed.clone()));
        routes.deliver_reply(Reply::Spawned { id: Some(RequestId::Number(id)), pid: 1000 });
        let header = Header { kind: Kind::Stdout, channel: 1000, offset: 0 };
        assert!(routes.deliver_frame([&header.encode()[..], b"hello"].concat().into()));
        assert!(matches!(answer.await, Ok(Reply::Spawned { pid: 1000, .. })));
        assert!(matches!(&feed.take().await[..], [Arrival::Bytes { bytes, .. }] if bytes == "hello"));
    }

    #[tokio::test]
    async fn the_end_of_the_connection_reaches_all_who_wait() {
        let (routes, feed) = (Routes::default(), Arc::new(Feed::default()));
        routes.add_view(1000, feed.clone());
        let early = routes.expect(routes.next_id(), None);
        routes.close();
        let late = routes.expect(routes.next_id(), None);
        assert!(early.await.is_err() && late.await.is_err());
        assert!(matches!(&feed.take().await[..], [Arrival::Disconnected]));
        let feed = Arc::new(Feed::default());
        routes.add_transfer(1, feed.clone());
        assert!(matches!(&feed.take().await[..], [Arrival::Disconnected]));
    }
}
