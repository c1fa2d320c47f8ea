//! The files that are to take others' places: written, with the right mode, and on disk, before any of them does.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat};
use nix::sys::statfs::fstatfs;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, syncfs, unlinkat};
use rayon::prelude::*;

use super::beneath;
use super::hash;
use super::stage::{self, Staged};
use super::{Host, reason};
use crate::model::{Content, Node, RelativePath};
use crate::side::{Action, Order};

/// From so many files on, one sync of the file system is cheaper than one of each file: measured, ten times at a thousand.
pub(super) const MANY: usize = 24;

/// Those file systems of which it is known that syncing all of one syncs each of its files: ext, XFS, Btrfs, F2FS, bcachefs, tmpfs, overlay, ZFS.
const SYNCED_AT_ONCE: [i64; 8] =
    [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0xCA45_1A4E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1];

/// Whether one sync of the file system is as good as one of each file.
pub(super) fn can_sync_at_once(root: impl AsFd) -> bool {
    fstatfs(root).is_ok_and(|facts| SYNCED_AT_ONCE.contains(&facts.filesystem_type().0))
}

/// A file in the stage folder that is ready.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) name: String,
    pub(super) inode: u64,
    /// Large content that was staged under its own name: if it is not used, it is given back.
    staged_as: Option<(Content, String)>,
}

/// What came of preparing an order.
#[derive(Debug)]
pub(super) enum Prepared {
    /// It needs no file.
    Nothing,
    /// The file it needs.
    File(Fresh),
    /// Its content is neither staged nor where it was said to be.
    NoContent,
    /// Why it cannot be written.
    Failed(String),
}

/// How a file is made for an order.
struct Recipe<'a> {
    order: &'a Order,
    content: Content,
    size: u64,
    executable: bool,
    name: String,
    source: Source,
    syncs: bool,
}

/// Where the content of a file comes from.
enum Source {
    /// Small content that was staged.
    Bytes(Arc<[u8]>),
    /// Large content that was staged under this name, and that nobody needs after this: the file itself is taken.
    Taken(String),
    /// The same, which another order of the batch takes: opened before it does, as it gets another name then.
    Copied(File),
    /// It is not staged; the order may say where else it is.
    Elsewhere,
}

impl Host {
    /// Makes the files for a batch of orders, and brings them to disk.
    pub(super) fn prepare(&mut self, orders: &[Order]) -> Vec<Prepared> {
        let puts = orders.iter().filter(|order| matches!(order.action, Action::Put { .. })).count();
        let at_once = self.syncs_at_once && puts >= MANY;
        let mut last_use = HashMap::new();
        for (index, order) in orders.iter().enumerate() {
            if let Action::Put { content, .. } = order.action {
                last_use.insert(content, index);
            }
        }
        let recipes: Vec<_> = (0..)
            .zip(orders)
            .map(|(index, order)| match order.action {
                Action::Put { content, size, executable, .. } => Some(Recipe {
                    order,
                    content,
                    size,
                    executable,
                    name: match order.expect {
                        None => self.stage.new_name_for_new_file(),
                        Some(_) => self.stage.new_name(),
                    },
                    source: self.source_of(content, last_use.get(&content) == Some(&index)),
                    syncs: !at_once,
                }),
                _ => None,
            })
            .collect();
        let (root, stage) = (self.root.as_fd(), self.own.stage.as_fd());
        let mut prepared: Vec<_> = self.pool.install(|| {
            recipes
                .par_iter()
                .map(|recipe| match recipe {
                    None => Prepared::Nothing,
                    Some(recipe) => match recipe.make(root, stage) {
                        Ok(Some(fresh)) => Prepared::File(fresh),
                        Ok(None) => Prepared::NoContent,
                        Err(error) => {
                            discard(stage, &recipe.name);
                            Prepared::Failed(reason::refused(&error))
                        }
                    },
                })
                .collect()
        });
        if at_once && let Err(error) = syncfs(stage) {
            let reason = reason::refused(&error.into());
            for prepared in &mut prepared {
                if let Prepared::File(fresh) = std::mem::replace(prepared, Prepared::Failed(reason.clone())) {
                    fresh.give_back(stage);
                }
            }
        }
        prepared
    }

    fn source_of(&self, content: Content, is_last_use: bool) -> Source {
        match self.stage.get(content) {
            Some(Staged::Small(bytes)) => Source::Bytes(bytes),
            Some(Staged::Large(name)) if is_last_use => Source::Taken(name),
            Some(Staged::Large(name)) => {
                stage::open_existing(&self.own.stage, &name).map_or(Source::Elsewhere, Source::Copied)
            }
            None => Source::Elsewhere,
        }
    }

    /// The same for one order whose content may have come to be by an order before it.
    pub(super) fn prepare_late(&mut self, order: &Order) -> Prepared {
        self.prepare(std::slice::from_ref(order)).pop().unwrap_or(Prepared::Nothing)
    }
}

