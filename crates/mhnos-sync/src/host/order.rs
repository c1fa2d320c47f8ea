//! One order: looked at, carried out, and looked at again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::{self, Found};
use super::known::Entry;
use super::prepare::{Fresh, Prepared};
use super::scan::Leftovers;
use super::{Host, reason};
use crate::model::{Node, RelativePath};
use crate::side::{Action, Order};

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) enum Refused {
    /// Something else is there.
    Changed,
    /// Why it cannot be.
    Failed(String),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(reason::refused(&error))
    }
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        match error {
            // Its folder, or it itself, went away in this moment; or something came.
            Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EEXIST | Errno::EISDIR => Self::Changed,
            error => io::Error::from(error).into(),
        }
    }
}

/// What carrying out an order left behind.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The name in the stage folder of what was displaced.
    pub(super) displaced: bool,
    /// Folders whose entries changed, to be synced: with what they were opened as.
    pub(super) folders: Vec<(Option<RelativePath>, OwnedFd)>,
    /// The file that was prepared was used.
    pub(super) used: bool,
}

impl Host {
    /// Carries out one order. `staged` is the name in the stage folder for what it displaces, and that of the file that was prepared, if one was.
    pub(super) fn carry_out_one(
        &mut self,
        order: &Order,
        prepared: &Prepared,
        staged: &str,
        trace: &mut Trace,
    ) -> Result<(), Refused> {
        let is_folder =
            matches!(order.action, Action::MakeDirectory | Action::Move { moved: Node::Directory, .. });
        if self.rules.ignores(&order.path, is_folder) {
            return Err(Refused::Failed("is ignored".into()));
        }
        let now = self.node_now(&order.path).map_err(Refused::Failed)?;
        let wanted = match order.action {
            Action::MakeDirectory => Some(Some(Node::Directory)),
            Action::Put { content, size, executable, .. } => {
                Some(Some(Node::File { content, size, executable }))
            }
            Action::Move { .. } => None,
            Action::Remove => Some(None),
        };
        if wanted == Some(now) {
            return Ok(());
        }
        if now != order.expect {
            return Err(Refused::Changed);
        }
        let parent = beneath::open_parent(&self.root, &order.path)?;
        let place = Place { path: &order.path, parent: &parent };
        match &order.action {
            Action::MakeDirectory => self.make_directory(place, order.expect, staged, trace)?,
            Action::Put { content, executable, .. } => match (order.expect, prepared) {
                (Some(Node::File { content: old, .. }), _) if old == *content => {
                    self.set_executable(place, *executable)?
                }
                (_, Prepared::File(fresh)) => self.put(place, order, fresh, trace)?,
                (_, Prepared::Failed(reason)) => return Err(Refused::Failed(reason.clone())),
                (_, Prepared::Nothing | Prepared::NoContent) => return Err(Refused::Changed),
            },
            Action::Move { from, moved } => {
                self.move_here(place, order.expect, from, *moved, staged, trace)?
            }
            Action::Remove => match order.expect {
                Some(Node::Directory) => self.remove_folder(place)?,
                _ => self.displace(place, staged, trace)?,
            },
        }
        if order.action == Action::Remove {
            self.known.remove(&order.path);
        }
        trace.folders.push((order.path.parent(), parent));
        Ok(())
    }

    fn make_directory(
        &mut self,
        place: Place<'_>,
        expect: Option<Node>,
        staged: &str,
        trace: &mut Trace,
    ) -> Result<(), Refused> {
        if matches!(expect, Some(Node::File { .. })) {
            self.displace(place, staged, trace)?;
        }
        mkdirat(place.parent, place.path.name(), Mode::from_bits_truncate(0o777))?;
        self.known.set(place.path, Entry { node: Node::Directory, seen: None });
        Ok(())
    }

    fn set_executable(&mut self, place: Place<'_>, executable: bool) -> Result<(), Refused> {
        let (file, before) = beneath::open_file(place.parent, place.path.name())?;
        let mode = if executable {
            before.mode | 0o100 | ((before.mode & 0o444) >> 2)
        } else {
            before.mode & !0o111
        };
        fchmod(&file, Mode::from_bits_truncate(mode))?;
        file.sync_all()?;
        self.node_now(place.path).map(drop).map_err(Refused::Failed)
    }

