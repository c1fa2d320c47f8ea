//! The state folder: everything the runtime keeps on disk outside the workspace, and the names of all of it.
//!
//! | name | what it is |
//! |---|---|
//! | `token` | the secret of local programs (256 bits, hexadecimal), mode 0600 |
//! | `runtime.json` | where the running runtime listens; there while it runs |
//! | `lock` | held by the running runtime, so that there is one per folder |
//! | `settings.json` | settings, if the person wrote some |
//! | `trust.sqlite` | what a person has decided about web pages |
//! | `audit.log`, `audit.1.log`…, `audit.head` | who was let in, what was started and ended |
//! | `control.sock` | where local commands reach the running runtime; there while it runs |
//! | `logs/` | the runtime's own log, a file a day |
//! | `scratch/` | files of running programs: nameless older output; `made/`: configurations; `tmp/`: their temporary folder |
//! | `home/` | the home of programs in a sandbox, in place of the person's |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mhnos_process::sandbox::Places;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// The state folder of one runtime.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
}

/// Where a running runtime is reached, as `runtime.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningRuntime {
    /// Its process.
    pub pid: u32,
    /// Its port.
    pub port: u16,
    /// Its address, `ws://127.0.0.1:<port>`.
    pub url: String,
    /// Its version.
    pub version: String,
    /// When it began to listen, in milliseconds since 1970.
    pub started: u64,
    /// Its workspace.
    pub workspace: PathBuf,
}

/// Held for as long as a runtime runs on a state folder.
#[derive(Debug)]
pub struct StateLock {
    _lock: Flock<File>,
}

/// Why the state folder, or something in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No home folder, and no state folder named.
    #[error("there is no home folder to keep the state in: name a folder with --state-dir")]
    NoHome,
    /// The operating system refused.
    #[error("{path}: {error}: check its owner and permissions, or name another folder with --state-dir")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Something else stands where a file of ours should.
    #[error("{path} is {what}, and could have been planted by another program: remove it and start again")]
    Planted {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The folder is in use for something else.
    #[error(
        "{0} is open to others and holds other files: name an empty folder, or a new one, with --state-dir"
    )]
    NotPrivate(PathBuf),
    /// Another runtime has the folder.
    #[error(
        "a runtime is running on the state folder {path} already{whom}: use that one, stop it first, or name another folder \
         with --state-dir"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Pid and address, where known.
        whom: String,
    },
}

