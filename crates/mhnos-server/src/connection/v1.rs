//! Acts on the messages of a 1.x client, the published MHNOS.
//!
//! Its quirks are answered here and nowhere else: replies it has no handler for are sent once more as `status`, and `attach`
//! replays all that is held, because the client drops what came before.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mhnos_protocol::v1::{
    self, FileFailure, PulledEntry, PushResults, PushedEntry, Reply, Request, StatusConfig,
};
use mhnos_protocol::v2::ErrorCode;
use mhnos_protocol::{Malformed, RequestId, limits};

use super::outbox::{Outgoing, Viewer};
use super::{id_of, input, resize, too_large_sentence};
use crate::gate::Principal;
use crate::runtime::{self, Failure, Launch, Runtime, RuntimeProcess};
use crate::websocket::Incoming;
use crate::workspace::{Attributes, Workspace, now};

/// Messages longer than this are parsed on a thread of their own, so that nobody else waits for it.
const LONG_MESSAGE: usize = 256 << 10;

pub(super) struct Session {
    shared: super::Session,
    /// Processes whose output is shown. An attach beyond the bound is refused.
    views: HashSet<u32>,
}

impl Session {
    pub(super) async fn open(shared: super::Session) -> Self {
        let config = shared.runtime.config();
        let connected = Reply::Connected { protocol_version: v1::PROTOCOL_VERSION, config };
        shared.outbox.send(Outgoing::Text(connected.to_json())).await;
        Self { shared, views: HashSet::new() }
    }

    pub(super) async fn refuse(&self, message: &Incoming, sentence: &str) {
        self.shared.reply(Reply::Error { id: id_of(message), error: sentence.to_owned() }).await;
    }

    pub(super) async fn act(&mut self, message: Incoming) {
        let text = match message {
            Incoming::Text(text) => text,
            Incoming::TooLarge { .. } => return self.refuse(&message, &too_large_sentence()).await,
            Incoming::Ping(payload) => return self.shared.outbox.send(Outgoing::Pong(payload)).await,
            Incoming::Binary(_) | Incoming::Close => {
                return self.refuse(&message, "Invalid message format: 1.x has no binary messages").await;
            }
        };
        match parse(text).await {
            Ok(message) => self.carry_out(message).await,
            Err(Malformed { id, error }) => self.shared.reply(Reply::Error { id, error }).await,
        }
    }

