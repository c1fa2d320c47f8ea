//! The hub: what holds the trees, has plans made and carried out, and talks to replicas. It does no I/O itself.
//!
//! Everything goes in as an [`Input`] and comes out as [`Effect`]s, which whoever holds the hub carries out: work on the host's folder,
//! messages to replicas, saves. It has no clock, and the same inputs have the same effects.
//!
//! A path in which something is under way is not planned again before that is over; everything else goes on. Each order says what must be there, so an order
//! that was planned from what is no longer true does nothing, and its outcome says what is. Answers of one side come in one line: what it observed after it
//! carried out an order is told after the outcome of that order.
//!
//! - `replica`: what is held of one replica; `session`: opening, closing and what a replica says.
//! - `planning`: from what changed to orders under way; `outcome`: from outcomes to trees.
//! - `outgoing`: orders and content for a replica; `incoming`: content from a replica; `host`: work on the host.
//! - `saving`: what is written down; `control`: what a person asks for; `status`: what a person is shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::{RelativePath, Tree};
use crate::plan::{HaltReason, Step, Which};
use crate::tree::{Ignores, Problems};

mod busy;
mod control;
mod host;
mod incoming;
pub mod message;
mod outcome;
mod outgoing;
mod planning;
mod replica;
mod saving;
mod session;
pub mod state;
pub mod status;
pub mod work;

#[cfg(test)]
mod tests;

pub use control::{Control, Keep};
pub use saving::SaveFailed;
pub use session::Opening;

use busy::Busy;
use host::Pending;
use message::{FromReplica, ToReplica};
use replica::Replica;
use saving::Saving;
use state::{Change, Conflict, Saved};
use status::Activity;
use work::{Work, WorkResult};

/// Most bytes asked for in one read.
pub const READ_BYTES: u32 = 1 << 20;
/// Content on its way from one replica. Beyond it, the hub asks for no more until what it has is staged.
pub const INCOMING_BYTES: u64 = 8 << 20;
/// Orders a replica has not answered. Further ones wait in the hub.
pub const UNANSWERED_ORDERS: usize = 4096;
/// Orders the host carries out at once, and syncs to disk together.
pub const APPLY_ORDERS: usize = 4096;
/// Questions of one replica that are not answered yet. Beyond it the session is ended: no replica needs that many.
pub const QUESTIONS: usize = 256;
/// Files and folders of one replica. Beyond it the session is ended.
pub const ENTRIES: usize = 2_000_000;
/// Replicas that are remembered. Beyond it the one that was away longest is forgotten, and joins by union when it comes back.
pub const REPLICAS: usize = 64;

/// What happens to the hub.
pub enum Input {
    /// Something may have changed on the host at these paths; anywhere, if there are none.
    HostHint(Vec<RelativePath>),
    /// Work was done.
    WorkDone {
        /// Which.
        ticket: u64,
        /// What became of it.
        result: WorkResult,
    },
    /// A replica opened a session.
    Opened(Opening),
    /// A session is over. Of a session that the hub ended nothing need be told.
    Closed {
        /// Which.
        session: u64,
    },
    /// A replica said something.
    Message {
        /// In which session.
        session: u64,
        /// What.
        message: FromReplica,
    },
    /// A save was carried out.
    Saved {
        /// Which.
        ticket: u64,
        /// Whether it is durable now.
        result: Result<(), SaveFailed>,
    },
    /// A person asks for something.
    Control(Control),
}

impl Input {
    /// Whether it tells of something that is not the hub's own doing.
    fn tells(&self) -> bool {
        match self {
            Self::WorkDone { result, .. } => matches!(result, WorkResult::Observed { .. }),
            Self::Message { message, .. } => matches!(message, FromReplica::Observed { .. }),
            Self::Saved { .. } => false,
            Self::HostHint(_) | Self::Opened(_) | Self::Closed { .. } | Self::Control(_) => true,
        }
    }
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have this done on the host and answer with [`Input::WorkDone`].
    Work {
        /// Names the answer.
        ticket: u64,
        /// What.
        work: Work,
    },
    /// Answer a replica that opened a session.
    Opened {
        /// Which.
        session: u64,
        /// How often it joined by union.
        epoch: u64,
        /// The last the hub knows.
        sequence: u64,
        /// It must observe everything.
        full: bool,
    },
    /// Tell a replica.
    Send {
        /// In which session.
        session: u64,
        /// What.
        message: ToReplica,
    },
    /// End a session.
    Ended {
        /// Which.
        session: u64,
        /// Why.
        reason: String,
    },
    /// Write this down in one transaction and answer with [`Input::Saved`].
    Save {
        /// Names the answer.
        ticket: u64,
        /// What.
        changes: Vec<Change>,
    },
    /// Something a person may want to see.
    Activity(Activity),
}