impl StateDirectory {
    /// The folder named, or the one `MHNOS_STATE_DIR` names, or the platform's own place for it. Makes it, for nobody else to
    /// read, where it is not there.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to somebody else.
    pub fn open(explicit: Option<&Path>) -> Result<Self, StateError> {
        let named = explicit.map(Path::to_owned).or_else(|| {
            std::env::var_os("MHNOS_STATE_DIR").filter(|value| !value.is_empty()).map(PathBuf::from)
        });
        let path = match named {
            Some(path) => std::path::absolute(&path).map_err(|error| StateError::Io { path, error })?,
            None => {
                let directories =
                    directories::ProjectDirs::from("", "", "mhnos").ok_or(StateError::NoHome)?;
                directories.state_dir().unwrap_or_else(|| directories.data_local_dir()).to_owned()
            }
        };
        let failed = |error| StateError::Io { path: path.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let metadata = fs::metadata(&path).map_err(failed)?;
        if metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(StateError::Planted { path, what: "a folder of another user" });
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            // Somebody's home or /tmp must not be locked up because it was named by mistake.
            let is_ours = path.join("lock").is_file();
            let is_empty = fs::read_dir(&path).map_err(failed)?.next().is_none();
            if !is_ours && !is_empty {
                return Err(StateError::NotPrivate(path));
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of the runtime's own log.
    pub fn log_directory(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Folder for files of running programs, with [`Self::made`] and [`Self::temporary`] in it, emptied of what an earlier runtime has
    /// left; and [`Self::home`], where it is not there.
    ///
    /// # Errors
    /// When it cannot be made. To be called only by who holds the lock.
    pub fn fresh_scratch(&self) -> Result<PathBuf, StateError> {
        let path = self.path.join("scratch");
        let failed = |error| StateError::Io { path: path.clone(), error };
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        for folder in [&path, &self.made(), &self.temporary(), &self.home()] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        Ok(path)
    }

    /// Folder for files the runtime makes for programs to read.
    pub fn made(&self) -> PathBuf {
        self.path.join("scratch/made")
    }

    /// The index of two-way sync.
    pub fn sync_index(&self) -> PathBuf {
        self.path.join("sync.sqlite")
    }

    /// Where two-way sync keeps what it replaced or removed.
    pub fn versions_directory(&self) -> PathBuf {
        self.path.join("versions")
    }

    /// The temporary folder of programs in a sandbox.
    pub fn temporary(&self) -> PathBuf {
        self.path.join("scratch/tmp")
    }

    /// The home of programs in a sandbox. Kept from one runtime to the next.
    pub fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// The folders of the sandbox that programs run in.
    pub fn places(&self, workspace: PathBuf) -> Places {
        Places {
            workspace,
            home: self.home(),
            temporary: self.temporary(),
            made: self.made(),
            closed: self.path.clone(),
        }
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// When another runtime has it; the error names that one.
    pub fn lock(&self) -> Result<StateLock, StateError> {
        let began = Instant::now();
        loop {
            if let Some(lock) = self.try_lock(FlockArg::LockExclusiveNonblock)? {
                return Ok(StateLock { _lock: lock });
            }
            if began.elapsed() > LOOKS_LAST {
                let whom = match self.announced() {
                    Some(runtime) => format!(" (pid {}, {})", runtime.pid, runtime.url),
                    None => String::new(),
                };
                return Err(StateError::Locked { path: self.path.clone(), whom });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// `None` when another process has the lock in a way that excludes this one.
    fn try_lock(&self, how: FlockArg) -> Result<Option<Flock<File>>, StateError> {
        let path = self.path.join("lock");
        let failed = |error| StateError::Io { path: path.clone(), error };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, how) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(failed(error.into())),
        }
    }

    /// The secret of local programs.
    ///
    /// # Errors
    /// When there is none, it is not a file of our own that only we can read, or cannot be read.
    pub fn token(&self) -> Result<String, StateError> {
        let path = self.path.join("token");
        let failed = |error| StateError::Io { path: path.clone(), error };
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&path)
            .map_err(|error| match error.raw_os_error() {
                Some(nix::libc::ELOOP) => StateError::Planted { path: path.clone(), what: "a symbolic link" },
                _ => failed(error),
            })?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.nlink() != 1 {
            return Err(StateError::Planted { path, what: "not a file of ours alone" });
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(StateError::Planted { path, what: "open to other users" });
        }
        let mut token = String::new();
        file.read_to_string(&mut token).map_err(failed)?;
        let token = token.trim().to_owned();
        if token.len() != TOKEN_BYTES * 2 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StateError::Planted { path, what: "not a token" });
        }
        Ok(token)
    }

    /// The secret of local programs, made where there is none yet.
    ///
    /// # Errors
    /// As [`Self::token`]; nothing that stands in its place is ever overwritten or followed.
    pub fn token_or_new(&self) -> Result<String, StateError> {
        let path = self.path.join("token");
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match created {
            Ok(mut file) => {
                let token = random_hexadecimal::<TOKEN_BYTES>();
                file.write_all(token.as_bytes()).map_err(|error| StateError::Io { path, error })?;
                Ok(token)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => self.token(),
            Err(error) => Err(StateError::Io { path, error }),
        }
    }

    /// Writes down where the runtime is reached.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, runtime: &RunningRuntime) -> Result<(), StateError> {
        self.replace("runtime.json", runtime)
    }

    /// Writes a file of ours at once.
    fn replace(&self, name: &str, content: &impl Serialize) -> Result<(), StateError> {
        let path = self.path.join(name);
        let written = serde_json::to_vec_pretty(content).map_err(std::io::Error::other).and_then(|text| {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        });
        written.map_err(|error| StateError::Io { path, error })
    }

    /// Takes the announcement back.
    pub fn withdraw(&self) {
        let _ = fs::remove_file(self.path.join("runtime.json"));
        let _ = fs::remove_file(self.control_socket());
    }

    /// The socket of the control role.
    pub fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Where the runtime of this folder is reached; `None` when none runs.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn runtime(&self) -> Result<Option<RunningRuntime>, StateError> {
        // What was killed leaves its announcement. The lock went with it, and it alone is the truth. It is shared with whoever looks at the same time.
        match self.try_lock(FlockArg::LockSharedNonblock)? {
            Some(_free) => Ok(None),
            None => Ok(self.announced()),
        }
    }

    /// What was announced last. It may be left over from a runtime that was killed: [`Self::runtime`] knows, but takes the lock for a
    /// moment, which whoever looks again and again must not do.
    pub fn announced(&self) -> Option<RunningRuntime> {
        serde_json::from_slice(&fs::read(self.path.join("runtime.json")).ok()?).ok()
    }
}

const TOKEN_BYTES: usize = 32;

/// How long a runtime that starts waits for the lock: whoever looks whether one runs has it for an instant, and is not to keep one from starting.
const LOOKS_LAST: Duration = Duration::from_millis(250);

/// `N` random bytes from the operating system, as hexadecimal digits.
pub(crate) fn random_hexadecimal<const N: usize>() -> String {
    let mut bytes = [0; N];
    // Where the system has no randomness to give there is no safe way on.
    #[allow(clippy::expect_used, reason = "a predictable secret would be worse than no runtime")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, StateDirectory) {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(&parent.path().join("state"))).unwrap();
        (parent, state)
    }

    #[test]
    fn the_token_is_made_once_and_for_us_alone() {
        let (_parent, state) = folder();
        let token = state.token_or_new().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(state.token_or_new().unwrap(), token);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path()), 0o700);
        assert_eq!(mode(&state.path().join("token")), 0o600);
    }

