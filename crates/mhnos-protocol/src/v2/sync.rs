//! What requests and replies about two-way sync speak of. Its records are in [`crate::sync`].

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::SkippedFile;

/// What `syncStatus` says, and `syncChanged` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// Whether a person paused it.
    pub paused: bool,
    /// Why nothing is done with any replica until a person decides, if that is so.
    pub halted: Option<String>,
    /// Those that are connected or were.
    pub replicas: Vec<SyncReplica>,
    /// How many conflicts wait for a person.
    pub conflicts: u32,
    /// Files of the host that cannot be synced, the first of them.
    pub problems: Vec<SkippedFile>,
    /// How many there are in all.
    pub problem_count: u32,
}

/// A replica of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SyncReplica {
    /// Its 32 hexadecimal digits.
    pub key: String,
    /// What it calls itself.
    pub name: String,
    /// The page it belongs to; absent: a local program.
    pub origin: Option<String>,
    /// Whether it has a session now.
    pub connected: bool,
    /// What is being done.
    pub phase: SyncPhase,
    /// Why nothing is done with it until a person decides, if that is so.
    pub halted: Option<String>,
    /// Files and folders in which it differs from the host, as far as is known.
    pub files_to_go: u64,
    /// Bytes of content that have yet to be moved for them.
    pub bytes_to_go: u64,
    /// When both were equal last, in milliseconds since 1970; absent: never.
    pub last_synced: Option<u64>,
    /// Its files that cannot be synced, the first of them.
    pub problems: Vec<SkippedFile>,
    /// How many there are in all.
    pub problem_count: u32,
}

/// What is being done with a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum SyncPhase {
    /// It is not connected.
    Away,
    /// It is looking at what it has.
    Observing,
    /// Something is on its way.
    Syncing,
    /// Both are equal.
    Synced,
    /// A person paused it.
    Paused,
    /// A person has to decide first.
    Halted,
}

/// A file that was changed on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The path that was changed on both sides.
    pub path: String,
    /// Where the version is that did not keep the name.
    pub copy: String,
    /// The name of the replica.
    pub replica: String,
    /// When it was seen, in milliseconds since 1970.
    pub time: u64,
}

/// Which version a person keeps of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Keep {
    /// The one that kept the name. The copy goes to the versions store.
    Name,
    /// The copy, which takes the name. The other goes to the versions store.
    Copy,
    /// Both, each under the name it has; it is no longer listed.
    Both,
}

/// What a person decides about a halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum HaltAnswer {
    /// The deletions are meant: carry them out.
    Confirm,
    /// They are not: give back what is missing.
    Restore,
}

/// An earlier content of a file that was replaced or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// For `syncRestore`.
    pub id: u64,
    /// Where it was.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was displaced, in milliseconds since 1970.
    pub time: u64,
    /// Why; a few words for a person.
    pub reason: String,
}
