//! Looking at folders: what differs from what is known, in parallel, in two steps.
//!
//! First the folders are listed, one depth after the other, and each entry's fingerprint is compared; nothing is opened for that but the folders.
//! Then what has another fingerprint is read. No recursion: depth costs neither stack nor open files.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use rayon::prelude::*;

use super::beneath::{self, Found};
use super::fingerprint::Fingerprint;
use super::hash::{self, Hashed, Unread};
use super::known::{Known, in_folder};
use super::reason;
use crate::model::{BLOCK_BYTES, Node, RelativePath};
use crate::rules::Rules;
use crate::side::Problem;

/// How many files of one folder are read by one thread in one go.
const FILES_AT_ONCE: usize = 32;

/// What a scan is made beneath of, and with.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) root: BorrowedFd<'a>,
    /// That of the root: what has another is mounted there.
    pub(super) device: u64,
    pub(super) rules: &'a Rules,
    pub(super) known: &'a Known,
}

/// What is not as it is known.
#[derive(Default)]
pub(super) struct Differences {
    /// There is nothing any more.
    pub(super) gone: Vec<RelativePath>,
    /// There is a folder that was none.
    pub(super) folders: Vec<RelativePath>,
    /// There is a file, and it has to be read.
    pub(super) files: Vec<(RelativePath, Fingerprint)>,
    /// There is something that cannot be synced.
    pub(super) problems: Vec<(RelativePath, String)>,
    /// There was a problem and there is none, and what is known is right.
    pub(super) mended: Vec<RelativePath>,
    /// The names in these folders that are no paths.
    pub(super) odd_names: Vec<(Option<RelativePath>, Vec<Problem>)>,
    /// What could not be looked at for now.
    pub(super) again: Vec<RelativePath>,
}

impl Differences {
    fn add(&mut self, mut other: Self) {
        self.gone.append(&mut other.gone);
        self.folders.append(&mut other.folders);
        self.files.append(&mut other.files);
        self.problems.append(&mut other.problems);
        self.mended.append(&mut other.mended);
        self.odd_names.append(&mut other.odd_names);
        self.again.append(&mut other.again);
    }
}

