//! What the hub remembers, and the changes it asks to be written down.
//!
//! Only what was seen and what was agreed is kept, never work in flight. One [`Effect::Save`](super::Effect::Save) is one transaction: all of
//! its changes, or none. So the base never runs ahead of what both sides really have: its rows are only in a save after both have it durably.

use std::sync::Arc;

use crate::model::{Node, RelativePath, Tree};
use crate::side::Problem;

/// All that is read when the runtime starts. Nothing at all is right too: then every replica joins by union.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// What the host's folder was last seen to be.
    pub host: Tree,
    /// Each replica that is remembered.
    pub replicas: Vec<SavedReplica>,
    /// Conflict copies nobody has looked at yet.
    pub conflicts: Vec<Conflict>,
}

/// One replica, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedReplica {
    /// All about it but its trees.
    pub header: ReplicaHeader,
    /// Base and observed tree. A path in neither has no row.
    pub rows: Vec<Row>,
}

/// What is known of a replica as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaHeader {
    /// Who it is: the server makes it of the page's origin and what the replica calls itself, so that no page can claim another's.
    pub key: Arc<str>,
    /// How a person knows it: "Chromium on laptop". Part of conflict copies' names.
    pub name: String,
    /// Counts how often it joined by union.
    pub epoch: u64,
    /// Counts the saves in which its base changed.
    pub sequence: u64,
    /// The newest sequence it is known to have stored. A replica that comes back with less was restored from a backup.
    pub acknowledged: u64,
    /// Counts all openings of all replicas: the replica with the lowest is forgotten first when there are too many.
    pub opened: u64,
    /// What is there and cannot be synced.
    pub problems: Vec<Problem>,
}

/// What was agreed and what was last seen at one path of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub path: RelativePath,
    /// What both sides had when they last were equal there.
    pub base: Option<Node>,
    /// What the replica was last seen to have.
    pub observed: Option<Node>,
}

/// One thing to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What the host was seen to have at a path. `None`: remove the row.
    Host {
        /// Where.
        path: RelativePath,
        /// What.
        node: Option<Node>,
    },
    /// A row of a replica; with neither base nor observed: remove it.
    Row {
        /// Whose.
        key: Arc<str>,
        /// What.
        row: Row,
    },
    /// Add or replace what is known of a replica as a whole; its rows stay.
    Replica(ReplicaHeader),
    /// Remove a replica and all of its rows.
    Forgotten {
        /// Whose.
        key: Arc<str>,
    },
    /// Add a conflict, told apart by its copy.
    Conflict(Conflict),
    /// Remove the conflict that has this copy.
    ConflictOver {
        /// Where the copy was.
        copy: RelativePath,
    },
}

/// Two people wrote one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The file that kept its name.
    pub path: RelativePath,
    /// Where the other one is, on both sides.
    pub copy: RelativePath,
    /// The replica that wrote the copy, or found it on the host when it wrote a folder there.
    pub replica: String,
}
