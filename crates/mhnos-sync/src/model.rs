//! What is synced: paths, nodes and content, told apart by what they are and never by a clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Bytes of one block. Content up to this size travels whole; of larger content only the blocks that changed.
pub const BLOCK_BYTES: u64 = 256 << 10;

/// Longest path in bytes, and longest name in it: what Linux allows.
pub const PATH_BYTES: usize = 4095;
/// Longest name in bytes.
pub const NAME_BYTES: usize = 255;

/// A path beneath the root: names joined by `/`, none of them empty, `.` or `..`, none with a NUL. The root itself has none. Cheap to clone.
///
/// Ordered by bytes with `/` below every other character, so that a folder is followed by all that is in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelativePath(Arc<str>);

/// Why a text is no [`RelativePath`]; a sentence's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, or nothing between two slashes.
    #[error("has an empty name in it")]
    Empty,
    /// `.` or `..`.
    #[error("has . or .. in it")]
    Dots,
    /// A NUL.
    #[error("has a NUL in it")]
    Nul,
    /// See [`PATH_BYTES`] and [`NAME_BYTES`].
    #[error("is too long")]
    TooLong,
}

impl RelativePath {
    /// Takes a text that obeys the rules.
    ///
    /// # Errors
    /// When it does not; nothing is made to fit.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_BYTES {
            return Err(PathError::TooLong);
        }
        for name in text.split('/') {
            match name {
                "" => return Err(PathError::Empty),
                "." | ".." => return Err(PathError::Dots),
                _ if name.len() > NAME_BYTES => return Err(PathError::TooLong),
                _ if name.contains('\0') => return Err(PathError::Nul),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last name.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The folder it is in; `None`: the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(folder, _)| Self(folder.into()))
    }

    /// A path in this folder.
    ///
    /// # Errors
    /// When the name is not one, or the path would be too long.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::new(&format!("{}/{name}", self.0))
    }

    /// Whether it lies in a folder, at any depth. No path lies in itself.
    pub fn is_in(&self, folder: &Self) -> bool {
        self.0.strip_prefix(&*folder.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl Ord for RelativePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |byte: u8| if byte == b'/' { 0 } else { byte };
        self.0.bytes().map(key).cmp(other.0.bytes().map(key))
    }
}

impl PartialOrd for RelativePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// What tells one content from another.
///
/// Of at most [`BLOCK_BYTES`]: the BLAKE3 of its bytes. Of more: the BLAKE3 of the hashes of its blocks, one after the other, derived with
/// the context [`LIST_CONTEXT`]; so one pass gives both the name of the whole and of every block, on all cores.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content(pub [u8; 32]);

/// See [`Content`].
pub const LIST_CONTEXT: &str = "mhnos-sync 2026-11 list of block hashes";

impl Content {
    /// Of the hashes of its blocks, in order; at least one.
    pub fn of_blocks(blocks: &[[u8; 32]]) -> Self {
        match blocks {
            [one] => Self(*one),
            _ => {
                let mut hasher = blake3::Hasher::new_derive_key(LIST_CONTEXT);
                blocks.iter().for_each(|block| {
                    hasher.update(block);
                });
                Self(*hasher.finalize().as_bytes())
            }
        }
    }

    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() as u64 <= BLOCK_BYTES {
            return Self(*blake3::hash(bytes).as_bytes());
        }
        let blocks: Vec<_> =
            bytes.chunks(BLOCK_BYTES as usize).map(|block| *blake3::hash(block).as_bytes()).collect();
        Self::of_blocks(&blocks)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// What is in it.
        content: Content,
        /// Bytes.
        size: u64,
        /// Whether its owner may execute it. A side that cannot hold this repeats what the base says.
        executable: bool,
    },
}

/// What is at each path. A folder stands before what is in it.
pub type Tree = BTreeMap<RelativePath, Node>;