    fn put(
        &mut self,
        place: Place<'_>,
        order: &Order,
        fresh: &Fresh,
        trace: &mut Trace,
    ) -> Result<(), Refused> {
        let Action::Put { content, size, executable, .. } = order.action else {
            return Err(Refused::Changed);
        };
        if order.expect == Some(Node::Directory) {
            self.remove_folder(place)?;
        }
        let stage = self.own.stage.as_fd();
        match order.expect {
            Some(Node::File { .. }) => {
                let before = place.look()?;
                self.swap.exchange(stage, &fresh.name, place.parent, place.path.name())?;
                if !is_what_was(&beneath::look(stage, &fresh.name)?, &before) {
                    // Somebody wrote in the instant between. What they wrote goes back; should there be something newer yet, then
                    // that comes out, and is kept.
                    self.swap.exchange(stage, &fresh.name, place.parent, place.path.name())?;
                    trace.displaced = !matches!(beneath::look(stage, &fresh.name)?, Found::File(found) if found.inode == fresh.inode);
                    trace.used = trace.displaced;
                    return Err(Refused::Changed);
                }
                trace.displaced = true;
            }
            Some(Node::Directory) | None => {
                self.swap.rename_to_nothing(stage, &fresh.name, place.parent, place.path.name())?;
            }
        }
        trace.used = true;
        if let Some(content) = fresh.taken() {
            self.stage.took_large(content);
        }
        // Younger than any proof could be: it is read once more when it is looked at.
        self.known.set(place.path, Entry { node: Node::File { content, size, executable }, seen: None });
        Ok(())
    }

    /// Takes a file away into the stage folder.
    fn displace(&mut self, place: Place<'_>, staged: &str, trace: &mut Trace) -> Result<(), Refused> {
        let stage = self.own.stage.as_fd();
        let before = place.look()?;
        self.swap.rename_to_nothing(place.parent, place.path.name(), stage, staged)?;
        if is_what_was(&beneath::look(stage, staged)?, &before) {
            trace.displaced = true;
            return Ok(());
        }
        // If something is there again already, then what was taken is a version.
        let back = self.swap.rename_to_nothing(stage, staged, place.parent, place.path.name());
        trace.displaced = back.is_err();
        Err(Refused::Changed)
    }

    fn remove_folder(&mut self, place: Place<'_>) -> Result<(), Refused> {
        match unlinkat(place.parent, place.path.name(), UnlinkatFlags::RemoveDir) {
            Ok(()) => {
                self.known.remove(place.path);
                return Ok(());
            }
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match self.ground().leftovers(place.path)? {
            Leftovers::OnlyIgnored => {
                Err(Refused::Failed("has ignored files in it, which are never deleted".into()))
            }
            Leftovers::Unsynced(name) => Err(Refused::Failed(format!(
                "has something in it that is not synced, and so not deleted: {name}"
            ))),
            Leftovers::Synced | Leftovers::Nothing => {
                self.look_soon(place.path.clone());
                Err(Refused::Changed)
            }
        }
    }

    fn move_here(
        &mut self,
        place: Place<'_>,
        expect: Option<Node>,
        from: &RelativePath,
        moved: Node,
        staged: &str,
        trace: &mut Trace,
    ) -> Result<(), Refused> {
        if self.node_now(from).map_err(Refused::Failed)? != Some(moved) {
            return Err(Refused::Changed);
        }
        let source = beneath::open_parent(&self.root, from)?;
        let names = (from.name(), place.path.name());
        match expect {
            Some(Node::File { .. }) => {
                // The name is never without a file: both change places, and then what was here is taken away from there.
                let exchanged = match self.swap.is_plain {
                    true => Err(Errno::EINVAL),
                    false => renameat2(&source, names.0, place.parent, names.1, RenameFlags::RENAME_EXCHANGE),
                };
                match exchanged {
                    Ok(()) => self.displace(Place { path: from, parent: &source }, staged, trace)?,
                    Err(Errno::EINVAL | Errno::ENOSYS) => {
                        self.displace(place, staged, trace)?;
                        renameat(&source, names.0, place.parent, names.1)?;
                    }
                    Err(error) => return Err(error.into()),
                }
                self.known.remove(place.path);
            }
            Some(Node::Directory) => {
                self.remove_folder(place)?;
                self.swap.rename_to_nothing(&source, names.0, place.parent, names.1)?;
            }
            None => self.swap.rename_to_nothing(&source, names.0, place.parent, names.1)?,
        }
        self.known.rename(from, place.path);
        trace.folders.push((from.parent(), source));
        Ok(())
    }
}

/// Where something is: its path, and its folder, open.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a RelativePath,
    parent: &'a OwnedFd,
}

impl Place<'_> {
    fn look(&self) -> nix::Result<Found> {
        beneath::look(self.parent, self.path.name())
    }
}

/// Whether what was taken is what was seen a moment before it was.
fn is_what_was(taken: &Found, before: &Found) -> bool {
    match (taken, before) {
        (Found::File(taken), Found::File(before)) => taken.is_renamed(before),
        _ => false,
    }
}

/// Opens a folder that is open as a path only so that it can be synced, and says which one it is.
pub(super) fn for_syncing(folder: &OwnedFd) -> nix::Result<(OwnedFd, u64)> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = openat(folder, ".", flags, Mode::empty())?;
    let inode = fstat(&opened)?.st_ino;
    Ok((opened, inode))
}
