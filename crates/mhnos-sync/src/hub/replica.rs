//! What is held of one replica.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::hub::busy::Busy;
use crate::hub::incoming::Incoming;
use crate::hub::outgoing::Outgoing;
use crate::hub::state::{ReplicaHeader, SavedReplica};
use crate::model::{RelativePath, Tree};
use crate::plan::{Halt, Which};
use crate::side::Order;
use crate::tree::{Problems, ReplicaTrees, Told, ancestors, inside};

/// One replica, whether it is there or not.
pub(super) struct Replica {
    pub(super) header: ReplicaHeader,
    pub(super) header_unsaved: bool,
    pub(super) trees: ReplicaTrees,
    pub(super) problems: Problems,
    pub(super) session: Option<Session>,
    /// What is to be planned.
    pub(super) dirty: Dirty,
    /// What is to be planned when what is under way there is over, and what together with it.
    pub(super) deferred: BTreeMap<RelativePath, BTreeSet<RelativePath>>,
    /// What differs and stays so.
    pub(super) held: BTreeSet<RelativePath>,
    pub(super) busy: Busy,
    /// Orders of this replica's that are under way.
    pub(super) steps: usize,
    /// Of them, removals of files, by the side on which they vanished.
    pub(super) vanishing: [usize; 2],
    pub(super) halt: Option<Halt>,
    pub(super) confirmed: [bool; 2],
    /// Orders that could not be carried out, and why.
    pub(super) refused: BTreeMap<(Which, RelativePath), Order>,
    pub(super) reasons: BTreeMap<(Which, RelativePath), String>,
    /// Names that could not be found for conflict copies.
    pub(super) nameless: BTreeMap<String, String>,
    /// Paths whose order was not carried out although nothing was known to be in its way.
    pub(super) puzzling: BTreeSet<(Which, RelativePath)>,
    /// Paths whose content is not to be copied on the side.
    pub(super) transfer: BTreeSet<RelativePath>,
}

/// What is to be planned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dirty {
    Everything,
    Paths(BTreeSet<RelativePath>),
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::Paths(BTreeSet::new())
    }

    pub(super) fn insert(&mut self, path: &RelativePath) {
        if let Self::Paths(paths) = self
            && !paths.contains(path)
        {
            paths.insert(path.clone());
        }
    }

    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Paths(BTreeSet::new()))
    }
}

/// A replica that is there.
pub(super) struct Session {
    pub(super) number: u64,
    /// Bytes of content that may be on their way to it.
    pub(super) window: u64,
    /// It is to observe everything; until then nothing is planned.
    pub(super) expecting: bool,
    /// The parts of an observation of which more are to come.
    pub(super) told: Option<Told>,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    /// Questions that are being answered.
    pub(super) questions: usize,
    /// The last order that was sent.
    pub(super) last_sent: u64,
    /// Sequences it was told, each with the order that was sent before.
    pub(super) committed: VecDeque<(u64, u64)>,
    /// What it was last told of both sides being equal.
    pub(super) told_synced: bool,
    pub(super) told_halted: String,
}

impl Replica {
    pub(super) fn new(header: ReplicaHeader, trees: ReplicaTrees) -> Self {
        Self {
            problems: header.problems.iter().cloned().collect(),
            header,
            header_unsaved: true,
            trees,
            session: None,
            dirty: Dirty::Everything,
            deferred: BTreeMap::new(),
            held: BTreeSet::new(),
            busy: Busy::default(),
            steps: 0,
            vanishing: [0; 2],
            halt: None,
            confirmed: [false; 2],
            refused: BTreeMap::new(),
            reasons: BTreeMap::new(),
            nameless: BTreeMap::new(),
            puzzling: BTreeSet::new(),
            transfer: BTreeSet::new(),
        }
    }

    pub(super) fn of(saved: SavedReplica, host: &Tree) -> Self {
        let trees = ReplicaTrees::of_rows(host, saved.rows);
        Self { header_unsaved: false, ..Self::new(saved.header, trees) }
    }

    /// Something under way at this path is over: what waited for it is to be planned, unless it has to wait for something else too.
    pub(super) fn resume(&mut self, path: &RelativePath, host_busy: &Busy) {
        if self.deferred.is_empty() {
            return;
        }
        let within: Vec<_> = inside(&self.deferred, Some(path)).map(|(path, _)| path.clone()).collect();
        for path in within.into_iter().chain(std::iter::once(path.clone())).chain(ancestors(path)) {
            let waits = || self.busy.touches(&path) || host_busy.touches(&path);
            if self.deferred.contains_key(&path) && !waits() {
                let together = self.deferred.remove(&path).unwrap_or_default();
                together.iter().chain([&path]).for_each(|path| self.dirty.insert(path));
            }
        }
    }

    /// What could not be done may be possible now.
    pub(super) fn retry(&mut self, side: Which, path: &RelativePath) {
        let key = (side, path.clone());
        self.refused.remove(&key);
        self.reasons.remove(&key);
        self.puzzling.remove(&key);
    }

    /// All that could not be done may be possible now.
    pub(super) fn retry_all(&mut self) {
        self.refused.clear();
        self.reasons.clear();
        self.nameless.clear();
        self.puzzling.clear();
        self.transfer.clear();
        self.dirty = Dirty::Everything;
    }

    /// Nothing is under way, and nothing waits to be planned.
    pub(super) fn rests(&self) -> bool {
        let observing =
            self.session.as_ref().is_some_and(|session| session.expecting || session.told.is_some());
        self.steps == 0
            && self.dirty.is_empty()
            && self.deferred.is_empty()
            && !observing
            && self.halt.is_none()
    }
}
