//! What the engine asks of a folder in memory.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::{Fake, Thing};
use crate::model::{BLOCK_BYTES, Content, Node, RelativePath};
use crate::side::{Action, Observation, Order, Outcome, Problem, Side};
use crate::tree::{ancestors, any_inside, inside};

impl Fake {
    /// One step that is done wholly or not at all; `false`: it stands still from here on.
    fn step(&mut self) -> bool {
        if let Some(left) = &mut self.crash_after {
            if *left == 0 {
                self.crashed = true;
                return false;
            }
            *left -= 1;
        }
        true
    }

    fn displace(&mut self, at: &RelativePath) {
        if let (Some(Thing::File(file)), Some(versions)) = (self.things.get(at), &mut self.versions) {
            versions.insert(file.content);
        }
    }

    fn bytes_of(&self, at: &RelativePath, content: Content) -> Option<Arc<[u8]>> {
        match self.things.get(at) {
            Some(Thing::File(file)) if file.content == content => Some(file.bytes.clone()),
            _ => None,
        }
    }

    fn staged_bytes_of(&self, content: Content) -> Option<Arc<[u8]>> {
        let staged = self.staged.get(&content)?;
        let bytes: Arc<[u8]> = staged.blocks.values().flatten().copied().collect();
        (Content::of(&bytes) == content).then_some(bytes)
    }

    /// Why a name cannot be held.
    fn refuses(&self, at: &RelativePath, but: Option<&RelativePath>) -> Option<String> {
        if self.is_ignored(at) {
            return Some("is ignored".to_owned());
        }
        if self.cannot_hold(at) {
            return Some("has a name this disk cannot hold".to_owned());
        }
        let twin = |other: &&RelativePath| {
            *other != at && Some(*other) != but && other.as_str().eq_ignore_ascii_case(at.as_str())
        };
        if self.case_insensitive && self.things.keys().any(|other| twin(&other)) {
            return Some("differs from another name only in case".to_owned());
        }
        None
    }

    fn parent_is_there(&self, at: &RelativePath) -> bool {
        at.parent().is_none_or(|folder| self.things.get(&folder) == Some(&Thing::Directory))
    }

    /// What a whole disk, or what is at the place itself, stands in the way with.
    fn is_barred(&self, order: &Order) -> Option<Outcome> {
        let failed = |reason: &str| Some(Outcome::Failed(reason.to_owned()));
        let from = match &order.action {
            Action::Move { from, .. } => Some(from),
            _ => None,
        };
        if self.things.get(&order.path) == Some(&Thing::Link) {
            return failed("is a symbolic link");
        }
        if self.read_only {
            return failed("is on a disk that is read-only");
        }
        if std::iter::once(&order.path)
            .chain(from)
            .any(|path| self.held_open.contains(path) || any_inside(&self.held_open, path))
        {
            return failed("is held open");
        }
        if order.action == Action::Remove {
            return None;
        }
        self.refuses(&order.path, from).map(Outcome::Failed)
    }

    /// `None`: it stands still.
    fn carry_out(&mut self, order: &Order) -> Option<Outcome> {
        if !self.step() {
            return None;
        }
        self.orders += 1;
        let at = &order.path;
        let there = self.node(at);
        let wanted = match &order.action {
            Action::MakeDirectory => Some(Node::Directory),
            Action::Put { content, size, executable, .. } => {
                Some(Node::File { content: *content, size: *size, executable: *executable })
            }
            Action::Move { .. } | Action::Remove => None,
        };
        let is_move = matches!(order.action, Action::Move { .. });
        if there == wanted && !is_move && self.things.get(at) != Some(&Thing::Link) {
            return Some(Outcome::Done);
        }
        if let Some(barred) = self.is_barred(order) {
            return Some(barred);
        }
        if there != order.expect || !self.parent_is_there(at) {
            return Some(Outcome::Changed(there));
        }
        match &order.action {
            Action::MakeDirectory => {
                self.things.insert(at.clone(), Thing::Directory);
            }
            Action::Put { content, size, executable, copy_from } => {
                let copied = copy_from.as_ref().and_then(|from| self.bytes_of(from, *content));
                let bytes = copied.or_else(|| self.staged_bytes_of(*content));
                // As a real one, it does not take a replica's word for how long a content is.
                let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 == *size) else {
                    return Some(Outcome::Changed(there));
                };
                if self.capacity.is_some_and(|most| self.used() + bytes.len() > most) {
                    return Some(Outcome::Failed("does not fit on this disk".to_owned()));
                }
                self.displace(at);
                let file = self.file(bytes, *executable);
                self.things.insert(at.clone(), Thing::File(file));
                self.staged.remove(content);
            }
            Action::Remove if there == Some(Node::Directory) => {
                let inner: Vec<_> = inside(&self.things, Some(at)).map(|(path, _)| path).collect();
                if inner.iter().any(|path| !self.is_ignored(path)) {
                    return Some(Outcome::Changed(there));
                }
                if !inner.is_empty() {
                    let reason = "has ignored files in it, which are never deleted";
                    return Some(Outcome::Failed(reason.to_owned()));
                }
                self.things.remove(at);
            }
            Action::Remove => {
                self.displace(at);
                self.things.remove(at);
            }
            Action::Move { from, moved } => {
                if self.node(from) != Some(*moved) {
                    return Some(Outcome::Changed(there));
                }
                if !self.move_all(from, at) {
                    return None;
                }
            }
        }
        Some(Outcome::Done)
    }

    /// Whether it came to its end.
    fn move_all(&mut self, from: &RelativePath, to: &RelativePath) -> bool {
        if !self.moves_by_copy {
            self.rename_path(from, to);
            return true;
        }
        let all: Vec<_> =
            self.things.keys().filter(|path| *path == from || path.is_in(from)).cloned().collect();
        for path in &all {
            if !self.step() {
                return false;
            }
            let new = RelativePath::new(&format!("{to}{}", &path.as_str()[from.as_str().len()..])).unwrap();
            let thing = self.things[path].clone();
            self.things.insert(new, thing);
        }
        for path in all.iter().rev() {
            if !self.step() {
                return false;
            }
            self.things.remove(path);
        }
        true
    }
}

