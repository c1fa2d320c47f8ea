//! Content that arrived and is not in its place yet.
//!
//! Small content is held in memory until an order that puts it was carried out. Large content grows in a file of the stage folder named by what it will be;
//! after a restart its blocks are read again, and those that fit need not travel again. Blocks of the file that is
//! to be replaced are taken from there: the whole file first, shared by the file system where it can, then it is looked at what of it fits.
//!
//! New files are made in several folders in turn, because a file system lets one thread at a time change what is in a folder.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, copy_file_range, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::{self, Found};
use super::hash::{self, blocks_of, range_of};
use crate::model::{BLOCK_BYTES, Content};

/// How much small content is held. A side has never more than the window on its way; this is far above it.
const SMALL_BYTES: usize = 64 << 20;
/// How long large content that nobody asks for any more is kept.
const PARTIAL_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// In how many folders new files are made: enough that two threads seldom meet in one. Their names are the numbers below it.
const LANES: u64 = 16;

/// See the [module's description](self).
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) folder: OwnedFd,
    small: HashMap<Content, Arc<[u8]>>,
    /// The oldest first.
    arrived: VecDeque<Content>,
    bytes: usize,
    large: HashMap<Content, Partial>,
    named: u64,
}

/// What is known of large content.
#[derive(Debug)]
struct Partial {
    blocks: Vec<[u8; 32]>,
    /// Which blocks are in the file, and were looked at in this process.
    has: Vec<bool>,
}

/// Content that is here whole.
#[derive(Clone, Debug)]
pub(super) enum Staged {
    Small(Arc<[u8]>),
    /// The name in the stage folder.
    Large(String),
}

impl Stage {
    pub(super) fn new(folder: OwnedFd) -> io::Result<Self> {
        for lane in lanes() {
            match mkdirat(&folder, lane.as_str(), Mode::from_bits_truncate(0o700)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (small, large) = (HashMap::new(), HashMap::new());
        Ok(Self { folder, small, arrived: VecDeque::new(), bytes: 0, large, named: 0 })
    }

    /// Throws out what a runtime before this one left and nobody can use: unfinished files, and large content that is too old.
    pub(super) fn clean(&mut self) -> io::Result<()> {
        let oldest = SystemTime::now().checked_sub(PARTIAL_AGE);
        let oldest =
            oldest.and_then(|oldest| oldest.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        for name in self.names()? {
            let is_young = match beneath::look(&self.folder, &name)? {
                // Those of new files, or another version's own.
                Found::Folder { .. } => continue,
                Found::File(file) => file.mtime >= i64::try_from(oldest.as_nanos()).unwrap_or(i64::MAX),
                Found::Odd(_) | Found::Nothing => false,
            };
            if !(is_young && name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                unlinkat(&self.folder, name.as_str(), UnlinkatFlags::NoRemoveDir)?;
            }
        }
        Ok(())
    }

    /// Goes on counting where what is there ends, so that nothing of it is overwritten.
    pub(super) fn keep_what_is_there(&mut self) -> io::Result<()> {
        let numbers = self
            .names()?
            .into_iter()
            .filter_map(|name| name.rsplit('/').next()?.strip_prefix("new-")?.parse().ok());
        self.named = numbers.max().unwrap_or(0) + 1;
        Ok(())
    }

    /// What is in the folder, and in those within it, as paths below it.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.names_in(".")?;
        for lane in lanes() {
            names.extend(self.names_in(&lane)?.into_iter().map(|name| format!("{lane}/{name}")));
        }
        Ok(names)
    }

    fn names_in(&self, folder: &str) -> io::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(&self.folder, folder, flags, Mode::empty())?;
        let names = folder
            .iter()
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        Ok(names.filter(|name| name != "." && name != "..").collect())
    }

    /// A name for a new file that is not there yet.
    pub(super) fn new_name(&mut self) -> String {
        self.named += 1;
        format!("new-{}", self.named)
    }

    /// The same for a file that takes nobody's place: nothing displaced will ever have this name, so its folder need not be synced.
    pub(super) fn new_name_for_new_file(&mut self) -> String {
        let name = self.new_name();
        format!("{}/{name}", self.named % LANES)
    }

    /// See [`Side::missing`](crate::side::Side::missing). `similar` is the file that is to be replaced.
    pub(super) fn missing(
        &mut self,
        content: Content,
        size: u64,
        blocks: &[[u8; 32]],
        similar: Option<&File>,
    ) -> io::Result<Vec<u32>> {
        if blocks.len() as u64 != blocks_of(size) || Content::of_blocks(blocks) != content {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "these are not the blocks of this content",
            ));
        }
        if size <= BLOCK_BYTES {
            let there = self.small.contains_key(&content) || self.take_small(content, size, similar)?;
            return Ok(if there { Vec::new() } else { vec![0] });
        }
        let (file, is_new) = self.open_partial(content)?;
        // What it shares with the file before is written by nobody else from here on: looking at it once is enough.
        let copied = match similar {
            Some(similar) if is_new => copy(similar, &file, size)?,
            _ => 0,
        };
        file.set_len(size)?;
        let found = hash::hash_blocks(&file, size)?;
        let mut has: Vec<bool> =
            blocks.iter().zip(&found).map(|(wanted, found)| found.as_ref() == Some(wanted)).collect();
        // What is at another place than before.
        if has.contains(&false) {
            let elsewhere = match similar {
                Some(similar) if copied == 0 => hash::hash_blocks(similar, similar.metadata()?.len())?,
                _ => Vec::new(),
            };
            let source =
                if elsewhere.is_empty() { (&file, &found) } else { (similar.unwrap_or(&file), &elsewhere) };
            gather(source.0, source.1, &file, size, blocks, &mut has)?;
        }
        let missing = (0..).zip(&has).filter(|(_, has)| !**has).map(|(block, _)| block).collect();
        self.large.insert(content, Partial { blocks: blocks.to_vec(), has });
        Ok(missing)
    }

    /// See [`Side::stage`](crate::side::Side::stage).
    pub(super) fn stage(&mut self, content: Content, size: u64, block: u32, bytes: &[u8]) -> io::Result<()> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if size <= BLOCK_BYTES {
            if block != 0 || bytes.len() as u64 != size || Content::of(bytes) != content {
                return Err(invalid("these bytes do not fit their hash"));
            }
            self.hold(content, bytes.into());
            return Ok(());
        }
        let partial = self
            .large
            .get_mut(&content)
            .ok_or_else(|| invalid("nobody asked what is missing of this content"))?;
        let (offset, length) = range_of(size, block.into());
        let wanted = partial
            .blocks
            .get(block as usize)
            .filter(|_| length == bytes.len() && blocks_of(size) == partial.blocks.len() as u64);
        if wanted != Some(blake3::hash(bytes).as_bytes()) {
            return Err(invalid("these bytes do not fit their hash"));
        }
        open_existing(&self.folder, &hex(content))?.write_all_at(bytes, offset)?;
        partial.has[block as usize] = true;
        Ok(())
    }

    /// Content that is here whole.
    pub(super) fn get(&self, content: Content) -> Option<Staged> {
        if let Some(bytes) = self.small.get(&content) {
            return Some(Staged::Small(bytes.clone()));
        }
        let partial = self.large.get(&content)?;
        (!partial.has.contains(&false)).then(|| Staged::Large(hex(content)))
    }

    /// Drops small content whose orders were answered, and forgets large content whose file was put in its place.
    pub(super) fn drop_small(&mut self, answered: &HashSet<Content>) {
        for content in answered {
            if let Some(bytes) = self.small.remove(content) {
                self.bytes -= bytes.len();
            }
        }
        self.arrived.retain(|content| !answered.contains(content));
    }

    /// Forgets large content: its file has another name now.
    pub(super) fn took_large(&mut self, content: Content) {
        self.large.remove(&content);
    }

    fn take_small(&mut self, content: Content, size: u64, similar: Option<&File>) -> io::Result<bool> {
        let Some(similar) = similar else { return Ok(false) };
        let mut bytes = vec![0; size as usize];
        if !hash::fill(similar, &mut bytes, 0)? || Content::of(&bytes) != content {
            return Ok(false);
        }
        self.hold(content, bytes.into());
        Ok(true)
    }

    fn hold(&mut self, content: Content, bytes: Arc<[u8]>) {
        let length = bytes.len();
        if self.small.insert(content, bytes).is_some() {
            return;
        }
        self.bytes += length;
        self.arrived.push_back(content);
        while self.bytes > SMALL_BYTES {
            let Some(oldest) = self.arrived.pop_front() else { break };
            self.bytes -= self.small.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
    }

    fn open_partial(&self, content: Content) -> io::Result<(File, bool)> {
        let name = hex(content);
        match open_existing(&self.folder, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((create(&self.folder, &name)?, true)),
            opened => opened.map(|file| (file, false)),
        }
    }
}