    async fn carry_out(&mut self, message: v1::Message) {
        let v1::Message { id, request } = message;
        let shared = &self.shared;
        let (runtime, principal) = (&shared.runtime, &shared.principal);
        match request {
            Request::Spawn(spawn) => shared.spawn(id, spawn).await,
            Request::Attach(v1::Pid { pid }) => match runtime.process(principal, pid) {
                Ok(process) => {
                    self.views.insert(pid);
                    if self.views.len() > limits::VIEWERS_PER_CONNECTION {
                        self.views.retain(|&pid| runtime.table.get(pid).is_some());
                    }
                    if self.views.len() > limits::VIEWERS_PER_CONNECTION {
                        self.views.remove(&pid);
                        let most = limits::VIEWERS_PER_CONNECTION;
                        let error = format!("{most} processes are attached already: detach from one first");
                        return shared.reply(Reply::Error { id, error }).await;
                    }
                    let reply = Reply::Attached { id, pid, status: "success" }.to_json();
                    let viewer = Viewer::v1(process, &shared.outbox);
                    shared.outbox.send(Outgoing::View { reply: Some(reply), viewer }).await;
                }
                Err(failure) => shared.fail(id, failure).await,
            },
            Request::Detach(v1::Pid { pid }) => match runtime.process(principal, pid) {
                Ok(_) => {
                    self.views.remove(&pid);
                    let reply = Reply::Detached { id, pid }.to_json();
                    shared.outbox.send(Outgoing::Hide { pid, reply: Some(reply) }).await;
                }
                Err(failure) => shared.fail_if_asked(id, failure).await,
            },
            Request::Write(v1::Write { pid, data }) => {
                let written =
                    runtime.running_to_use(principal, pid).and_then(|process| input(&process, data.into()));
                if let Err(failure) = written {
                    shared.fail_if_asked(id, failure).await;
                }
            }
            Request::Resize(v1::Resize { pid, cols, rows }) => {
                let resized =
                    runtime.running_to_use(principal, pid).and_then(|process| resize(&process, cols, rows));
                if let Err(failure) = resized {
                    shared.fail_if_asked(id, failure).await;
                }
            }
            Request::Kill(v1::Kill { pid, signal }) => {
                let leave = shared.leave().await;
                let shared = shared.clone();
                tokio::spawn(async move {
                    let killed = shared
                        .runtime
                        .kill(&shared.principal, pid, signal.as_deref(), limits::KILL_GRACE)
                        .await;
                    match killed {
                        Ok(_) => shared.reply(Reply::Killed { id, pid }).await,
                        Err(failure) => shared.fail(id, failure).await,
                    }
                    drop(leave);
                });
            }
            Request::List => {
                let running =
                    runtime.processes(principal).into_iter().filter(|process| process.exit().is_none());
                let processes = running.map(|process| listed(&process)).collect();
                shared.reply(Reply::ProcessList { id, processes, stats: runtime.counts() }).await;
            }
            Request::Status => {
                let config =
                    StatusConfig { config: runtime.config(), max_processes: runtime.settings.max_processes };
                shared.reply(Reply::Status { id, config, stats: runtime.counts() }).await;
            }
            Request::Ping => shared.reply(Reply::Pong { id, time: now() }).await,
            Request::Push(entries) => {
                let leave = shared.leave().await;
                let shared = shared.clone();
                tokio::spawn(async move {
                    let (runtime, principal) = (Arc::clone(&shared.runtime), shared.principal.clone());
                    let pushed =
                        tokio::task::spawn_blocking(move || push(&runtime, &principal, entries)).await;
                    let results = pushed.unwrap_or_default();
                    let by = &shared.principal;
                    tracing::info!(%by, synced = results.synced, failed = results.failed, "files pushed");
                    shared
                        .reply(Reply::FsyncResult { id, operation: "push", status: "success", results })
                        .await;
                    drop(leave);
                });
            }
            Request::Pull => {
                let leave = shared.leave().await;
                let shared = shared.clone();
                tokio::spawn(async move {
                    shared.pull(id).await;
                    drop(leave);
                });
            }
        }
    }
}

impl super::Session {
    async fn reply(&self, reply: Reply) {
        self.outbox.send(Outgoing::Text(reply.to_json())).await;
        if let Some(repeated) = reply.repeated_as_status() {
            self.outbox.send(Outgoing::Text(repeated)).await;
        }
    }

    async fn fail(&self, id: Option<RequestId>, failure: Failure) {
        self.reply(Reply::Error { id, error: failure.error }).await;
    }

    /// Keystrokes come without an id, and nobody reads an answer to each of them.
    async fn fail_if_asked(&self, id: Option<RequestId>, failure: Failure) {
        if id.is_some() {
            self.fail(id, failure).await;
        }
    }