impl Side for Fake {
    fn observe(&mut self, paths: &[RelativePath]) -> io::Result<Observation> {
        if self.missing {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the folder is gone"));
        }
        let asked: BTreeSet<_> = paths.iter().cloned().collect();
        let looked = |path: &RelativePath| {
            paths.is_empty() || asked.contains(path) || ancestors(path).any(|folder| asked.contains(&folder))
        };
        let all: Vec<_> =
            self.things.keys().filter(|path| looked(path) && !self.is_ignored(path)).cloned().collect();
        let mut nodes = Vec::new();
        let mut problems = Vec::new();
        for path in all {
            if self.things.get(&path) == Some(&Thing::Link) {
                let reason = "is a symbolic link: links are not synced".to_owned();
                problems.push(Problem { path: path.to_string(), reason });
            } else {
                let node = self.look(&path);
                nodes.push((path, node));
            }
        }
        let gone = asked.iter().filter(|path| !self.things.contains_key(*path) && !any_inside(&asked, path));
        nodes.extend(gone.map(|path| (path.clone(), None)));
        let within = match paths {
            [one] => Some(one.clone()),
            _ => None,
        };
        Ok(Observation { nodes, problems, complete: paths.len() <= 1, within })
    }

    fn block_hashes(&mut self, path: &RelativePath, content: Content) -> io::Result<Vec<[u8; 32]>> {
        let bytes = self.bytes_of(path, content).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.chunks(BLOCK_BYTES as usize).map(|block| *blake3::hash(block).as_bytes()).collect())
    }

    fn read(&mut self, path: &RelativePath, _: Content, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        // As a real one: it gives what is there now, and who reads looks whether it fits.
        let Some(Thing::File(file)) = self.things.get(path) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let end = file.bytes.len().min((offset as usize).saturating_add(length as usize));
        let bytes = file.bytes.get(offset as usize..end).unwrap_or_default().to_vec();
        self.read_bytes += bytes.len() as u64;
        Ok(bytes)
    }

    fn missing(
        &mut self,
        content: Content,
        _: u64,
        blocks: &[[u8; 32]],
        similar: &RelativePath,
    ) -> io::Result<Vec<u32>> {
        let similar = match self.things.get(similar) {
            Some(Thing::File(file)) => file.bytes.clone(),
            _ => Arc::from([]),
        };
        let here: Vec<_> = similar
            .chunks(BLOCK_BYTES as usize)
            .map(|block| (*blake3::hash(block).as_bytes(), block))
            .collect();
        let staged = self.staged.entry(content).or_default();
        staged.hashes = blocks.to_vec();
        for (number, hash) in (0..).zip(blocks) {
            if let Some((_, block)) = here.iter().find(|(own, _)| own == hash) {
                staged.blocks.entry(number).or_insert_with(|| block.to_vec());
            }
        }
        Ok((0..blocks.len() as u32).filter(|number| !staged.blocks.contains_key(number)).collect())
    }

    fn stage(&mut self, content: Content, size: u64, block: u32, bytes: &[u8]) -> io::Result<()> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if self.capacity.is_some_and(|most| self.used() + bytes.len() > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let staged = self.staged.entry(content).or_default();
        let fits = if size <= BLOCK_BYTES {
            Content::of(bytes) == content
        } else {
            staged.hashes.get(block as usize) == Some(blake3::hash(bytes).as_bytes())
        };
        if !fits {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.staged_bytes += bytes.len() as u64;
        staged.blocks.insert(block, bytes.to_vec());
        Ok(())
    }

    fn apply(&mut self, orders: &[Order]) -> Vec<Outcome> {
        orders.iter().map_while(|order| self.carry_out(order)).collect()
    }
}
