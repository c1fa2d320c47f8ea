//! Acts on the messages of a 2.0 client.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mhnos_process::{EndReason, signal};
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v2::{self, ErrorCode, Reply, Request};
use mhnos_protocol::{Malformed, RequestId, limits};
use mhnos_sync::hub::Control;

use super::events::Subscription;
use super::outbox::{Outgoing, Viewer};
use super::sync::SyncSessions;
use super::transfers::Transfers;
use super::{id_of, input, resize, too_large_sentence};
use crate::gate::Principal;
use crate::origin::Origin;
use crate::runtime::{self, Failure, Killed, Launch, RuntimeProcess};
use crate::sync::Opening;
use crate::trust::{Access, Decision};
use crate::websocket::Incoming;
use crate::workspace::now;

pub(super) struct Session {
    shared: super::Session,
    transfers: Transfers,
    syncs: SyncSessions,
    views: HashSet<u32>,
    /// Processes whose slow reading of input is being reported on.
    reporting: Arc<Mutex<HashSet<u32>>>,
    subscription: Option<Subscription>,
}

impl Session {
    pub(super) async fn open(shared: super::Session) -> Self {
        let welcome = Reply::Welcome {
            protocol: v2::PROTOCOL_VERSION.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            instance: shared.runtime.instance.clone(),
            workspace: shared.runtime.workspace.root().display().to_string(),
        };
        shared.reply_v2(welcome).await;
        let transfers = Transfers::default();
        let syncs = SyncSessions::default();
        Self {
            shared,
            transfers,
            syncs,
            views: HashSet::new(),
            reporting: Arc::default(),
            subscription: None,
        }
    }

    pub(super) async fn refuse(&self, message: &Incoming, sentence: &str) {
        let error = sentence.to_owned();
        self.shared.reply_v2(Reply::Error { id: id_of(message), code: ErrorCode::NotAllowed, error }).await;
    }

    pub(super) async fn act(&mut self, message: Incoming) {
        match message {
            Incoming::Text(text) => {
                let parsed = match std::str::from_utf8(&text) {
                    Ok(text) => v2::parse(text),
                    Err(_) => Err(Malformed { id: None, error: "Invalid message format".into() }),
                };
                match parsed {
                    Ok(v2::Message { id, request }) => {
                        if let Err(failure) = self.carry_out(id.clone(), request).await {
                            self.shared.fail_v2(id, failure).await;
                        }
                    }
                    Err(Malformed { id, error }) => {
                        self.shared.fail_v2(id, Failure::new(ErrorCode::Malformed, error)).await;
                    }
                }
            }
            Incoming::Binary(frame) => {
                if let Err(failure) = self.take_frame(frame).await {
                    self.shared.fail_v2(None, failure).await;
                }
            }
            Incoming::TooLarge { .. } => {
                let failure = Failure::new(ErrorCode::Limit, too_large_sentence());
                self.shared.fail_v2(id_of(&message), failure).await;
            }
            Incoming::Ping(payload) => self.shared.outbox.send(Outgoing::Pong(payload)).await,
            Incoming::Close => {}
        }
    }

