//! The sync sessions of a 2.0 connection: frames of records in, frames of records out.
//!
//! A frame is taken only when the hub has taken those before it: while it has much to do, the connection is not read. What the hub says is gathered into
//! frames while the socket takes none, and goes out behind replies and one frame of output ([`super::outbox`]).

use std::collections::HashMap;

use bytes::Bytes;
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::sync::{self as records, Batch};
use mhnos_protocol::v2::{ErrorCode, Reply};
use mhnos_protocol::{RequestId, limits};
use mhnos_sync::driver::{Session as Replica, Speaker, ToSession};
use tokio::task::JoinHandle;

use super::Session;
use super::outbox::Block;
use crate::runtime::Failure;
use crate::sync::{Opening, wire};
use crate::trust::Access;

/// The sync sessions a connection has open.
#[derive(Default)]
pub(super) struct SyncSessions {
    open: HashMap<u32, Open>,
}

struct Open {
    speaker: Speaker,
    /// Frames that came.
    frames: u64,
    problems: Vec<records::Problem>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // It holds the session, which ends with it.
        self.task.abort();
    }
}

impl SyncSessions {
    /// Opens one.
    pub(super) async fn open(
        &mut self,
        session: &Session,
        id: Option<RequestId>,
        opening: Opening,
    ) -> Result<(), Failure> {
        let Some(RequestId::Number(number)) = id else {
            let error = "the id of a syncOpen must be a whole number: its frames are named by it";
            return Err(Failure::new(ErrorCode::Malformed, error));
        };
        self.open.retain(|_, open| !open.task.is_finished());
        if self.open.contains_key(&number) {
            let error = format!("the id {number} is that of an open sync session");
            return Err(Failure::new(ErrorCode::Malformed, error));
        }
        if self.open.len() >= limits::SYNC_SESSIONS_PER_CONNECTION {
            let error = format!("{} sync sessions are open already: end one first", self.open.len());
            return Err(Failure::new(ErrorCode::Limit, error));
        }
        let runtime = &session.runtime;
        // Held while it is opened: so a decision that takes rights away finds it open and ends it.
        let permit = runtime.trust.permit(&session.principal, Access::Files).await;
        if permit.is_none() {
            let error = format!("{} is no longer allowed", session.principal);
            return Err(Failure::new(ErrorCode::NotAllowed, error));
        }
        let replica = runtime.sync.open(&session.principal, opening).await?;
        drop(permit);
        let opened = Reply::SyncOpened {
            id: id.clone(),
            epoch: replica.epoch.to_string(),
            sequence: replica.sequence,
            full: replica.full,
            ignored: runtime.sync.driver().rules().names().into_iter().map(str::to_owned).collect(),
        };
        session.reply_v2(opened).await;
        let speaker = replica.speaker();
        let task = tokio::spawn(speak(session.clone(), id, number, replica));
        self.open.insert(number, Open { speaker, frames: 0, problems: Vec::new(), task });
        Ok(())
    }

    /// Takes a frame of records.
    pub(super) async fn take(&mut self, header: Header, payload: Bytes) -> Result<(), Failure> {
        let number = header.channel;
        let Some(open) = self.open.get_mut(&number) else {
            return Err(Failure::new(ErrorCode::NotFound, format!("no sync session {number} is open")));
        };
        match open.take(header.offset, payload).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.open.remove(&number);
                Err(Failure::new(ErrorCode::Malformed, format!("sync session {number} was ended: {error}")))
            }
        }
    }

    /// Ends one; false: there is none of this number.
    pub(super) fn close(&mut self, number: u32) -> bool {
        self.open.remove(&number).is_some()
    }
}

impl Open {
    async fn take(&mut self, turn: u64, payload: Bytes) -> Result<(), String> {
        if turn != self.frames {
            return Err(format!("frame {turn} came where frame {} was in turn", self.frames));
        }
        self.frames += 1;
        if payload.len() > limits::SYNC_FRAME_BYTES {
            return Err(format!(
                "a frame of {} bytes is larger than {}",
                payload.len(),
                limits::SYNC_FRAME_BYTES
            ));
        }
        for record in records::decode(payload)? {
            let message =
                wire::message(record, &mut self.problems).map_err(|error| format!("the replica {error}"))?;
            if let Some(message) = message {
                self.speaker.say(message).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// Sends what the hub says, until the session is over.
async fn speak(session: Session, id: Option<RequestId>, number: u32, mut replica: Replica) {
    let mut frames = 0;
    let mut batch = Batch::default();
    while let Some(first) = replica.next().await {
        let (mut payloads, mut ended, mut next) = (Vec::new(), None, Some(first));
        // All that is there goes together, up to a frame; what is not there yet is not waited for.
        while let Some(said) = next.take() {
            match said {
                ToSession::Message(message) => {
                    wire::record(message, |record| payloads.extend(batch.push(&record)));
                }
                ToSession::Ended(reason) => ended = Some(reason),
            }
            if payloads.is_empty() && ended.is_none() {
                next = replica.try_next();
            }
        }
        payloads.extend(batch.take());
        for content in payloads {
            let header = Header { kind: Kind::Sync, channel: number, offset: frames };
            frames += 1;
            if !session.outbox.send_block(Block { header, content }).await {
                return;
            }
        }
        if let Some(reason) = ended {
            let error = format!("sync session {number} was ended: the replica {reason}");
            session.fail_v2(id, Failure::new(ErrorCode::Ended, error)).await;
            return;
        }
    }
    let failure =
        Failure::new(ErrorCode::Ended, format!("sync session {number} was ended: the runtime was stopped"));
    session.fail_v2(id, failure).await;
}
