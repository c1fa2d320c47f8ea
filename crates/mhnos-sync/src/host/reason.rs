//! What the system refused, in words that say what to do; each the end of a sentence that begins with the path.

use std::io;

use nix::errno::Errno;

/// Why something could not be written, moved or removed.
pub(super) fn refused(error: &io::Error) -> String {
    match errno(error) {
        Some(Errno::ENOSPC) => "cannot be written: the disk is full; make room, and it is tried again".into(),
        Some(Errno::EDQUOT) => {
            "cannot be written: your quota on this disk is used up; make room, and it is tried again".into()
        }
        Some(Errno::EROFS) => "cannot be written: the disk is read-only; mount it writable".into(),
        Some(Errno::EACCES | Errno::EPERM) => {
            "cannot be changed: the runtime may not; check the owner and the permissions of it and its folder"
                .into()
        }
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
            "cannot be changed: its folder is not there any more".into()
        }
        Some(Errno::ENAMETOOLONG | Errno::EILSEQ) => {
            "cannot be written: this disk does not take such a name; rename it".into()
        }
        Some(Errno::EXDEV) => "cannot be changed: it lies on another disk than the workspace".into(),
        Some(Errno::EBUSY) => "cannot be changed: something is mounted there".into(),
        Some(Errno::ETXTBSY) => "cannot be changed: it is being executed; end that program".into(),
        Some(Errno::EFBIG) => "cannot be written: it is larger than this disk takes".into(),
        _ => format!("cannot be changed: {error}"),
    }
}

/// Why something could not be read.
pub(super) fn unreadable(error: &io::Error) -> String {
    match errno(error) {
        Some(Errno::EACCES | Errno::EPERM) => {
            "cannot be read: the runtime may not; check its owner and its permissions".into()
        }
        Some(Errno::EMFILE | Errno::ENFILE) => {
            "cannot be read: too many files are open; it is tried again".into()
        }
        _ => format!("cannot be read: {error}; it is tried again"),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}
