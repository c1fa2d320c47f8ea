//! The workspace, as an open directory handle.
//!
//! Every file a page names is opened beneath that handle (cap-std): `..` and symbolic links that lead out fail in the kernel, also
//! when somebody swaps a folder in the middle. Files are written beside their place, without a name where the file system
//! can, and renamed into it when they are whole and on disk; so a file is at every instant wholly old or wholly new.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use cap_tempfile::TempFile;

use crate::paths::{self, PathError};
use mhnos_sync::rules::OWN_FOLDER;

/// Folders that are never listed: large, made by programs, and made again by them; and the one of two-way sync.
pub const IGNORED: [&str; 5] = ["node_modules", ".git", "dist", ".cache", OWN_FOLDER];

/// See the [module's description](self).
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    names: Vec<PathBuf>,
    directory: Dir,
}

/// Why a file request failed; a sentence.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is a symbolic link that leads out of the workspace, or runs through one.
    #[error("{0} leads out of the workspace through a symbolic link: only files inside it can be used")]
    LeadsOut(PathBuf),
    /// The path is the workspace itself.
    #[error("the workspace itself cannot be written: name a file in it")]
    Root,
    /// It is there, and is not a file.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// The operating system refused.
    #[error("{path}: {reason}")]
    Io {
        /// Relative to the workspace.
        path: PathBuf,
        /// A sentence.
        reason: String,
        /// For programs.
        kind: io::ErrorKind,
    },
}

/// Facts about a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is a folder.
    pub is_directory: bool,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub mtime: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

impl From<&Metadata> for Facts {
    fn from(metadata: &Metadata) -> Self {
        let mtime = metadata.modified().map(|time| time.into_std()).unwrap_or(UNIX_EPOCH);
        Self {
            is_directory: metadata.is_dir(),
            size: if metadata.is_dir() { 0 } else { metadata.len() },
            mtime: mtime.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            executable: metadata.is_file() && metadata.permissions().mode() & 0o100 != 0,
        }
    }
}

/// What a file is to look like when it is in its place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// Milliseconds since 1970; `None`: now.
    pub mtime: Option<u64>,
    /// `None`: as the file it replaces.
    pub executable: Option<bool>,
}