impl Recipe<'_> {
    fn make(&self, root: BorrowedFd<'_>, stage: BorrowedFd<'_>) -> io::Result<Option<Fresh>> {
        let Action::Put { copy_from, .. } = &self.order.action else { return Ok(None) };
        let mut staged_as = None;
        let file = match &self.source {
            Source::Bytes(bytes) => {
                let file = stage::create(stage, &self.name)?;
                file.write_all_at(bytes, 0)?;
                file
            }
            Source::Taken(name) => {
                let file = stage::open_existing(stage, name)?;
                renameat(stage, name.as_str(), stage, self.name.as_str())?;
                staged_as = Some((self.content, name.clone()));
                file
            }
            Source::Copied(staged) => {
                let file = stage::create(stage, &self.name)?;
                stage::copy(staged, &file, self.size)?;
                file
            }
            Source::Elsewhere if self.size == 0 && self.content == Content::of(b"") => {
                stage::create(stage, &self.name)?
            }
            Source::Elsewhere => {
                let Some(from) = copy_from else { return Ok(None) };
                let file = stage::create(stage, &self.name)?;
                if !self.copy(root, from, &file)? {
                    discard(stage, &self.name);
                    return Ok(None);
                }
                file
            }
        };
        let facts = fstat(&file)?;
        let replaced = self.replaced(root);
        if let Some(replaced) = &replaced
            && (replaced.st_uid, replaced.st_gid) != (facts.st_uid, facts.st_gid)
        {
            // Only root can give files away; for everybody else the file is theirs from now on.
            let (user, group) = (Uid::from_raw(replaced.st_uid), Gid::from_raw(replaced.st_gid));
            let _ = fchown(&file, Some(user), Some(group)).or_else(|_| fchown(&file, None, Some(group)));
        }
        let mode = mode_for(replaced.map(|replaced| replaced.st_mode), facts.st_mode, self.executable);
        if mode != facts.st_mode & 0o7777 {
            fchmod(&file, Mode::from_bits_truncate(mode))?;
        }
        if self.syncs {
            file.sync_all()?;
        }
        Ok(Some(Fresh { name: self.name.clone(), inode: facts.st_ino, staged_as }))
    }

    /// Copies the content from elsewhere on this side. False if it is not there.
    fn copy(&self, root: BorrowedFd<'_>, from: &RelativePath, to: &File) -> io::Result<bool> {
        let opened = beneath::open_parent(root, from).map_err(io::Error::from);
        let Ok((from, fingerprint)) = opened.and_then(|folder| beneath::open_file(folder, from.name()))
        else {
            return Ok(false);
        };
        if fingerprint.size != self.size || stage::copy(&from, to, self.size)? != self.size {
            return Ok(false);
        }
        Ok(hash::hash_open(to).is_ok_and(|hashed| hashed.content() == Some(self.content)))
    }

    /// The file that is there now, if one is expected.
    fn replaced(&self, root: BorrowedFd<'_>) -> Option<FileStat> {
        let Some(Node::File { .. }) = self.order.expect else { return None };
        let folder = beneath::open_parent(root, &self.order.path).ok()?;
        fstatat(folder, self.order.path.name(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()
    }
}

impl Fresh {
    /// The content it was staged as, if it was; the stage knows it no longer when the file was used.
    pub(super) fn taken(&self) -> Option<Content> {
        self.staged_as.as_ref().map(|(content, _)| *content)
    }

    /// The file is not needed: large content is kept for when it is, small content travels again.
    pub(super) fn give_back(self, stage: BorrowedFd<'_>) {
        match self.staged_as {
            Some((_, name)) => {
                if let Err(error) = renameat(stage, self.name.as_str(), stage, name.as_str()) {
                    tracing::warn!(%error, "staged content cannot be given back: it travels again");
                }
            }
            None => discard(stage, &self.name),
        }
    }
}

/// Removes a file of the stage folder that is of no use.
pub(super) fn discard(stage: BorrowedFd<'_>, name: &str) {
    match unlinkat(stage, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
        Err(error) => {
            tracing::warn!(%error, name, "a staged file cannot be removed now; it is at the next start")
        }
    }
}

/// The mode of a file: that of the one it replaces, or of a new one; whoever may read it may execute it, if anybody may.
fn mode_for(replaced: Option<u32>, fresh: u32, executable: bool) -> u32 {
    let base = replaced.unwrap_or(fresh) & 0o777;
    if !executable {
        base & !0o111
    } else if base & 0o100 != 0 {
        base
    } else {
        base | 0o100 | ((base & 0o444) >> 2)
    }
}

#[cfg(test)]
mod tests {
    use super::mode_for;

    #[test]
    fn a_file_keeps_the_mode_of_the_one_it_replaces() {
        assert_eq!(mode_for(None, 0o100_644, false), 0o644);
        assert_eq!(mode_for(None, 0o100_644, true), 0o755);
        assert_eq!(mode_for(Some(0o100_600), 0o644, true), 0o700);
        assert_eq!(mode_for(Some(0o100_755), 0o644, false), 0o644);
        assert_eq!(mode_for(Some(0o100_700), 0o644, true), 0o700);
        assert_eq!(mode_for(Some(0o104_755), 0o644, true), 0o755, "nobody becomes somebody else by sync");
        assert_eq!(mode_for(Some(0o100_444), 0o644, false), 0o444);
    }
}
