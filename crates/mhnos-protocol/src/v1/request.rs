//! What a 1.x client can ask for, and how its frames are understood.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::EntryKind;
use crate::number_arrays::{self, Content};
use crate::{Envelope, Malformed, ProcessKind, RequestId};

/// A request with the `id` its reply repeats.
#[derive(Debug)]
pub struct Message {
    /// Absent in `write`, and often in `detach`.
    pub id: Option<RequestId>,
    /// What is asked for.
    pub request: Request,
}

/// What a 1.x client can ask for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// Start a program and attach the sender to it.
    Spawn(Spawn),
    /// Replay what is held of a process's output, then follow it.
    Attach(Pid),
    /// Stop following.
    Detach(Pid),
    /// Input for a program.
    Write(Write),
    /// New size of a terminal.
    Resize(Resize),
    /// End a program and all it started.
    Kill(Kill),
    /// The processes that run.
    List,
    /// Settings and counts.
    Status,
    /// Are you there?
    Ping,
    /// Write files into the workspace.
    Push(Vec<PushedEntry>),
    /// Read the files of the workspace.
    Pull,
}

/// Fields of `spawn`.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Spawn {
    /// Which kind of program runs it.
    pub process_type: ProcessKind,
    /// Script, configuration or shell; a path of the browser's disk, or an option such as `-e`.
    #[serde(default)]
    pub command: Option<String>,
    /// Arguments behind the command.
    #[serde(default)]
    pub args: Vec<String>,
    /// Where and how.
    #[serde(default)]
    pub options: SpawnOptions,
}

/// `options` of [`Spawn`].
#[derive(Debug, Default, Deserialize, PartialEq)]
pub struct SpawnOptions {
    /// Working directory, a path of the browser's disk.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Environment variables beside the runtime's own few.
    #[serde(default)]
    pub env: Option<BTreeMap<String, String>>,
    /// Milliseconds after which the program is ended; absent or 0: never.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// A request about one process.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Pid {
    /// The runtime's own number for the process, from 1000 on.
    pub pid: u32,
}

/// Fields of `write`.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Write {
    /// The process.
    pub pid: u32,
    /// What was typed.
    pub data: String,
}

/// Fields of `resize`.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Resize {
    /// The process.
    pub pid: u32,
    /// Columns of characters.
    pub cols: u16,
    /// Rows of characters.
    pub rows: u16,
}

/// Fields of `kill`.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Kill {
    /// The process.
    pub pid: u32,
    /// Name of the signal, `SIGTERM` where absent.
    #[serde(default)]
    pub signal: Option<String>,
}

/// One entry of a push.
#[derive(Debug, PartialEq)]
pub struct PushedEntry {
    /// Path on the browser's disk.
    pub path: String,
    /// `None` for a directory, the whole content for a file.
    pub content: Option<Vec<u8>>,
    /// Milliseconds since 1970, if the client knows them.
    pub mtime: Option<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "operation", rename_all = "lowercase")]
enum Fsync {
    Push { files: Vec<RawEntry> },
    Pull {},
}

#[derive(Deserialize)]
struct RawEntry {
    path: String,
    #[serde(default)]
    kind: EntryKind,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    mtime: Option<f64>,
}

