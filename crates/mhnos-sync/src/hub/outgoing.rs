//! Orders on their way to a replica, in order, small content before the order that puts it; and answers to its questions.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hub::host::Pending;
use crate::hub::message::{Ask, Data, Read, ToReplica};
use crate::hub::work::Work;
use crate::hub::{Effect, Hub, QUESTIONS, READ_BYTES, UNANSWERED_ORDERS};
use crate::model::{BLOCK_BYTES, Content, RelativePath};
use crate::side::Action;

/// See the [module's description](self).
#[derive(Default)]
pub(super) struct Outgoing {
    slots: VecDeque<Slot>,
    /// So many of the first slots have been asked content for, or need none.
    asked: usize,
    /// Orders sent and not answered.
    pub(super) unanswered: usize,
    /// Content that is being read, or was sent and not answered.
    pub(super) bytes: u64,
}

struct Slot {
    number: u64,
    cargo: Cargo,
}

/// The content an order needs beside it.
enum Cargo {
    None,
    Wanted(RelativePath, Content, u64),
    Reading,
    Here(Content, Vec<u8>),
    /// The order is no longer to be sent.
    Lost,
}

impl Outgoing {
    pub(super) fn push(&mut self, number: u64, order: &crate::side::Order) {
        let cargo = match order.action {
            Action::Put { content, size, copy_from: None, .. } if size <= BLOCK_BYTES => {
                Cargo::Wanted(order.path.clone(), content, size)
            }
            _ => Cargo::None,
        };
        self.slots.push_back(Slot { number, cargo });
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        // Numbers grow from slot to slot.
        let at = self.slots.binary_search_by_key(&number, |slot| slot.number).ok()?;
        self.slots.get_mut(at)
    }
}

impl Hub {
    /// Sends what can be sent.
    pub(super) fn send_orders(&mut self, key: &Arc<str>) {
        self.fetch_content(key);
        loop {
            let Some(session) = self.replicas.get_mut(key).and_then(|replica| replica.session.as_mut())
            else {
                return;
            };
            let outgoing = &mut session.outgoing;
            let ready = outgoing.slots.front().is_some_and(|slot| match slot.cargo {
                Cargo::None | Cargo::Here(..) => outgoing.unanswered < UNANSWERED_ORDERS,
                Cargo::Lost => true,
                Cargo::Wanted(..) | Cargo::Reading => false,
            });
            let Some(slot) = outgoing.slots.pop_front_if(|_| ready) else { break };
            outgoing.asked = outgoing.asked.saturating_sub(1);
            let (number, session_number) = (slot.number, session.number);
            let Some(under_way) = self.under_way.get(&number) else { continue };
            let mut send = |message| self.effects.push(Effect::Send { session: session_number, message });
            if let Cargo::Here(content, bytes) = slot.cargo {
                send(ToReplica::Content { content, bytes });
            }
            send(ToReplica::Order { number, order: under_way.step.order.clone() });
            session.outgoing.unanswered += 1;
            session.last_sent = number;
        }
    }

    /// Has content read that fits into the window.
    fn fetch_content(&mut self, key: &Arc<str>) {
        loop {
            let Some(session) = self.replicas.get_mut(key).and_then(|replica| replica.session.as_mut())
            else {
                return;
            };
            let outgoing = &mut session.outgoing;
            // What waits for its turn to be sent is not read yet.
            if outgoing.asked >= UNANSWERED_ORDERS {
                return;
            }
            let Some(slot) = outgoing.slots.get_mut(outgoing.asked) else { return };
            let Cargo::Wanted(path, content, size) = &slot.cargo else {
                outgoing.asked += 1;
                continue;
            };
            if outgoing.bytes > 0 && outgoing.bytes + size > session.window {
                return;
            }
            let (number, path, content, length) = (slot.number, path.clone(), *content, *size);
            slot.cargo = Cargo::Reading;
            outgoing.asked += 1;
            outgoing.bytes += length;
            if let Some(under_way) = self.under_way.get_mut(&number) {
                under_way.bytes = length;
            }
            let work = Work::Read { path, content, offset: 0, length: length as u32 };
            self.work(work, Pending::Cargo { key: key.clone(), number, content });
        }
    }

    /// Small content was read for an order.
    pub(super) fn cargo_read(
        &mut self,
        key: &Arc<str>,
        number: u64,
        content: Content,
        result: std::io::Result<Vec<u8>>,
    ) {
        let session = self.replicas.get_mut(key).and_then(|replica| replica.session.as_mut());
        let Some(slot) = session.and_then(|session| session.outgoing.slot(number)) else { return };
        match result {
            Ok(bytes) if Content::of(&bytes) == content => slot.cargo = Cargo::Here(content, bytes),
            // It is another file now, or none. It is looked at, and planned then.
            _ => {
                slot.cargo = Cargo::Lost;
                self.abandon(number, true);
            }
        }
        self.send_orders(key);
    }

    /// A replica asks for hashes.
    pub(super) fn asked_blocks(&mut self, key: &Arc<str>, ask: Ask) {
        let Ask { request, path, content, .. } = ask;
        if let Some(session) = self.question(key) {
            let (key, path_asked) = (key.clone(), path.clone());
            let pending = Pending::Answer { key, session, request, offset: 0, length: 0, path: path_asked };
            self.work(Work::BlockHashes { path, content }, pending);
        }
    }

    /// A replica asks for bytes.
    pub(super) fn asked_read(&mut self, key: &Arc<str>, read: Read) {
        let Read { request, path, content, offset, length } = read;
        if length > READ_BYTES {
            self.end(key, &format!("reads more than {READ_BYTES} bytes at once"));
        } else if let Some(session) = self.question(key) {
            let pending =
                Pending::Answer { key: key.clone(), session, request, offset, length, path: path.clone() };
            self.work(Work::Read { path, content, offset, length }, pending);
        }
    }

    /// Counts a question; the session it was asked in.
    fn question(&mut self, key: &Arc<str>) -> Option<u64> {
        let session = self.replicas.get_mut(key)?.session.as_mut()?;
        session.questions += 1;
        if session.questions > QUESTIONS {
            self.end(key, &format!("has asked more than {QUESTIONS} questions that are not answered yet"));
            return None;
        }
        Some(session.number)
    }

    /// A question was answered by the host.
    pub(super) fn answer(
        &mut self,
        key: &Arc<str>,
        session: u64,
        request: u64,
        path: &RelativePath,
        answer: std::io::Result<ToReplica>,
    ) {
        let open = self.replicas.get_mut(key).and_then(|replica| replica.session.as_mut());
        if let Some(open) = open.filter(|open| open.number == session) {
            open.questions = open.questions.saturating_sub(1);
            let unavailable = answer.is_err();
            let message =
                answer.unwrap_or_else(|error| ToReplica::Unavailable { request, reason: error.to_string() });
            self.effects.push(Effect::Send { session, message });
            if unavailable {
                self.look(vec![path.clone()]);
            }
        }
    }
}

/// Bytes as an answer.
pub(super) fn data(request: u64, offset: u64, bytes: Vec<u8>) -> ToReplica {
    ToReplica::Data(Data { request, offset, bytes })
}
