//! Writing records, and gathering them into payloads of frames.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Action, ContentHash, Node, OrderResult, Record, kind};
use crate::limits;

/// Type and length.
const RECORD_HEADER_BYTES: usize = 5;

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u8(self.kind());
        out.put_u32_le(0);
        self.encode_body(out);
        // A record larger than this is refused by any reader long before its length matters.
        let length = u32::try_from(out.len() - start - RECORD_HEADER_BYTES).unwrap_or(u32::MAX);
        out[start + 1..start + RECORD_HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Observed { .. } => kind::OBSERVED,
            Self::Problems(_) => kind::PROBLEMS,
            Self::Outcome { .. } => kind::OUTCOME,
            Self::Order { .. } => kind::ORDER,
            Self::AskBlocks { .. } => kind::ASK_BLOCKS,
            Self::Blocks { .. } => kind::BLOCKS,
            Self::Read { .. } => kind::READ,
            Self::Data { .. } => kind::DATA,
            Self::Unavailable { .. } => kind::UNAVAILABLE,
            Self::Content { .. } => kind::CONTENT,
            Self::Committed { .. } => kind::COMMITTED,
            Self::Halted(_) => kind::HALTED,
            Self::Rescan => kind::RESCAN,
        }
    }

    fn encode_body(&self, out: &mut BytesMut) {
        match self {
            Self::Observed { complete, more, within, nodes } => {
                out.put_u8(u8::from(*complete) | u8::from(*more) << 1);
                put_text(out, within.as_deref().unwrap_or_default());
                put_count(out, nodes.len());
                for (path, node) in nodes {
                    put_entry(out, path, node.as_ref());
                }
            }
            Self::Problems(problems) => {
                put_count(out, problems.len());
                for problem in problems {
                    put_text(out, &problem.path);
                    put_text(out, &problem.reason);
                }
            }
            Self::Outcome { order, result } => {
                out.put_u64_le(*order);
                match result {
                    OrderResult::Done => out.put_u8(0),
                    OrderResult::Changed(node) => {
                        out.put_u8(1);
                        put_node(out, node.as_ref());
                    }
                    OrderResult::Failed(reason) => {
                        out.put_u8(2);
                        put_text(out, reason);
                    }
                }
            }
            Self::Order { order, path, expect, action } => {
                out.put_u64_le(*order);
                out.put_u8(match action {
                    Action::MakeDirectory => 1,
                    Action::Put { .. } => 2,
                    Action::Move { .. } => 3,
                    Action::Remove => 4,
                });
                put_text(out, path);
                put_node(out, expect.as_ref());
                match action {
                    Action::MakeDirectory | Action::Remove => {}
                    Action::Put { content, size, executable, copy_from } => {
                        put_file(out, content, *size, *executable);
                        put_text(out, copy_from.as_deref().unwrap_or_default());
                    }
                    Action::Move { from, moved } => {
                        put_text(out, from);
                        put_node(out, Some(moved));
                    }
                }
            }
            Self::AskBlocks { request, path, content, size } => {
                out.put_u64_le(*request);
                put_text(out, path);
                out.put_slice(content);
                out.put_u64_le(*size);
            }
            Self::Blocks { request, hashes } => {
                out.put_u64_le(*request);
                put_count(out, hashes.len());
                out.put_slice(hashes.as_flattened());
            }
            Self::Read { request, path, content, offset, length } => {
                out.put_u64_le(*request);
                put_text(out, path);
                out.put_slice(content);
                out.put_u64_le(*offset);
                out.put_u32_le(*length);
            }
            Self::Data { request, offset, bytes } => {
                out.put_u64_le(*request);
                out.put_u64_le(*offset);
                out.put_slice(bytes);
            }
            Self::Unavailable { request, reason } => {
                out.put_u64_le(*request);
                put_text(out, reason);
            }
            Self::Content { content, bytes } => {
                out.put_slice(content);
                out.put_slice(bytes);
            }
            Self::Committed { sequence, synced } => {
                out.put_u64_le(*sequence);
                out.put_u8(u8::from(*synced));
            }
            Self::Halted(reason) => put_text(out, reason.as_deref().unwrap_or_default()),
            Self::Rescan => {}
        }
    }
}

/// What the digest of a tree is made of: an entry's bytes as they stand in records.
pub fn entry_bytes(path: &str, node: &Node) -> BytesMut {
    let mut out = BytesMut::with_capacity(path.len() + 64);
    put_entry(&mut out, path, Some(node));
    out
}

fn put_entry(out: &mut BytesMut, path: &str, node: Option<&Node>) {
    put_text(out, path);
    put_node(out, node);
}

fn put_node(out: &mut BytesMut, node: Option<&Node>) {
    match node {
        None => out.put_u8(0),
        Some(Node::Directory) => out.put_u8(1),
        Some(Node::File { content, size, executable }) => put_file(out, content, *size, *executable),
    }
}

fn put_file(out: &mut BytesMut, content: &ContentHash, size: u64, executable: bool) {
    out.put_u8(2 + u8::from(executable));
    out.put_u64_le(size);
    out.put_slice(content);
}

fn put_text(out: &mut BytesMut, text: &str) {
    let text = &text[..text.floor_char_boundary(limits::SYNC_TEXT_BYTES)];
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32_le(u32::try_from(count).unwrap_or(u32::MAX));
}

/// Records gathered into one payload after the other, each within the bound of a frame.
#[derive(Debug, Default)]
pub struct Batch(BytesMut);

impl Batch {
    /// Adds a record. When it no longer fits, gives the payload of those before it.
    #[must_use = "a payload that is given is to be sent"]
    pub fn push(&mut self, record: &Record) -> Option<Bytes> {
        let before = self.0.len();
        record.encode(&mut self.0);
        if before == 0 || self.0.len() <= limits::SYNC_FRAME_BYTES {
            return None;
        }
        let last = self.0.split_off(before);
        Some(std::mem::replace(&mut self.0, last).freeze())
    }

    /// Gives the payload of what was added and not given yet, if there is any.
    pub fn take(&mut self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| std::mem::take(&mut self.0).freeze())
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
