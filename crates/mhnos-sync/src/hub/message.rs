//! What hub and replica say to each other; the records of `docs/sync.md`, without their bytes.

use crate::model::{Content, RelativePath};
use crate::side::{Observation, Order, Outcome};

/// What a replica says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromReplica {
    /// What it has, with the problems that were told before it.
    Observed {
        /// What.
        observation: Observation,
        /// Further parts of the same observation follow.
        more: bool,
    },
    /// What became of an order.
    Outcome {
        /// Which.
        order: u64,
        /// What.
        outcome: Outcome,
    },
    /// It asks for the hashes of a content's blocks.
    AskBlocks(Ask),
    /// It answers with hashes; the first answer holds the first ones, and so on.
    Blocks {
        /// The hub's number.
        request: u64,
        /// Some of the hashes, in order.
        blocks: Vec<[u8; 32]>,
    },
    /// It asks for bytes.
    Read(Read),
    /// It answers with bytes.
    Data(Data),
    /// It no longer has what the hub asked for.
    Unavailable {
        /// The hub's number.
        request: u64,
        /// Why; the end of a sentence that begins with the path.
        reason: String,
    },
}

/// What the hub says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToReplica {
    /// Something to do.
    Order {
        /// Its number.
        number: u64,
        /// What.
        order: Order,
    },
    /// Small content, before the order that puts it.
    Content {
        /// Its name.
        content: Content,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// The hub asks for the hashes of a content's blocks.
    AskBlocks(Ask),
    /// The hub answers with hashes.
    Blocks {
        /// The replica's number.
        request: u64,
        /// All of them; a codec may send them in several records.
        blocks: Vec<[u8; 32]>,
    },
    /// The hub asks for bytes.
    Read(Read),
    /// The hub answers with bytes.
    Data(Data),
    /// The host no longer has what the replica asked for.
    Unavailable {
        /// The replica's number.
        request: u64,
        /// Why.
        reason: String,
    },
    /// What was agreed is written down.
    Committed {
        /// The replica keeps it.
        sequence: u64,
        /// Both sides are equal now.
        synced: bool,
    },
    /// Nothing is done until a person decides; empty: no longer.
    Halted {
        /// Why.
        reason: String,
    },
    /// Observe everything again.
    Rescan,
}

/// A question for the hashes of a content's blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Numbered by who asks.
    pub request: u64,
    /// Where it was last seen on the side that is asked.
    pub path: RelativePath,
    /// Which.
    pub content: Content,
    /// Bytes in all.
    pub size: u64,
}

/// A question for bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Numbered by who asks.
    pub request: u64,
    /// Where the content was last seen on the side that is asked.
    pub path: RelativePath,
    /// Which.
    pub content: Content,
    /// From where.
    pub offset: u64,
    /// At most [`READ_BYTES`](super::READ_BYTES).
    pub length: u32,
}

/// Bytes asked for; several make up one answer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The number of the question.
    pub request: u64,
    /// Where they begin in the content.
    pub offset: u64,
    /// They.
    pub bytes: Vec<u8>,
}
