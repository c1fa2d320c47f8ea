//! The programs that come from npm: Node 24, workerd, OpenClaw, and what the browser tests import.
//!
//! Their exact versions are committed in `xtask/tools`. They are installed once per set of versions into the person's
//! cache, outside the checkout, so that a fresh clone finds them there. The folder appears under its final name only
//! when everything in it has run once: an interrupted install leaves a `partial-` folder, which the next one removes.
//! A lock file keeps two checkouts, or two parts of one run, from installing at the same time.
//!
//! No package's install script runs. None is needed: Node, workerd and OpenClaw's native parts come as packages for
//! each platform. But npm leaves out optional packages that its own Node is too old for, and the machine's Node may be
//! of any age; so the pinned Node comes first, alone, and then runs npm for the rest.
//!
//! To change a version, edit `xtask/tools/package.json` and run there, so that the lock names no registry:
//! `npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved`.

use crate::failure::{Failure, Result};
use crate::program;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = include_str!("../../tools/package.json");
const LOCK: &str = include_str!("../../tools/package-lock.json");

/// The folder of installed programs.
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// What the browser tests import from.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("node_modules")
    }

    /// The programs: `node`, `workerd`, `openclaw`.
    pub(crate) fn programs(&self) -> PathBuf {
        self.modules().join(".bin")
    }

    /// Node 24.
    pub(crate) fn node(&self) -> PathBuf {
        self.programs().join("node")
    }

    /// Whether nothing was removed since the install, as cache cleaners do.
    fn is_whole(&self) -> bool {
        let programs = ["node", "workerd", "openclaw"].map(|name| self.programs().join(name));
        let modules = ["playwright-core", "ws"].map(|name| self.modules().join(name).join("package.json"));
        programs.iter().chain(&modules).all(|file| file.exists())
    }

    /// Runs each program once. For OpenClaw this also ends its installation, which its first start does.
    fn prove(&self) -> Result<()> {
        let scratch_home = self.folder.join("scratch-home");
        create(&scratch_home)?;
        for (name, expected) in [("node", "v24."), ("workerd", "workerd "), ("openclaw", "OpenClaw ")] {
            let mut command = Command::new(self.programs().join(name));
            command
                .arg("--version")
                .env("PATH", path_beginning_with(&self.programs())?)
                .env("HOME", &scratch_home);
            let answer = program::output(&mut command)?;
            let Some(version) = answer.lines().find(|line| line.starts_with(expected)) else {
                return Err(Failure::Explained(format!(
                    "`{name} --version` printed {answer:?} instead of {expected:?} and a version; there may be no \
                     {name} for this platform (Linux on x64 and arm64 are supported)"
                )));
            };
            println!("setup: {name}: {version}");
        }
        remove(&scratch_home)
    }
}

/// Returns the programs, installing them when they are not there.
pub(crate) fn ensure() -> Result<Tools> {
    let cache = cache_folder()?;
    let name = format!("tools-{:016x}", fingerprint(&[MANIFEST, LOCK]));
    let tools = Tools { folder: cache.join(&name) };
    if tools.is_whole() {
        return Ok(tools);
    }
    let _alone = alone()?;
    // Another install may have ended while this one waited for the lock.
    if !tools.is_whole() {
        clean(&cache, &name)?;
        // Never the name of an earlier attempt: when that one was killed, its npm may still be writing.
        install(&tools, &cache.join(format!("partial-{}", std::process::id())))?;
    }
    Ok(tools)
}

/// Waits until nobody else installs anything; until the file is dropped, nobody else does.
pub(super) fn alone() -> Result<File> {
    let cache = cache_folder()?;
    create(&cache)?;
    let lock_file = cache.join("lock");
    let lock = File::create(&lock_file).map_err(Failure::file("create", &lock_file))?;
    if lock.try_lock().is_err() {
        println!("setup: waiting for another install");
        lock.lock().map_err(Failure::file("lock", &lock_file))?;
    }
    Ok(lock)
}

fn install(tools: &Tools, partial: &Path) -> Result<()> {
    if program::find("npm").is_none() {
        return Err(Failure::Explained(
            "npm was not found; install Node.js 20 or newer, which brings npm, then run the command again"
                .into(),
        ));
    }
    println!("setup: installing programs from npm into {} (1 GB)", tools.folder.display());
    let node_alone = Tools { folder: partial.join("node-alone") };
    install_packages(&node_alone.folder, &["--omit=dev"], None)?;
    install_packages(partial, &[], Some(&node_alone.programs()))?;
    remove(&node_alone.folder)?;
    Tools { folder: partial.to_owned() }.prove()?;
    fs::rename(partial, &tools.folder).map_err(Failure::file("move into place", partial))
}

/// Installs what the lock names, each package checked against the hash in it. `npm ci` would do no more, but it refuses
/// a lock written where the registry had no package for some other platform.
fn install_packages(folder: &Path, options: &[&str], first_on_path: Option<&Path>) -> Result<()> {
    create(folder)?;
    for (name, content) in [("package.json", MANIFEST), ("package-lock.json", LOCK)] {
        let file = folder.join(name);
        fs::write(&file, content).map_err(Failure::file("write", &file))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts"])
        .args(options)
        .args(["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error"])
        .current_dir(folder)
        // Both would change what is installed.
        .env_remove("NODE_ENV")
        .env_remove("NODE_OPTIONS");
    if let Some(programs) = first_on_path {
        npm.env("PATH", path_beginning_with(programs)?);
    }
    program::run(&mut npm)
}

/// Where programs and images are kept from one run to the next.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    caches.map(|folder| folder.join("mhnos-runtime")).ok_or_else(|| {
        Failure::Explained(
            "neither XDG_CACHE_HOME nor HOME names a folder to install into; set one, then run the command again"
                .into(),
        )
    })
}

/// Removes what interrupted installs left, and what is there of the wanted folder. Folders of other versions are only
/// mentioned: a gigabyte each is worth a word, but another checkout may be using them.
fn clean(cache: &Path, wanted: &str) -> Result<()> {
    for entry in fs::read_dir(cache).map_err(Failure::file("list", cache))?.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if name == *wanted || name.to_string_lossy().starts_with("partial-") {
            remove(&path)?;
        } else if name.to_string_lossy().starts_with("tools-") {
            println!("setup: {} has other versions; remove it if no checkout uses them", path.display());
        }
    }
    Ok(())
}

fn path_beginning_with(folder: &Path) -> Result<OsString> {
    let inherited = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(folder.to_owned()).chain(env::split_paths(&inherited)))
        .map_err(|error| Failure::Explained(format!("{} cannot stand in PATH: {error}", folder.display())))
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Failure::file("create", folder))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Failure::file("remove", folder)),
    }
}

/// FNV-1a, because the standard library's hash may change with the compiler, and the folder's name must not.
pub(super) fn fingerprint(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(&["foo", "bar"]), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn lock_names_no_registry() {
        assert!(!LOCK.contains("\"resolved\""), "run npm with --omit-lockfile-registry-resolved");
    }
}
