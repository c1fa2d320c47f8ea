//! What the model of the gate speaks of: pages, tries, and the connections that make them.

use std::path::PathBuf;
use std::time::Instant;

use mhnos_protocol::frame::Kind;
use mhnos_protocol::v2::{Access, Reply, Request};
use mhnos_tests::v1::Client;
use mhnos_tests::v2;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Unknown,
    Allowed(Access),
    Denied,
}

/// How far a try has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is kept for a page that waits.
    Waiting,
    /// It may be carried out, and its connection is there to hear of it.
    Live,
    /// Its connection went while it was kept: it is carried out if the page is allowed before this is noticed.
    Orphaned,
    /// Its connection was closed because the page may not any more. What there is now is all there will ever be.
    Over { spawned: bool, written: bool },
    /// It was answered.
    Answered { spawned: bool, written: bool },
}

/// One try to start a program and to write a file.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) page: Option<usize>,
    pub(super) phase: Phase,
    pub(super) begun: Instant,
    /// The least and the most it was allowed while it could be carried out.
    pub(super) least: Option<Access>,
    pub(super) most: Option<Access>,
    pub(super) program: PathBuf,
    pub(super) file: PathBuf,
}

pub(super) fn rank(access: Option<Access>) -> u8 {
    match access {
        None => 0,
        Some(Access::Files) => 1,
        Some(Access::Full) => 2,
    }
}

impl Try {
    pub(super) fn is_allowed(&mut self, access: Option<Access>, is_new: bool) {
        if is_new || rank(access) < rank(self.least) {
            self.least = access;
        }
        if is_new || rank(access) > rank(self.most) {
            self.most = access;
        }
    }

    /// Compares with what is there. Only for when nothing is under way.
    pub(super) fn check(&self) {
        let (ran, wrote) = (self.program.exists(), self.file.exists());
        assert!(!ran || rank(self.most) == 2, "a program ran without a grant: {self:?}");
        assert!(!wrote || rank(self.most) >= 1, "a file was written without a grant: {self:?}");
        match self.phase {
            Phase::Over { spawned, written } => {
                assert_eq!((ran, wrote), (spawned, written), "something happened after the end: {self:?}");
            }
            Phase::Answered { spawned, written } => {
                assert!(spawned || rank(self.least) < 2, "no program in spite of a grant: {self:?}");
                assert!(written || rank(self.least) < 1, "no file in spite of a grant: {self:?}");
                assert_eq!(wrote, written, "{self:?}");
                // A program that was started can have been ended before it did anything.
                assert!(!spawned || ran || rank(self.least) < 2, "{self:?}");
                assert!(spawned || !ran, "{self:?}");
            }
            Phase::Waiting | Phase::Live | Phase::Orphaned => {}
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
pub(super) enum Socket {
    V1(Client),
    V2(v2::Client),
}

pub(super) struct Connection {
    pub(super) socket: Socket,
    /// `None`: a local program.
    pub(super) page: Option<usize>,
    /// Whether it has certainly noticed that it is allowed.
    pub(super) is_admitted: bool,
    /// Tries that were not answered yet, with the ids of their two requests.
    pub(super) open: Vec<(usize, [Value; 2])>,
}

impl Connection {
    pub(super) async fn begin(&mut self, attempt: &Try) -> [Value; 2] {
        let name = |path: &PathBuf| format!("/{}", path.file_name().unwrap().to_str().unwrap());
        let (program, file) = (name(&attempt.program), name(&attempt.file));
        match &mut self.socket {
            Socket::V1(client) => {
                let spawn = json!({"type": "spawn", "processType": "shell", "command": "touch",
                    "args": [format!("/workspace{program}")], "options": {"cwd": "/"}});
                let push = json!({"type": "fsync", "operation": "push", "files": [{"path": file, "kind": "file", "content": [1]}]});
                [client.begin(spawn).await, client.begin(push).await]
            }
            Socket::V2(client) => {
                let mut spawn = v2::terminal("");
                (spawn.command, spawn.args) = (Some("touch".into()), vec![format!("/workspace{program}")]);
                let spawned = client.begin(Request::Spawn(spawn)).await;
                let write = Request::WriteFile { path: file, size: 1, mtime: None, executable: None };
                let written = client.begin(write).await;
                client.send_frame(Kind::File, written, 0, b"x").await;
                [json!(spawned), json!(written)]
            }
        }
    }

    /// Waits for both answers: whether a program was started and a file written, or that the messages had become too old.
    pub(super) async fn finish(&mut self, ids: &[Value; 2]) -> [Result<(), String>; 2] {
        match &mut self.socket {
            Socket::V1(client) => {
                let outcome = |answer: Value| match answer["type"].as_str() {
                    Some("spawned") => Ok(()),
                    Some("fsyncResult") if answer["results"]["synced"] == 1 => Ok(()),
                    _ => Err(answer.to_string()),
                };
                [outcome(client.answer(&ids[0]).await), outcome(client.answer(&ids[1]).await)]
            }
            Socket::V2(client) => {
                let mut outcomes = Vec::new();
                for id in ids {
                    outcomes.push(match client.answer(id.as_u64().unwrap() as u32).await {
                        Reply::Spawned { .. } | Reply::Done { .. } => Ok(()),
                        other => Err(format!("{other:?}")),
                    });
                }
                outcomes.try_into().unwrap()
            }
        }
    }

    pub(super) async fn still_works(&mut self) {
        match &mut self.socket {
            Socket::V1(client) => client.still_works().await,
            Socket::V2(client) => client.still_works().await,
        }
    }

    pub(super) async fn close_code(self) -> Option<u16> {
        let close = match self.socket {
            Socket::V1(client) => client.closed().await,
            Socket::V2(client) => client.closed().await,
        };
        close.map(|(code, _)| code)
    }
}
