//! The trees the hub holds, and how an observation changes them.
//!
//! Of the host there is a whole tree. Of a replica only the rows are held in which its base or what it was seen to have *differ* from the
//! host; everywhere else both are what the host has. So a replica in step costs next to nothing, and what there is to plan is what
//! is held: no work ever grows with the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::digest::Digest;
use crate::model::{Node, RelativePath, Tree};

mod problems;
mod report;

pub use problems::Problems;
pub(crate) use report::{Told, changes_of};

/// What is never sent and never deleted.
pub trait Ignores: Send + Sync {
    /// Whether this path is ignored, by itself or because of a folder it is in.
    fn ignores(&self, path: &RelativePath, directory: bool) -> bool;
}

/// Nothing is ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingIgnored;

impl Ignores for NothingIgnored {
    fn ignores(&self, _: &RelativePath, _: bool) -> bool {
        false
    }
}

/// What base and replica are at one path that is not the same in all three trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What was agreed last.
    pub base: Option<Node>,
    /// What the replica was last seen to have.
    pub observed: Option<Node>,
}

/// What is at one path in all three trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triple {
    /// What was agreed last.
    pub base: Option<Node>,
    /// What the host was last seen to have.
    pub host: Option<Node>,
    /// What the replica was last seen to have.
    pub replica: Option<Node>,
}

/// One replica's base and observed tree, held as differences from the host's tree.
///
/// The host's tree is passed to everything that needs it, and must be the one that [`host_changed`](Self::host_changed) was told of.
#[derive(Clone, Debug, Default)]
pub struct ReplicaTrees {
    differences: BTreeMap<RelativePath, Pair>,
    base_files: usize,
    entries: usize,
    digest: Digest,
    unsaved: BTreeSet<RelativePath>,
    base_changed: bool,
}

/// Whether a file is there.
pub(crate) fn is_file(node: &Option<Node>) -> bool {
    matches!(node, Some(Node::File { .. }))
}

/// Everything in a folder; everything at all for the root (`None`).
pub(crate) fn inside<'a, V>(
    map: &'a BTreeMap<RelativePath, V>,
    folder: Option<&'a RelativePath>,
) -> impl Iterator<Item = (&'a RelativePath, &'a V)> {
    let start = folder.map_or(Bound::Unbounded, Bound::Excluded);
    map.range::<RelativePath, _>((start, Bound::Unbounded))
        .take_while(move |(path, _)| folder.is_none_or(|folder| path.is_in(folder)))
}

/// Whether one of these lies in a folder.
pub(crate) fn any_inside(paths: &BTreeSet<RelativePath>, folder: &RelativePath) -> bool {
    let next = paths.range::<RelativePath, _>((Bound::Excluded(folder), Bound::Unbounded)).next();
    next.is_some_and(|path| path.is_in(folder))
}

/// The folders a path is in, the nearest first.
pub(crate) fn ancestors(path: &RelativePath) -> impl Iterator<Item = RelativePath> {
    std::iter::successors(path.parent(), RelativePath::parent)
}

impl ReplicaTrees {
    /// From three whole trees.
    pub fn of(host: &Tree, base: &Tree, observed: &Tree) -> Self {
        let mut trees = Self::unknown(host);
        let paths: BTreeSet<_> = host.keys().chain(base.keys()).chain(observed.keys()).cloned().collect();
        for path in paths {
            trees.set(host, &path, base.get(&path).copied(), observed.get(&path).copied());
        }
        trees.take_unsaved();
        trees
    }

    /// From what was saved.
    pub(crate) fn of_rows(host: &Tree, rows: Vec<crate::hub::state::Row>) -> Self {
        let mut trees = Self::unknown(host);
        rows.iter().for_each(|row| trees.set(host, &row.path, row.base, row.observed));
        trees.take_unsaved();
        trees
    }

    /// Of a replica nothing is known of.
    pub fn unknown(host: &Tree) -> Self {
        let nothing = Pair { base: None, observed: None };
        Self { differences: host.keys().map(|path| (path.clone(), nothing)).collect(), ..Self::default() }
    }

    /// All rows in which the three trees are not the same.
    pub fn differences(&self) -> &BTreeMap<RelativePath, Pair> {
        &self.differences
    }

    /// Files in the base.
    pub fn base_files(&self) -> usize {
        self.base_files
    }

