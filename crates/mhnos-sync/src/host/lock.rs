//! The engine's own folder in the root: the lock that keeps a second runtime away, the folder's identity, and the stage.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use super::beneath;
use crate::model::RelativePath;
use crate::rules::OWN_FOLDER;

/// Longest name of a holder that is read from the lock.
const NAME_BYTES: u64 = 512;

/// Why a folder could not be opened for sync.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another runtime syncs this folder.
    #[error("this folder is synced by another runtime already ({0}): end that one, or choose another folder")]
    Taken(String),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for OpenError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// The engine's own folder, held.
#[derive(Debug)]
pub(super) struct Own {
    /// Released when it is closed, also by `kill -9`.
    _lock: Flock<File>,
    pub(super) identity: String,
    pub(super) stage: OwnedFd,
}

impl Own {
    /// Opens the folder in the root, makes it where it is not there, and locks it for `holder`.
    pub(super) fn open(root: impl AsFd, holder: &str) -> Result<Self, OpenError> {
        let folder = make_folder(&root, OWN_FOLDER)?;
        let open = |name: &str, how: OFlag| {
            let flags = how | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            openat(&folder, name, flags, Mode::from_bits_truncate(0o666)).map(File::from)
        };
        let write = |name: &str, text: &str| {
            let mut file = open(name, OFlag::O_WRONLY | OFlag::O_TRUNC)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        let read = |file: &File| {
            let mut text = String::new();
            file.take(NAME_BYTES).read_to_string(&mut text).map(|_| text.trim().to_owned())
        };
        // Held open for reading only: nothing keeps the person from mounting the disk read-only meanwhile.
        let lock = match Flock::lock(open("lock", OFlag::O_RDONLY)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => return Err(OpenError::Taken(read(&file)?)),
            Err((_, error)) => return Err(error.into()),
        };
        write("lock", &format!("{holder}\n"))?;
        let mut identity = read(&open("identity", OFlag::O_RDONLY)?)?;
        if identity.len() != 32 {
            // Unlike the inode it stays the same when the folder is copied back from a backup, or the disk has another number.
            let seed =
                format!("{holder} {:?} {:?}", std::time::SystemTime::now(), nix::sys::stat::fstat(&folder)?);
            identity = blake3::hash(seed.as_bytes()).to_hex()[..32].to_owned();
            write("identity", &format!("{identity}\n"))?;
        }
        // So that `git add .` in a workspace that is a repository does not take it up.
        write(".gitignore", "*\n")?;
        let stage = make_folder(&folder, "stage")?;
        Ok(Self { _lock: lock, identity, stage })
    }
}

fn make_folder(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(&parent, name, Mode::from_bits_truncate(0o700)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let path = RelativePath::new(name).map_err(io::Error::other)?;
    Ok(beneath::open_folder(parent, Some(&path), beneath::LISTED)?)
}
