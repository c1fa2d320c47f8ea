//! One connection, from the upgrade to the close.
//!
//! ```text
//! socket ─ MessageReader ─ (waiting) ─ v1 or v2 ─ Runtime
//!                                        │ Outgoing
//! socket ─ MessageWriter ─────────────── outbox ─ cursors on logs
//! ```
//!
//! One task reads and acts; another, the [`outbox`], writes. A page that nobody has decided about waits in [`waiting`]: its messages are
//! kept unparsed. What takes time (spawn, kill, files) runs in tasks of its own, so many at once and no more.

use std::sync::Arc;

use bytes::Bytes;
use mhnos_process::{InputError, ResizeError, TerminalSize};
use mhnos_protocol::limits;
use mhnos_protocol::v2::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::gate::Principal;
use crate::own_command;
use crate::runtime::{ConnectionCount, Failure, Runtime, RuntimeProcess, check_terminal_size};
use crate::socket::Socket;
use crate::trust::audit::Fact;
use crate::trust::{self, Entered};
use crate::websocket::{Incoming, MessageReader, MessageWriter, is_violation};

mod events;
mod outbox;
mod sync;
mod transfers;
mod v1;
mod v2;
mod waiting;

use outbox::{Outbox, Outgoing};

/// The protocol that was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    V1,
    V2,
}

/// What acts on the messages of a connection.
enum Dialect {
    V1(v1::Session),
    V2(v2::Session),
}

/// Whose connection it is, and what counts it for as long as it lasts.
pub(crate) struct Admission {
    pub(crate) principal: Principal,
    /// Of a page.
    pub(crate) entered: Option<Entered>,
    pub(crate) count: ConnectionCount,
}

/// Serves a connection to its end. `stopping` becomes true when the runtime stops.
pub(crate) async fn serve<S: Socket>(
    runtime: Arc<Runtime>,
    socket: S,
    already_read: Bytes,
    admission: Admission,
    protocol: Protocol,
    mut stopping: watch::Receiver<bool>,
) {
    let Admission { principal, mut entered, count: _count } = admission;
    let (read, write) = socket.halves();
    let mut reader = MessageReader::new(read, already_read, limits::MESSAGE_BYTES);
    let (outbox, writing) = outbox::open(MessageWriter::new(write));
    let writer = tokio::spawn(writing);
    if is_denied(&runtime, &principal) {
        outbox.try_send(Outgoing::Close(POLICY_VIOLATION, denied_sentence(&principal)));
        drop(outbox);
        return finish(writer).await;
    }
    tracing::info!(by = %principal, protocol = ?protocol, "connected");
    let shared =
        Session { runtime, principal, outbox, at_once: Arc::new(Semaphore::new(limits::REQUESTS_AT_ONCE)) };
    let (runtime, principal, outbox) =
        (Arc::clone(&shared.runtime), shared.principal.clone(), shared.outbox.clone());
    let mut dialect = match protocol {
        Protocol::V1 => Dialect::V1(v1::Session::open(shared).await),
        Protocol::V2 => Dialect::V2(v2::Session::open(shared).await),
    };

    let mut goodbye = None;
    let mut changes = runtime.trust.changes();
    let is_allowed = || runtime.trust.access(&principal).is_some();
    // Only who may do something: else a page nobody has allowed could fill the log until what stood in it is gone.
    let let_in = || runtime.trust.audit.write(Fact::Connected { by: principal.to_string() });
    let mut waiting = (!is_allowed()).then(|| waiting::Queue::new(&runtime));
    if waiting.is_none() {
        let_in();
    }
    loop {
        if let Some(queue) = &mut waiting {
            reader.set_limit(limits::WAITING_MESSAGE_BYTES);
            tokio::select! {
                decided = queue.decided(&runtime, &principal) => match decided {
                    waiting::Outcome::Denied => {
                        goodbye = Some((POLICY_VIOLATION, denied_sentence(&principal)));
                        break;
                    }
                    waiting::Outcome::Allowed(messages) => {
                        tracing::info!(by = %principal, "approved");
                        let_in();
                        if let Some(entered) = &mut entered {
                            entered.admitted();
                        }
                        reader.set_limit(limits::MESSAGE_BYTES);
                        waiting = None;
                        for message in messages {
                            // What was allowed can be taken back while they are carried out.
                            if !is_allowed() {
                                break;
                            }
                            dialect.act(message).await;
                        }
                    }
                    waiting::Outcome::Expired(message) => dialect.refuse(&message, &waiting_sentence(&principal)).await,
                },
                message = reader.next() => match message {
                    Ok(Incoming::Close) => break,
                    Ok(Incoming::Ping(payload)) => outbox.send(Outgoing::Pong(payload)).await,
                    Ok(message) => if let Err((message, sentence)) = queue.push(message, &principal) {
                        dialect.refuse(&message, &sentence).await;
                    },
                    Err(error) => {
                        goodbye = is_violation(&error).then(|| (PROTOCOL_ERROR, error.to_string()));
                        break;
                    }
                },
                () = stopped(&mut stopping) => break,
            }
            continue;
        }
        tokio::select! {
            // In this order: no flood of messages may hold up that the page is no longer allowed.
            biased;
            Ok(()) = changes.changed() => if !is_allowed() {
                goodbye = Some((POLICY_VIOLATION, format!("{principal} is no longer allowed")));
                break;
            },
            () = stopped(&mut stopping) => break,
            message = reader.next() => match message {
                Ok(Incoming::Close) => break,
                Ok(message) => dialect.act(message).await,
                Err(error) => {
                    goodbye = is_violation(&error).then(|| (PROTOCOL_ERROR, error.to_string()));
                    break;
                }
            },
        }
    }
    let farewell = match goodbye {
        Some((code, reason)) => Outgoing::Close(code, reason),
        None if *stopping.borrow() => Outgoing::Close(GOING_AWAY, "the runtime was stopped".into()),
        None => Outgoing::Close(NORMAL, String::new()),
    };
    outbox.try_send(farewell);
    drop((dialect, outbox));
    finish(writer).await;
    tracing::info!(by = %principal, "disconnected");
}

