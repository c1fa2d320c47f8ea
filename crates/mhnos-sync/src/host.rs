//! A folder on this machine, as a [`Side`] of a sync.
//!
//! **Looking** ([`scan`](self) and its parts): what was last seen is kept with each file's fingerprint, so that an unchanged file costs one `stat`. What is told comes from reading the
//! content, never from a clock.
//!
//! **Writing**: content is staged in the folder `.mhnos-sync` in the root, so on the same file system; synced to disk, all of a batch at once; exchanged with what it
//! replaces in one step; what comes out is compared with what was expected, and put back if it is something else. So each file is wholly old or wholly new, whatever
//! happens, and what a person wrote in the last instant is not lost: it is where it was, or among the [versions](crate::versions).
//!
//! Nothing outside the root is read or written: every folder on the way is opened within the one above it, never through a link.
//!
//! A change through a memory mapping is seen when the kernel gives the file a new time for it, which for a second write to the same page may be never;
//! the file that is replaced is kept as a version in that case too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, fstat, stat};
use nix::unistd::linkat;
use rayon::ThreadPool;

use crate::model::{BLOCK_BYTES, Content, Node, RelativePath};
use crate::rules::{self, Rules};
use crate::side::{Observation, Order, Outcome, Side};
use crate::versions::{Expected, Limits, Version, Versions};

mod apply;
mod beneath;
mod fingerprint;
mod hash;
mod known;
mod lock;
mod observe;
mod order;
mod prepare;
mod reason;
mod scan;
mod stage;
mod swap;
#[cfg(test)]
mod tests;

pub use fingerprint::Fingerprint;
pub use lock::OpenError;

use known::{Entry, Known};
use lock::Own;
use stage::Stage;
use swap::Swap;

/// Most threads that look and write: more than there are cores, because they wait for the disk.
const THREADS: usize = 8;
/// How many bytes of lists of block hashes are remembered; enough for 128 GiB of files.
const LISTS_BYTES: usize = 16 << 20;
/// Longest file of ignore rules that is read.
const RULES_BYTES: u64 = 1 << 20;

/// How a [`Host`] is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who opens it, for the sentence that another runtime refuses with: "mhnos-runtime, process 1234, since 2026-11-24 10:15".
    pub holder: String,
    /// Where versions are kept, and how many; best on the same file system. `None`: nowhere.
    pub versions: Option<(PathBuf, Limits)>,
}

/// What was last seen at a path, to be kept over restarts.
///
/// It is no more than what saves reading the file again: the hub's own rows say what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Where.
    pub path: RelativePath,
    /// What.
    pub node: Node,
    /// The file is as it was read while it has this fingerprint; `None`: it is to be read again.
    pub fingerprint: Option<Fingerprint>,
}

/// See the [module's description](self).
#[derive(Debug)]
pub struct Host {
    path: PathBuf,
    root: OwnedFd,
    device: u64,
    inode: u64,
    own: Own,
    stage: Stage,
    swap: Swap,
    /// One `syncfs` for many files is as durable here as an `fsync` of each.
    syncs_at_once: bool,
    versions: Option<Versions>,
    rules: Arc<Rules>,
    rules_seen: Option<Fingerprint>,
    known: Known,
    /// Whether everything was told once, so that differences mean something.
    told_everything: bool,
    restless: BTreeMap<RelativePath, Restless>,
    /// Lists of block hashes of large content that was read, the oldest first.
    lists: VecDeque<(Content, Vec<[u8; 32]>)>,
    pool: Arc<ThreadPool>,
}

/// A path that could not be read and is to be looked at again.
#[derive(Clone, Copy, Debug)]
struct Restless {
    at: Instant,
    pause: Duration,
}

impl Host {
    /// Opens a folder, which must be there.
    ///
    /// # Errors
    /// When another runtime has it open, or the operating system refuses.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let path = path.canonicalize()?;
        let root = open(&path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let facts = fstat(&root)?;
        let own = Own::open(&root, &options.holder)?;
        let mut stage = Stage::new(own.stage.try_clone()?)?;
        stage.keep_what_is_there()?;
        let versions =
            options.versions.as_ref().map(|(folder, limits)| Versions::open(folder, *limits)).transpose()?;
        let mut host = Self {
            syncs_at_once: prepare::can_sync_at_once(&root),
            pool: Arc::new(
                rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().map_err(io::Error::other)?,
            ),
            path,
            root,
            device: facts.st_dev,
            inode: facts.st_ino,
            own,
            stage,
            swap: Swap::default(),
            versions,
            rules: Arc::default(),
            rules_seen: None,
            known: Known::default(),
            told_everything: false,
            restless: BTreeMap::new(),
            lists: VecDeque::new(),
        };
        host.recover()?;
        host.reload_rules();
        Ok(host)
    }

