//! What the runtime sends a 2.0 client as text.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::facts::{
    AuditEntry, DoctorCheck, Exit, FileEntry, KnownOrigin, LogLine, Member, Process, SkippedFile, Status,
};
use super::sync::{Conflict, SyncStatus, Version};
use crate::{ProcessCounts, RequestId, to_json};

/// What the runtime sends a 2.0 client as text.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reply {
    /// The first message on a connection.
    Welcome {
        /// [`PROTOCOL_VERSION`].
        protocol: String,
        /// Version of the runtime.
        version: String,
        /// Changes when the runtime starts anew: pids and offsets of another instance mean nothing.
        instance: String,
        /// The workspace's path on the host.
        workspace: String,
    },
    /// The program runs.
    Spawned {
        /// Of the request.
        id: Option<RequestId>,
        /// Its number from now on.
        pid: u32,
    },
    /// Output follows from `from`.
    Attached {
        /// Of the request.
        id: Option<RequestId>,
        /// The process.
        pid: u32,
        /// Offset of the first byte that comes.
        from: u64,
        /// Offset behind the last byte there is so far.
        to: u64,
        /// Bytes that were asked for and are no longer held: `from` less what was asked for.
        gap: u64,
    },
    /// A viewer was so slow that bytes it had not been sent are no longer held.
    Gap {
        /// The process.
        pid: u32,
        /// Offset of the first byte that is missing.
        from: u64,
        /// Offset of the next byte that comes.
        to: u64,
    },
    /// Input was handed to the program.
    InputAccepted {
        /// The process.
        pid: u32,
        /// Bytes of input it has been handed so far, from all clients.
        to: u64,
    },
    /// The program and all it started are gone, and all its output was sent.
    Exit {
        /// The process.
        pid: u32,
        /// Length of its output.
        to: u64,
        /// How it ended.
        exit: Exit,
    },
    /// What became of a kill.
    Killed {
        /// Of the request.
        id: Option<RequestId>,
        /// The process.
        pid: u32,
        /// Programs of the tree that were there when the signal was sent.
        signalled: Vec<Member>,
        /// Of these, the ones that had to be forced with SIGKILL.
        forced: Vec<Member>,
        /// Of these, the ones that live on (uninterruptible, or not ours to end).
        survived: Vec<Member>,
    },
    /// The request was carried out.
    Done {
        /// Of the request.
        id: Option<RequestId>,
    },
    /// All processes the client may see.
    Processes {
        /// Of the request.
        id: Option<RequestId>,
        /// Oldest first.
        processes: Vec<Process>,
        /// Counts.
        counts: ProcessCounts,
    },
    /// The web pages the runtime knows.
    Origins {
        /// Of the request.
        id: Option<RequestId>,
        /// In order of their names.
        origins: Vec<KnownOrigin>,
    },
    /// A ticket for one connection.
    Ticket {
        /// Of the request.
        id: Option<RequestId>,
        /// 64 hexadecimal digits.
        ticket: String,
        /// The address of the runtime's own page, with the ticket in its fragment.
        url: String,
        /// Seconds for which it is good.
        lifetime: u64,
    },
    /// What was written down about who was let in and what was started.
    Audit {
        /// Of the request.
        id: Option<RequestId>,
        /// Oldest first.
        entries: Vec<AuditEntry>,
    },
    /// Lines of the runtime's own log.
    Log {
        /// Of the request.
        id: Option<RequestId>,
        /// Oldest first.
        lines: Vec<LogLine>,
    },
    /// What works on this machine and what does not.
    Doctor {
        /// Of the request.
        id: Option<RequestId>,
        /// Whether nothing failed.
        healthy: bool,
        /// What was looked at.
        checks: Vec<DoctorCheck>,
    },
    /// Settings, limits and counts.
    Status {
        /// Of the request.
        id: Option<RequestId>,
        /// What holds.
        status: Status,
    },
    /// The answer to `ping`.
    Pong {
        /// Of the request.
        id: Option<RequestId>,
        /// Milliseconds since 1970.
        time: u64,
    },
    /// Part of a listing.
    Files {
        /// Of the request.
        id: Option<RequestId>,
        /// Folders before what is in them.
        entries: Vec<FileEntry>,
        /// What was left out, and why.
        skipped: Vec<SkippedFile>,
        /// Whether further messages follow.
        more: bool,
    },
    /// A file's blocks follow.
    File {
        /// Of the request.
        id: Option<RequestId>,
        /// Length of the file: so many bytes follow.
        size: u64,
        /// Milliseconds since 1970.
        mtime: u64,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A sync session is open.
    SyncOpened {
        /// Of the request, and the channel of its frames.
        id: Option<RequestId>,
        /// Changes when the runtime begins a new index: what was agreed on before is then forgotten.
        epoch: String,
        /// Where the runtime is with this replica.
        sequence: u64,
        /// Whether the replica has to observe everything and send it whole.
        full: bool,
        /// Names of folders and files that need not be looked at.
        ignored: Vec<String>,
    },
    /// How sync stands.
    SyncStatus {
        /// Of the request.
        id: Option<RequestId>,
        /// How.
        status: SyncStatus,
    },
    /// The conflicts that wait for a person.
    SyncConflicts {
        /// Of the request.
        id: Option<RequestId>,
        /// In order of their paths.
        conflicts: Vec<Conflict>,
    },
    /// Earlier contents that can be restored.
    SyncVersions {
        /// Of the request.
        id: Option<RequestId>,
        /// Newest first.
        versions: Vec<Version>,
    },
    /// Something happened that was subscribed to.
    Event {
        /// What.
        event: Event,
    },
    /// A request failed.
    Error {
        /// Of the request, where it could be read.
        id: Option<RequestId>,
        /// For programs.
        code: ErrorCode,
        /// For people: what happened and what to do next.
        error: String,
    },
}

