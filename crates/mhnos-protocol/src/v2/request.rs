//! What a 2.0 client can ask for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Access, HaltAnswer, Keep};
use crate::{Envelope, Malformed, ProcessKind, RequestId};

/// What a 2.0 client can ask for. Each carries an `id`, repeated in the reply, except where noted.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Start a program. Answer: `spawned`.
    Spawn(Spawn),
    /// View a process's output. Attaching again moves the cursor. Answer: `attached`, then output.
    Attach {
        /// The process.
        pid: u32,
        /// Offset of the first byte wanted; absent: the first one still held.
        #[serde(default)]
        #[ts(optional)]
        from: Option<u64>,
        /// Bytes the runtime may send before it is granted more.
        credit: u64,
    },
    /// Stop viewing. Answer: `done`.
    Detach {
        /// The process.
        pid: u32,
    },
    /// Grant further bytes to the view of a process. No answer.
    Credit {
        /// The process.
        pid: u32,
        /// Bytes, added to what is left.
        bytes: u64,
    },
    /// Grant further bytes to a file being read. No answer.
    CreditFile {
        /// The id of the `readFile`.
        transfer: u32,
        /// Bytes, added to what is left.
        bytes: u64,
    },
    /// New size of a terminal. Answer: `done`.
    Resize {
        /// The process.
        pid: u32,
        /// Columns of characters.
        cols: u16,
        /// Rows of characters.
        rows: u16,
    },
    /// End a program's standard input. Answer: `done`.
    CloseInput {
        /// The process.
        pid: u32,
    },
    /// Send a signal to a program and all it started. Answer: `killed`, once they are gone.
    Kill {
        /// The process.
        pid: u32,
        /// Name of the signal; absent: `SIGTERM`.
        #[serde(default)]
        #[ts(optional)]
        signal: Option<String>,
        /// Milliseconds until what is left is forced; absent: 5 s.
        #[serde(default)]
        #[ts(optional)]
        grace: Option<u64>,
    },
    /// Start a program anew as it was started, for whom it was started; if it still runs, it is ended first. Answer: `spawned`.
    Restart {
        /// The process.
        pid: u32,
    },
    /// All processes, ended ones that are still attachable included. Answer: `processes`.
    List,
    /// Settings, limits and counts. Answer: `status`.
    Status,
    /// Are you there? Answer: `pong`.
    Ping,
    /// Be told what happens from now on. Answer: `processes`, the present state, then `event`s.
    Subscribe {
        /// What to be told of.
        topics: Vec<Topic>,
    },
    /// The web pages that may use the runtime, and those that wait. Only for local programs. Answer: `origins`.
    Origins,
    /// Let a web page use the runtime. Only for local programs. Answer: `done`.
    AllowOrigin {
        /// `http://host:port`.
        origin: String,
        /// What it may do; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        access: Option<Access>,
        /// Only for as long as it stays connected, and a minute to come back; absent: from now on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[ts(as = "Option<_>", optional)]
        once: bool,
    },
    /// Do not let it in, close its connections, and do not ask about it for a while. Only for local programs. Answer: `done`.
    DenyOrigin {
        /// `http://host:port`.
        origin: String,
    },
    /// Take back what was decided about it: its connections are closed and what it started is ended. Only for local programs.
    /// Answer: `done`.
    RevokeOrigin {
        /// `http://host:port`.
        origin: String,
    },
    /// A ticket, with which one connection of a page of our own gets the rights of a local program: it offers the subprotocol
    /// `mhnos.ticket.<ticket>` beside `mhnos.v2`. Only for local programs. Answer: `ticket`.
    Ticket {
        /// Of the page that will show it; absent: the page the runtime itself serves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        origin: Option<String>,
        /// For the next connection of a page that is connected: good for a day in place of half a minute.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[ts(as = "Option<_>", optional)]
        resume: bool,
    },
    /// The last lines of the audit log. Only for local programs. Answer: `audit`.
    Audit {
        /// How many, at most 1,000.
        tail: u32,
    },
    /// The last lines of the runtime's own log, from its files. Only for local programs. Answer: `log`.
    Log {
        /// How many, at most 5,000.
        tail: u32,
    },
    /// What works on this machine and what does not, looked at now; takes seconds. Only for local programs. Answer: `doctor`.
    Doctor,
    /// The files below a path. Answer: one or more `files`.
    ListFiles {
        /// A path of the workspace; absent: all of it.
        #[serde(default)]
        #[ts(optional)]
        path: Option<String>,
    },
    /// Read a file. Answer: `file`, then its blocks as binary frames with the request's id (a number) as channel.
    ReadFile {
        /// A path of the workspace.
        path: String,
        /// Bytes the runtime may send before it is granted more.
        credit: u64,
    },
    /// Write a file: its blocks follow as binary frames with the request's id (a number) as channel. Answer: `done`, once
    /// the file is in its place whole and on disk.
    WriteFile {
        /// A path of the workspace.
        path: String,
        /// Length of the whole file.
        size: u64,
        /// Milliseconds since 1970; absent: now.
        #[serde(default)]
        #[ts(optional)]
        mtime: Option<u64>,
        /// Whether it may be executed; absent: as the file it replaces.
        #[serde(default)]
        #[ts(optional)]
        executable: Option<bool>,
    },
    /// Make a folder and those above it. Answer: `done`.
    MakeDirectory {
        /// A path of the workspace.
        path: String,
    },
    /// Give up a `readFile` or `writeFile`, of which nothing stays, or end a sync session. Answer: `done`.
    Cancel {
        /// Its id.
        transfer: u32,
    },
    /// Open a sync session; the id must be a number, which becomes the channel of its binary frames. Answer: `syncOpened`.
    SyncOpen {
        /// The replica's 32 hexadecimal digits, chosen at random once.
        replica: String,
        /// What it calls itself: part of the names of conflict copies, and shown to people.
        name: String,
        /// The last it was told; 0 at first.
        sequence: u64,
        /// Digest of what it told last, in 64 hexadecimal digits; all zero at first.
        digest: String,
        /// Bytes of content the runtime may have on their way to it.
        window: u64,
    },
    /// How sync stands. Answer: `syncStatus`.
    SyncStatus,
    /// The conflicts that wait for a person. Answer: `syncConflicts`.
    SyncConflicts,
    /// Settle a conflict. Answer: `done`.
    SyncResolve {
        /// The path of the conflict copy.
        path: String,
        /// Which version is kept.
        keep: Keep,
    },
    /// Earlier contents that can be restored, newest first. Answer: `syncVersions`.
    SyncVersions {
        /// Of this file, or the files in this folder; absent: all.
        #[serde(default)]
        #[ts(optional)]
        path: Option<String>,
    },
    /// Put an earlier content in its place again; what is there becomes a version itself. Answer: `done`.
    SyncRestore {
        /// Its id.
        version: u64,
        /// Where to; absent: where it was.
        #[serde(default)]
        #[ts(optional)]
        path: Option<String>,
    },
    /// Do nothing until `syncResume`. Answer: `done`.
    SyncPause,
    /// Go on. Answer: `done`.
    SyncResume,
    /// Look at everything again, on all sides. Answer: `done`.
    SyncRescan,
    /// Decide about a halt. Answer: `done`.
    SyncConfirm {
        /// What to do.
        halt: HaltAnswer,
        /// Of one replica, by its key; absent: all that are halted.
        #[serde(default)]
        #[ts(optional)]
        replica: Option<String>,
    },
}