    /// Takes what was last seen in the folder, before it is looked at for the first time: what has the same fingerprint is not read again.
    pub fn remember(&mut self, rows: impl IntoIterator<Item = HostRow>) {
        for row in rows {
            if !self.rules.ignores(&row.path, row.node == Node::Directory) {
                self.known.load(&row.path, Entry { node: row.node, seen: row.fingerprint });
            }
        }
    }

    /// The folders that are known in it.
    pub fn folders(&self) -> Vec<RelativePath> {
        let known = self.known.within(None);
        known.filter(|(_, entry)| entry.node == Node::Directory).map(|(path, _)| path).collect()
    }

    /// Folders known beside these that are not there any more: what is new may be one of them under another name.
    pub(crate) fn gone_beside(&self, folders: &[RelativePath]) -> Vec<RelativePath> {
        let parents: BTreeSet<_> = folders.iter().map(RelativePath::parent).collect();
        let mut gone = Vec::new();
        for parent in &parents {
            let listing = self.known.listing(parent.as_ref());
            let open = beneath::open_folder(&self.root, parent.as_ref(), beneath::PASSED);
            let (Some(listing), Ok(open)) = (listing, open) else { continue };
            let known = listing.iter().filter(|(_, entry)| entry.node == Node::Directory);
            let missing =
                known.filter(|(name, _)| matches!(beneath::look(&open, name), Ok(beneath::Found::Nothing)));
            gone.extend(missing.filter_map(|(name, _)| known::in_folder(parent.as_ref(), name)));
        }
        gone
    }

    /// Whether the root is where it was opened.
    pub fn is_there(&self) -> bool {
        self.check_root().is_ok()
    }

    /// What is at a path at this moment, read from the disk if need be.
    ///
    /// # Errors
    /// When it cannot be read: the end of a sentence that begins with the path.
    pub fn node_at(&mut self, path: &RelativePath) -> io::Result<Option<Node>> {
        self.node_now(path).map_err(io::Error::other)
    }

    /// What a runtime before this one displaced is brought into the versions store; then its leftovers are thrown out.
    fn recover(&mut self) -> io::Result<()> {
        if let Some(versions) = &mut self.versions {
            // Without it the leftovers stay where they are, for the next start.
            if let Err(error) = versions.recover(self.own.stage.as_fd()) {
                tracing::warn!(%error, "what was displaced before a crash cannot be brought into the versions store now");
                return Ok(());
            }
        }
        self.stage.clean()
    }

    /// Where it is, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// 32 hexadecimal digits that stay with the folder. Another than before: somebody put another folder in its place.
    pub fn identity(&self) -> &str {
        &self.own.identity
    }

    /// What is ignored now. Another `Arc` than before: the person changed it, and everything was looked at again.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// What differs from what was told or done before: nothing is said of paths that are as they were, and what is gone is named with `None`. At
    /// everything if no path is given; the first time that is the same as [`Side::observe`].
    ///
    /// # Errors
    /// As [`Side::observe`].
    pub fn changes(&mut self, paths: &[RelativePath]) -> io::Result<Observation> {
        self.look(paths, self.told_everything)
    }

    /// What the index has not been given yet: what is known of these paths; `None`: nothing is there.
    pub fn take_unsaved(&mut self) -> Vec<(RelativePath, Option<HostRow>)> {
        let row = |path: &RelativePath, entry: Entry| HostRow {
            path: path.clone(),
            node: entry.node,
            fingerprint: entry.seen,
        };
        let unsaved = self.known.take_unsaved().into_iter();
        unsaved.map(|(path, entry)| (path.clone(), entry.map(|entry| row(&path, entry)))).collect()
    }

    /// What could not be read, or was changed all the time, and when to look at it again.
    pub fn look_again(&self) -> Option<(Instant, Vec<RelativePath>)> {
        let at = self.restless.values().map(|restless| restless.at).min()?;
        let due = self.restless.iter().filter(|(_, restless)| restless.at <= at);
        Some((at, due.map(|(path, _)| path.clone()).collect()))
    }