impl Ground<'_> {
    /// Looks at everything in the root.
    ///
    /// # Errors
    /// When not even the root can be listed.
    pub(super) fn everything(&self) -> io::Result<Differences> {
        drop(beneath::open_folder(self.root, None, beneath::LISTED)?);
        let mut differences = Differences::default();
        self.folders(vec![None], &mut differences);
        Ok(differences)
    }

    /// Looks at a path whose folder is known to be there, and at all that is in it.
    pub(super) fn path(&self, path: &RelativePath, differences: &mut Differences) {
        let found =
            beneath::open_parent(self.root, path).and_then(|parent| beneath::look(parent, path.name()));
        match found {
            Ok(Found::Nothing) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                differences.gone.push(path.clone())
            }
            Ok(found) => {
                let is_folder = matches!(found, Found::Folder { .. });
                if !self.rules.ignores(path, is_folder) && self.compare(path.clone(), found, differences) {
                    self.folders(vec![Some(path.clone())], differences);
                }
            }
            Err(error) => {
                differences.problems.push((path.clone(), reason::unreadable(&error.into())));
                differences.again.push(path.clone());
            }
        }
    }

    fn folders(&self, mut wave: Vec<Option<RelativePath>>, differences: &mut Differences) {
        while !wave.is_empty() {
            let listed: Vec<_> = wave.into_par_iter().map(|folder| self.folder(folder)).collect();
            wave = Vec::new();
            for (mut inner, found) in listed {
                wave.append(&mut inner);
                differences.add(found);
            }
        }
    }

    /// Looks at what is in one folder; also names the folders in it.
    fn folder(&self, folder: Option<RelativePath>) -> (Vec<Option<RelativePath>>, Differences) {
        let mut differences = Differences::default();
        let mut inner = Vec::new();
        if let Err(error) = self.list(folder.as_ref(), &mut inner, &mut differences) {
            match (folder, error) {
                // It went away, or something else took its place, after it was seen: whoever did it, made an event.
                (Some(folder), Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                    differences.again.push(folder)
                }
                (Some(folder), error) => {
                    differences.problems.push((folder.clone(), reason::unreadable(&error.into())));
                    differences.again.push(folder);
                }
                (None, _) => {}
            }
        }
        (inner, differences)
    }

    fn list(
        &self,
        folder: Option<&RelativePath>,
        inner: &mut Vec<Option<RelativePath>>,
        differences: &mut Differences,
    ) -> nix::Result<()> {
        let mut directory = Dir::from_fd(beneath::open_folder(self.root, folder, beneath::LISTED)?)?;
        let names = directory.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
        let names: Vec<_> = names.collect::<nix::Result<_>>()?;
        let listing = self.known.listing(folder);
        let mut odd_names = Vec::new();
        let mut present = HashSet::with_capacity(names.len());
        for name in &names {
            let Ok(name) = name.to_str() else {
                odd_names.push(odd_name(
                    folder,
                    &name.to_string_lossy(),
                    "has a name that is not Unicode: rename it to have it synced",
                ));
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let Some(path) = in_folder(folder, name) else {
                odd_names.push(odd_name(folder, name, "has a path that is too long to be synced"));
                continue;
            };
            let is_known = listing.is_some_and(|listing| listing.contains_key(name));
            let found = match beneath::look(&directory, name) {
                Ok(Found::Nothing) => continue,
                Ok(found) => found,
                Err(error) => {
                    present.insert(name);
                    differences.problems.push((path.clone(), reason::unreadable(&error.into())));
                    differences.again.push(path);
                    continue;
                }
            };
            // What is known was not ignored when it was found, and is forgotten when the rules change.
            let is_folder = matches!(found, Found::Folder { .. });
            if !is_known && self.rules.ignores_in_its_folder(&path, is_folder) {
                continue;
            }
            present.insert(name);
            if self.compare(path.clone(), found, differences) {
                inner.push(Some(path));
            }
        }
        let gone = listing.into_iter().flatten().filter(|(name, _)| !present.contains(&***name));
        differences.gone.extend(gone.filter_map(|(name, _)| in_folder(folder, name)));
        differences.odd_names.push((folder.cloned(), odd_names));
        Ok(())
    }

    /// Compares what is at a path with what is known. True if it is a folder, and has to be looked into.
    fn compare(&self, path: RelativePath, found: Found, differences: &mut Differences) -> bool {
        let known = self.known.get(&path);
        let had_problem = self.known.has_problem(&path);
        match found {
            Found::Nothing => differences.gone.push(path),
            Found::Folder { device, .. } if device != self.device => {
                let reason =
                    "has another disk mounted on it: only what is on the workspace's own disk is synced";
                differences.problems.push((path, reason.into()));
            }
            Found::Folder { .. } => {
                match known {
                    Some(entry) if entry.node == Node::Directory && had_problem => {
                        differences.mended.push(path)
                    }
                    Some(entry) if entry.node == Node::Directory => {}
                    _ => differences.folders.push(path),
                }
                return true;
            }
            Found::File(fingerprint) => match known {
                Some(entry) if entry.seen == Some(fingerprint) && had_problem => {
                    differences.mended.push(path)
                }
                Some(entry) if entry.seen == Some(fingerprint) => {}
                _ => differences.files.push((path, fingerprint)),
            },
            Found::Odd(reason) => differences.problems.push((path, reason.into())),
        }
        false
    }

    /// What is in a folder that should be empty.
    pub(super) fn leftovers(&self, folder: &RelativePath) -> nix::Result<Leftovers> {
        let mut directory = Dir::from_fd(beneath::open_folder(self.root, Some(folder), beneath::LISTED)?)?;
        let names = directory.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
        let names: Vec<_> = names.collect::<nix::Result<_>>()?;
        let mut leftovers = Leftovers::Nothing;
        for name in &names {
            if name.as_bytes() == b"." || name.as_bytes() == b".." {
                continue;
            }
            let shown = name.to_string_lossy();
            let Some(path) = name.to_str().ok().and_then(|name| folder.join(name).ok()) else {
                return Ok(Leftovers::Unsynced(shown.into_owned()));
            };
            let found = beneath::look(&directory, &shown)?;
            let is_folder = matches!(found, Found::Folder { .. });
            if self.rules.ignores(&path, is_folder) {
                leftovers = leftovers.max(Leftovers::OnlyIgnored);
                continue;
            }
            match found {
                Found::Nothing => {}
                Found::Odd(_) => return Ok(Leftovers::Unsynced(shown.into_owned())),
                Found::Folder { device, .. } if device != self.device => {
                    return Ok(Leftovers::Unsynced(shown.into_owned()));
                }
                Found::Folder { .. } | Found::File(_) => leftovers = Leftovers::Synced,
            }
        }
        Ok(leftovers)
    }
}

/// What is in a folder that should be empty.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leftovers {
    /// Nothing.
    Nothing,
    /// What is ignored, and nothing else.
    OnlyIgnored,
    /// Something that is synced.
    Synced,
    /// Something that cannot be synced, of this name.
    Unsynced(String),
}

fn odd_name(folder: Option<&RelativePath>, name: &str, reason: &str) -> Problem {
    let path = folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
    Problem { path, reason: reason.to_owned() }
}

/// Reads files, many small ones at once, then each large one on all cores.
pub(super) fn read(
    root: impl AsFd + Sync,
    files: Vec<(RelativePath, Fingerprint)>,
) -> Vec<(RelativePath, Result<Hashed, Unread>)> {
    let (small, large): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(_, fingerprint)| fingerprint.size <= BLOCK_BYTES);
    let mut groups: Vec<(Option<RelativePath>, Vec<RelativePath>)> = Vec::new();
    for (path, _) in small {
        let folder = path.parent();
        match groups.last_mut() {
            Some((last, paths)) if *last == folder && paths.len() < FILES_AT_ONCE => paths.push(path),
            _ => groups.push((folder, vec![path])),
        }
    }
    let read: Vec<Vec<_>> = groups
        .into_par_iter()
        .map(|(folder, paths)| {
            let folder = beneath::open_folder(&root, folder.as_ref(), beneath::PASSED);
            let read = |path: RelativePath| {
                let hashed = match &folder {
                    Ok(folder) => hash::hash_named(folder, path.name()),
                    Err(error) => Err((*error).into()),
                };
                (path, hashed)
            };
            paths.into_iter().map(read).collect()
        })
        .collect();
    let mut read: Vec<_> = read.into_iter().flatten().collect();
    for (path, _) in large {
        let folder = beneath::open_parent(&root, &path);
        let hashed = folder.map_err(Unread::from).and_then(|folder| hash::hash_named(folder, path.name()));
        read.push((path, hashed));
    }
    read
}