/// Fields of [`Request::Spawn`].
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Spawn {
    /// Which kind of program runs it.
    pub kind: ProcessKind,
    /// Script, configuration or shell; a path of the workspace, or an option such as `-e`.
    #[serde(default)]
    #[ts(optional)]
    pub command: Option<String>,
    /// Arguments behind the command.
    #[serde(default)]
    #[ts(as = "Option<_>", optional)]
    pub args: Vec<String>,
    /// Working directory, a path of the workspace.
    #[serde(default)]
    #[ts(optional)]
    pub cwd: Option<String>,
    /// Environment variables beside the runtime's own few.
    #[serde(default)]
    #[ts(as = "Option<_>", optional)]
    pub env: BTreeMap<String, String>,
    /// Milliseconds after which the program is ended; absent: never.
    #[serde(default)]
    #[ts(optional)]
    pub timeout: Option<u64>,
    /// Run in a terminal of this size; absent: pipes, except for `shell`, which always has one.
    #[serde(default)]
    #[ts(optional)]
    pub terminal: Option<TerminalSize>,
    /// Attach to it from its first byte, with this credit; absent: do not attach.
    #[serde(default)]
    #[ts(optional)]
    pub credit: Option<u64>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TerminalSize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What [`Request::Subscribe`] can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum Topic {
    /// Started, changed (cpu, memory), ended.
    Processes,
    /// Ports opened and closed.
    Ports,
    /// The runtime's own health.
    Health,
    /// Lines of the runtime's log. Only for those who see all processes.
    Log,
    /// Web pages that ask, come and go, and what is decided about them. Only for local programs.
    Origins,
    /// How sync stands: `syncChanged`.
    Sync,
}

/// A request with the `id` its reply repeats.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message {
    /// Absent only where no answer is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// What is asked for.
    #[serde(flatten)]
    pub request: Request,
}

/// Understands one text frame.
///
/// # Errors
/// A sentence for the person, with the request's `id` where it could be read.
pub fn parse(text: &str) -> Result<Message, Malformed> {
    let envelope = Envelope::read(text)?;
    let request = envelope.body(text)?;
    Ok(Message { id: envelope.id, request })
}