/// Waits for what is still to be written. A client that does not read is not waited for.
async fn finish(mut writer: JoinHandle<()>) {
    if tokio::time::timeout(limits::CLOSE_TIME, &mut writer).await.is_err() {
        writer.abort();
    }
}

fn is_denied(runtime: &Runtime, principal: &Principal) -> bool {
    principal.origin().is_some_and(|origin| runtime.trust.is_denied(origin))
}

/// What a denied page is told. The reason of a close is short, and the origin, which the page knows, can be long.
fn denied_sentence(principal: &Principal) -> String {
    format!("denied by a person; to undo it: {} origins allow {principal}", own_command::name())
}

/// What a page that waits is told.
fn waiting_sentence(principal: &Principal) -> String {
    principal.origin().map(trust::sentence).unwrap_or_default()
}

/// Waits until the runtime stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Close codes of RFC 6455, 7.4.1.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const POLICY_VIOLATION: u16 = 1008;

impl Dialect {
    async fn act(&mut self, message: Incoming) {
        match self {
            Self::V1(session) => session.act(message).await,
            Self::V2(session) => session.act(message).await,
        }
    }

    async fn refuse(&mut self, message: &Incoming, sentence: &str) {
        match self {
            Self::V1(session) => session.refuse(message, sentence).await,
            Self::V2(session) => session.refuse(message, sentence).await,
        }
    }
}

/// What both dialects need.
#[derive(Clone)]
struct Session {
    runtime: Arc<Runtime>,
    principal: Principal,
    outbox: Outbox,
    at_once: Arc<Semaphore>,
}

impl Session {
    /// Leave to do something that takes time. While too much is under way, the connection waits here, and is not read.
    async fn leave(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.at_once).acquire_owned().await.ok()
    }
}

/// The `id` of a message that is not acted on, as far as it can be made out.
fn id_of(message: &Incoming) -> Option<mhnos_protocol::RequestId> {
    match message {
        Incoming::Text(text) | Incoming::TooLarge { prefix: text } => mhnos_protocol::id_of_prefix(text),
        Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Close => None,
    }
}

/// What is said of a message that was too large.
fn too_large_sentence() -> String {
    format!(
        "the message was larger than {} MiB and was not read: send less at a time",
        limits::MESSAGE_BYTES >> 20
    )
}

/// Hands input to a process.
fn input(process: &RuntimeProcess, bytes: Bytes) -> Result<(), Failure> {
    process.write(bytes).map_err(|error| {
        let code = match error {
            InputError::Full { .. } => ErrorCode::Limit,
            InputError::Closed => ErrorCode::Ended,
        };
        Failure::new(code, format!("process {}: {error}", process.pid()))
    })
}

/// Changes the size of a process's terminal.
fn resize(process: &RuntimeProcess, columns: u16, rows: u16) -> Result<(), Failure> {
    check_terminal_size(columns, rows)?;
    process.resize(TerminalSize { columns, rows }).map_err(|error| {
        let code = match error {
            ResizeError::NoTerminal => ErrorCode::Forbidden,
            ResizeError::Ended => ErrorCode::Ended,
            ResizeError::Failed(_) => ErrorCode::Failed,
        };
        Failure::new(code, format!("process {}: {error}", process.pid()))
    })
}
