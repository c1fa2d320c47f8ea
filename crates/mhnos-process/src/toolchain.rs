//! Where the programs are.
//!
//! A runtime started from a desktop has a bare `PATH`, and people's node and python often live in their home (nvm, pyenv,
//! volta), put on the path by their shell's start-up files. So the login shell is asked once, and what it names is
//! looked through behind the runtime's own `PATH`.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};

/// How long the login shell may take. Then its `PATH` is done without.
const SHELL_PATIENCE: Duration = Duration::from_secs(3);

/// How long it has to end by itself when it took longer: what its start-up files hold in the person's home (pyenv's lock, on which every later shell
/// would wait for a minute) is given back only by whoever is not killed.
const LEAVE_PATIENCE: Duration = Duration::from_millis(500);

/// Stands before and behind the path in what the shell prints, which may print more.
const MARK: &str = "__mhnos_path__";

/// The folders programs are looked for in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchain {
    folders: Vec<PathBuf>,
}

impl Toolchain {
    /// The runtime's own `PATH`, then what the person's login shell adds. Blocks for as long as that shell takes to start.
    pub fn resolve() -> Self {
        let own = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        Self::new([own].into_iter().chain(path_of(&login_shell(), SHELL_PATIENCE)))
    }

    /// The folders of these values of `PATH`, each once, relative ones left out.
    pub fn new(paths: impl IntoIterator<Item = OsString>) -> Self {
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in paths.into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>()) {
            if folder.is_absolute() && !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Self { folders }
    }

    /// The first executable file of this name.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        if program.is_empty() || program.contains('/') {
            return None;
        }
        self.folders.iter().map(|folder| folder.join(program)).find(|path| is_executable(path))
    }

    /// The folders, in the order they are looked through.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Where volta is, if its programs are used.
    pub(crate) fn volta(&self) -> Option<&Path> {
        self.folders.iter().filter(|folder| folder.ends_with(".volta/bin")).find_map(|folder| folder.parent())
    }

    /// The folders as a value of `PATH`, for the programs that are started.
    pub fn path_variable(&self) -> OsString {
        std::env::join_paths(&self.folders).unwrap_or_default()
    }
}

/// Whether this is a file somebody may execute.
pub fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The person's own shell.
pub fn login_shell() -> PathBuf {
    let named = std::env::var_os("SHELL").map(PathBuf::from);
    let recorded = || crate::account::own().map(|account| account.shell);
    named
        .filter(|shell| is_executable(shell))
        .or_else(recorded)
        .filter(|shell| is_executable(shell))
        .unwrap_or("/bin/sh".into())
}

/// What a shell, reading all its start-up files, has for `PATH`; `None` where it takes longer than `patience`.
fn path_of(shell: &Path, patience: Duration) -> Option<OsString> {
    let mut command = Command::new(shell);
    command.arg("-ilc").arg(format!("printf '%s%s%s' {MARK} \"$PATH\" {MARK}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: setsid is safe between fork and exec. Without it an interactive shell takes the runtime's terminal over.
    #[allow(unsafe_code, reason = "the shell must not share the runtime's terminal")]
    unsafe {
        command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?));
    }
    let mut shell = command.spawn().ok()?;
    let mut output = shell.stdout.take()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut printed = Vec::new();
        let _ = output.read_to_end(&mut printed);
        let _ = sender.send(printed);
    });
    let began = Instant::now();
    let printed = receiver.recv_timeout(patience);
    // The session is the shell's own: its number is the group's.
    let group = nix::unistd::Pid::from_raw(shell.id() as i32);
    let mut asked = false;
    while shell.try_wait().ok()?.is_none() {
        if began.elapsed() > patience + LEAVE_PATIENCE {
            let _ = killpg(group, Signal::SIGKILL);
        } else if began.elapsed() > patience && !asked {
            asked = true;
            // What an interactive shell heeds; it takes no notice of SIGTERM.
            let _ = killpg(group, Signal::SIGHUP);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    between_marks(&printed.ok()?)
}

fn between_marks(printed: &[u8]) -> Option<OsString> {
    let find = |bytes: &[u8]| bytes.windows(MARK.len()).position(|window| window == MARK.as_bytes());
    let begin = find(printed)? + MARK.len();
    let length = find(&printed[begin..])?;
    Some(OsString::from_vec(printed[begin..begin + length].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_found_among_noise() {
        let printed = format!("welcome!\n{MARK}/a:/b{MARK}bye");
        assert_eq!(between_marks(printed.as_bytes()), Some("/a:/b".into()));
        assert_eq!(between_marks(b"nothing"), None);
    }

    #[test]
    fn programs_are_found_in_order_and_only_by_name() {
        let toolchain = Toolchain::new(["/nowhere:/bin:relative".into(), "/bin:/usr/bin".into()]);
        assert_eq!(toolchain.path_variable(), "/nowhere:/bin:/usr/bin");
        assert_eq!(toolchain.find("sh"), Some("/bin/sh".into()));
        assert_eq!(toolchain.find("/bin/sh"), None);
        assert_eq!(toolchain.find("no-such-program"), None);
    }

    #[test]
    fn the_login_shell_answers() {
        assert!(path_of(&login_shell(), SHELL_PATIENCE).is_some_and(|path| !path.is_empty()));
    }

    #[test]
    fn a_shell_that_takes_too_long_cleans_up_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let [shell, lock] = ["shell", "lock"].map(|name| folder.path().join(name));
        let script = format!("#!/bin/bash\ntouch {0}\ntrap 'rm {0}' EXIT\nsleep 60\n", lock.display());
        std::fs::write(&shell, script).unwrap();
        std::fs::set_permissions(&shell, std::fs::Permissions::from_mode(0o755)).unwrap();
        let began = Instant::now();
        assert_eq!(path_of(&shell, Duration::from_millis(700)), None);
        assert!(began.elapsed() >= Duration::from_millis(700) && !lock.exists());
    }
}