    /// The versions that are kept; `None`: none are.
    pub fn versions(&self) -> Option<&Versions> {
        self.versions.as_ref()
    }

    /// Keeps a copy of the file at a path as a version, because something else than the sync is about to replace it. Where no file is, nothing.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn keep(&mut self, path: &RelativePath) -> io::Result<()> {
        let Some(versions) = &mut self.versions else { return Ok(()) };
        let folder = match beneath::open_parent(&self.root, path) {
            Ok(folder) => folder,
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !matches!(beneath::look(&folder, path.name())?, beneath::Found::File(_)) {
            return Ok(());
        }
        let staged = self.stage.new_name();
        let expected = Expected { path: path.clone(), staged: staged.clone(), replacement: 0 };
        let ids = versions.expect(std::slice::from_ref(&expected))?;
        // A second name: what it holds now is copied from there, whatever becomes of the first.
        linkat(&folder, path.name(), self.own.stage.as_fd(), staged.as_str(), AtFlags::empty())?;
        let all: Vec<_> = ids.iter().map(|id| (*id, expected.clone())).collect();
        versions.settle(self.own.stage.as_fd(), &all, &ids.into_iter().collect())
    }

    /// Puts a version back in its place, or elsewhere. What is there now becomes a version itself. Where it was put.
    ///
    /// # Errors
    /// When the version is not kept any more, or it cannot be written: a sentence.
    pub fn restore(&mut self, id: i64, to: Option<RelativePath>) -> io::Result<(Version, RelativePath)> {
        let no_store = || io::Error::new(io::ErrorKind::NotFound, "no versions are kept of this folder");
        let (version, file) = self.versions.as_ref().ok_or_else(no_store)?.open_version(id)?;
        let path = to.unwrap_or_else(|| version.path.clone());
        if self.rules.ignores(&path, false) {
            return Err(io::Error::other(format!("{path} is not synced: restore it under another name")));
        }
        match self.put_back(&path, &file)? {
            Outcome::Done => Ok((version, path)),
            Outcome::Changed(_) => Err(io::Error::other(format!("{path} is being changed: try again"))),
            Outcome::Failed(reason) => Err(io::Error::other(format!("{path} {reason}"))),
        }
    }

    fn put_back(&mut self, path: &RelativePath, file: &File) -> io::Result<Outcome> {
        let hashed = self.pool.clone().install(|| hash::hash_open(file));
        let hashed = hashed.map_err(|_| io::Error::other("the version cannot be read"))?;
        let Node::File { content, size, executable } = hashed.entry.node else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let blocks = if hashed.blocks.is_empty() { vec![content.0] } else { hashed.blocks };
        self.stage.missing(content, size, &blocks, Some(file))?;
        let mut parents: Vec<RelativePath> =
            std::iter::successors(path.parent(), RelativePath::parent).collect();
        parents.reverse();
        for parent in parents {
            let make =
                Order { path: parent.clone(), expect: None, action: crate::side::Action::MakeDirectory };
            if let Outcome::Failed(reason) = self.carry_out(&[make]).remove(0) {
                return Ok(Outcome::Failed(reason));
            }
        }
        let action = crate::side::Action::Put { content, size, executable, copy_from: None };
        let expect = self.node_now(path).map_err(io::Error::other)?;
        Ok(self.carry_out(&[Order { path: path.clone(), expect, action }]).remove(0))
    }

