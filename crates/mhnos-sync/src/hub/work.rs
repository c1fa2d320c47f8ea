//! What the hub has done on the host, as plain values that a worker carries out on a [`Side`].
//!
//! Work is done in the order it is asked for, at least as far as it observes or applies; reading and hashing may be done beside that.
//! Every work is answered by one result under its ticket.

use std::io;
use std::sync::Arc;

use crate::model::{Content, RelativePath};
use crate::side::{Observation, Order, Outcome, Side};
use crate::tree::Ignores;

/// Something to do on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Look at these paths and all that is in them; at everything if there are none.
    Observe(Vec<RelativePath>),
    /// See [`Side::block_hashes`].
    BlockHashes {
        /// Where.
        path: RelativePath,
        /// Which.
        content: Content,
    },
    /// See [`Side::read`].
    Read {
        /// Where.
        path: RelativePath,
        /// Which.
        content: Content,
        /// From where.
        offset: u64,
        /// How much.
        length: u32,
    },
    /// See [`Side::missing`].
    Missing {
        /// Which.
        content: Content,
        /// Bytes in all.
        size: u64,
        /// Its hashes.
        blocks: Vec<[u8; 32]>,
        /// What it replaces.
        similar: RelativePath,
    },
    /// See [`Side::stage`]; several blocks of one content.
    Stage {
        /// Which.
        content: Content,
        /// Bytes in all.
        size: u64,
        /// The number of the first block.
        first: u32,
        /// Whole blocks, one after the other.
        bytes: Vec<u8>,
    },
    /// See [`Side::apply`].
    Apply(Vec<Order>),
}

/// What became of a [`Work`].
pub enum WorkResult {
    /// Of [`Work::Observe`].
    Observed {
        /// What was seen, in order; or that the root is gone.
        observations: io::Result<Vec<Observation>>,
        /// The ignore rules the observations were made with, if they are others than before.
        rules: Option<Arc<dyn Ignores>>,
    },
    /// Of [`Work::BlockHashes`].
    Blocks(io::Result<Vec<[u8; 32]>>),
    /// Of [`Work::Read`].
    Read(io::Result<Vec<u8>>),
    /// Of [`Work::Missing`].
    Missing(io::Result<Vec<u32>>),
    /// Of [`Work::Stage`].
    Staged(io::Result<()>),
    /// Of [`Work::Apply`]: as many as there were orders.
    Applied(Vec<Outcome>),
}

impl Work {
    /// Carries it out. A side whose ignore rules change adds the rules to the result of an observation itself.
    pub fn carry_out(self, side: &mut dyn Side) -> WorkResult {
        match self {
            Self::Observe(paths) => WorkResult::Observed { observations: observe(side, &paths), rules: None },
            Self::BlockHashes { path, content } => WorkResult::Blocks(side.block_hashes(&path, content)),
            Self::Read { path, content, offset, length } => {
                WorkResult::Read(side.read(&path, content, offset, length))
            }
            Self::Missing { content, size, blocks, similar } => {
                WorkResult::Missing(side.missing(content, size, &blocks, &similar))
            }
            Self::Stage { content, size, first, bytes } => {
                let blocks = bytes.chunks(crate::model::BLOCK_BYTES as usize);
                // Of an empty file there is one block too, with nothing in it.
                let none: &[&[u8]] = if bytes.is_empty() { &[&[]] } else { &[] };
                let mut numbered = (first..).zip(blocks.chain(none.iter().copied()));
                WorkResult::Staged(
                    numbered.try_for_each(|(block, bytes)| side.stage(content, size, block, bytes)),
                )
            }
            Self::Apply(orders) => WorkResult::Applied(side.apply(&orders)),
        }
    }
}

/// One observation for each path, since only an observation of one path, or of all, can say that something is gone.
fn observe(side: &mut dyn Side, paths: &[RelativePath]) -> io::Result<Vec<Observation>> {
    if paths.is_empty() {
        return Ok(vec![side.observe(&[])?]);
    }
    paths.iter().map(|path| side.observe(std::slice::from_ref(path))).collect()
}
