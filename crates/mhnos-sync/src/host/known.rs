//! What the host's folder was last seen to be, folder by folder.
//!
//! It is what a scan compares with, so that only what changed is hashed and told; and it knows which of it the index has not stored yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::fingerprint::Fingerprint;
use crate::model::{Node, RelativePath};
use crate::side::Problem;

/// What is known of one path. `seen` is only there if the file is sure to be as it was hashed while it has this fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) seen: Option<Fingerprint>,
}

type Listing = BTreeMap<Box<str>, Entry>;

/// See the [module's description](self).
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What is in each folder; the root is `None`. A folder with nothing in it need not be here.
    folders: BTreeMap<Option<RelativePath>, Listing>,
    /// Paths that cannot be synced, and why. What was known of them before is left as it is.
    problems: BTreeMap<RelativePath, String>,
    /// Names that cannot even be told as a path, by folder.
    odd_names: BTreeMap<Option<RelativePath>, Vec<Problem>>,
    unsaved: BTreeSet<RelativePath>,
}

impl Known {
    pub(super) fn listing(&self, folder: Option<&RelativePath>) -> Option<&Listing> {
        // The key is an Option of an owned path; cloning it costs a counter.
        self.folders.get(&folder.cloned())
    }

    pub(super) fn get(&self, path: &RelativePath) -> Option<&Entry> {
        self.folders.get(&path.parent())?.get(path.name())
    }

    pub(super) fn is_folder(&self, path: &RelativePath) -> bool {
        self.get(path).is_some_and(|entry| entry.node == Node::Directory)
    }

    /// Notes what is there now. Whatever problem it had is over.
    pub(super) fn set(&mut self, path: &RelativePath, entry: Entry) {
        self.problems.remove(path);
        self.folders.entry(path.parent()).or_default().insert(path.name().into(), entry);
        self.unsaved.insert(path.clone());
    }

    /// The same for what was stored by the index before.
    pub(super) fn load(&mut self, path: &RelativePath, entry: Entry) {
        self.folders.entry(path.parent()).or_default().insert(path.name().into(), entry);
    }

    /// Notes that there is nothing at a path, and so nothing in it. Names all that was known there, the path itself first, also when
    /// it was not.
    pub(super) fn remove(&mut self, path: &RelativePath) -> Vec<RelativePath> {
        let mut gone = vec![path.clone()];
        gone.extend(self.within(Some(path)).map(|(path, _)| path));
        if let Some(listing) = self.folders.get_mut(&path.parent()) {
            listing.remove(path.name());
        }
        for folder in keys_within(&self.folders, path) {
            self.folders.remove(&folder);
        }
        self.clear_problems(path);
        self.unsaved.extend(gone.iter().cloned());
        gone
    }

    /// Notes that all that is at one path is at another now, where nothing is known.
    pub(super) fn rename(&mut self, from: &RelativePath, to: &RelativePath) {
        let moved: Vec<_> = self.within(Some(from)).map(|(path, entry)| (path, *entry)).collect();
        let top = self.get(from).copied();
        self.remove(from);
        if let Some(entry) = top {
            self.set(to, entry);
        }
        for (path, entry) in moved {
            let rest = &path.as_str()[from.as_str().len()..];
            // Too long a path is found, and told, when the folder is looked at next.
            if let Ok(path) = RelativePath::new(&format!("{to}{rest}")) {
                self.set(&path, entry);
            }
        }
    }

    /// All that is known in a folder, at any depth; `None`: in the root.
    pub(super) fn within(
        &self,
        folder: Option<&RelativePath>,
    ) -> impl Iterator<Item = (RelativePath, &Entry)> {
        let own = self.folders.get_key_value(&folder.cloned()).into_iter();
        let inner = self
            .folders
            .range((Bound::Excluded(folder.cloned()), Bound::Unbounded))
            .take_while(move |(inner, _)| is_in(inner.as_ref(), folder));
        own.chain(inner).flat_map(|(folder, listing)| {
            listing.iter().filter_map(move |(name, entry)| Some((in_folder(folder.as_ref(), name)?, entry)))
        })
    }

    /// Notes that a path cannot be synced.
    pub(super) fn set_problem(&mut self, path: &RelativePath, reason: String) {
        self.problems.insert(path.clone(), reason);
    }

