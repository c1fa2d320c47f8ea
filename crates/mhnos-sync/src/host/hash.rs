//! Reading files to tell what is in them.
//!
//! A file counts as read only if it was the same before and after. Files of one block are read whole, many at once; larger ones block
//! by block, on all cores.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use rayon::prelude::*;

use super::beneath;
use super::fingerprint::Fingerprint;
use super::known::Entry;
use crate::model::{BLOCK_BYTES, Content, Node};

/// How often a small file that changes while it is read is read again at once.
const ATTEMPTS: usize = 3;

/// A file that was read.
pub(super) struct Hashed {
    pub(super) entry: Entry,
    /// The hashes of its blocks, if it is larger than one.
    pub(super) blocks: Vec<[u8; 32]>,
}

impl Hashed {
    pub(super) fn content(&self) -> Option<Content> {
        match self.entry.node {
            Node::File { content, .. } => Some(content),
            Node::Directory => None,
        }
    }
}

/// Why a file has no content that could be told.
#[derive(Debug)]
pub(super) enum Unread {
    /// There is no regular file any more.
    Gone,
    /// It changed while it was read, every time.
    Restless,
    /// The system refused.
    Refused(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Self::Gone,
            None if error.kind() == io::ErrorKind::NotFound => Self::Gone,
            _ => Self::Refused(error),
        }
    }
}

impl From<Errno> for Unread {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// Reads the file of this name in a folder.
pub(super) fn hash_named(folder: impl AsFd, name: &str) -> Result<Hashed, Unread> {
    hash_open(&beneath::open_file(folder, name)?.0)
}

/// Reads a file.
pub(super) fn hash_open(file: &File) -> Result<Hashed, Unread> {
    for _ in 0..ATTEMPTS {
        let now = SystemTime::now();
        let before = Fingerprint::of(&fstat(file)?);
        let blocks = if before.size <= BLOCK_BYTES {
            read_small(file, before.size)?
        } else {
            read_large(file, before.size)?
        };
        let Some(blocks) = blocks.filter(|_| fstat(file).is_ok_and(|stat| Fingerprint::of(&stat) == before))
        else {
            if before.size > BLOCK_BYTES {
                break;
            }
            continue;
        };
        let node = Node::File {
            content: Content::of_blocks(&blocks),
            size: before.size,
            executable: before.executable(),
        };
        let seen = before.is_settled(now).then_some(before);
        let blocks = if blocks.len() > 1 { blocks } else { Vec::new() };
        return Ok(Hashed { entry: Entry { node, seen }, blocks });
    }
    Err(Unread::Restless)
}

/// `None`: it has not this size.
fn read_small(file: &File, size: u64) -> io::Result<Option<Vec<[u8; 32]>>> {
    let mut bytes = vec![0; size as usize];
    Ok(fill(file, &mut bytes, 0)?.then(|| vec![*blake3::hash(&bytes).as_bytes()]))
}

/// `None`: it has not this size any more.
fn read_large(file: &File, size: u64) -> io::Result<Option<Vec<[u8; 32]>>> {
    (0..blocks_of(size))
        .into_par_iter()
        .map_init(
            || vec![0; BLOCK_BYTES as usize],
            |buffer, block| {
                let (offset, length) = range_of(size, block);
                Ok(fill(file, &mut buffer[..length], offset)?
                    .then(|| *blake3::hash(&buffer[..length]).as_bytes()))
            },
        )
        .collect()
}

/// The hashes of those blocks of a content of this size that are in a file; `None` where it has a hole or ends.
pub(super) fn hash_blocks(file: &File, size: u64) -> io::Result<Vec<Option<[u8; 32]>>> {
    let there = file.metadata()?.len().min(size);
    (0..blocks_of(size))
        .into_par_iter()
        .map_init(
            || vec![0; BLOCK_BYTES as usize],
            |buffer, block| {
                let (offset, length) = range_of(size, block);
                if offset + length as u64 > there || is_hole(file, offset, length) {
                    return Ok(None);
                }
                Ok(fill(file, &mut buffer[..length], offset)?
                    .then(|| *blake3::hash(&buffer[..length]).as_bytes()))
            },
        )
        .collect()
}

/// Whether a range was never written; if the file system cannot tell, it was.
fn is_hole(file: &File, offset: u64, length: usize) -> bool {
    let Ok(offset) = i64::try_from(offset) else { return false };
    match nix::unistd::lseek(file, offset, nix::unistd::Whence::SeekData) {
        Ok(data) => data >= offset + length as i64,
        Err(error) => error == Errno::ENXIO,
    }
}

/// Reads until the buffer is full; false if the file ends before.
pub(super) fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many blocks a content of this size has; nothing is one block too.
pub(super) fn blocks_of(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES).max(1)
}

/// Where a block is, and how long it is.
pub(super) fn range_of(size: u64, block: u64) -> (u64, usize) {
    let offset = block * BLOCK_BYTES;
    (offset, size.saturating_sub(offset).min(BLOCK_BYTES) as usize)
}