    async fn carry_out(&mut self, id: Option<RequestId>, request: Request) -> Result<(), Failure> {
        let shared = &self.shared;
        let (runtime, principal) = (&shared.runtime, &shared.principal);
        match request {
            Request::Spawn(spawn) => {
                if spawn.credit.is_some() {
                    self.make_room_for_view(None)?;
                }
                self.shared.spawn_v2(id, spawn).await;
            }
            Request::Attach { pid, from, credit } => {
                let process = runtime.process(principal, pid)?;
                self.make_room_for_view(Some(pid))?;
                let shared = &self.shared;
                let asked = from.unwrap_or_else(|| process.log().start());
                let to = process.log().head();
                let viewer = Viewer::v2(
                    Arc::clone(&process),
                    &shared.outbox,
                    Some(asked.max(process.log().start())),
                    credit,
                );
                let from = viewer.position();
                let reply =
                    Reply::Attached { id, pid, from, to: to.max(from), gap: from.saturating_sub(asked) };
                shared.outbox.send(Outgoing::View { reply: Some(reply.to_json()), viewer }).await;
            }
            Request::Detach { pid } => {
                runtime.process(principal, pid)?;
                self.views.remove(&pid);
                let reply = Some(Reply::Done { id }.to_json());
                shared.outbox.send(Outgoing::Hide { pid, reply }).await;
            }
            Request::Credit { pid, bytes } => shared.outbox.send(Outgoing::Credit { pid, bytes }).await,
            Request::CreditFile { transfer, bytes } => self.transfers.grant(transfer, bytes),
            Request::Resize { pid, cols, rows } => {
                resize(&*runtime.running_to_use(principal, pid)?, cols, rows)?;
                shared.reply_v2(Reply::Done { id }).await;
            }
            Request::CloseInput { pid } => {
                let closed = runtime.running_to_use(principal, pid)?.close_input();
                closed.map_err(|error| Failure::new(ErrorCode::Ended, format!("process {pid}: {error}")))?;
                shared.reply_v2(Reply::Done { id }).await;
            }
            Request::Kill { pid, signal, grace } => shared.kill_v2(id, pid, signal, grace).await,
            Request::List => {
                let processes = runtime.processes(principal).iter().map(|process| shown(process)).collect();
                shared.reply_v2(Reply::Processes { id, processes, counts: runtime.counts() }).await;
            }
            Request::Status => shared.reply_v2(Reply::Status { id, status: runtime.status() }).await,
            Request::Ping => shared.reply_v2(Reply::Pong { id, time: now() }).await,
            Request::Subscribe { topics } => {
                // Subscribed before the present state is taken, so that nothing falls between the two.
                self.subscription = Some(Subscription::begin(shared, topics)?);
                let processes = runtime.processes(principal).iter().map(|process| shown(process)).collect();
                shared.reply_v2(Reply::Processes { id, processes, counts: runtime.counts() }).await;
            }
            Request::Restart { pid } => shared.restart_v2(id, pid).await,
            Request::Audit { tail } => {
                let entries = runtime.audit_tail(principal, tail).await?;
                shared.reply_v2(Reply::Audit { id, entries }).await;
            }
            Request::Log { tail } => {
                let lines = runtime.log_tail(principal, tail).await?;
                shared.reply_v2(Reply::Log { id, lines }).await;
            }
            Request::Doctor => shared.doctor(id).await,
            Request::Origins => {
                runtime.only_control(principal)?;
                shared.reply_v2(Reply::Origins { id, origins: runtime.trust.known() }).await;
            }
            Request::AllowOrigin { origin, access, once } => {
                let access = access.map_or(Access::Full, Access::from);
                shared.decide(id, origin, Decision::Allow { access, once }).await;
            }
            Request::DenyOrigin { origin } => {
                shared.decide(id, origin, Decision::Deny).await;
            }
            Request::RevokeOrigin { origin } => shared.decide(id, origin, Decision::Revoke).await,
            Request::Ticket { origin, resume } => {
                runtime.only_control(principal)?;
                let named = origin.map(|origin| {
                    Origin::from_setting(&origin).ok_or_else(|| {
                        Failure::new(ErrorCode::Malformed, format!("{origin:?} is no origin of a web page"))
                    })
                });
                let lifetime = if resume { limits::RESUME_TICKET_TIME } else { limits::TICKET_TIME };
                let (ticket, url) = runtime.ticket(principal, named.transpose()?, lifetime);
                shared.reply_v2(Reply::Ticket { id, ticket, url, lifetime: lifetime.as_secs() }).await;
            }
            Request::ListFiles { path } => {
                let path = runtime.relative(path.as_deref().unwrap_or("/"), Path::new(""))?;
                shared.list_files(id, path).await;
            }
            Request::ReadFile { path, credit } => {
                let path = runtime.relative(&path, Path::new(""))?;
                self.transfers.read(shared, id, path, credit).await?;
            }
            Request::WriteFile { path, size, mtime, executable } => {
                let path = runtime.relative(&path, Path::new(""))?;
                self.transfers.write(shared, id, path, size, mtime, executable)?;
            }
            Request::MakeDirectory { path } => {
                let path = runtime.relative(&path, Path::new(""))?;
                shared.make_directory(id, path).await;
            }
            Request::Cancel { transfer } => {
                if !self.syncs.close(transfer) {
                    self.transfers.cancel(transfer)?;
                }
                shared.reply_v2(Reply::Done { id }).await;
            }
            Request::SyncOpen { replica, name, sequence, digest, window } => {
                let opening = Opening { replica, name, sequence, digest, window };
                self.syncs.open(shared, id, opening).await?;
            }
            Request::SyncStatus => {
                let status = runtime.sync.status(principal).await?;
                shared.reply_v2(Reply::SyncStatus { id, status }).await;
            }
            Request::SyncConflicts => {
                let conflicts = runtime.sync.conflicts(&runtime.workspace).await?;
                shared.reply_v2(Reply::SyncConflicts { id, conflicts }).await;
            }
            Request::SyncResolve { path, keep } => {
                let permit = runtime.permit_files(principal).await?;
                runtime.sync.resolve(&path, keep).await?;
                drop(permit);
                shared.reply_v2(Reply::Done { id }).await;
            }
            Request::SyncVersions { path } => {
                let versions = runtime.sync.versions(path.as_deref()).await?;
                shared.reply_v2(Reply::SyncVersions { id, versions }).await;
            }
            Request::SyncRestore { version, path } => {
                let permit = runtime.permit_files(principal).await?;
                runtime.sync.restore(version, path.as_deref()).await?;
                drop(permit);
                shared.reply_v2(Reply::Done { id }).await;
            }
            Request::SyncConfirm { halt, replica } => {
                let permit = runtime.permit_files(principal).await?;
                runtime.sync.confirm(principal, halt, replica.as_deref()).await?;
                drop(permit);
                shared.reply_v2(Reply::Done { id }).await;
            }
            // These stop, or make work for, every replica of every page.
            Request::SyncPause => self.sync_control(id, Control::Pause).await?,
            Request::SyncResume => self.sync_control(id, Control::Resume).await?,
            Request::SyncRescan => self.sync_control(id, Control::Rescan).await?,
        }
        Ok(())
    }

