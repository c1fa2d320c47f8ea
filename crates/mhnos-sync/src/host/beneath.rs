//! Opening beneath the root, and nowhere else.
//!
//! Every folder on the way is opened by its name within the one above it, and never through a symbolic link. So a path cannot lead
//! out, whoever swaps what for a link in the meantime.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::fingerprint::Fingerprint;
use crate::model::RelativePath;

/// What is at a name, told without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A folder.
    Folder {
        /// The number of its device: another than the root's if something is mounted there.
        device: u64,
    },
    /// A regular file.
    File(Fingerprint),
    /// What is never synced: why, as the end of a sentence.
    Odd(&'static str),
}

/// A folder, to list it or to sync it to disk.
pub(super) const LISTED: OFlag = OFlag::O_RDONLY;
/// A folder, to reach what is in it; also one that must not be listed.
pub(super) const PASSED: OFlag = OFlag::O_PATH;

/// Opens a folder beneath the root; `None`: the root itself.
pub(super) fn open_folder(root: impl AsFd, path: Option<&RelativePath>, how: OFlag) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Some(path) = path else { return openat(root, ".", how | flags, Mode::empty()) };
    let (above, name) = match path.as_str().rsplit_once('/') {
        Some((above, name)) => (Some(above), name),
        None => (None, path.as_str()),
    };
    let mut folder: Option<OwnedFd> = None;
    for step in above.into_iter().flat_map(|above| above.split('/')) {
        folder = Some(match &folder {
            Some(folder) => openat(folder, step, PASSED | flags, Mode::empty())?,
            None => openat(&root, step, PASSED | flags, Mode::empty())?,
        });
    }
    match &folder {
        Some(folder) => openat(folder, name, how | flags, Mode::empty()),
        None => openat(&root, name, how | flags, Mode::empty()),
    }
}

/// Opens the folder that a path is in, to reach what is in it.
pub(super) fn open_parent(root: impl AsFd, path: &RelativePath) -> nix::Result<OwnedFd> {
    open_folder(root, path.parent().as_ref(), PASSED)
}

/// Opens a regular file for reading, and says what it is.
pub(super) fn open_file(folder: impl AsFd, name: &str) -> io::Result<(File, Fingerprint)> {
    // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    match found(&nix::sys::stat::fstat(&file)?) {
        Found::File(fingerprint) => Ok((file, fingerprint)),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What is at a name in a folder.
pub(super) fn look(folder: impl AsFd, name: &str) -> nix::Result<Found> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(found(&stat)),
        Err(Errno::ENOENT) => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

fn found(stat: &FileStat) -> Found {
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => Found::Folder { device: stat.st_dev },
        SFlag::S_IFREG => Found::File(Fingerprint::of(stat)),
        SFlag::S_IFLNK => Found::Odd("is a symbolic link: links are not synced"),
        SFlag::S_IFIFO => Found::Odd("is a pipe: only files and folders are synced"),
        SFlag::S_IFSOCK => Found::Odd("is a socket: only files and folders are synced"),
        _ => Found::Odd("is a device: only files and folders are synced"),
    }
}
