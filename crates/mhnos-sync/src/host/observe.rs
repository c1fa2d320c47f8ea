//! From differences to what is told.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::beneath::{self, Found};
use super::hash::{Hashed, Unread};
use super::known::Entry;
use super::scan::{self, Differences, Ground};
use super::{Host, Restless, reason};
use crate::model::{Node, RelativePath};
use crate::side::Observation;

/// When what could not be read is looked at again for the first time; then after twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Host {
    /// Looks at paths, or at everything; tells all of it, or what differs from before.
    pub(super) fn look(&mut self, paths: &[RelativePath], differences_only: bool) -> io::Result<Observation> {
        self.check_root()?;
        let everything = self.reload_rules() || paths.is_empty();
        let targets = if everything { Vec::new() } else { self.targets(paths) };
        let within = if let [target] = &targets[..] { Some(target.clone()) } else { None };
        let complete = !differences_only && (everything || within.is_some());
        let pool = self.pool.clone();
        let ground = self.ground();
        let differences = pool.install(|| {
            if everything {
                return ground.everything();
            }
            let mut differences = Differences::default();
            targets.iter().for_each(|target| ground.path(target, &mut differences));
            Ok(differences)
        })?;
        let named = self.note(differences);
        let told = |named: BTreeSet<RelativePath>| {
            named.into_iter().map(|path| (path.clone(), self.node(&path))).collect()
        };
        let nodes = if differences_only {
            told(named)
        } else if everything {
            self.nodes_within(None)
        } else {
            // What is gone is named too: with several paths there is no one part of the folder that is complete.
            let mut nodes: Vec<_> = told(named);
            for target in &targets {
                nodes.push((target.clone(), self.node(target)));
                nodes.extend(self.nodes_within(Some(target)));
            }
            nodes.sort_by(|one, other| one.0.cmp(&other.0));
            nodes.dedup();
            nodes
        };
        let nodes: Vec<_> = nodes.into_iter().filter(|(path, _)| !self.is_troubled(path)).collect();
        let problems = if everything {
            self.known.problems(None)
        } else {
            targets.iter().flat_map(|target| self.known.problems(Some(target))).collect()
        };
        self.told_everything |= everything;
        Ok(Observation { nodes, problems, complete, within })
    }

    pub(super) fn ground(&self) -> Ground<'_> {
        Ground { root: self.root.as_fd(), device: self.device, rules: &self.rules, known: &self.known }
    }

    fn node(&self, path: &RelativePath) -> Option<Node> {
        self.known.get(path).map(|entry| entry.node)
    }

    fn nodes_within(&self, folder: Option<&RelativePath>) -> Vec<(RelativePath, Option<Node>)> {
        self.known.within(folder).map(|(path, entry)| (path, Some(entry.node))).collect()
    }

    /// Whether a path or a folder it is in cannot be synced now.
    fn is_troubled(&self, path: &RelativePath) -> bool {
        self.known.has_problems()
            && std::iter::successors(Some(path.clone()), RelativePath::parent)
                .any(|path| self.known.has_problem(&path))
    }

    /// The paths to look at: without those that lie in others and those that are ignored; of those whose folder is not
    /// known or not there, the uppermost such folder.
    fn targets(&self, paths: &[RelativePath]) -> Vec<RelativePath> {
        let wanted =
            paths.iter().filter(|path| !self.rules.ignores(path, false)).map(|path| self.raised(path));
        let mut targets: Vec<RelativePath> = Vec::new();
        for path in wanted.collect::<BTreeSet<_>>() {
            if !targets.last().is_some_and(|last| path.is_in(last)) {
                targets.push(path);
            }
        }
        targets
    }

    fn raised(&self, path: &RelativePath) -> RelativePath {
        let mut above: Vec<_> = std::iter::successors(path.parent(), RelativePath::parent).collect();
        above.reverse();
        let is_known =
            |folder: &&RelativePath| self.known.is_folder(folder) && !self.known.has_problem(folder);
        if let Some(unknown) = above.iter().find(|folder| !is_known(folder)) {
            return unknown.clone();
        }
        if beneath::open_parent(&self.root, path).is_ok() {
            return path.clone();
        }
        let is_there =
            |folder: &&RelativePath| beneath::open_folder(&self.root, Some(folder), beneath::PASSED).is_ok();
        above.iter().find(|folder| !is_there(folder)).unwrap_or(path).clone()
    }

    /// Takes differences in. The paths of which something else is to be told than before.
    fn note(&mut self, differences: Differences) -> BTreeSet<RelativePath> {
        let mut named = BTreeSet::new();
        for path in differences.gone {
            self.restless.remove(&path);
            named.extend(self.known.remove(&path));
        }
        for path in differences.folders {
            self.known.set(&path, Entry { node: Node::Directory, seen: None });
            named.insert(path);
        }
        for path in differences.mended {
            self.known.clear_problem(&path);
            named.insert(path);
        }
        for (folder, names) in differences.odd_names {
            self.known.set_odd_names(folder.as_ref(), names);
        }
        let now = Instant::now();
        let mut files = differences.files;
        // What changed all the time a moment ago would be read in vain again and again.
        files.retain(|(path, _)| {
            self.restless.get(path).is_none_or(|restless| restless.at <= now) || !self.known.has_problem(path)
        });
        let pool = self.pool.clone();
        let read = pool.install(|| scan::read(&self.root, files));
        for (path, result) in read {
            self.note_file(path, result, &mut named);
        }
        for (path, reason) in differences.problems {
            self.known.set_problem(&path, reason);
        }
        for path in differences.again {
            self.look_later(path);
        }
        named
    }

    fn note_file(
        &mut self,
        path: RelativePath,
        result: Result<Hashed, Unread>,
        named: &mut BTreeSet<RelativePath>,
    ) {
        let hashed = match result {
            Ok(hashed) => hashed,
            Err(unread) => {
                match unread {
                    Unread::Gone => {}
                    Unread::Restless => {
                        let reason = "keeps changing while it is read: it is looked at again in a while";
                        self.known.set_problem(&path, reason.into());
                    }
                    Unread::Refused(error) => self.known.set_problem(&path, reason::unreadable(&error)),
                }
                return self.look_later(path);
            }
        };
        self.restless.remove(&path);
        self.remember_blocks(hashed.content(), &hashed.blocks);
        let before = self.known.get(&path).copied();
        if self.known.has_problem(&path) || before.is_none_or(|before| before.node != hashed.entry.node) {
            if before.is_some_and(|before| before.node == Node::Directory) {
                named.extend(self.known.remove(&path));
            }
            named.insert(path.clone());
        }
        if before != Some(hashed.entry) || self.known.has_problem(&path) {
            self.known.set(&path, hashed.entry);
        }
    }

    /// Has a path looked at again in a while, later each time.
    fn look_later(&mut self, path: RelativePath) {
        let now = Instant::now();
        let pause = match self.restless.get(&path) {
            Some(restless) if restless.at <= now => (restless.pause * 2).min(LONGEST_PAUSE),
            Some(_) => return,
            None => PAUSE,
        };
        self.restless.insert(path, Restless { at: now + pause, pause });
    }

    /// Has a path looked at again as soon as somebody asks what there is to look at.
    pub(super) fn look_soon(&mut self, path: RelativePath) {
        self.restless.insert(path, Restless { at: Instant::now(), pause: PAUSE });
    }

    /// What is at a path now, by reading it, and noted as told.
    ///
    /// # Errors
    /// When it cannot be synced, or read: why.
    pub(super) fn node_now(&mut self, path: &RelativePath) -> Result<Option<Node>, String> {
        let looked = beneath::open_parent(&self.root, path)
            .and_then(|folder| Ok((beneath::look(&folder, path.name())?, folder)));
        let (found, folder) = match looked {
            Ok(looked) => looked,
            Err(nix::errno::Errno::ENOENT) => {
                return Ok(None);
            }
            Err(nix::errno::Errno::ENOTDIR | nix::errno::Errno::ELOOP) => {
                self.look_soon(self.raised(path));
                return Err("lies behind something that is not a folder: links are not followed".into());
            }
            Err(error) => return Err(reason::unreadable(&error.into())),
        };
        match found {
            Found::Nothing => {
                self.known.remove(path);
                Ok(None)
            }
            Found::Folder { .. } => {
                if !self.known.is_folder(path) {
                    self.known.set(path, Entry { node: Node::Directory, seen: None });
                    self.look_soon(path.clone());
                }
                Ok(Some(Node::Directory))
            }
            Found::File(fingerprint) => {
                if let Some(entry) = self.known.get(path).filter(|entry| entry.seen == Some(fingerprint)) {
                    return Ok(Some(entry.node));
                }
                let hashed = self.pool.clone().install(|| super::hash::hash_named(&folder, path.name()));
                match hashed {
                    Ok(hashed) => {
                        if self.known.is_folder(path) {
                            self.known.remove(path);
                        }
                        self.remember_blocks(hashed.content(), &hashed.blocks);
                        self.known.set(path, hashed.entry);
                        Ok(Some(hashed.entry.node))
                    }
                    Err(Unread::Refused(error)) => Err(reason::unreadable(&error)),
                    Err(Unread::Gone | Unread::Restless) => {
                        self.look_soon(path.clone());
                        Err("is being changed at this moment: it is tried again".into())
                    }
                }
            }
            Found::Odd(reason) => {
                self.look_soon(path.clone());
                Err(reason.into())
            }
        }
    }
}
