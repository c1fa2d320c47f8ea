//! What the runtime sends a 1.x client.

use std::io::Write as _;

use serde::Serialize;

use super::Stream;
use crate::{ProcessCounts, ProcessKind, RequestId, to_json};

/// Everything the runtime sends a 1.x client, but for output and pulled files.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reply {
    /// The first message on a connection.
    Connected {
        /// [`PROTOCOL_VERSION`].
        protocol_version: &'static str,
        /// What the client may know of the settings.
        config: Config,
    },
    /// The program runs; the sender follows it.
    Spawned {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Its number from now on.
        pid: u32,
        /// Always `success`.
        status: &'static str,
    },
    /// The sender follows the process; what is held of its output comes next.
    Attached {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// The process.
        pid: u32,
        /// Always `success`.
        status: &'static str,
    },
    /// The sender no longer follows.
    Detached {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// The process.
        pid: u32,
    },
    /// The signal was delivered; for the signals that end a program, the whole tree is gone.
    Killed {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// The process.
        pid: u32,
    },
    /// The processes that run.
    ProcessList {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Oldest first.
        processes: Vec<ListedProcess>,
        /// Counts.
        stats: ProcessCounts,
    },
    /// Settings and counts.
    Status {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Settings.
        config: StatusConfig,
        /// Counts.
        stats: ProcessCounts,
    },
    /// The answer to `ping`.
    Pong {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Milliseconds since 1970.
        time: u64,
    },
    /// What became of a push.
    FsyncResult {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// `push`.
        operation: &'static str,
        /// `success`: each file's own fate is in the results.
        status: &'static str,
        /// Each file's fate.
        results: PushResults,
    },
    /// A program ended; nothing more comes of it.
    Exit {
        /// The process.
        pid: u32,
        /// Its exit code, if it ended by itself.
        code: Option<i32>,
        /// The name of the signal that ended it.
        signal: Option<&'static str>,
        /// Milliseconds it ran.
        runtime: u64,
    },
    /// A request failed.
    Error {
        /// Of the request, where it could be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// What happened and what to do next.
        error: String,
    },
}

impl Reply {
    /// The message as text.
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    /// The same fields once more as a `status`: the published client has no handler for `pong` and `fsyncResult`, but
    /// settles any pending request on `status`. `None` for the messages it does handle.
    pub fn repeated_as_status(&self) -> Option<String> {
        match self {
            Self::Pong { .. } | Self::FsyncResult { .. } => {
                let mut message = serde_json::to_value(self).ok()?;
                message["type"] = "status".into();
                Some(message.to_string())
            }
            _ => None,
        }
    }
}

/// `config` of [`Reply::Connected`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The workspace's path on the host.
    pub workspace: String,
    /// `strict`, `relaxed` or `none`.
    pub sandbox_mode: String,
    /// Whether OpenClaw may be started.
    pub allow_open_claw: bool,
}

/// `config` of [`Reply::Status`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusConfig {
    /// What `connected` said as well.
    #[serde(flatten)]
    pub config: Config,
    /// How many processes may run at once.
    pub max_processes: u32,
}

/// One entry of [`Reply::ProcessList`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedProcess {
    /// The process.
    pub pid: u32,
    /// Its kind.
    pub r#type: ProcessKind,
    /// As it was asked for.
    pub command: String,
    /// As they were asked for.
    pub args: Vec<String>,
    /// Milliseconds since 1970.
    pub start_time: u64,
    /// `running`.
    pub status: &'static str,
    /// Ports it listens on (beyond 1.x).
    pub ports: Vec<u16>,
}

/// `results` of [`Reply::FsyncResult`].
#[derive(Debug, Default, Serialize)]
pub struct PushResults {
    /// Entries that are on disk now.
    pub synced: u32,
    /// Entries that are not.
    pub failed: u32,
    /// Why not.
    pub errors: Vec<FileFailure>,
}

/// A file that could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFailure {
    /// As the client names it.
    pub path: String,
    /// A sentence.
    pub error: String,
}

/// One entry of a pull.
#[derive(Debug)]
pub struct PulledEntry {
    /// Path on the browser's disk, beginning with `/`.
    pub path: String,
    /// `None` for a directory.
    pub content: Option<Vec<u8>>,
    /// Milliseconds since 1970.
    pub mtime: u64,
}