    async fn sync_control(&self, id: Option<RequestId>, control: Control) -> Result<(), Failure> {
        let shared = &self.shared;
        shared.runtime.only_control(&shared.principal)?;
        shared.runtime.sync.control(control).await?;
        shared.reply_v2(Reply::Done { id }).await;
        Ok(())
    }

    /// Refuses a view beyond the bound. Views of processes that are forgotten do not count.
    fn make_room_for_view(&mut self, pid: Option<u32>) -> Result<(), Failure> {
        let table = &self.shared.runtime.table;
        if self.views.len() >= limits::VIEWERS_PER_CONNECTION {
            self.views.retain(|&pid| table.get(pid).is_some());
        }
        if self.views.len() >= limits::VIEWERS_PER_CONNECTION
            && pid.is_none_or(|pid| !self.views.contains(&pid))
        {
            let error = format!("{} processes are viewed already: detach from one first", self.views.len());
            return Err(Failure::new(ErrorCode::Limit, error));
        }
        self.views.extend(pid);
        Ok(())
    }

    async fn take_frame(&mut self, frame: Bytes) -> Result<(), Failure> {
        let (header, content) =
            Header::decode(frame).map_err(|error| Failure::new(ErrorCode::Malformed, error))?;
        match header.kind {
            Kind::Input => self.take_input(header.channel, content).await,
            Kind::File => self.transfers.take_block(header, content).await,
            Kind::Sync => self.syncs.take(header, content).await,
            Kind::Stdout | Kind::Stderr => {
                Err(Failure::new(ErrorCode::Malformed, "output comes from the runtime and is not sent to it"))
            }
        }
    }

    async fn take_input(&mut self, pid: u32, content: Bytes) -> Result<(), Failure> {
        if content.len() > limits::INPUT_FRAME_BYTES {
            let error = format!(
                "input of {} bytes in one frame is more than {}",
                content.len(),
                limits::INPUT_FRAME_BYTES
            );
            return Err(Failure::new(ErrorCode::Limit, error));
        }
        let process = self.shared.runtime.running_to_use(&self.shared.principal, pid)?;
        // A frame holds the whole message it came in; what may wait must not.
        input(&process, Bytes::copy_from_slice(&content))?;
        if self.reporting.lock().unwrap_or_else(PoisonError::into_inner).insert(pid) {
            let (outbox, reporting) = (self.shared.outbox.clone(), Arc::clone(&self.reporting));
            tokio::spawn(async move {
                loop {
                    // Nobody waits for it so soon, and the echo of a key must not wait behind it.
                    tokio::time::sleep(limits::INPUT_REPORT_INTERVAL).await;
                    let (accepted, _) = process.input_accepted();
                    outbox.send(Outgoing::InputReport(Arc::clone(&process))).await;
                    // What came in the meantime counted on us to report it, unless it finds us gone.
                    {
                        let mut reporting = reporting.lock().unwrap_or_else(PoisonError::into_inner);
                        if process.input_accepted() == (accepted, 0) {
                            reporting.remove(&pid);
                            return;
                        }
                    }
                    process.input_progress(accepted).await;
                }
            });
        }
        Ok(())
    }
}

impl super::Session {
    pub(super) async fn reply_v2(&self, reply: Reply) {
        self.outbox.send(Outgoing::Text(reply.to_json())).await;
    }

    pub(super) async fn fail_v2(&self, id: Option<RequestId>, failure: Failure) {
        self.reply_v2(Reply::Error { id, code: failure.code, error: failure.error }).await;
    }

