//! What the hub asks of a side: the host's folder, a browser's disk, another folder, or a fake of one of them.
//!
//! All of it may be asked again at any time with the same outcome, and may be cut off at any point: a file is then wholly old or wholly new.

use std::io;

use crate::model::{Content, Node, RelativePath};

/// What a side says of itself: only the paths it names are spoken of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// What is at these paths now; `None`: nothing.
    pub nodes: Vec<(RelativePath, Option<Node>)>,
    /// What is there and cannot be synced. Neither the path nor anything beneath it is ever changed, sent or deleted while this holds.
    pub problems: Vec<Problem>,
    /// Whether all that was not named and lies in `within` is not there.
    pub complete: bool,
    /// The part of the side that was looked at; `None`: all of it.
    pub within: Option<RelativePath>,
}

/// Something that is there and cannot be synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As it can be shown; a name that is not Unicode has U+FFFD in it.
    pub path: String,
    /// Why; the end of a sentence that begins with the path: "is a symbolic link: links are not synced".
    pub reason: String,
}

/// A thing to do at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Where.
    pub path: RelativePath,
    /// What must be there for it to be done at all; `None`: nothing. A folder that is to be removed must be empty but for what is ignored.
    pub expect: Option<Node>,
    /// What is to be there then.
    pub action: Action,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is a folder.
    MakeDirectory,
    /// There is a file with this content, which was staged (see [`Side::missing`]) or is found elsewhere on this side.
    Put {
        /// What is in it.
        content: Content,
        /// Bytes.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
        /// A path on this side where the same content was last seen; a copy of it needs no transfer.
        copy_from: Option<RelativePath>,
    },
    /// What is at `from`, with all that is in it, is here. `expect` speaks of this path; `moved` must be what is at `from`.
    Move {
        /// Where it is now.
        from: RelativePath,
        /// What must be there.
        moved: Node,
    },
    /// There is nothing.
    Remove,
}

/// What became of an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, and will still be done after a loss of power.
    Done,
    /// Something else was there: nothing was done. What is there now.
    Changed(Option<Node>),
    /// It cannot be done: the end of a sentence that begins with the path. Nothing was changed.
    Failed(String),
}

/// A folder that can be synced.
pub trait Side {
    /// Looks at these paths, and at all that is in them; at everything if none is given.
    ///
    /// # Errors
    /// When the root itself is gone or cannot be read. What is wrong with single paths is said in [`Observation::problems`].
    fn observe(&mut self, paths: &[RelativePath]) -> io::Result<Observation>;

    /// The hashes of the blocks of a file, if it still has this content.
    ///
    /// # Errors
    /// `NotFound` when it no longer has it.
    fn block_hashes(&mut self, path: &RelativePath, content: Content) -> io::Result<Vec<[u8; 32]>>;

    /// Bytes of a file that had this content when it was observed. The reader looks whether they fit their hash.
    ///
    /// # Errors
    /// `NotFound` when it is known not to have it any more.
    fn read(
        &mut self,
        path: &RelativePath,
        content: Content,
        offset: u64,
        length: u32,
    ) -> io::Result<Vec<u8>>;

    /// Which blocks of a content are neither staged nor found in the file that it is to replace.
    /// What was found there is staged from it.
    ///
    /// # Errors
    /// When nothing can be staged (the disk is full, or read-only).
    fn missing(
        &mut self,
        content: Content,
        size: u64,
        blocks: &[[u8; 32]],
        similar: &RelativePath,
    ) -> io::Result<Vec<u32>>;

    /// Keeps one block of a content until it is put in its place.
    ///
    /// # Errors
    /// When it does not fit its hash (`InvalidData`), or nothing can be staged.
    fn stage(&mut self, content: Content, size: u64, block: u32, bytes: &[u8]) -> io::Result<()>;

    /// Carries out orders, in this order, and says what became of each. They are durable when this returns: syncing to disk is done for all of them together.
    ///
    /// What an order displaces or removes is kept in the versions store, if the side has one.
    fn apply(&mut self, orders: &[Order]) -> Vec<Outcome>;
}
