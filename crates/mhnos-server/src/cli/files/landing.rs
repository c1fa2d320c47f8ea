//! Puts pulled files into a folder of this machine: whole or not at all, and never anywhere else.
//!
//! The folder is opened once, and everything is opened beneath that handle: neither a path that the runtime names nor a
//! link that lies in the folder leads out of it. A file is written without a name, then put in its place by renaming.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};
use std::time::{Duration, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use cap_tempfile::TempFile;

pub(super) struct Landing {
    folder: Dir,
}

/// What a file is like beside its content.
pub(super) struct Attributes {
    /// Milliseconds since 1970.
    pub(super) mtime: u64,
    pub(super) executable: bool,
}

impl Landing {
    /// Opens the folder, made if it is not there.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: Dir::open_ambient_dir(folder, ambient_authority())? })
    }

    pub(super) fn make_directory(&self, path: &str) -> io::Result<()> {
        self.folder.create_dir_all(path).map_err(|error| match error.kind() {
            // What cap-std says of a link that leads elsewhere, too.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                let reason = format!("{path} is a file or a link here, move it away");
                io::Error::new(error.kind(), reason)
            }
            _ => error,
        })
    }

    /// The folder a file belongs in, and its name there.
    pub(super) fn place<'path>(&self, path: &'path str) -> io::Result<(Dir, &'path str)> {
        match path.rsplit_once('/') {
            Some((parent, name)) => {
                self.make_directory(parent)?;
                Ok((self.folder.open_dir(parent)?, name))
            }
            None => Ok((self.folder.try_clone()?, path)),
        }
    }
}

/// A file that is being written; gone if it is dropped before [`Incoming::finish`].
pub(super) struct Incoming<'place> {
    file: TempFile<'place>,
    name: &'place str,
}

impl<'place> Incoming<'place> {
    pub(super) fn new((folder, name): &'place (Dir, &str)) -> io::Result<Self> {
        Ok(Self { file: TempFile::new(folder)?, name })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts the file in its place.
    pub(super) fn finish(self, attributes: &Attributes) -> io::Result<()> {
        let file = self.file.as_file().try_clone()?.into_std();
        if attributes.executable {
            let mode = file.metadata()?.permissions().mode();
            // Who may read it may run it.
            file.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
        }
        if let Some(time) = UNIX_EPOCH.checked_add(Duration::from_millis(attributes.mtime)) {
            file.set_modified(time)?;
        }
        self.file.replace(self.name)
    }
}

/// Whether a path is made of plain names only.
pub(super) fn is_plain(path: &str) -> bool {
    let plain = |component| matches!(component, Component::Normal(_));
    !path.is_empty()
        && !path.contains('\0')
        && path.split('/').all(|name| !name.is_empty())
        && Path::new(path).components().all(plain)
        && Path::new(path).components().count() == path.split('/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn land(landing: &Landing, path: &str, text: &[u8]) -> io::Result<()> {
        let place = landing.place(path)?;
        let mut incoming = Incoming::new(&place)?;
        incoming.write(text)?;
        incoming.finish(&Attributes { mtime: 1_000_000_000_000, executable: true })
    }

    #[test]
    fn a_file_lands_with_its_attributes() {
        let folder = tempfile::tempdir().unwrap();
        let landing = Landing::open(&folder.path().join("new")).unwrap();
        land(&landing, "a/b.sh", b"old").unwrap();
        land(&landing, "a/b.sh", b"new").unwrap();
        let path = folder.path().join("new/a/b.sh");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.modified().unwrap(), UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        assert_eq!(metadata.permissions().mode() & 0o100, 0o100);
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_does_not_come_whole_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let landing = Landing::open(folder.path()).unwrap();
        let place = landing.place("a").unwrap();
        let mut incoming = Incoming::new(&place).unwrap();
        incoming.write(b"half").unwrap();
        drop(incoming);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn no_link_leads_out_of_the_folder() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let landing = Landing::open(folder.path()).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        std::fs::write(outside.path().join("mine"), "mine").unwrap();
        std::os::unix::fs::symlink(outside.path().join("mine"), folder.path().join("file")).unwrap();
        assert!(land(&landing, "out/mine", b"theirs").is_err());
        assert!(landing.make_directory("out/new").is_err());
        land(&landing, "file", b"theirs").unwrap();
        assert_eq!(std::fs::read(outside.path().join("mine")).unwrap(), b"mine");
        assert_eq!(outside.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn only_plain_paths_are_taken() {
        for path in ["a", "a/b c", ".a", "a/..b", "ü/ö"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "/a", "a//b", "../a", "a/..", "a/./b", ".", "a/", "a\0b"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
