//! Content from a replica, for orders on the host.
//!
//! Of small content all of it is read. Of large content the hashes of its blocks are asked for, the host says which it lacks, and these are read.
//! What was read is staged before more is asked for than [`INCOMING_BYTES`], so memory has a bound whatever the replica and the disk do.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::hub::host::Pending;
use crate::hub::message::{Ask, Data, Read, ToReplica};
use crate::hub::work::Work;
use crate::hub::{Effect, Hub, INCOMING_BYTES, READ_BYTES};
use crate::model::{BLOCK_BYTES, Content, RelativePath};
use crate::plan::HaltReason;
use crate::side::Action;

/// See the [module's description](self).
#[derive(Default)]
pub(super) struct Incoming {
    waiting: VecDeque<u64>,
    /// By the number of the order.
    transfers: BTreeMap<u64, Transfer>,
    requests: BTreeMap<u64, Request>,
    /// Asked for and not staged.
    bytes: u64,
}

/// Contents on their way at once. Further orders wait for their turn.
const TRANSFERS: usize = 1024;

/// Content on its way.
struct Transfer {
    path: RelativePath,
    content: Content,
    size: u64,
    /// Hashes that have come.
    blocks: Vec<[u8; 32]>,
    /// Blocks to be read.
    missing: VecDeque<u32>,
    /// Reads and stagings that are not over.
    open: usize,
}

enum Request {
    Blocks(u64),
    Read { number: u64, first: u32, offset: u64, length: u32, bytes: Vec<u8> },
}

impl Incoming {
    pub(super) fn push(&mut self, number: u64) {
        self.waiting.push_back(number);
    }
}

fn block_count(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES).max(1)
}

impl Hub {
    fn incoming(&mut self, key: &Arc<str>) -> Option<(&mut Incoming, u64)> {
        let session = self.replicas.get_mut(key)?.session.as_mut()?;
        Some((&mut session.incoming, session.number))
    }

    fn ask(&mut self, session: u64, message: ToReplica) {
        self.effects.push(Effect::Send { session, message });
    }

    /// Asks for as much as there is room for.
    pub(super) fn fetch(&mut self, key: &Arc<str>) {
        while let Some(true) = self.fetch_more(key) {}
    }

    /// Whether something was asked for.
    fn fetch_more(&mut self, key: &Arc<str>) -> Option<bool> {
        let request = self.number();
        let (incoming, session) = self.incoming(key)?;
        if incoming.bytes >= INCOMING_BYTES {
            return Some(false);
        }
        let wants = incoming.transfers.iter_mut().find(|(_, transfer)| !transfer.missing.is_empty());
        if let Some((&number, transfer)) = wants {
            let first = transfer.missing.pop_front()?;
            let mut next = first + 1;
            let most = (u64::from(READ_BYTES) / BLOCK_BYTES) as u32;
            while next - first < most && transfer.missing.front() == Some(&next) {
                transfer.missing.pop_front();
                next += 1;
            }
            let offset = u64::from(first) * BLOCK_BYTES;
            let length = (u64::from(next) * BLOCK_BYTES).min(transfer.size).saturating_sub(offset) as u32;
            transfer.open += 1;
            let read =
                Read { request, path: transfer.path.clone(), content: transfer.content, offset, length };
            incoming.bytes += u64::from(length);
            let bytes = Vec::with_capacity(length as usize);
            incoming.requests.insert(request, Request::Read { number, first, offset, length, bytes });
            self.ask(session, ToReplica::Read(read));
            return Some(true);
        }
        if incoming.transfers.len() >= TRANSFERS {
            return Some(false);
        }
        let Some(number) = incoming.waiting.pop_front() else { return Some(false) };
        let Some(under_way) = self.under_way.get(&number) else { return Some(true) };
        let Action::Put { content, size, .. } = under_way.step.order.action else { return Some(true) };
        let path = under_way.step.order.path.clone();
        let (incoming, session) = self.incoming(key)?;
        let small = size <= BLOCK_BYTES;
        let mut transfer =
            Transfer { path, content, size, blocks: Vec::new(), missing: VecDeque::new(), open: 0 };
        if size == 0 {
            transfer.open = 1;
            incoming.transfers.insert(number, transfer);
            let pending = Pending::Stage { key: key.clone(), session, number, bytes: 0 };
            self.work(Work::Stage { content, size, first: 0, bytes: Vec::new() }, pending);
        } else if small {
            transfer.missing.push_back(0);
            incoming.transfers.insert(number, transfer);
        } else {
            transfer.open = 1;
            let path = transfer.path.clone();
            incoming.transfers.insert(number, transfer);
            incoming.requests.insert(request, Request::Blocks(number));
            self.ask(session, ToReplica::AskBlocks(Ask { request, path, content, size }));
        }
        Some(true)
    }

