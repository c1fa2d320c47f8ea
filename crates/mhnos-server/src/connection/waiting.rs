//! A page that nobody has decided about yet.
//!
//! Its messages are kept, unparsed and few, for as long as a person may be expected to answer. Allowed in time, they are carried
//! out in order. Otherwise each is answered with a sentence that says what to do; the connection stays, so that a later
//! approval just works.

use std::collections::VecDeque;

use mhnos_protocol::limits;
use tokio::sync::watch;
use tokio::time::Instant;

use super::waiting_sentence;
use crate::gate::Principal;
use crate::runtime::Runtime;
use crate::websocket::Incoming;

pub(super) struct Queue {
    messages: VecDeque<(Instant, Incoming)>,
    bytes: usize,
    changes: watch::Receiver<u64>,
}

pub(super) enum Outcome {
    /// The messages that waited, in order.
    Allowed(Vec<Incoming>),
    /// A person said no.
    Denied,
    /// Nobody answered in time for this one.
    Expired(Incoming),
}

impl Queue {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, changes: runtime.trust.changes() }
    }

    /// Keeps a message, or gives it back with the sentence it is to be refused with.
    pub(super) fn push(
        &mut self,
        message: Incoming,
        principal: &Principal,
    ) -> Result<(), (Incoming, String)> {
        let sentence = || waiting_sentence(principal);
        let length = match &message {
            Incoming::Text(text) => text.len(),
            Incoming::Binary(bytes) => bytes.len(),
            Incoming::TooLarge { .. } => {
                let kib = limits::WAITING_MESSAGE_BYTES >> 10;
                return Err((
                    message,
                    format!("a message of more than {kib} KiB was not kept: {}", sentence()),
                ));
            }
            Incoming::Ping(_) | Incoming::Close => return Ok(()),
        };
        if self.messages.len() >= limits::WAITING_MESSAGES || self.bytes + length > limits::WAITING_BYTES {
            return Err((message, format!("too many messages wait already: {}", sentence())));
        }
        self.bytes += length;
        self.messages.push_back((Instant::now(), message));
        Ok(())
    }

    /// Waits until a person has decided or the oldest message has waited too long. Cancel-safe.
    pub(super) async fn decided(&mut self, runtime: &Runtime, principal: &Principal) -> Outcome {
        loop {
            self.changes.mark_unchanged();
            if runtime.trust.access(principal).is_some() {
                return Outcome::Allowed(self.messages.drain(..).map(|(_, message)| message).collect());
            }
            if super::is_denied(runtime, principal) {
                return Outcome::Denied;
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
