//! What a started program may touch.
//!
//! | mode | writes | reads | besides |
//! |---|---|---|---|
//! | [`Strict`](Mode::Strict) | the workspace, a home and a temporary folder of its own | also the system and the toolchain | signals and abstract sockets reach its own tree only; no new privileges |
//! | [`Relaxed`](Mode::Relaxed) | also the caches of npm and pip | everything the person can but the state folder | as strict, as far as the kernel can |
//! | [`None`](Mode::None) | what the person can | what the person can | |
//!
//! A [`Sandbox`] is made once, from what was asked for and what the system was found to be able to ([`probe`]), which a test may
//! replace. It says what it achieves; where that is less than what was asked for it prepares nothing, and so nothing is started. For
//! each program it hands out a [`Confinement`], which travels to the program's guard and is entered there between fork and exec.
//!
//! What differs between systems is behind four names: `Support`, `probe`, `build` and `enter`. On Linux they stand on Landlock
//! ([`linux`], and [`system_calls`] for one thing it leaves open), and what may be touched is a list of folders ([`grants`], [`tools`]). On macOS the same list becomes a Seatbelt
//! profile that `enter` gives to `sandbox_init`, on Windows `enter` puts the program into a Job Object, which limits but closes off no
//! files, and `Support` says so. Neither is written: the engine does not run there yet.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::toolchain::Toolchain;

mod grants;
pub(crate) mod linux;
mod system_calls;
mod tools;

pub use linux::{Support, probe};

/// How old a prepared confinement may be. The system changes while the runtime runs: programs are installed, and name resolution gets
/// a new folder. To look at all of it anew for each of many programs in a row would cost each of them.
const FRESH: Duration = Duration::from_secs(2);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write only the workspace and private folders; do not read the person's home.
    Strict,
    /// Read what the person can, write as strict and the caches of npm and pip.
    Relaxed,
    /// Limits and tree kill only.
    None,
}

impl Mode {
    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Relaxed => "relaxed",
            Self::None => "none",
        }
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Strict, Self::Relaxed, Self::None]
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or(UnknownMode)
    }
}

/// There is no mode of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use strict, relaxed or none")]
pub struct UnknownMode;

/// The folders a sandbox is made of.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where programs work.
    pub workspace: PathBuf,
    /// The home they see.
    pub home: PathBuf,
    /// Where they keep what is temporary.
    pub temporary: PathBuf,
    /// Files the runtime made for them to read.
    pub made: PathBuf,
    /// What no program may read: it holds the secret that would let it command the runtime.
    pub closed: PathBuf,
}

/// Why no program can be started in the sandbox that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The system cannot.
    #[error("the sandbox {mode} cannot be had on this machine, because {reason}: {remedy}")]
    Unavailable {
        /// What was asked for.
        mode: &'static str,
        /// What is missing.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// Programs would get to what is to be kept from them.
    #[error(
        "programs in the sandbox {mode} must not get to {kept}, which lies in the workspace {workspace}: {remedy}"
    )]
    WorkspaceTooLarge {
        /// What was asked for.
        mode: &'static str,
        /// What lies in the workspace.
        kept: String,
        /// The workspace.
        workspace: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A folder or the operating system.
    #[error(
        "the sandbox {mode} could not be prepared: {reason}: start the runtime again, which makes its folders"
    )]
    Preparation {
        /// What was asked for.
        mode: &'static str,
        /// Why.
        reason: String,
    },
}

/// What a program is started in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Confinement {
    rules: Arc<OwnedFd>,
}

impl AsRawFd for Confinement {
    fn as_raw_fd(&self) -> RawFd {
        self.rules.as_raw_fd()
    }
}

struct Prepared {
    at: Instant,
    tools: tools::Tools,
    confinement: Confinement,
}