/// An order that has been given, or is about to be.
struct UnderWay {
    /// For the sake of which replica; `None`: a person resolved a conflict.
    key: Option<Arc<str>>,
    side: Which,
    step: Step,
    /// Content on its way to the replica for it.
    bytes: u64,
}

/// See the [module's description](self).
pub struct Hub {
    host: Tree,
    host_problems: Problems,
    /// Rows of the host that are not saved.
    host_unsaved: BTreeSet<RelativePath>,
    /// The host was looked at as a whole since the hub began.
    host_seen: bool,
    /// Nothing can be done on the host.
    host_down: Option<HaltReason>,
    /// Where orders for the host are under way, or it is being looked at because something was not as expected.
    host_busy: Busy,
    /// Hints that came while the host was being looked at. Holds nothing: everything is to be looked at.
    hints: Option<Vec<RelativePath>>,
    observing: usize,
    rules: Arc<dyn Ignores>,
    replicas: BTreeMap<Arc<str>, Replica>,
    sessions: BTreeMap<u64, Arc<str>>,
    under_way: BTreeMap<u64, UnderWay>,
    /// Orders the host can carry out.
    ready: VecDeque<u64>,
    applying: bool,
    pending: BTreeMap<u64, Pending>,
    conflicts: BTreeMap<RelativePath, Conflict>,
    saving: Saving,
    paused: bool,
    number: u64,
    openings: u64,
    effects: Vec<Effect>,
}

impl Hub {
    /// A hub that remembers this. It does nothing before it is given its first input, which should be a hint that anything may have changed.
    pub fn new(saved: Saved, rules: Arc<dyn Ignores>) -> Self {
        let Saved { host, replicas, conflicts } = saved;
        let replicas: BTreeMap<_, _> =
            replicas.into_iter().map(|saved| (saved.header.key.clone(), Replica::of(saved, &host))).collect();
        Self {
            openings: replicas.values().map(|replica| replica.header.opened).max().unwrap_or(0),
            host,
            host_problems: Problems::default(),
            host_unsaved: BTreeSet::new(),
            host_seen: false,
            host_down: None,
            host_busy: Busy::default(),
            hints: None,
            observing: 0,
            rules,
            replicas,
            sessions: BTreeMap::new(),
            under_way: BTreeMap::new(),
            ready: VecDeque::new(),
            applying: false,
            pending: BTreeMap::new(),
            conflicts: conflicts.into_iter().map(|conflict| (conflict.copy.clone(), conflict)).collect(),
            saving: Saving::default(),
            paused: false,
            number: 0,
            effects: Vec::new(),
        }
    }

    /// Takes note of what happened, and says what is to be done now.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        let tells = input.tells();
        match input {
            Input::HostHint(paths) => self.hint(paths),
            Input::WorkDone { ticket, result } => self.work_done(ticket, result),
            Input::Opened(opening) => self.open(opening),
            Input::Closed { session } => self.close(session),
            Input::Message { session, message } => self.hear(session, message),
            Input::Saved { ticket, result } => self.saved(ticket, result),
            Input::Control(control) => self.control(control),
        }
        self.plan_all(tells);
        self.apply_ready();
        self.save();
        self.tell_rest();
        std::mem::take(&mut self.effects)
    }

    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn work(&mut self, work: Work, pending: Pending) -> u64 {
        let ticket = self.number();
        self.pending.insert(ticket, pending);
        self.effects.push(Effect::Work { ticket, work });
        ticket
    }
}