impl Workspace {
    /// Opens the folder, and makes it where it is not there.
    ///
    /// # Errors
    /// When it cannot be made, is not a folder, or cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let root = path.canonicalize()?;
        let directory = Dir::open_ambient_dir(&root, ambient_authority())?;
        TempFile::new(&directory)?;
        let mut names = vec![root.clone()];
        if path != root {
            names.push(path.to_owned());
        }
        Ok(Self { root, names, directory })
    }

    /// Its path on the host, without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path relative to the root that a page means. See [`paths::relative`].
    ///
    /// # Errors
    /// When no file can have this name.
    pub fn relative(&self, named: &str, directory: &Path) -> Result<PathBuf, PathError> {
        paths::relative(named, directory, &self.names)
    }

    /// See [`paths::argument`].
    pub fn argument(&self, argument: String) -> String {
        paths::argument(argument, &self.root, &self.names)
    }

    /// The host's path of a file, after a look that it does not lead out. It need not exist.
    ///
    /// # Errors
    /// When a symbolic link on the way leads out.
    pub fn host_path(&self, relative: &Path) -> Result<PathBuf, FileError> {
        match self.directory.canonicalize(or_dot(relative)) {
            Err(error) if is_escape(&error) => Err(FileError::LeadsOut(relative.to_owned())),
            _ => Ok(self.root.join(relative)),
        }
    }

    /// The folder, or the nearest one above it that exists: its handle, and its path relative to the root.
    ///
    /// # Errors
    /// When not even the root can be opened any more.
    pub fn nearest_directory(&self, relative: &Path) -> io::Result<(OwnedFd, PathBuf)> {
        let mut candidate = relative;
        loop {
            match self.directory.open_dir(or_dot(candidate)) {
                Ok(directory) => return Ok((directory.into_std_file().into(), candidate.to_owned())),
                Err(error) => candidate = candidate.parent().ok_or(error)?,
            }
        }
    }

    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// When the operating system refuses, or the path leads out.
    pub fn make_directory(&self, relative: &Path) -> Result<(), FileError> {
        self.open_or_make(relative).map(drop).map_err(|error| failed(relative, &error))
    }

    /// The folder, made where it is not there. Opened first: what leads out is called that, and not "there already".
    fn open_or_make(&self, relative: &Path) -> io::Result<Dir> {
        match self.directory.open_dir(or_dot(relative)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.directory.create_dir_all(or_dot(relative))?;
                self.directory.open_dir(or_dot(relative))
            }
            opened => opened,
        }
    }

    /// Writes a file: `content` writes its bytes, then it is put in its place at once. On any error nothing has changed.
    ///
    /// When the bytes are whole, `place` is given the file and decides: under its own name, in place of what is there (`None`), or under another name in the same folder.
    ///
    /// # Errors
    /// When the operating system refuses, or the path leads out.
    pub fn write(
        &self,
        relative: &Path,
        attributes: Attributes,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        place: impl FnOnce(&std::fs::File) -> io::Result<Option<OsString>>,
    ) -> Result<(), FileError> {
        let name = relative.file_name().ok_or(FileError::Root)?;
        let folder = relative.parent().unwrap_or(Path::new(""));
        let failed = |error: io::Error| failed(relative, &error);
        let folder = self.open_or_make(folder).map_err(failed)?;
        // The file itself is replaced, never written through: what a symbolic link points to stays.
        let replaced = folder.symlink_metadata(name).ok();
        if replaced.as_ref().is_some_and(Metadata::is_dir) {
            return Err(FileError::NotAFile(relative.to_owned()));
        }
        let write = || -> io::Result<()> {
            let mut file = TempFile::new(&folder)?;
            content(&mut file)?;
            let mode =
                replaced.filter(Metadata::is_file).map(|metadata| metadata.permissions().mode() & 0o777);
            if let Some(mode) =
                mode_for(mode, attributes.executable, file.as_file().metadata()?.permissions().mode())
            {
                file.as_file().set_permissions(Permissions::from_mode(mode))?;
            }
            let handle = file.as_file().try_clone()?.into_std();
            if let Some(mtime) = attributes.mtime {
                let mtime = UNIX_EPOCH.checked_add(Duration::from_millis(mtime));
                handle.set_modified(mtime.ok_or(io::ErrorKind::InvalidInput)?)?;
            }
            handle.sync_all()?;
            let other = place(&handle)?;
            file.replace(other.as_deref().unwrap_or(name))
        };
        write().map_err(failed)
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// When it is not a regular file, does not exist, or the path leads out.
    pub fn read(&self, relative: &Path) -> Result<(std::fs::File, Facts), FileError> {
        // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let file =
            self.directory.open_with(or_dot(relative), &options).map_err(|error| failed(relative, &error))?;
        let metadata = file.metadata().map_err(|error| failed(relative, &error))?;
        if !metadata.is_file() {
            return Err(FileError::NotAFile(relative.to_owned()));
        }
        Ok((file.into_std(), Facts::from(&metadata)))
    }

    /// Reads a file whole, at most `most` bytes of it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_whole(&self, relative: &Path, most: u64) -> Result<Vec<u8>, FileError> {
        let (file, facts) = self.read(relative)?;
        let mut content = Vec::with_capacity(facts.size.min(most) as usize);
        file.take(most).read_to_end(&mut content).map_err(|error| failed(relative, &error))?;
        Ok(content)
    }

    /// Visits everything below a folder, each folder before what is in it, names in order. What is ignored by default is passed
    /// over in silence; what cannot be handed out (links, devices, sockets, names that are not Unicode) is passed to `skipped`.
    ///
    /// # Errors
    /// When the folder cannot be read. One further down that cannot is passed to `skipped`.
    pub fn walk(
        &self,
        relative: &Path,
        visit: &mut dyn FnMut(String, Facts) -> bool,
        skipped: &mut dyn FnMut(String, &'static str),
    ) -> Result<(), FileError> {
        let directory =
            self.directory.open_dir(or_dot(relative)).map_err(|error| failed(relative, &error))?;
        walk(&directory, relative, visit, skipped).map(drop).map_err(|error| failed(relative, &error))
    }
}