    pub(super) fn has_problem(&self, path: &RelativePath) -> bool {
        self.problems.contains_key(path)
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Notes that a path can be synced again, and is as it was known.
    pub(super) fn clear_problem(&mut self, path: &RelativePath) {
        self.problems.remove(path);
    }

    /// Notes the names in a folder that are no paths.
    pub(super) fn set_odd_names(&mut self, folder: Option<&RelativePath>, names: Vec<Problem>) {
        if names.is_empty() {
            self.odd_names.remove(&folder.cloned());
        } else {
            self.odd_names.insert(folder.cloned(), names);
        }
    }

    fn clear_problems(&mut self, path: &RelativePath) {
        let from = (Bound::Included(path), Bound::Unbounded);
        let over = self.problems.range::<RelativePath, _>(from).map(|(other, _)| other.clone());
        let over: Vec<_> = over.take_while(|other| other == path || other.is_in(path)).collect();
        over.iter().for_each(|path| drop(self.problems.remove(path)));
        for folder in keys_within(&self.odd_names, path) {
            self.odd_names.remove(&folder);
        }
    }

    /// Every problem at a path and in it; `None`: all.
    pub(super) fn problems(&self, within: Option<&RelativePath>) -> Vec<Problem> {
        let here = |path: &RelativePath| within.is_none_or(|within| path == within || path.is_in(within));
        let paths = self.problems.iter().filter(|(path, _)| here(path));
        let paths = paths.map(|(path, reason)| Problem { path: path.to_string(), reason: reason.clone() });
        let odd = self.odd_names.iter();
        let odd = odd
            .filter(|(folder, _)| folder.as_ref().map_or(within.is_none(), here))
            .flat_map(|(_, odd)| odd.clone());
        paths.chain(odd).collect()
    }

    /// Forgets paths that are ignored by now, without a word: nothing is said about what is ignored.
    pub(super) fn forget(&mut self, is_ignored: impl Fn(&RelativePath, bool) -> bool) {
        let all = self.within(None).map(|(path, entry)| (path, entry.node == Node::Directory));
        let troubled = self.problems.keys().map(|path| (path.clone(), false));
        let ignored: Vec<_> =
            all.chain(troubled).filter(|(path, folder)| is_ignored(path, *folder)).collect();
        for (path, _) in ignored {
            self.remove(&path);
        }
    }

    /// What the index has to store: what is known of these paths now; `None`: nothing is there.
    pub(super) fn take_unsaved(&mut self) -> Vec<(RelativePath, Option<Entry>)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.into_iter().map(|path| (path.clone(), self.get(&path).copied())).collect()
    }
}

/// A path in a folder; `None` if it would be too long.
pub(super) fn in_folder(folder: Option<&RelativePath>, name: &str) -> Option<RelativePath> {
    match folder {
        Some(folder) => folder.join(name).ok(),
        None => RelativePath::new(name).ok(),
    }
}

/// The folders at a path and in it.
fn keys_within<V>(map: &BTreeMap<Option<RelativePath>, V>, path: &RelativePath) -> Vec<Option<RelativePath>> {
    let from = (Bound::Included(Some(path.clone())), Bound::Unbounded);
    let inside =
        |folder: &Option<RelativePath>| folder.as_ref() == Some(path) || is_in(folder.as_ref(), Some(path));
    map.range(from).map(|(folder, _)| folder.clone()).take_while(inside).collect()
}

/// Whether one folder lies in another at any depth; all lie in the root.
fn is_in(inner: Option<&RelativePath>, outer: Option<&RelativePath>) -> bool {
    match (inner, outer) {
        (Some(inner), Some(outer)) => inner.is_in(outer),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::new(text).unwrap()
    }

    fn known(paths: &[&str]) -> Known {
        let mut known = Known::default();
        for text in paths {
            known.set(&path(text), Entry { node: Node::Directory, seen: None });
        }
        known.take_unsaved();
        known
    }

    fn all(known: &Known) -> Vec<String> {
        known.within(None).map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn a_folder_that_is_gone_takes_along_what_was_in_it_and_no_sibling() {
        let mut known = known(&["a", "a-b", "a-b/x", "a/b", "a/b/c", "a.c", "a.c/x"]);
        known.set_problem(&path("a/b/link"), "is odd".into());
        assert_eq!(known.problems(Some(&path("a"))).len(), 1);
        let gone: Vec<_> = known.remove(&path("a")).iter().map(ToString::to_string).collect();
        assert_eq!(gone, ["a", "a/b", "a/b/c"]);
        assert_eq!(all(&known), ["a-b", "a.c", "a-b/x", "a.c/x"]);
        assert!(known.problems(None).is_empty());
        assert_eq!(known.take_unsaved().len(), 3);
        assert_eq!(known.remove(&path("never")), [path("never")]);
    }

    #[test]
    fn a_renamed_folder_is_known_at_its_new_place() {
        let mut known = known(&["a", "a/b", "a/b/c", "z"]);
        known.rename(&path("a"), &path("z/y"));
        assert_eq!(all(&known), ["z", "z/y", "z/y/b", "z/y/b/c"]);
        let unsaved = known.take_unsaved();
        assert_eq!(unsaved.iter().filter(|(_, entry)| entry.is_none()).count(), 3);
        assert_eq!(unsaved.len(), 6);
    }
}
