//! The things replies and events speak of.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{ProcessCounts, ProcessKind, v1};

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<Signal>,
    /// Why the runtime ended it, if it did: asked for, time limit, memory limit, shutdown.
    pub reason: Option<String>,
    /// Milliseconds it ran.
    pub runtime: u64,
    /// Whether its output was read to its end. If not, something held it open that could not be ended.
    pub drained: bool,
    /// What the program left running when it ended, and was then ended by the runtime.
    pub left_behind: Vec<Member>,
    /// What could not be ended.
    pub survived: Vec<Member>,
}

impl Exit {
    /// The reason of what a client asked to end.
    pub const REQUESTED: &str = "it was asked to end";
    /// The reason of what ended with the runtime.
    pub const SHUTDOWN: &str = "the runtime was stopped";
}

/// A signal by number and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Signal {
    /// Its number on the runtime's system.
    pub number: i32,
    /// Its name, such as `SIGTERM`.
    pub name: String,
}

/// One program of a process's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The operating system's number.
    pub os_pid: i32,
    /// Its name.
    pub name: String,
}

/// One process as `processes` and events show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The runtime's number.
    pub pid: u32,
    /// Its kind.
    pub kind: ProcessKind,
    /// As it was asked for.
    pub command: String,
    /// As they were asked for.
    pub args: Vec<String>,
    /// Its working directory on the host.
    pub cwd: String,
    /// The origin that started it; absent: a local program with the token.
    pub origin: Option<String>,
    /// Milliseconds since 1970.
    pub started: u64,
    /// The operating system's number.
    pub os_pid: i32,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Offset behind its last byte of output so far.
    pub output: u64,
    /// Percent of one core, over the last seconds, of the whole tree.
    pub cpu: f32,
    /// Bytes resident, of the whole tree.
    pub memory: u64,
    /// Programs in the tree.
    pub members: u32,
    /// Ports the tree listens on.
    pub ports: Vec<u16>,
    /// How it ended; absent while it runs.
    pub exit: Option<Exit>,
}

/// What `status` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the runtime.
    pub version: String,
    /// Its process on the host.
    pub os_pid: u32,
    /// Seconds since it began to listen.
    pub uptime: f64,
    /// Addresses it listens on.
    pub addresses: Vec<String>,
    /// The workspace's path on the host.
    pub workspace: String,
    /// The sandbox that was asked for: `strict`, `relaxed` or `none`.
    pub sandbox: String,
    /// The sandbox that programs really run in.
    pub sandbox_achieved: String,
    /// Whether OpenClaw may be started.
    pub allow_openclaw: bool,
    /// How many processes may run at once.
    pub max_processes: u32,
    /// Bytes of memory one process's tree may use.
    pub max_memory: u64,
    /// Open connections.
    pub connections: u32,
    /// Counts.
    pub counts: ProcessCounts,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Counts from 1, and goes on through restarts.
    pub number: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    /// What happened, in words.
    pub text: String,
}

/// A line of the runtime's own log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Milliseconds since 1970.
    pub time: u64,
    /// The line.
    pub message: String,
}

/// What one check of `doctor` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DoctorCheck {
    /// What was looked at.
    pub name: String,
    /// `ok`, `warn` (something will not work, but the runtime does) or `fail` (the runtime does not work).
    pub status: String,
    /// What is the case.
    pub found: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub advice: Option<String>,
    /// Where the program is, where one was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub path: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub version: Option<String>,
}

/// A web page the runtime knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct KnownOrigin {
    /// `http://host:port`.
    pub origin: String,
    /// Whether it may use the runtime.
    pub state: OriginState,
    /// What it may do; `null`: nothing.
    pub access: Option<Access>,
    /// When it was allowed, or began to wait, in milliseconds since 1970.
    pub since: Option<u64>,
    /// When a denial ends, in milliseconds since 1970.
    pub until: Option<u64>,
    /// Open connections, those that wait included.
    pub connections: u32,
}

/// What a web page may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// Read and change files of the workspace.
    Files,
    /// Run programs, too.
    Full,
}

/// Where a web page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum OriginState {
    /// It may, because a person said so.
    Allowed,
    /// It may for as long as it stays connected, because a person said so.
    AllowedOnce,
    /// It may, because the settings say so.
    AllowedBySettings,
    /// It is connected and waits for a person's word.
    Waiting,
    /// It may not, because a person said so, and is not asked about for a while.
    Denied,
    /// Nothing is decided about it, and it does not wait (any more).
    Unknown,
}

/// A file or folder of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FileEntry {
    /// Path from the workspace's root, with `/` between names and none in front.
    pub path: String,
    /// What it is.
    #[ts(type = "\"file\" | \"directory\"")]
    pub kind: v1::EntryKind,
    /// Length in bytes; 0 for a folder.
    pub size: u64,
    /// Milliseconds since 1970.
    pub mtime: u64,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A file that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SkippedFile {
    /// Path from the workspace's root.
    pub path: String,
    /// Why.
    pub reason: String,
}