/// The fields behind `type` of a pull's reply, and the closing brace: they are long, and sent twice, as `fsyncResult` and as
/// `status`. See [`opening`].
pub fn pulled_files(id: Option<&RequestId>, entries: &[PulledEntry], skipped: &[FileFailure]) -> String {
    let bytes: usize = entries.iter().map(|entry| entry.content.as_ref().map_or(0, Vec::len)).sum();
    // A byte is 2.6 digits and a comma on average; a path and its fields rarely pass 160 bytes.
    let mut text = Vec::with_capacity(bytes * 4 + entries.len() * 160 + 256);
    let write = |text: &mut Vec<u8>, id: &Option<&RequestId>| {
        write!(text, r#""id":{},"operation":"pull","status":"success","files":["#, to_json(id))?;
        for (index, entry) in entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let path = to_json(&entry.path);
            match &entry.content {
                None => {
                    write!(text, r#"{comma}{{"path":{path},"kind":"directory","mtime":{}}}"#, entry.mtime)?;
                }
                Some(content) => {
                    write!(
                        text,
                        r#"{comma}{{"path":{path},"kind":"file","mtime":{},"content":["#,
                        entry.mtime
                    )?;
                    push_numbers(text, content);
                    text.extend_from_slice(b"]}");
                }
            }
        }
        write!(text, r#"],"skipped":{}}}"#, to_json(&skipped))
    };
    let written: std::io::Result<()> = write(&mut text, &id);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    // Only ASCII and serde_json's own output were written.
    String::from_utf8(text).unwrap_or_default()
}

/// The beginning of a message of this type, to be followed by the text of its other fields.
pub fn opening(r#type: &str) -> String {
    format!(r#"{{"type":"{type}","#)
}

fn push_numbers(text: &mut Vec<u8>, bytes: &[u8]) {
    for (index, &byte) in bytes.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        if byte >= 100 {
            text.push(b'0' + byte / 100);
        }
        if byte >= 10 {
            text.push(b'0' + byte / 10 % 10);
        }
        text.push(b'0' + byte % 10);
    }
}

/// A `stdout` or `stderr` message.
pub fn output(stream: Stream, pid: u32, data: &str) -> String {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let mut text = Vec::with_capacity(data.len() + data.len() / 8 + 64);
    let written = write!(text, r#"{{"type":"{name}","pid":{pid},"data":"#)
        .and_then(|()| serde_json::to_writer(&mut text, data).map_err(Into::into));
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    text.push(b'}');
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::PROTOCOL_VERSION;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replies_have_the_names_the_client_reads() {
        let list =
            Reply::ProcessList { id: Some("r".into()), processes: vec![], stats: ProcessCounts::default() };
        assert_eq!(
            list.to_json(),
            r#"{"type":"processList","id":"r","processes":[],"stats":{"totalSpawned":0,"totalKilled":0,"active":0}}"#
        );
        let pong = Reply::Pong { id: Some("r".into()), time: 5 };
        assert_eq!(pong.to_json(), r#"{"type":"pong","id":"r","time":5}"#);
        assert_eq!(pong.repeated_as_status().unwrap(), r#"{"id":"r","time":5,"type":"status"}"#);
        assert_eq!(
            Reply::Error { id: None, error: "no".into() }.to_json(),
            r#"{"type":"error","error":"no"}"#
        );
        let config = Config { workspace: "/w".into(), sandbox_mode: "strict".into(), allow_open_claw: false };
        assert_eq!(
            Reply::Connected { protocol_version: PROTOCOL_VERSION, config }.to_json(),
            r#"{"type":"connected","protocolVersion":"1.0.0","config":{"workspace":"/w","sandboxMode":"strict","allowOpenClaw":false}}"#
        );
    }

    #[test]
    fn pulled_files_are_json_with_every_byte() {
        let content: Vec<u8> = (0..=255).collect();
        let entries = [
            PulledEntry { path: "/ä\"".into(), content: Some(content.clone()), mtime: 7 },
            PulledEntry { path: "/d".into(), content: None, mtime: 8 },
        ];
        let skipped = [FileFailure { path: "/big".into(), error: "too large".into() }];
        let text = opening("status") + &pulled_files(Some(&"req-1".into()), &entries, &skipped);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["type"], "status");
        assert_eq!(value["id"], "req-1");
        assert_eq!(value["files"][0]["path"], "/ä\"");
        assert_eq!(value["files"][0]["content"], serde_json::json!(content));
        assert_eq!(value["files"][1]["kind"], "directory");
        assert_eq!(value["skipped"][0]["error"], "too large");
    }

    proptest! {
        #[test]
        fn output_is_the_json_serde_would_write(data in any::<String>()) {
            let value: serde_json::Value = serde_json::from_str(&output(Stream::Stderr, 1000, &data)).unwrap();
            prop_assert_eq!(value, serde_json::json!({"type": "stderr", "pid": 1000, "data": data}));
        }
    }
}