fn lanes() -> impl Iterator<Item = String> {
    (0..LANES).map(|lane| lane.to_string())
}

/// Makes a file in the stage folder.
pub(super) fn create(folder: impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::from_bits_truncate(0o666))?))
}

/// Opens a file in the stage folder.
pub(super) fn open_existing(folder: impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(File::from(openat(folder, name, flags, Mode::empty())?))
}

/// Copies what is in a file, at most so many bytes, without passing them through here where the system can. How many it were.
pub(super) fn copy(from: &File, to: &File, most: u64) -> io::Result<u64> {
    let mut done = 0;
    while done < most {
        let length = usize::try_from(most - done).unwrap_or(usize::MAX).min(1 << 30);
        let (mut at, mut there) = (done as i64, done as i64);
        match copy_file_range(from, Some(&mut at), to, Some(&mut there), length) {
            Ok(0) => break,
            Ok(copied) => done += copied as u64,
            Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) if done == 0 => {
                let mut buffer = vec![0; BLOCK_BYTES as usize];
                while done < most {
                    let read = from.read_at(&mut buffer, done)?.min((most - done) as usize);
                    if read == 0 {
                        break;
                    }
                    to.write_all_at(&buffer[..read], done)?;
                    done += read as u64;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// Copies blocks that are wanted to where they are wanted, if the source still has them.
fn gather(
    source: &File,
    found: &[Option<[u8; 32]>],
    to: &File,
    size: u64,
    wanted: &[[u8; 32]],
    has: &mut [bool],
) -> io::Result<()> {
    let places: HashMap<_, _> =
        found.iter().enumerate().filter_map(|(block, hash)| Some((hash.as_ref()?, block))).collect();
    let mut buffer = vec![0; BLOCK_BYTES as usize];
    // What is overwritten may be what a later block needs: so all that is needed is looked at again when it is read.
    for (block, hash) in wanted.iter().enumerate() {
        let Some(place) = places.get(hash).filter(|_| !has[block]) else { continue };
        let (offset, length) = range_of(size, block as u64);
        let is_read = hash::fill(source, &mut buffer[..length], *place as u64 * BLOCK_BYTES)?;
        if is_read && blake3::hash(&buffer[..length]).as_bytes() == hash {
            to.write_all_at(&buffer[..length], offset)?;
            has[block] = true;
        }
    }
    Ok(())
}

fn hex(content: Content) -> String {
    blake3::Hash::from(content.0).to_hex().to_string()
}
