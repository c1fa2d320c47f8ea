//! From the toolchain to the folders that hold it.
//!
//! Node and Python often live in the person's home, which strict keeps closed: nvm's, pyenv's and volta's folders, npm's prefix, or
//! wherever `PATH` leads. Opened are the folders of `PATH` themselves and, for each program the runtime starts, what it needs besides
//! itself: the folder of the manager it came with, its `node_modules`, its prefix. Never one that holds the person's home or the
//! runtime's secrets.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::grants::SYSTEM;
use crate::toolchain::{self, Toolchain};

/// The programs of the kinds there are, and those they are usually used with.
const PROGRAMS: [&str; 12] = [
    "node", "npm", "npx", "corepack", "python3", "python", "pip3", "pip", "workerd", "openclaw", "git",
    "bash",
];

/// Folders in which version managers keep all they manage, and nothing of the person's.
const MANAGERS: [&str; 8] = [".pyenv", ".nvm", ".volta", ".fnm", "fnm", ".asdf", ".nodenv", "mise"];

/// Prefixes that hold more than programs: keys of `cargo`, and whatever programs keep in `~/.local/share`.
const SHARED: [&str; 2] = [".local", ".cargo"];

/// What a prefix consists of, so that what else lies beside it stays closed.
const PARTS_OF_A_PREFIX: [&str; 6] = ["bin", "include", "lib", "lib64", "libexec", "share"];

/// Where the programs were when they were last looked for.
#[derive(Debug, Default)]
pub(super) struct Tools {
    programs: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Tools {
    /// What is to be readable outside of the system.
    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Whether a program was there, or is one of the system, so that it need not be looked for again.
    pub(super) fn know(&self, program: &Path) -> bool {
        is_of_system(program) || self.programs.iter().any(|known| known == program)
    }
}

/// Looks for the programs, and for what they need; no folder that holds one of `kept`.
pub(super) fn look(toolchain: &Toolchain, kept: &[PathBuf]) -> Tools {
    let programs: Vec<PathBuf> =
        PROGRAMS.iter().filter_map(|name| toolchain.find(name)).chain([toolchain::login_shell()]).collect();
    let mut folders = BTreeSet::new();
    for folder in toolchain.folders() {
        let Ok(folder) = folder.canonicalize() else { continue };
        folders.extend(manager(&folder));
        folders.insert(folder);
    }
    for program in &programs {
        let Ok(program) = program.canonicalize() else { continue };
        folders.extend(surroundings(&program, kept));
        folders.insert(program);
    }
    let holds_kept = |folder: &Path| kept.iter().any(|kept| kept.starts_with(folder));
    let folders = folders.into_iter().filter(|folder| !is_of_system(folder) && !holds_kept(folder)).collect();
    Tools { programs, folders }
}

fn is_of_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

/// The folder of the version manager this belongs to.
fn manager(path: &Path) -> Option<PathBuf> {
    let is_manager =
        |folder: &&Path| folder.file_name().is_some_and(|name| MANAGERS.iter().any(|&of| name == of));
    path.ancestors().find(is_manager).map(Path::to_owned)
}

/// What a program, its links resolved, needs besides itself.
fn surroundings(program: &Path, kept: &[PathBuf]) -> Vec<PathBuf> {
    let modules = OsStr::new("node_modules");
    // The outermost: what a package depends on stands beside it.
    let outermost = program.ancestors().filter(|folder| folder.file_name() == Some(modules)).last();
    if let Some(modules) = outermost {
        return vec![modules.to_owned()];
    }
    if let Some(manager) = manager(program) {
        return vec![manager];
    }
    let prefix = program.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent);
    let Some(prefix) = prefix else { return Vec::new() };
    let is_shared =
        SHARED.iter().any(|name| prefix.ends_with(name)) || kept.iter().any(|kept| kept.starts_with(prefix));
    if is_shared {
        return vec![prefix.join("lib/node_modules")];
    }
    PARTS_OF_A_PREFIX.iter().map(|part| prefix.join(part)).filter(|part| part.is_dir()).collect()
}

/// The person's homes: as the environment names it, and as the system does.
pub(super) fn homes() -> Vec<PathBuf> {
    let named = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let recorded = crate::account::own().map(|account| account.home);
    let homes: BTreeSet<PathBuf> = named
        .into_iter()
        .chain(recorded)
        .map(|home| home.canonicalize().unwrap_or(home))
        // An account without a home has `/`, which is nobody's.
        .filter(|home| home.is_absolute() && home.parent().is_some())
        .collect();
    homes.into_iter().collect()
}

/// The caches of npm and pip that are there, by the variables that name them; none that holds one of `kept`.
pub(super) fn caches(kept: &[PathBuf]) -> Vec<(&'static str, PathBuf)> {
    const NPM: &str = "npm_config_cache";
    const PIP: &str = "PIP_CACHE_DIR";
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).or_else(|| homes().into_iter().next());
    let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let pip = || named("XDG_CACHE_HOME").map(|cache| cache.join("pip")).or_else(|| in_home(".cache/pip"));
    [(NPM, named(NPM).or_else(|| in_home(".npm"))), (PIP, named(PIP).or_else(pip))]
        .into_iter()
        .filter_map(|(variable, folder)| Some((variable, folder?)))
        .filter(|(_, folder)| folder.is_absolute() && folder.is_dir())
        .filter(|(_, folder)| !kept.iter().any(|kept| kept.starts_with(folder)))
        .collect()
}
