//! The thread of the hub: inputs go in one after the other, and what is to be done for them is handed out. It waits for nothing but inputs.
//!
//! The thread of the index is here too: it does one thing only, and waits for the disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::folder::Job;
use super::{Hello, STOP_PATIENCE, ToSession, UNREAD_BYTES, opening};
use crate::hub::message::{FromReplica, ToReplica};
use crate::hub::state::Change;
use crate::hub::status::{Activity, Status};
use crate::hub::work::WorkResult;
use crate::hub::{Control, Effect, Hub, Input, SaveFailed};
use crate::index::{HostChange, Index};
use crate::model::RelativePath;

/// What comes to the hub's thread.
pub(super) enum Event {
    Open {
        hello: Hello,
        reply: oneshot::Sender<Opened>,
    },
    Closed {
        session: u64,
    },
    Message {
        session: u64,
        message: FromReplica,
    },
    Control {
        control: Control,
        reply: oneshot::Sender<()>,
    },
    /// Something may have changed; anywhere, if no path is named.
    Hint(Vec<RelativePath>),
    WorkDone {
        ticket: u64,
        result: WorkResult,
        rows: Vec<HostChange>,
    },
    Saved {
        ticket: u64,
        result: Result<(), SaveFailed>,
    },
    /// How everything stands, after all that came before this.
    Status {
        reply: oneshot::Sender<Arc<Status>>,
    },
    Stop,
}

/// A session that was opened.
pub(super) struct Opened {
    pub(super) number: u64,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) full: bool,
    pub(super) messages: mpsc::UnboundedReceiver<ToSession>,
    pub(super) unread: Arc<Unread>,
}

/// Counts the bytes a session was given and has not taken.
#[derive(Default)]
pub(super) struct Unread(AtomicUsize);

impl Unread {
    /// What is held until the replica takes it.
    fn bytes(message: &ToReplica) -> usize {
        /// Of a message without content; about.
        const SMALL: usize = 128;
        SMALL
            + match message {
                ToReplica::Content { bytes, .. } => bytes.len(),
                ToReplica::Data(data) => data.bytes.len(),
                ToReplica::Blocks { blocks, .. } => blocks.len() * 32,
                _ => 0,
            }
    }

    fn given(&self, message: &ToReplica) -> usize {
        let bytes = Self::bytes(message);
        self.0.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(super) fn taken(&self, message: &ToReplica) {
        self.0.fetch_sub(Self::bytes(message), Ordering::Relaxed);
    }
}

/// To be written down.
pub(super) struct Save {
    ticket: u64,
    changes: Vec<Change>,
    rows: Vec<HostChange>,
}

struct OpenSession {
    messages: mpsc::UnboundedSender<ToSession>,
    unread: Arc<Unread>,
}

struct Outside<'a> {
    jobs: std::sync::mpsc::Sender<Job>,
    saves: std::sync::mpsc::Sender<Save>,
    activities: &'a broadcast::Sender<Activity>,
    sessions: BTreeMap<u64, OpenSession>,
    /// Who waits for a session to be opened.
    opening: Option<(oneshot::Sender<Opened>, mpsc::UnboundedReceiver<ToSession>, Arc<Unread>)>,
    /// What the folder has seen and the index has not been given.
    rows: Vec<HostChange>,
    saving: usize,
    /// Sessions that are to be ended because their replica does not read.
    overfull: Vec<u64>,
}