/// False when the visitor has had enough.
fn walk(
    directory: &Dir,
    relative: &Path,
    visit: &mut dyn FnMut(String, Facts) -> bool,
    skipped: &mut dyn FnMut(String, &'static str),
) -> io::Result<bool> {
    let mut entries: Vec<_> = directory.entries()?.filter_map(Result::ok).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = entry.file_name();
        let path = relative.join(&name);
        let shown = path.to_string_lossy().into_owned();
        if IGNORED.iter().any(|&ignored| name == *ignored) {
            continue;
        }
        if path.to_str().is_none() {
            skipped(shown, "its name is not valid Unicode");
            continue;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            if !visit(shown.clone(), Facts::from(&metadata)) {
                return Ok(false);
            }
            match entry.open_dir().and_then(|directory| walk(&directory, &path, visit, skipped)) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(_) => skipped(shown, "the folder could not be read"),
            }
        } else if metadata.is_file() {
            if !visit(shown, Facts::from(&metadata)) {
                return Ok(false);
            }
        } else if metadata.is_symlink() {
            skipped(shown, "symbolic links are not handed out");
        } else {
            skipped(shown, "it is neither a file nor a folder");
        }
    }
    Ok(true)
}

/// The mode a new file is given; `None`: the one it has.
fn mode_for(replaced: Option<u32>, executable: Option<bool>, fresh: u32) -> Option<u32> {
    let base = replaced.unwrap_or(fresh & 0o777);
    // Whoever may read it may execute it.
    let mode = match executable {
        Some(true) => base | ((base & 0o444) >> 2),
        Some(false) => base & !0o111,
        None => base,
    };
    (mode != fresh & 0o777).then_some(mode)
}

/// cap-std names the root `.`, not by nothing.
fn or_dot(relative: &Path) -> &Path {
    if relative.as_os_str().is_empty() { Path::new(".") } else { relative }
}

/// What cap-std, or the kernel on its behalf, answers when a path would lead out.
fn is_escape(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EXDEV)
        || (error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none())
}

fn failed(relative: &Path, error: &io::Error) -> FileError {
    if is_escape(error) {
        return FileError::LeadsOut(relative.to_owned());
    }
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "the runtime may not: check its owner and permissions".to_owned(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "something on the way is a file where a folder is needed: rename one of them".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: make room and try again".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        io::ErrorKind::InvalidFilename => "the name is too long for this disk".to_owned(),
        _ => error.to_string(),
    };
    FileError::Io { path: relative.to_owned(), reason, kind: error.kind() }
}

