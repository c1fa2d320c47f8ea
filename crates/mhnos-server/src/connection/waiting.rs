//! A page that a person has not approved yet.
//!
//! Its messages are kept, unparsed and few, for as long as a person may be expected to answer. Approved in time, they are carried
//! out in order. Otherwise each is answered with a sentence that says what to do; the connection stays, so that a later
//! approval just works.

use std::collections::{BTreeSet, VecDeque};

use mhnos_protocol::limits;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::gate::{Origin, Principal, Waiting};
use crate::runtime::Runtime;
use crate::websocket::Incoming;

pub(super) struct Queue<'gate> {
    _noted: Option<Waiting<'gate>>,
    messages: VecDeque<(Instant, Incoming)>,
    bytes: usize,
    changes: watch::Receiver<BTreeSet<Origin>>,
}

pub(super) enum Outcome {
    /// The messages that waited, in order.
    Approved(Vec<Incoming>),
    /// Nobody answered in time for this one.
    Expired(Incoming),
}

impl<'gate> Queue<'gate> {
    pub(super) fn new(runtime: &'gate Runtime, principal: &Principal) -> Self {
        tracing::warn!(origin = %principal, "an unknown page is connected and waits: {}", sentence(principal));
        let noted = principal.origin().map(|origin| runtime.gate.note_waiting(origin));
        Self { _noted: noted, messages: VecDeque::new(), bytes: 0, changes: runtime.gate.changes() }
    }

    /// Keeps a message, or gives it back with the sentence it is to be refused with.
    pub(super) fn push(
        &mut self,
        message: Incoming,
        principal: &Principal,
    ) -> Result<(), (Incoming, String)> {
        let length = match &message {
            Incoming::Text(text) => text.len(),
            Incoming::Binary(bytes) => bytes.len(),
            Incoming::TooLarge { .. } => {
                let kib = limits::WAITING_MESSAGE_BYTES >> 10;
                let sentence =
                    format!("a message of more than {kib} KiB was not kept: {}", sentence(principal));
                return Err((message, sentence));
            }
            Incoming::Ping(_) | Incoming::Close => return Ok(()),
        };
        if self.messages.len() >= limits::WAITING_MESSAGES || self.bytes + length > limits::WAITING_BYTES {
            return Err((message, format!("too many messages wait already: {}", sentence(principal))));
        }
        self.bytes += length;
        self.messages.push_back((Instant::now(), message));
        Ok(())
    }

    /// Waits until the page is approved or the oldest message has waited too long. Cancel-safe.
    pub(super) async fn approved(&mut self, runtime: &Runtime, principal: &Principal) -> Outcome {
        loop {
            self.changes.mark_unchanged();
            if runtime.gate.is_allowed(principal) {
                return Outcome::Approved(self.messages.drain(..).map(|(_, message)| message).collect());
            }
            let expires = self.messages.front().map(|(since, _)| *since + limits::WAITING_TIME);
            tokio::select! {
                _ = self.changes.changed() => {}
                () = expired(expires) => if let Some((_, message)) = self.messages.pop_front() {
                    self.bytes -= match &message {
                        Incoming::Text(bytes) | Incoming::Binary(bytes) => bytes.len(),
                        Incoming::TooLarge { .. } | Incoming::Ping(_) | Incoming::Close => 0,
                    };
                    return Outcome::Expired(message);
                },
            }
        }
    }
}

async fn expired(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What a waiting page is told.
pub(super) fn sentence(principal: &Principal) -> String {
    format!("{principal} is not allowed yet: run `mhnos-runtime origins allow {principal}`, then try again")
}