impl Reply {
    /// The message as text.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A process runs now.
    ProcessStarted {
        /// The process.
        process: Process,
    },
    /// Its use of cpu and memory, sampled while it runs.
    ProcessChanged {
        /// The process.
        pid: u32,
        /// Percent of one core.
        cpu: f32,
        /// Bytes resident.
        memory: u64,
        /// Programs in its tree.
        members: u32,
    },
    /// A process has ended.
    ProcessEnded {
        /// The process.
        process: Process,
    },
    /// A process listens on a port now.
    PortOpened {
        /// The process.
        pid: u32,
        /// The port.
        port: u16,
    },
    /// It no longer does.
    PortClosed {
        /// The process.
        pid: u32,
        /// The port.
        port: u16,
    },
    /// The runtime's own state, now and then.
    Health {
        /// Seconds since it began to listen.
        uptime: f64,
        /// Bytes the runtime itself holds resident.
        memory: u64,
        /// Open connections.
        connections: u32,
        /// Counts of processes.
        counts: ProcessCounts,
    },
    /// A page that nobody has decided about is connected: ask a person.
    OriginAsked {
        /// The page.
        origin: KnownOrigin,
    },
    /// What is decided about a page has changed, or its last connection went.
    OriginChanged {
        /// The page as it stands now.
        origin: KnownOrigin,
    },
    /// A line of the runtime's log.
    Log {
        /// `error`, `warn`, `info`, `debug` or `trace`.
        level: String,
        /// Milliseconds since 1970.
        time: u64,
        /// The line.
        message: String,
    },
    /// How sync stands has changed.
    SyncChanged {
        /// How it stands now.
        status: SyncStatus,
    },
    /// The connection was too slow for its events: so many are missing. Ask `list` for the present state.
    Missed {
        /// How many.
        events: u64,
    },
}

/// Why a request failed, for programs. Closed: a client may match on all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ErrorCode {
    /// The message could not be understood.
    Malformed,
    /// The origin waits for a person's approval.
    NotAllowed,
    /// Not permitted to this client, or switched off in the settings.
    Forbidden,
    /// There is no such process, file or transfer (or it is not this client's).
    NotFound,
    /// The process has ended.
    Ended,
    /// The program is not installed on this machine.
    NotInstalled,
    /// The program could not be started, or the operating system refused.
    Failed,
    /// A bound was reached; try again later or with less.
    Limit,
}