    /// Files and folders the replica was seen to have.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Of what the replica told.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What is at a path.
    pub fn triple(&self, host: &Tree, path: &RelativePath) -> Triple {
        let host = host.get(path).copied();
        match self.differences.get(path) {
            Some(pair) => Triple { base: pair.base, host, replica: pair.observed },
            None => Triple { base: host, host, replica: host },
        }
    }

    /// What the replica was seen to have at a path.
    pub fn observed(&self, host: &Tree, path: &RelativePath) -> Option<Node> {
        self.differences.get(path).map_or_else(|| host.get(path).copied(), |pair| pair.observed)
    }

    /// All the replica was seen to have in a folder, in order; `None`: in the root.
    pub fn observed_in(&self, host: &Tree, folder: Option<&RelativePath>) -> Vec<RelativePath> {
        let alike =
            inside(host, folder).map(|(path, _)| path).filter(|path| !self.differences.contains_key(path));
        let own = inside(&self.differences, folder)
            .filter(|(_, pair)| pair.observed.is_some())
            .map(|(path, _)| path);
        let mut paths: Vec<_> = alike.chain(own).cloned().collect();
        // Two sorted runs: what the standard library's sort is quickest at.
        paths.sort();
        paths
    }

    /// All that was agreed in a folder.
    pub(crate) fn base_in(&self, host: &Tree, folder: &RelativePath) -> Vec<(RelativePath, Node)> {
        let alike = inside(host, Some(folder)).filter(|(path, _)| !self.differences.contains_key(*path));
        let alike = alike.map(|(path, node)| (path.clone(), *node));
        let own = inside(&self.differences, Some(folder));
        alike.chain(own.filter_map(|(path, pair)| Some((path.clone(), pair.base?)))).collect()
    }

    /// The host has something else at a path now; `before` is what it had. Base and replica stay what they are.
    pub fn host_changed(&mut self, path: &RelativePath, before: Option<Node>, now: Option<Node>) {
        let alike = Pair { base: before, observed: before };
        let pair = *self.differences.entry(path.clone()).or_insert(alike);
        if pair.base == now && pair.observed == now {
            self.differences.remove(path);
        }
    }

    /// The replica was seen to have this.
    pub fn set_observed(&mut self, host: &Tree, path: &RelativePath, node: Option<Node>) {
        let base = self.triple(host, path).base;
        self.set(host, path, base, node);
    }

    /// This is agreed.
    pub fn set_base(&mut self, host: &Tree, path: &RelativePath, node: Option<Node>) {
        let observed = self.observed(host, path);
        self.set(host, path, node, observed);
    }

    /// Nothing is agreed, nothing of what the replica told is held: it joins anew.
    pub fn forget(&mut self, host: &Tree) {
        let paths: BTreeSet<_> = host.keys().chain(self.differences.keys()).cloned().collect();
        paths.iter().for_each(|path| self.set(host, path, None, None));
    }

    fn set(&mut self, host: &Tree, path: &RelativePath, base: Option<Node>, observed: Option<Node>) {
        let before = self.triple(host, path);
        if before.base == base && before.replica == observed {
            return;
        }
        if before.base != base {
            self.base_files =
                self.base_files + usize::from(is_file(&base)) - usize::from(is_file(&before.base));
            self.base_changed = true;
        }
        if before.replica != observed {
            self.entries =
                self.entries + usize::from(observed.is_some()) - usize::from(before.replica.is_some());
            if let Some(node) = &before.replica {
                self.digest.subtract(path, node);
            }
            if let Some(node) = &observed {
                self.digest.add(path, node);
            }
        }
        if before.host == base && before.host == observed {
            self.differences.remove(path);
        } else {
            self.differences.insert(path.clone(), Pair { base, observed });
        }
        self.unsaved.insert(path.clone());
    }

    /// The rows that changed since this was asked last, and whether the base is among what changed.
    pub(crate) fn take_unsaved(&mut self) -> (BTreeSet<RelativePath>, bool) {
        (std::mem::take(&mut self.unsaved), std::mem::take(&mut self.base_changed))
    }

    /// What was taken could not be saved.
    pub(crate) fn save_again(&mut self, rows: BTreeSet<RelativePath>, base_changed: bool) {
        self.unsaved.extend(rows);
        self.base_changed |= base_changed;
    }
}
