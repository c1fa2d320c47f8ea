//! What a person is shown.

use std::sync::Arc;

use crate::hub::Hub;
use crate::hub::state::Conflict;
use crate::model::{Node, RelativePath};
use crate::plan::{Halt, HaltReason, Which};
use crate::side::{Action, Problem};

/// How the sync stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// A person paused it.
    pub paused: bool,
    /// Nothing can be done on the host: why.
    pub down: Option<HaltReason>,
    /// What cannot be synced on the host.
    pub problems: Vec<Problem>,
    /// Files and folders on the host.
    pub entries: usize,
    /// Each replica that is remembered.
    pub replicas: Vec<ReplicaStatus>,
    /// Conflicts nobody has looked at.
    pub conflicts: Vec<Conflict>,
}

/// How one replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Who it is.
    pub key: Arc<str>,
    /// How a person knows it.
    pub name: String,
    /// What goes on.
    pub phase: Phase,
    /// Files and folders it has.
    pub entries: usize,
    /// Orders that are under way, on both sides.
    pub orders: usize,
    /// Bytes of the files that are under way.
    pub bytes: u64,
    /// Paths that differ, whatever the reason.
    pub differences: usize,
    /// What cannot be synced, or could not be done.
    pub problems: Vec<Problem>,
    /// Why nothing is done until a person decides.
    pub halt: Option<Halt>,
    /// Counts the saves in which its base changed.
    pub sequence: u64,
}

/// What goes on with a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is not there.
    Away,
    /// It looks at what it has, or the host does.
    Observing,
    /// Something is under way.
    Syncing,
    /// There is nothing to do.
    Synced,
    /// Nothing is done until a person decides.
    Halted,
    /// A person paused it.
    Paused,
}

/// Something a person may want to see. Whoever shows it adds the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A file was put or a folder made.
    Written {
        /// Where it was written.
        side: Which,
        /// Who it was synced with.
        replica: String,
        /// What.
        path: RelativePath,
    },
    /// Something was removed.
    Removed {
        /// Where it was removed.
        side: Which,
        /// Who it was synced with.
        replica: String,
        /// What.
        path: RelativePath,
    },
    /// Something was moved, with all that is in it.
    Moved {
        /// Where it was moved.
        side: Which,
        /// Who it was synced with.
        replica: String,
        /// From where.
        from: RelativePath,
        /// To where.
        to: RelativePath,
    },
    /// Two people wrote one file.
    Conflict(Conflict),
    /// Something could not be done.
    Failed {
        /// Where.
        side: Which,
        /// Who it was synced with.
        replica: String,
        /// What.
        path: RelativePath,
        /// Why; the end of a sentence that begins with the path.
        reason: String,
    },
    /// Nothing is done until a person decides.
    Halted {
        /// Who is synced with.
        replica: String,
        /// Why.
        halt: Halt,
    },
}

/// Why nothing is done, as a person is told.
pub fn sentence(halt: &Halt) -> String {
    let side = match halt.side {
        Which::Host => "the folder on the host",
        Which::Replica => "this browser's disk",
    };
    match &halt.reason {
        HaltReason::Empty => format!("{side} is empty, and had {} files", halt.base_files),
        HaltReason::MostDeleted => {
            format!("{side} lost {} of {} files at once", halt.vanished, halt.base_files)
        }
        HaltReason::Missing(reason) => format!("{side} is not there: {reason}"),
        HaltReason::DiskFull(reason) => format!("nothing can be written to {side}: {reason}"),
    }
}

impl Hub {
    /// How everything stands.
    pub fn status(&self) -> Status {
        let mut bytes = std::collections::BTreeMap::new();
        for under_way in self.under_way.values() {
            if let (Action::Put { size, .. }, Some(key)) = (&under_way.step.order.action, &under_way.key) {
                *bytes.entry(key.clone()).or_insert(0) += size;
            }
        }
        let replicas = self.replicas.iter().map(|(key, replica)| {
            // What both sides have by now needs no order any more, whatever became of the last one.
            let refused = replica
                .reasons
                .iter()
                .filter(|((_, path), _)| replica.trees.differences().contains_key(path));
            let refused = refused.map(|((_, path), reason)| (path.to_string(), reason));
            let still = |path: &str| RelativePath::new(path).is_ok_and(|path| replica.held.contains(&path));
            let nameless = replica.nameless.iter().filter(|(path, _)| still(path));
            let nameless = nameless.map(|(path, reason)| (path.clone(), reason));
            let failed =
                refused.chain(nameless).map(|(path, reason)| Problem { path, reason: reason.clone() });
            ReplicaStatus {
                key: key.clone(),
                name: replica.header.name.clone(),
                phase: self.phase(replica),
                entries: replica.trees.entries(),
                orders: replica.steps,
                bytes: bytes.get(key).copied().unwrap_or(0),
                differences: replica.trees.differences().len(),
                problems: replica.problems.list().into_iter().chain(failed).collect(),
                halt: replica.halt.clone(),
                sequence: replica.header.sequence,
            }
        });
        Status {
            paused: self.paused,
            down: self.host_down.clone(),
            problems: self.host_problems.list(),
            entries: self.host.len(),
            replicas: replicas.collect(),
            conflicts: self.conflicts.values().cloned().collect(),
        }
    }

    /// What the host was last seen to have at a path.
    pub fn host_node(&self, path: &RelativePath) -> Option<Node> {
        self.host.get(path).copied()
    }

    fn phase(&self, replica: &crate::hub::replica::Replica) -> Phase {
        match &replica.session {
            None => Phase::Away,
            Some(_) if self.paused => Phase::Paused,
            Some(_) if replica.halt.is_some() || self.host_down.is_some() => Phase::Halted,
            Some(session) if !self.host_seen || session.expecting || session.told.is_some() => {
                Phase::Observing
            }
            Some(_) if replica.rests() => Phase::Synced,
            Some(_) => Phase::Syncing,
        }
    }
}
