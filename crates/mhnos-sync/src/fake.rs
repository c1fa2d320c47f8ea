//! A folder in memory, for tests: a [`Side`](crate::side::Side) with the faults and the peculiarities of real ones.
//!
//! As a real one it tells an edit by a file's fingerprint, and stamps files by a clock that may jump. What people write in it is noted, and what
//! they replaced or deleted, having seen it: all else must still be somewhere in the end.
//!
//! - `person`: what people do; `side`: what the engine asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::host::Fingerprint;
use crate::model::{Content, Node, RelativePath};
use crate::rules::Rules;

mod person;
mod side;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Directory,
    File(File),
    /// Something that cannot be synced.
    Link,
}

/// A file, with what the system says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) content: Content,
    pub(crate) executable: bool,
    stamp: Fingerprint,
}

impl File {
    fn node(&self) -> Node {
        Node::File { content: self.content, size: self.bytes.len() as u64, executable: self.executable }
    }
}

/// What stamps files. Nothing may depend on what it says.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    now: Duration,
    /// By how much it goes on with every look; some of them backwards, in turn.
    steps: Vec<i64>,
    looks: usize,
}

impl Default for Clock {
    fn default() -> Self {
        Self::stepping(vec![7_000_003])
    }
}

impl Clock {
    /// One that goes on by these, in nanoseconds, in turn.
    pub(crate) fn stepping(steps: Vec<i64>) -> Self {
        Self { now: Duration::from_secs(1_800_000_000), steps, looks: 0 }
    }

    fn look(&mut self) -> Duration {
        let step = self.steps[self.looks % self.steps.len()];
        self.looks += 1;
        let size = Duration::from_nanos(step.unsigned_abs());
        self.now = if step < 0 { self.now.saturating_sub(size) } else { self.now + size };
        self.now
    }
}

/// What was staged of one content.
#[derive(Clone, Debug, Default)]
struct Staged {
    hashes: Vec<[u8; 32]>,
    blocks: BTreeMap<u32, Vec<u8>>,
}

/// See the [module's description](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    pub(crate) things: BTreeMap<RelativePath, Thing>,
    staged: BTreeMap<Content, Staged>,
    /// All that was displaced or removed by an order, if this side keeps that.
    pub(crate) versions: Option<BTreeSet<Content>>,
    /// All that people wrote here.
    pub(crate) written: BTreeSet<Content>,
    /// What people replaced or deleted here, so that no other file here has it.
    pub(crate) replaced: BTreeSet<Content>,
    /// What was read of files, by the fingerprint it was read under.
    known: BTreeMap<RelativePath, (Fingerprint, Content)>,
    pub(crate) clock: Clock,
    inodes: u64,
    /// Names that differ only in case are one.
    pub(crate) case_insensitive: bool,
    /// Only names without combining characters can be held.
    pub(crate) composed_only: bool,
    /// Names that cannot be held.
    pub(crate) reserved: BTreeSet<String>,
    /// What it does not tell of.
    pub(crate) rules: Option<Arc<Rules>>,
    /// Bytes that can be held.
    pub(crate) capacity: Option<usize>,
    pub(crate) read_only: bool,
    /// Files somebody holds open, so that they cannot be replaced, moved or removed.
    pub(crate) held_open: BTreeSet<RelativePath>,
    /// The root is gone.
    pub(crate) missing: bool,
    /// A folder is moved file by file, so that a crash leaves some here and some there.
    pub(crate) moves_by_copy: bool,
    /// After so many further steps it stands still, as after a loss of power.
    pub(crate) crash_after: Option<usize>,
    pub(crate) crashed: bool,
    /// Bytes of content that were read.
    pub(crate) read_bytes: u64,
    /// Bytes of content that were staged, but for what was found here.
    pub(crate) staged_bytes: u64,
    /// Orders that were carried out, or of which it was found that they cannot be.
    pub(crate) orders: usize,
}

pub(crate) fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

impl Fake {
    /// One that keeps what is displaced, as the host does.
    pub(crate) fn host() -> Self {
        Self { versions: Some(BTreeSet::new()), rules: Some(Arc::default()), ..Self::default() }
    }

    /// What really is at a path.
    pub(crate) fn node(&self, at: &RelativePath) -> Option<Node> {
        match self.things.get(at)? {
            Thing::Directory => Some(Node::Directory),
            Thing::File(file) => Some(file.node()),
            Thing::Link => None,
        }
    }

    pub(crate) fn is_ignored(&self, path: &RelativePath) -> bool {
        let is_folder = self.things.get(path) == Some(&Thing::Directory);
        self.rules.as_ref().is_some_and(|rules| rules.ignores(path, is_folder))
    }

    /// All that can be synced, as it really is.
    pub(crate) fn tree(&self) -> crate::model::Tree {
        let shown = self.things.keys().filter(|path| !self.is_ignored(path));
        shown.filter_map(|path| Some((path.clone(), self.node(path)?))).collect()
    }

    fn stamp(&mut self, size: usize) -> Fingerprint {
        let now = self.clock.look().as_nanos() as i64;
        self.inodes += 1;
        Fingerprint { inode: self.inodes, size: size as u64, mtime: now, ctime: now, mode: 0o644 }
    }

    fn file(&mut self, bytes: Arc<[u8]>, executable: bool) -> File {
        File { content: Content::of(&bytes), stamp: self.stamp(bytes.len()), bytes, executable }
    }

    /// What is at a path, as far as can be told without reading what has the fingerprint it was read under.
    fn look(&mut self, at: &RelativePath) -> Option<Node> {
        let Some(Thing::File(file)) = self.things.get(at) else { return self.node(at) };
        let (stamp, content, size, executable) =
            (file.stamp, file.content, file.bytes.len() as u64, file.executable);
        let now = UNIX_EPOCH + self.clock.look();
        let content = match self.known.get(at) {
            Some((seen, known)) if *seen == stamp => *known,
            _ => {
                self.known.remove(at);
                if stamp.is_settled(now) {
                    self.known.insert(at.clone(), (stamp, content));
                }
                content
            }
        };
        Some(Node::File { content, size, executable })
    }

    fn rename_path(&mut self, from: &RelativePath, to: &RelativePath) {
        let moved: Vec<_> =
            self.things.keys().filter(|path| *path == from || path.is_in(from)).cloned().collect();
        let things: Vec<_> = moved.iter().filter_map(|path| self.things.remove_entry(path)).collect();
        for (path, thing) in things {
            let new = format!("{to}{}", &path.as_str()[from.as_str().len()..]);
            self.things.insert(RelativePath::new(&new).unwrap(), thing);
        }
    }

    fn has(&self, content: Content) -> bool {
        self.things.values().any(|thing| matches!(thing, Thing::File(file) if file.content == content))
    }

    /// Whether a content is here, or kept here.
    pub(crate) fn keeps(&self, content: Content) -> bool {
        self.has(content) || self.versions.as_ref().is_some_and(|versions| versions.contains(&content))
    }

    /// Whether a name in the path is one that no file here can have.
    fn cannot_hold(&self, at: &RelativePath) -> bool {
        self.composed_only && at.as_str().contains('\u{301}')
            || at.as_str().split('/').any(|name| self.reserved.contains(name))
    }

    fn used(&self) -> usize {
        let bytes = |thing: &Thing| match thing {
            Thing::File(file) => file.bytes.len(),
            _ => 0,
        };
        self.things.values().map(bytes).sum()
    }
}