/// Runs until it is stopped, or nobody is left who could ask for anything.
pub(super) fn run(
    mut hub: Hub,
    mut events: mpsc::Receiver<Event>,
    jobs: std::sync::mpsc::Sender<Job>,
    saves: std::sync::mpsc::Sender<Save>,
    status: &watch::Sender<Arc<Status>>,
    activities: &broadcast::Sender<Activity>,
    stopping: &OnceLock<Instant>,
) {
    let mut outside = Outside {
        jobs,
        saves,
        activities,
        sessions: BTreeMap::new(),
        opening: None,
        rows: Vec::new(),
        saving: 0,
        overfull: Vec::new(),
    };
    let mut numbers = 0_u64;
    outside.carry_out(hub.handle(Input::HostHint(Vec::new())));
    while let Some(event) = events.blocking_recv() {
        if stopping.get().is_some_and(|since| since.elapsed() > STOP_PATIENCE) {
            break;
        }
        let mut told = None;
        let input = match event {
            Event::Open { hello, reply } => {
                numbers += 1;
                let (sender, receiver) = mpsc::unbounded_channel();
                let unread = Arc::new(Unread::default());
                let session = OpenSession { messages: sender, unread: Arc::clone(&unread) };
                outside.sessions.insert(numbers, session);
                outside.opening = Some((reply, receiver, unread));
                Input::Opened(opening(numbers, hello))
            }
            Event::Closed { session } => {
                outside.sessions.remove(&session);
                Input::Closed { session }
            }
            Event::Message { session, message } => Input::Message { session, message },
            Event::Control { control, reply } => {
                told = Some(reply);
                Input::Control(control)
            }
            Event::Hint(paths) => Input::HostHint(paths),
            Event::WorkDone { ticket, result, mut rows } => {
                outside.rows.append(&mut rows);
                Input::WorkDone { ticket, result }
            }
            Event::Saved { ticket, result } => {
                outside.saving = outside.saving.saturating_sub(1);
                Input::Saved { ticket, result }
            }
            Event::Status { reply } => {
                // Whoever asks and is gone does not need it.
                let _ = reply.send(Arc::new(hub.status()));
                continue;
            }
            Event::Stop => break,
        };
        outside.carry_out(hub.handle(input));
        while let Some(session) = outside.overfull.pop() {
            if let Some(open) = outside.sessions.remove(&session) {
                let reason = "asked for more than it read";
                let _ = open.messages.send(ToSession::Ended(reason.into()));
                outside.carry_out(hub.handle(Input::Closed { session }));
            }
        }
        outside.save_rows();
        // Nothing is built where much is waiting: the state after it is what counts.
        if events.is_empty() {
            let now = Arc::new(hub.status());
            status.send_if_modified(|before| {
                let changed = **before != *now;
                if changed {
                    *before = now;
                }
                changed
            });
        }
        // Whoever asked finds its effect in the status.
        if let Some(reply) = told {
            let _ = reply.send(());
        }
    }
    // Only after what was given out before: so nothing is cut off in the middle.
    let _ = outside.jobs.send(Job::Stop);
}

impl Outside<'_> {
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Work { ticket, work } => {
                    // The folder's thread ends after this one.
                    let _ = self.jobs.send(Job::Work { ticket, work });
                }
                Effect::Opened { session, epoch, sequence, full } => {
                    if let Some((reply, messages, unread)) = self.opening.take() {
                        let opened = Opened { number: session, epoch, sequence, full, messages, unread };
                        // If nobody waits any more, the dropped receiver shows it at the next message.
                        if reply.send(opened).is_err() {
                            self.overfull.push(session);
                        }
                    }
                }
                Effect::Send { session, message } => {
                    let Some(open) = self.sessions.get(&session) else { continue };
                    if open.unread.given(&message) > UNREAD_BYTES {
                        self.overfull.push(session);
                    }
                    // A session that is gone says so by itself.
                    let _ = open.messages.send(ToSession::Message(message));
                }
                Effect::Ended { session, reason } => {
                    if let Some(open) = self.sessions.remove(&session) {
                        let _ = open.messages.send(ToSession::Ended(reason));
                    }
                }
                Effect::Save { ticket, changes } => {
                    let rows = std::mem::take(&mut self.rows);
                    self.saving += 1;
                    let _ = self.saves.send(Save { ticket, changes, rows });
                }
                Effect::Activity(activity) => drop(self.activities.send(activity)),
            }
        }
    }

    /// What was seen is written down too where nothing else is to be.
    fn save_rows(&mut self) {
        if self.saving == 0 && !self.rows.is_empty() {
            self.saving += 1;
            let rows = std::mem::take(&mut self.rows);
            // No number of the hub's: it waits for no answer.
            let _ = self.saves.send(Save { ticket: 0, changes: Vec::new(), rows });
        }
    }
}

/// Writes down what it is given, until nobody gives it anything any more.
pub(super) fn run_index(
    mut index: Index,
    saves: &std::sync::mpsc::Receiver<Save>,
    inputs: &mpsc::Sender<Event>,
) {
    while let Ok(Save { ticket, changes, rows }) = saves.recv() {
        let result = index.save(&changes, &rows).map_err(|error| {
            tracing::error!(%error, "the index of the sync cannot be written");
            SaveFailed(error.to_string())
        });
        if inputs.blocking_send(Event::Saved { ticket, result }).is_err() {
            // The hub is gone; what it gave before is written all the same.
            continue;
        }
    }
}
