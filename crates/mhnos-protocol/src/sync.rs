//! The records of a sync session, which travel in binary frames of their own kind ([`crate::frame::Kind::Sync`]).
//!
//! `docs/sync.md` says what they mean and lists their bytes; this module only writes and reads them. There is one form for
//! every record, so what was read is written back to the same bytes. Whether a text is a path, an order can be carried out
//! or a number is in turn is for its receiver to decide.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use bytes::Bytes;

pub use reader::decode;
pub use writer::{Batch, entry_bytes};

/// The name of a content: its BLAKE3, or that of the hashes of its blocks.
pub type ContentHash = [u8; 32];

/// What is at a path, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// What is in it.
        content: ContentHash,
        /// Bytes.
        size: u64,
        /// Whether it may be executed.
        executable: bool,
    },
}

/// Something that is there and cannot be synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: String,
    /// The end of a sentence that begins with the path.
    pub reason: String,
}

/// What an order asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is a folder.
    MakeDirectory,
    /// There is a file with this content.
    Put {
        /// What is in it.
        content: ContentHash,
        /// Bytes.
        size: u64,
        /// Whether it may be executed.
        executable: bool,
        /// A path of the replica where the same content was last seen.
        copy_from: Option<String>,
    },
    /// What is at `from`, with all that is in it, is here.
    Move {
        /// Where it is now.
        from: String,
        /// What must be there.
        moved: Node,
    },
    /// There is nothing.
    Remove,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderResult {
    /// It was done.
    Done,
    /// Something else was there, and nothing was done. What is there.
    Changed(Option<Node>),
    /// It cannot be done; nothing was changed. The end of a sentence that begins with the path.
    Failed(String),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What a replica has at some paths.
    Observed {
        /// Whether all that was not named and lies in `within` is not there. Stands in the last part of an observation.
        complete: bool,
        /// Whether further parts of this observation follow.
        more: bool,
        /// The folder that was looked at; absent: all of the replica.
        within: Option<String>,
        /// Paths and what is there.
        nodes: Vec<(String, Option<Node>)>,
    },
    /// What a replica cannot sync, of the observation that follows.
    Problems(Vec<Problem>),
    /// What became of an order.
    Outcome {
        /// Its number.
        order: u64,
        /// What became of it.
        result: OrderResult,
    },
    /// Something to do.
    Order {
        /// Its number.
        order: u64,
        /// Where.
        path: String,
        /// What must be there for it to be done at all.
        expect: Option<Node>,
        /// What is to be there then.
        action: Action,
    },
    /// Asks for the hashes of a content's blocks.
    AskBlocks {
        /// Repeated in the answer.
        request: u64,
        /// Where the content is.
        path: String,
        /// The content.
        content: ContentHash,
        /// Its length.
        size: u64,
    },
    /// Hashes of blocks, following those sent before for the same request.
    Blocks {
        /// Of the `AskBlocks`.
        request: u64,
        /// In order.
        hashes: Vec<ContentHash>,
    },
    /// Asks for bytes of a content.
    Read {
        /// Repeated in the answer.
        request: u64,
        /// Where the content is.
        path: String,
        /// The content.
        content: ContentHash,
        /// Position of the first byte wanted.
        offset: u64,
        /// How many are wanted.
        length: u32,
    },
    /// Bytes that were asked for.
    Data {
        /// Of the `Read`.
        request: u64,
        /// Position of the first byte in the content.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// What was asked for is no longer there.
    Unavailable {
        /// Of the `AskBlocks` or `Read`.
        request: u64,
        /// The end of a sentence that begins with the path.
        reason: String,
    },
    /// Small content, before the order that puts it.
    Content {
        /// Its name.
        content: ContentHash,
        /// All of it.
        bytes: Bytes,
    },
    /// How far the hub is with this replica.
    Committed {
        /// To be told in the next `syncOpen`.
        sequence: u64,
        /// Whether both sides are equal now.
        synced: bool,
    },
    /// Nothing is done any more until a person decides; `None`: it is again.
    Halted(Option<String>),
    /// Asks the replica to observe everything again.
    Rescan,
}

/// The numbers the records begin with.
mod kind {
    pub(super) const OBSERVED: u8 = 1;
    pub(super) const PROBLEMS: u8 = 2;
    pub(super) const OUTCOME: u8 = 3;
    pub(super) const ORDER: u8 = 4;
    pub(super) const ASK_BLOCKS: u8 = 5;
    pub(super) const BLOCKS: u8 = 6;
    pub(super) const READ: u8 = 7;
    pub(super) const DATA: u8 = 8;
    pub(super) const UNAVAILABLE: u8 = 9;
    pub(super) const CONTENT: u8 = 10;
    pub(super) const COMMITTED: u8 = 11;
    pub(super) const HALTED: u8 = 12;
    pub(super) const RESCAN: u8 = 13;
}