    #[test]
    fn who_looks_whether_a_runtime_runs_keeps_none_from_starting() {
        let (_parent, state) = folder();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        assert_eq!(state.runtime().unwrap().map(|runtime| runtime.pid), None);
                    }
                });
            }
            let started = (0..50).map(|_| state.lock().map(drop)).collect::<Result<Vec<_>, _>>();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            started.unwrap();
        });
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let shared = parent.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(shared.join("note"), "").unwrap();
        assert!(matches!(StateDirectory::open(Some(&shared)), Err(StateError::NotPrivate(_))));
        assert_eq!(fs::metadata(&shared).unwrap().permissions().mode() & 0o777, 0o755);
        fs::remove_file(shared.join("note")).unwrap();
        StateDirectory::open(Some(&shared)).unwrap();
        assert_eq!(fs::metadata(&shared).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_planted_token_is_refused_and_not_touched() {
        let (parent, state) = folder();
        let path = state.path().join("token");
        let victim = parent.path().join("victim");
        fs::write(&victim, "a".repeat(64)).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(matches!(state.token_or_new(), Err(StateError::Planted { what: "a symbolic link", .. })));
        std::os::unix::fs::symlink(parent.path().join("absent"), state.path().join("dangling")).unwrap();
        fs::rename(state.path().join("dangling"), &path).unwrap();
        assert!(state.token_or_new().is_err());
        assert!(!parent.path().join("absent").exists());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a".repeat(64)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(state.token_or_new(), Err(StateError::Planted { what: "open to other users", .. })));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "a".repeat(64));
    }

    #[test]
    fn one_runtime_per_folder_and_a_dead_one_is_not_found() {
        let (_parent, state) = folder();
        let runtime = RunningRuntime {
            pid: 1,
            port: 2,
            url: "ws://127.0.0.1:2".into(),
            version: "0".into(),
            started: 3,
            workspace: "/w".into(),
        };
        let lock = state.lock().unwrap();
        state.announce(&runtime).unwrap();
        assert_eq!(state.runtime().unwrap(), Some(runtime));
        assert!(state.lock().unwrap_err().to_string().contains("ws://127.0.0.1:2"));
        drop(lock);
        assert_eq!(state.runtime().unwrap(), None);
    }
}