    async fn spawn(&self, id: Option<RequestId>, spawn: v1::Spawn) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            let launch = Launch {
                kind: spawn.process_type,
                command: spawn.command,
                args: spawn.args,
                cwd: spawn.options.cwd,
                env: spawn.options.env.unwrap_or_default(),
                timeout: spawn.options.timeout,
                terminal: None,
            };
            match session.runtime.launch(session.principal.clone(), launch).await {
                Ok(process) => {
                    let reply = Reply::Spawned { id, pid: process.pid(), status: "success" }.to_json();
                    let viewer = Viewer::v1_of_spawn(process, &session.outbox);
                    session.outbox.send(Outgoing::View { reply: Some(reply), viewer }).await;
                }
                Err(failure) => session.fail(id, failure).await,
            }
            drop(leave);
        });
    }

    async fn pull(&self, id: Option<RequestId>) {
        let workspace = Arc::clone(&self.runtime.workspace);
        let of_reply = id.clone();
        let fields = tokio::task::spawn_blocking(move || {
            let (entries, skipped) = pull(&workspace)?;
            Ok::<Arc<str>, Failure>(v1::pulled_files(of_reply.as_ref(), &entries, &skipped).into())
        });
        match fields.await {
            Ok(Ok(fields)) => {
                for r#type in ["fsyncResult", "status"] {
                    self.outbox.send(Outgoing::TextParts(v1::opening(r#type), Arc::clone(&fields))).await;
                }
            }
            Ok(Err(failure)) => self.fail(id, failure).await,
            Err(error) => {
                self.fail(id, Failure::new(ErrorCode::Failed, format!("the pull broke off: {error}"))).await
            }
        }
    }
}

async fn parse(text: Bytes) -> Result<v1::Message, Malformed> {
    let length = text.len();
    let parse = move || match std::str::from_utf8(&text) {
        Ok(text) => v1::parse(text),
        Err(_) => Err(Malformed { id: None, error: "Invalid message format".into() }),
    };
    if length < LONG_MESSAGE {
        return parse();
    }
    let parsed = tokio::task::spawn_blocking(parse).await;
    parsed.unwrap_or_else(|error| {
        Err(Malformed { id: None, error: format!("the message could not be read: {error}") })
    })
}

fn listed(process: &RuntimeProcess) -> v1::ListedProcess {
    let tag = process.tag();
    v1::ListedProcess {
        pid: process.pid(),
        r#type: tag.kind,
        command: tag.command.clone(),
        args: tag.args.clone(),
        start_time: runtime::started(process),
        status: "running",
        ports: process.measured().ports,
    }
}

/// Writes what was pushed, each entry by itself.
fn push(runtime: &Runtime, principal: &Principal, entries: Vec<PushedEntry>) -> PushResults {
    let mut results = PushResults::default();
    for entry in entries {
        match push_entry(runtime, principal, &entry) {
            Ok(()) => results.synced += 1,
            Err(failure) => {
                results.failed += 1;
                results.errors.push(FileFailure { path: entry.path, error: failure.error });
            }
        }
    }
    results
}

fn push_entry(runtime: &Runtime, principal: &Principal, entry: &PushedEntry) -> Result<(), Failure> {
    let relative = runtime.relative(&entry.path, Path::new(""))?;
    let Some(content) = &entry.content else { return runtime.make_directory(principal, &relative) };
    // What is no time since 1970 is no time worth keeping.
    let mtime =
        entry.mtime.filter(|mtime| (0.0..=MOST_MILLISECONDS).contains(mtime)).map(|mtime| mtime as u64);
    let attributes = Attributes { mtime, executable: None };
    runtime.write_file(principal, &relative, attributes, |file| file.write_all(content))
}

/// The year 9999: what JavaScript's dates and every file system can hold.
const MOST_MILLISECONDS: f64 = 253_402_300_799_000.0;

/// Reads the whole workspace, as far as one message may hold it.
fn pull(workspace: &Workspace) -> Result<(Vec<PulledEntry>, Vec<FileFailure>), Failure> {
    let mut found = Vec::new();
    let mut skipped = Vec::new();
    let slashed = |path: &str| format!("/{path}");
    workspace.walk(
        Path::new(""),
        &mut |path, facts| {
            found.push((path, facts));
            true
        },
        &mut |path, reason| skipped.push(FileFailure { path: slashed(&path), error: reason.into() }),
    )?;
    let mut entries = Vec::with_capacity(found.len());
    let mut bytes = 0;
    for (path, facts) in found {
        let mut skip = |error: String| skipped.push(FileFailure { path: slashed(&path), error });
        if facts.is_directory {
            entries.push(PulledEntry { path: slashed(&path), content: None, mtime: facts.mtime });
        } else if facts.size > limits::PULL_FILE_BYTES {
            skip(format!(
                "larger than {} MiB: mhnos-runtime pull can fetch it",
                limits::PULL_FILE_BYTES >> 20
            ));
        } else if bytes + facts.size > limits::PULL_BYTES {
            let most = limits::PULL_BYTES >> 20;
            skip(format!(
                "one pull holds {most} MiB, and this was beyond it: mhnos-runtime pull can fetch it"
            ));
        } else {
            match workspace.read_whole(Path::new(&path), limits::PULL_FILE_BYTES) {
                Ok(content) => {
                    bytes += content.len() as u64;
                    entries.push(PulledEntry {
                        path: slashed(&path),
                        content: Some(content),
                        mtime: facts.mtime,
                    });
                }
                Err(error) => skip(error.to_string()),
            }
        }
    }
    Ok((entries, skipped))
}