/// The present, in milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn workspace() -> (tempfile::TempDir, Workspace) {
        let parent = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(&parent.path().join("ws")).unwrap();
        fs::create_dir(parent.path().join("ws-evil")).unwrap();
        fs::write(parent.path().join("secret"), "secret").unwrap();
        (parent, workspace)
    }

    fn write(workspace: &Workspace, path: &str, content: &[u8]) -> Result<(), FileError> {
        workspace.write(Path::new(path), Attributes::default(), |file| file.write_all(content), |_| Ok(None))
    }

    #[test]
    fn a_file_is_written_whole_with_its_folders_time_and_mode() {
        let (_parent, workspace) = workspace();
        let attributes = Attributes { mtime: Some(1_000_000_000_123), executable: Some(true) };
        workspace
            .write(Path::new("a/b/run.sh"), attributes, |file| file.write_all(b"one"), |_| Ok(None))
            .unwrap();
        let (_, facts) = workspace.read(Path::new("a/b/run.sh")).unwrap();
        assert_eq!(facts, Facts { is_directory: false, size: 3, mtime: 1_000_000_000_123, executable: true });
        // What replaces it keeps its mode.
        write(&workspace, "a/b/run.sh", b"two").unwrap();
        assert!(workspace.read(Path::new("a/b/run.sh")).unwrap().1.executable);
        assert_eq!(workspace.read_whole(Path::new("a/b/run.sh"), 2).unwrap(), b"tw");
        assert_eq!(fs::read_dir(workspace.root().join("a/b")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_write_that_fails_changes_nothing() {
        let (_parent, workspace) = workspace();
        write(&workspace, "f", b"old").unwrap();
        let half = |file: &mut dyn Write| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        let broken = workspace.write(Path::new("f"), Attributes::default(), half, |_| Ok(None));
        assert!(broken.is_err());
        assert_eq!(workspace.read_whole(Path::new("f"), 9).unwrap(), b"old");
        assert_eq!(fs::read_dir(workspace.root()).unwrap().count(), 1);
        assert!(matches!(write(&workspace, "", b""), Err(FileError::Root)));
        assert!(write(&workspace, "f/g", b"").unwrap_err().to_string().contains("where a folder is needed"));
        workspace.make_directory(Path::new("d")).unwrap();
        assert!(matches!(write(&workspace, "d", b""), Err(FileError::NotAFile(_))));
    }

    #[test]
    fn symbolic_links_do_not_lead_out() {
        let (parent, workspace) = workspace();
        symlink("../secret", workspace.root().join("link")).unwrap();
        symlink(parent.path(), workspace.root().join("out")).unwrap();
        symlink("../ws-evil", workspace.root().join("sibling")).unwrap();
        assert!(matches!(workspace.read(Path::new("link")), Err(FileError::LeadsOut(_))));
        assert!(matches!(workspace.read(Path::new("out/secret")), Err(FileError::LeadsOut(_))));
        assert!(matches!(write(&workspace, "out/new", b"x"), Err(FileError::LeadsOut(_))));
        assert!(matches!(write(&workspace, "sibling/new", b"x"), Err(FileError::LeadsOut(_))));
        assert!(matches!(workspace.make_directory(Path::new("out/new")), Err(FileError::LeadsOut(_))));
        assert!(matches!(workspace.host_path(Path::new("link")), Err(FileError::LeadsOut(_))));
        assert_eq!(workspace.nearest_directory(Path::new("out/x")).unwrap().1, Path::new(""));
        // Writing to the link's own name replaces the link.
        write(&workspace, "link", b"mine").unwrap();
        assert_eq!(fs::read_to_string(parent.path().join("secret")).unwrap(), "secret");
        assert_eq!(fs::read_dir(parent.path().join("ws-evil")).unwrap().count(), 0);
        assert!(!parent.path().join("new").exists());
    }

    #[test]
    fn a_walk_names_everything_and_says_what_it_left_out() {
        let (_parent, workspace) = workspace();
        for path in ["b/c.txt", "a.txt", "node_modules/x/y", "b/.git/config", "dist/z"] {
            write(&workspace, path, b"1").unwrap();
        }
        symlink("a.txt", workspace.root().join("link")).unwrap();
        nix::unistd::mkfifo(&workspace.root().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(workspace.root().join(std::str::from_utf8(b"\xc3\xa4").unwrap()), "").unwrap();
        let mut bad = workspace.root().as_os_str().as_encoded_bytes().to_vec();
        bad.extend_from_slice(b"/\xff");
        use std::os::unix::ffi::OsStringExt;
        fs::write(std::ffi::OsString::from_vec(bad), "").unwrap();
        let (mut seen, mut skipped) = (Vec::new(), Vec::new());
        workspace
            .walk(
                Path::new(""),
                &mut |path, _| {
                    seen.push(path);
                    true
                },
                &mut |path, _| skipped.push(path),
            )
            .unwrap();
        assert_eq!(seen, ["a.txt", "b", "b/c.txt", "ä"]);
        assert_eq!(skipped, ["link", "pipe", "\u{fffd}"]);
        // A FIFO does not hold up whoever asks for it.
        assert!(matches!(workspace.read(Path::new("pipe")), Err(FileError::NotAFile(_))));
    }

    #[test]
    fn a_folder_that_is_gone_is_the_nearest_above() {
        let (_parent, workspace) = workspace();
        workspace.make_directory(Path::new("a/b")).unwrap();
        assert_eq!(workspace.nearest_directory(Path::new("a/b/c/d")).unwrap().1, Path::new("a/b"));
        write(&workspace, "a/f", b"").unwrap();
        assert_eq!(workspace.nearest_directory(Path::new("a/f")).unwrap().1, Path::new("a"));
    }
}
