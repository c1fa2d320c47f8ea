//! Putting one thing in another's place at once, and having what was there afterwards.
//!
//! Linux exchanges two names in one step, and renames only where nothing is. A file system that can do neither gets the nearest it can:
//! at every instant there is the old or the new file, and what was there is kept under a second name, or as a copy, before it is replaced.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::beneath::{self, Found};

/// How things are renamed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Swap {
    /// As if the file system could neither exchange nor refuse to replace; so that tests see that way too.
    pub(super) is_plain: bool,
}

impl Swap {
    /// Renames; `EEXIST` if something is there.
    pub(super) fn rename_to_nothing(
        self,
        from: impl AsFd,
        from_name: &str,
        to: impl AsFd,
        to_name: &str,
    ) -> nix::Result<()> {
        if !self.is_plain {
            match renameat2(&from, from_name, &to, to_name, RenameFlags::RENAME_NOREPLACE) {
                Err(Errno::EINVAL | Errno::ENOSYS) => {}
                done => return done,
            }
        }
        match linkat(&from, from_name, &to, to_name, AtFlags::empty()) {
            Ok(()) => unlinkat(&from, from_name, UnlinkatFlags::NoRemoveDir),
            // Folders have no second names, and some file systems know none at all.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EISDIR) => match beneath::look(&to, to_name)? {
                Found::Nothing => renameat(&from, from_name, &to, to_name),
                _ => Err(Errno::EEXIST),
            },
            Err(error) => Err(error),
        }
    }

    /// Puts the file `fresh` of the stage folder in another's place. What was there has the name `fresh` then.
    pub(super) fn exchange(
        self,
        stage: impl AsFd,
        fresh: &str,
        folder: impl AsFd,
        name: &str,
    ) -> io::Result<()> {
        if !self.is_plain {
            match renameat2(&stage, fresh, &folder, name, RenameFlags::RENAME_EXCHANGE) {
                Err(Errno::EINVAL | Errno::ENOSYS) => {}
                done => return Ok(done?),
            }
        }
        let kept = format!("{fresh}-old");
        match linkat(&folder, name, &stage, kept.as_str(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EPERM | Errno::EOPNOTSUPP) => {
                let (mut from, _) = beneath::open_file(&folder, name)?;
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                let mut to =
                    File::from(openat(&stage, kept.as_str(), flags, Mode::from_bits_truncate(0o600))?);
                io::copy(&mut from, &mut to)?;
                to.sync_all()?;
            }
            Err(error) => return Err(error.into()),
        }
        renameat(&stage, fresh, &folder, name)?;
        Ok(renameat(&stage, kept.as_str(), &stage, fresh)?)
    }
}