    /// Some hashes have come.
    pub(super) fn blocks(&mut self, key: &Arc<str>, request: u64, mut blocks: Vec<[u8; 32]>) {
        let Some((incoming, _)) = self.incoming(key) else { return };
        let Some(Request::Blocks(number)) = incoming.requests.get(&request) else {
            self.end(key, "answers a question it was not asked");
            return;
        };
        let number = *number;
        let Some(transfer) = incoming.transfers.get_mut(&number) else {
            // The order was dropped meanwhile.
            incoming.requests.remove(&request);
            return;
        };
        transfer.blocks.append(&mut blocks);
        let wanted = block_count(transfer.size);
        if (transfer.blocks.len() as u64) < wanted {
            return;
        }
        let fits = transfer.blocks.len() as u64 == wanted
            && Content::of_blocks(&transfer.blocks) == transfer.content;
        let (content, size, similar) = (transfer.content, transfer.size, transfer.path.clone());
        let blocks = std::mem::take(&mut transfer.blocks);
        incoming.requests.remove(&request);
        if fits {
            let pending = Pending::Missing { key: key.clone(), number };
            self.work(Work::Missing { content, size, blocks, similar }, pending);
        } else {
            self.end(key, "answers with hashes that are not those of the content");
        }
    }

    /// The host said which blocks it lacks.
    pub(super) fn missing(&mut self, key: &Arc<str>, number: u64, result: io::Result<Vec<u32>>) {
        let Some((incoming, _)) = self.incoming(key) else { return };
        let Some(transfer) = incoming.transfers.get_mut(&number) else { return };
        match result {
            Ok(missing) => {
                transfer.open -= 1;
                let count = block_count(transfer.size);
                transfer.missing = missing.into_iter().filter(|block| u64::from(*block) < count).collect();
                self.transfer_moved_on(key, number);
            }
            Err(error) => self.cannot_stage(key, number, error),
        }
    }

    /// Bytes have come.
    pub(super) fn data(&mut self, key: &Arc<str>, data: Data) {
        let Some((incoming, session)) = self.incoming(key) else { return };
        let Some(Request::Read { number, first, offset, length, bytes }) =
            incoming.requests.get_mut(&data.request)
        else {
            self.end(key, "answers a question it was not asked");
            return;
        };
        let in_turn = data.offset == *offset + bytes.len() as u64;
        if !in_turn || data.bytes.is_empty() || bytes.len() + data.bytes.len() > *length as usize {
            self.end(key, "answers with other bytes than it was asked for");
            return;
        }
        bytes.extend_from_slice(&data.bytes);
        if bytes.len() < *length as usize {
            return;
        }
        let (number, first, length, bytes) = (*number, *first, u64::from(*length), std::mem::take(bytes));
        incoming.requests.remove(&data.request);
        match incoming.transfers.get(&number) {
            Some(transfer) => {
                let (content, size) = (transfer.content, transfer.size);
                let pending = Pending::Stage { key: key.clone(), session, number, bytes: length };
                self.work(Work::Stage { content, size, first, bytes }, pending);
            }
            None => incoming.bytes -= length,
        }
    }

    /// Bytes were staged on the host.
    pub(super) fn staged(
        &mut self,
        key: &Arc<str>,
        session: u64,
        number: u64,
        bytes: u64,
        result: io::Result<()>,
    ) {
        let Some((incoming, now)) = self.incoming(key) else { return };
        if now != session {
            return;
        }
        incoming.bytes -= bytes;
        if let Some(transfer) = incoming.transfers.get_mut(&number) {
            match result {
                Ok(()) => {
                    transfer.open -= 1;
                    self.transfer_moved_on(key, number);
                }
                Err(error) => self.cannot_stage(key, number, error),
            }
        }
        self.fetch(key);
    }

    /// All of it may be here.
    fn transfer_moved_on(&mut self, key: &Arc<str>, number: u64) {
        let Some((incoming, _)) = self.incoming(key) else { return };
        let over = |transfer: &Transfer| transfer.missing.is_empty() && transfer.open == 0;
        if incoming.transfers.get(&number).is_some_and(over) {
            incoming.transfers.remove(&number);
            if let Some(under_way) = self.under_way.get(&number) {
                let step = under_way.step.clone();
                self.make_ready(number, &step);
            }
        }
        self.fetch(key);
    }

    /// The replica no longer has what it was asked for.
    pub(super) fn unavailable(&mut self, key: &Arc<str>, request: u64) {
        let Some((incoming, _)) = self.incoming(key) else { return };
        let number = match incoming.requests.remove(&request) {
            None => {
                self.end(key, "answers a question it was not asked");
                return;
            }
            Some(Request::Blocks(number)) => number,
            Some(Request::Read { number, length, .. }) => {
                incoming.bytes -= u64::from(length);
                number
            }
        };
        // Only once for an order, however many of its reads fail.
        if incoming.transfers.remove(&number).is_some() {
            self.rescan(Some(key));
            self.abandon(number, false);
        }
        self.fetch(key);
    }

    fn cannot_stage(&mut self, key: &Arc<str>, number: u64, error: io::Error) {
        if let Some((incoming, _)) = self.incoming(key) {
            incoming.transfers.remove(&number);
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
                self.host_is_down(HaltReason::DiskFull(error.to_string()));
                self.abandon(number, false);
                self.tell_halts();
            }
            // Other bytes came than were to come: the file is another one now.
            io::ErrorKind::InvalidData => {
                self.rescan(Some(key));
                self.abandon(number, false);
            }
            _ => {
                if let Some(under_way) = self.over(number, false) {
                    self.failed(Some(key), crate::plan::Which::Host, under_way.step.order, error.to_string());
                }
            }
        }
    }
}