/// See the [module's description](self).
pub struct Sandbox {
    mode: Mode,
    places: Places,
    /// What no folder that is opened may hold: the person's homes, and the state folder.
    kept: Vec<PathBuf>,
    /// The caches of npm and pip that are there, and the variables that name them.
    caches: Vec<(&'static str, PathBuf)>,
    /// The Landlock ABI the rules are made for, or why there are none; `None` where none are wished.
    level: Result<Option<linux::Level>, SandboxError>,
    /// Guards what was last prepared. Held while it is prepared anew (less than a millisecond), never across an await.
    prepared: Mutex<Option<Prepared>>,
}

impl Sandbox {
    /// A sandbox as far as `support` goes. That it cannot be had is said by [`Self::achieved`], and by [`Self::confine`] each time.
    pub fn new(mode: Mode, support: &Support, places: Places) -> Self {
        let homes = tools::homes();
        let level = match mode {
            Mode::None => Ok(None),
            _ => linux::level(mode, support).map(Some),
        };
        let level = level.and_then(|level| match mode {
            Mode::None => Ok(level),
            _ => check_workspace(mode, &places, &homes).map(|()| level),
        });
        let kept: Vec<PathBuf> = homes.into_iter().chain([places.closed.clone()]).collect();
        let caches = if mode == Mode::Relaxed { tools::caches(&kept) } else { Vec::new() };
        Self { mode, places, kept, caches, level, prepared: Mutex::default() }
    }

    /// What was asked for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What programs really run in.
    ///
    /// # Errors
    /// When nothing can be started, with the reason and what to do.
    pub fn achieved(&self) -> Result<String, SandboxError> {
        match &self.level {
            Ok(None) => {
                Ok("none: limits only (memory, number of processes, whole-tree kill), as was asked for"
                    .into())
            }
            Ok(Some(level)) => Ok(format!("{} ({level})", self.mode.name())),
            Err(error) => Err(error.clone()),
        }
    }

    /// What programs find in their environment because of it: their home, their temporary folder, the caches.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        if self.mode == Mode::None {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/".into());
            return vec![("HOME".into(), home)];
        }
        let mut environment = vec![
            ("HOME".into(), self.places.home.clone().into()),
            ("TMPDIR".into(), self.places.temporary.clone().into()),
        ];
        environment.extend(self.caches.iter().map(|(name, folder)| (OsString::from(name), folder.into())));
        environment
    }

    /// What `program` is to be started in, if it writes these `folders` besides; `None` where it is started in nothing.
    ///
    /// # Errors
    /// When the sandbox cannot be had, or a folder of it cannot be opened.
    pub fn confine(
        &self,
        toolchain: &Toolchain,
        program: &Path,
        folders: &[PathBuf],
    ) -> Result<Option<Confinement>, SandboxError> {
        let Some(level) = self.level.as_ref().map_err(Clone::clone)? else { return Ok(None) };
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = &*prepared
            && folders.is_empty()
            && prepared.at.elapsed() < FRESH
            && prepared.tools.know(program)
        {
            return Ok(Some(prepared.confinement.clone()));
        }
        let tools = tools::look(toolchain, &self.kept);
        let mut grants = match self.mode {
            Mode::Relaxed => grants::relaxed(&self.places, &self.caches),
            Mode::Strict | Mode::None => grants::strict(&self.places, tools.folders()),
        };
        grants.extend(folders.iter().map(|folder| grants::written_too(folder)));
        let rules = linux::build(level, &grants).map_err(|reason| SandboxError::Preparation {
            mode: self.mode.name(),
            reason: reason.to_string(),
        })?;
        let confinement = Confinement { rules: Arc::new(rules) };
        if !folders.is_empty() {
            return Ok(Some(confinement));
        }
        *prepared = Some(Prepared { at: Instant::now(), tools, confinement: confinement.clone() });
        Ok(Some(confinement))
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sandbox").field("mode", &self.mode).field("level", &self.level).finish()
    }
}

/// Refuses a workspace in which lies what is to be kept from programs.
fn check_workspace(mode: Mode, places: &Places, homes: &[PathBuf]) -> Result<(), SandboxError> {
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let workspace = resolved(&places.workspace);
    let too_large = |what: &str, kept: &Path, remedy| SandboxError::WorkspaceTooLarge {
        mode: mode.name(),
        kept: format!("{what} {}", kept.display()),
        workspace: workspace.display().to_string(),
        remedy,
    };
    if resolved(&places.closed).starts_with(&workspace) {
        let remedy = "name another folder with --workspace or with --state-dir";
        return Err(too_large("the runtime's state folder", &places.closed, remedy));
    }
    let home = homes.iter().find(|home| mode == Mode::Strict && home.starts_with(&workspace));
    match home {
        Some(home) => {
            let remedy = "name a folder inside your home with --workspace, or choose --sandbox relaxed";
            Err(too_large("your home", home, remedy))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