/// Understands one text frame.
///
/// # Errors
/// A sentence for the person, with the request's `id` where it could be read: text that is not JSON, a missing field, a
/// field of the wrong type, a type that is not known.
pub fn parse(text: &str) -> Result<Message, Malformed> {
    let (text, mut arrays) = number_arrays::extract(text);
    let envelope = Envelope::read(&text)?;
    let request = match envelope.r#type.as_str() {
        "spawn" => Request::Spawn(envelope.body(&text)?),
        "attach" => Request::Attach(envelope.body(&text)?),
        "detach" => Request::Detach(envelope.body(&text)?),
        "write" => Request::Write(envelope.body(&text)?),
        "resize" => Request::Resize(envelope.body(&text)?),
        "kill" => Request::Kill(envelope.body(&text)?),
        "list" => Request::List,
        "status" => Request::Status,
        "ping" => Request::Ping,
        "fsync" => match envelope.body(&text)? {
            Fsync::Pull {} => Request::Pull,
            Fsync::Push { files } => {
                let mut entries = Vec::with_capacity(files.len());
                for entry in files {
                    let content = match (entry.kind, entry.content) {
                        (EntryKind::Directory, _) => None,
                        (EntryKind::File, Some(content)) => match arrays.take(content) {
                            Some(bytes) => Some(bytes),
                            None => {
                                let reason = "must be an array of numbers from 0 to 255";
                                return Err(
                                    envelope.malformed(format!("the `content` of {} {reason}", entry.path))
                                );
                            }
                        },
                        (EntryKind::File, None) => {
                            return Err(envelope
                                .malformed(format!("the file {} was pushed without `content`", entry.path)));
                        }
                    };
                    entries.push(PushedEntry { path: entry.path, content, mtime: entry.mtime });
                }
                Request::Push(entries)
            }
        },
        unknown => {
            let mut name: String = unknown.chars().take(64).collect();
            if name.len() < unknown.len() {
                name.push('…');
            }
            return Err(envelope.malformed(format!("unknown message type: {name}")));
        }
    };
    Ok(Message { id: envelope.id, request })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Request {
        parse(text).unwrap().request
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().error
    }

    #[test]
    fn requests_of_the_published_client_are_understood() {
        let message = parse(
            r#"{"type":"spawn","id":"req-1","processType":"node","command":"script.js","args":["--port","3000"],
                "options":{"cwd":"/","env":{"A":"b"},"timeout":500}}"#,
        )
        .unwrap();
        assert_eq!(message.id, Some("req-1".into()));
        assert_eq!(
            message.request,
            Request::Spawn(Spawn {
                process_type: ProcessKind::Node,
                command: Some("script.js".into()),
                args: vec!["--port".into(), "3000".into()],
                options: SpawnOptions {
                    cwd: Some("/".into()),
                    env: Some([("A".to_owned(), "b".to_owned())].into()),
                    timeout: Some(500),
                },
            })
        );
        assert_eq!(request(r#"{"type":"detach","pid":1000}"#), Request::Detach(Pid { pid: 1000 }));
        assert_eq!(request(r#"{"type":"list","id":"req-2","extra":[{}]}"#), Request::List);
        assert_eq!(request(r#"{"type":"fsync","id":"req-3","operation":"pull"}"#), Request::Pull);
        assert_eq!(
            request(
                r#"{"type":"fsync","id":"q","operation":"push","files":[{"path":"/d","kind":"directory"},
                   {"path":"/a","kind":"file","content":[1,2,255],"mtime":1.5},{"path":"/e","kind":"file","content":[]}]}"#
            ),
            Request::Push(vec![
                PushedEntry { path: "/d".into(), content: None, mtime: None },
                PushedEntry { path: "/a".into(), content: Some(vec![1, 2, 255]), mtime: Some(1.5) },
                PushedEntry { path: "/e".into(), content: Some(vec![]), mtime: None },
            ])
        );
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        assert_eq!(refusal("{"), "Invalid message format");
        assert_eq!(refusal(r#"{"type":"s3list","id":"x"}"#), "unknown message type: s3list");
        assert_eq!(
            refusal(r#"{"type":"spawn","id":"x","command":"a"}"#),
            "spawn was not understood: missing field `processType`"
        );
        assert_eq!(
            refusal(r#"{"type":"kill","id":"x","pid":"1000"}"#),
            "kill was not understood: invalid type: string \"1000\", expected u32"
        );
        assert_eq!(
            refusal(r#"{"type":"fsync","operation":"push","files":[{"path":"/a","content":[300]}]}"#),
            "the `content` of /a must be an array of numbers from 0 to 255"
        );
        assert!(refusal(r#"{"type":"fsync","operation":"sideways"}"#).contains("`sideways`"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