    /// Fails when the root is not where it was opened.
    fn check_root(&self) -> io::Result<()> {
        let gone = |what: &str| {
            let path = self.path.display();
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{path} {what}: bring it back, or start anew with another folder"),
            )
        };
        match stat(&self.path) {
            Ok(facts) if (facts.st_dev, facts.st_ino) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(gone("is another folder than it was, or another disk is mounted there")),
            Err(nix::errno::Errno::ENOENT) => Err(gone("was moved, deleted or unmounted")),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the ignore rules if their file was touched. True if they are others now.
    fn reload_rules(&mut self) -> bool {
        let Ok(opened) = beneath::look(&self.root, rules::FILE) else { return false };
        let fingerprint =
            if let beneath::Found::File(fingerprint) = opened { Some(fingerprint) } else { None };
        let is_settled =
            fingerprint.is_none_or(|fingerprint| fingerprint.is_settled(std::time::SystemTime::now()));
        if fingerprint == self.rules_seen && is_settled {
            return false;
        }
        let mut text = String::new();
        if fingerprint.is_some() {
            let read = beneath::open_file(&self.root, rules::FILE)
                .and_then(|(file, _)| file.take(RULES_BYTES).read_to_string(&mut text));
            if let Err(error) = read {
                tracing::warn!(%error, "the file of ignore rules cannot be read: the rules stay as they were");
                return false;
            }
        }
        self.rules_seen = fingerprint;
        let rules = Rules::new(&text);
        let changed = rules != *self.rules;
        if changed {
            for problem in rules.problems() {
                tracing::warn!("{} {problem}", rules::FILE);
            }
            self.known.forget(|path, is_folder| rules.ignores(path, is_folder));
            self.rules = Arc::new(rules);
        }
        changed
    }

    fn remember_blocks(&mut self, content: Option<Content>, blocks: &[[u8; 32]]) {
        let Some(content) = content.filter(|_| !blocks.is_empty()) else { return };
        self.lists.retain(|(other, _)| *other != content);
        self.lists.push_back((content, blocks.to_vec()));
        while self.lists.iter().map(|(_, blocks)| blocks.len() * 32).sum::<usize>() > LISTS_BYTES
            && self.lists.len() > 1
        {
            self.lists.pop_front();
        }
    }

    /// Opens a file that is known to have this content.
    fn open_known(&self, path: &RelativePath, content: Content) -> io::Result<File> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it has another content now");
        let entry = self.known.get(path).ok_or_else(gone)?;
        let (file, fingerprint) = beneath::open_file(beneath::open_parent(&self.root, path)?, path.name())?;
        match entry.node {
            Node::File { content: known, size, .. }
                if known == content
                    && size == fingerprint.size
                    && entry.seen.is_none_or(|seen| seen == fingerprint) =>
            {
                Ok(file)
            }
            _ => Err(gone()),
        }
    }
}

impl Side for Host {
    fn observe(&mut self, paths: &[RelativePath]) -> io::Result<Observation> {
        self.look(paths, false)
    }

    fn block_hashes(&mut self, path: &RelativePath, content: Content) -> io::Result<Vec<[u8; 32]>> {
        let file = self.open_known(path, content)?;
        if let Some((_, blocks)) = self.lists.iter().find(|(known, _)| *known == content) {
            return Ok(blocks.clone());
        }
        match self.pool.clone().install(|| hash::hash_open(&file)) {
            Ok(hashed) if hashed.content() == Some(content) => {
                self.remember_blocks(Some(content), &hashed.blocks);
                Ok(if hashed.blocks.is_empty() { vec![content.0] } else { hashed.blocks })
            }
            Err(hash::Unread::Refused(error)) => Err(error),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "it has another content now")),
        }
    }

    fn read(
        &mut self,
        path: &RelativePath,
        content: Content,
        offset: u64,
        length: u32,
    ) -> io::Result<Vec<u8>> {
        let file = self.open_known(path, content)?;
        let mut bytes = vec![0; (length as usize).min(4 * BLOCK_BYTES as usize)];
        let there = file.metadata()?.len().saturating_sub(offset).min(bytes.len() as u64);
        bytes.truncate(there as usize);
        if hash::fill(&file, &mut bytes, offset)? {
            Ok(bytes)
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, "it has become shorter"))
        }
    }

    fn missing(
        &mut self,
        content: Content,
        size: u64,
        blocks: &[[u8; 32]],
        similar: &RelativePath,
    ) -> io::Result<Vec<u32>> {
        let folder = beneath::open_parent(&self.root, similar).map_err(io::Error::from);
        let file = folder.and_then(|folder| beneath::open_file(folder, similar.name())).ok();
        let stage = &mut self.stage;
        self.pool.install(|| stage.missing(content, size, blocks, file.as_ref().map(|(file, _)| file)))
    }

    fn stage(&mut self, content: Content, size: u64, block: u32, bytes: &[u8]) -> io::Result<()> {
        self.stage.stage(content, size, block, bytes)
    }

    fn apply(&mut self, orders: &[Order]) -> Vec<Outcome> {
        self.carry_out(orders)
    }
}