    async fn spawn_v2(&self, id: Option<RequestId>, spawn: v2::Spawn) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            let credit = spawn.credit;
            let launch = Launch {
                kind: spawn.kind,
                command: spawn.command,
                args: spawn.args,
                cwd: spawn.cwd,
                env: spawn.env,
                timeout: spawn.timeout,
                terminal: spawn.terminal,
            };
            match session.runtime.launch(session.principal.clone(), launch).await {
                Ok(process) => {
                    let reply = Reply::Spawned { id, pid: process.pid() };
                    match credit {
                        Some(credit) => {
                            let viewer = Viewer::v2(process, &session.outbox, Some(0), credit);
                            session
                                .outbox
                                .send(Outgoing::View { reply: Some(reply.to_json()), viewer })
                                .await;
                        }
                        None => session.reply_v2(reply).await,
                    }
                }
                Err(failure) => session.fail_v2(id, failure).await,
            }
            drop(leave);
        });
    }

    async fn restart_v2(&self, id: Option<RequestId>, pid: u32) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            match session.runtime.restart(&session.principal, pid).await {
                Ok(process) => session.reply_v2(Reply::Spawned { id, pid: process.pid() }).await,
                Err(failure) => session.fail_v2(id, failure).await,
            }
            drop(leave);
        });
    }

    /// In a task of its own: it takes seconds.
    async fn doctor(&self, id: Option<RequestId>) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            match session.runtime.doctor(&session.principal).await {
                Ok(report) => {
                    let (healthy, checks) = (report.healthy, report.checks);
                    session.reply_v2(Reply::Doctor { id, healthy, checks }).await;
                }
                Err(failure) => session.fail_v2(id, failure).await,
            }
            drop(leave);
        });
    }

    /// What a person decides about a page, in a task of its own: programs may take their time to end.
    async fn decide(&self, id: Option<RequestId>, origin: String, decision: Decision) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            match session.runtime.decide(&session.principal, &origin, decision).await {
                Ok(()) => session.reply_v2(Reply::Done { id }).await,
                Err(failure) => session.fail_v2(id, failure).await,
            }
            drop(leave);
        });
    }

    async fn kill_v2(&self, id: Option<RequestId>, pid: u32, signal: Option<String>, grace: Option<u64>) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            let grace =
                grace.map_or(limits::KILL_GRACE, Duration::from_millis).min(limits::KILL_GRACE_LONGEST);
            match session.runtime.kill(&session.principal, pid, signal.as_deref(), grace).await {
                Ok(killed) => {
                    let (signalled, forced, survived) = match killed {
                        Killed::Ended(exit) => {
                            let ending = &exit.ending;
                            (members(&ending.signalled), members(&ending.forced), members(&ending.survived))
                        }
                        Killed::Signalled(signalled) => (members(&signalled), Vec::new(), Vec::new()),
                    };
                    session.reply_v2(Reply::Killed { id, pid, signalled, forced, survived }).await;
                }
                Err(failure) => session.fail_v2(id, failure).await,
            }
            drop(leave);
        });
    }
}

fn members(members: &[mhnos_process::Member]) -> Vec<v2::Member> {
    members.iter().map(|member| v2::Member { os_pid: member.os_pid, name: member.name.clone() }).collect()
}

/// An exit in the terms of the wire.
pub(super) fn exit_of(exit: &mhnos_process::Exit) -> v2::Exit {
    let reason = exit.reason.map(|reason| match reason {
        EndReason::Requested => v2::Exit::REQUESTED,
        EndReason::TimeLimit => "its time limit passed",
        EndReason::MemoryLimit => "it used more memory than the limit (--max-memory)",
        EndReason::MemberLimit => "it started more programs than the limit",
        EndReason::Shutdown => v2::Exit::SHUTDOWN,
        EndReason::GuardLost => "its guard was killed",
    });
    v2::Exit {
        code: exit.code,
        signal: exit.signal.map(|number| v2::Signal { number, name: signal::name(number).into() }),
        reason: reason.map(str::to_owned),
        runtime: exit.runtime.as_millis() as u64,
        drained: exit.drained,
        left_behind: members(&exit.ending.left_behind),
        survived: members(&exit.ending.survived),
    }
}

/// A process in the terms of the wire.
pub(super) fn shown(process: &RuntimeProcess) -> v2::Process {
    let (tag, measured) = (process.tag(), process.measured());
    v2::Process {
        pid: process.pid(),
        kind: tag.kind,
        command: tag.command.clone(),
        args: tag.args.clone(),
        cwd: process.directory().display().to_string(),
        origin: match &tag.owner {
            Principal::Control => None,
            Principal::Page(origin) => Some(origin.to_string()),
        },
        started: runtime::started(process),
        os_pid: process.os_pid(),
        terminal: process.has_terminal(),
        output: process.log().head(),
        cpu: measured.cpu,
        memory: measured.memory,
        members: measured.members,
        ports: measured.ports,
        exit: process.exit().map(|exit| exit_of(&exit)),
    }
}
