//! The folders of each mode.
//!
//! Strict names what may be read: system and toolchain. Relaxed names everything but one folder, which rules that only ever allow
//! can say in one way: all that stands beside the path to it. What is made there later, beside that path, is not readable until the
//! next look.

use std::fs;
use std::path::{Path, PathBuf};

use super::Places;

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Read, list, run.
    Read,
    /// List only.
    List,
    /// Also change, make, remove.
    Write,
    /// As `Write`, but plain files only, and none is run.
    Share,
    /// Read, write and control.
    Device,
}

/// A file or folder with all that is in it, and what may be done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) path: PathBuf,
    pub(super) right: Right,
    /// Whether nothing can be started without it.
    pub(super) needed: bool,
}

fn grant(path: impl Into<PathBuf>, right: Right) -> Grant {
    Grant { path: path.into(), right, needed: false }
}

/// What a Linux system consists of, besides its data (`/var`, `/srv`), its people (`/home`, `/root`, `/media`), and its sockets
/// (`/run`).
pub(super) const SYSTEM: [&str; 13] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/proc", "/sys", "/nix",
    "/snap",
];

/// Files of `/etc` that may be links to where their content is kept, in `/run` or `/var`.
const LINKED: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ssl/certs",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Terminals are there for programs that make some of their own, such as tmux.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// What both modes let programs write.
fn written(places: &Places) -> Vec<Grant> {
    let mut grants: Vec<Grant> = [&places.workspace, &places.home, &places.temporary]
        .map(|path| Grant { path: path.clone(), right: Right::Write, needed: true })
        .into();
    grants.push(Grant { path: places.made.clone(), right: Right::Read, needed: true });
    grants.extend(DEVICES.map(|path| grant(path, Right::Device)));
    grants.push(grant("/dev/shm", Right::Share));
    grants
}

/// A folder that one program writes besides.
pub(super) fn written_too(folder: &Path) -> Grant {
    grant(folder, Right::Write)
}

/// The grants of strict; `tools` are the folders of the toolchain outside of the system.
pub(super) fn strict(places: &Places, tools: &[PathBuf]) -> Vec<Grant> {
    let mut grants = written(places);
    grants.extend(SYSTEM.map(|path| grant(path, Right::Read)));
    grants.extend(
        LINKED.iter().filter_map(|path| linked(Path::new(path))).map(|path| grant(path, Right::Read)),
    );
    grants.extend(tools.iter().map(|path| grant(path, Right::Read)));
    grants
}

/// Where the content of a linked file is kept, if outside of the system: its folder, because who keeps it there replaces it.
fn linked(path: &Path) -> Option<PathBuf> {
    let target = path.canonicalize().ok()?;
    if SYSTEM.iter().any(|folder| target.starts_with(folder)) {
        return None;
    }
    if target.is_dir() {
        return Some(target);
    }
    // A service has a folder of its own there; elsewhere, and in `/run` itself, is more than is meant.
    let folder = target.parent()?;
    let of_its_own =
        ["/run", "/var"].iter().any(|parent| folder.starts_with(parent) && !folder.ends_with(parent));
    Some(if of_its_own { folder.to_owned() } else { target })
}

/// The grants of relaxed.
pub(super) fn relaxed(places: &Places, caches: &[(&'static str, PathBuf)]) -> Vec<Grant> {
    let mut grants = written(places);
    // Names may be listed everywhere; files be read beside the path to what is closed.
    grants.push(grant("/", Right::List));
    grants.extend(beside(&places.closed).into_iter().map(|path| grant(path, Right::Read)));
    grants.extend(caches.iter().map(|(_, folder)| grant(folder, Right::Write)));
    grants
}

/// Everything that does not lead to `closed`. A disk holds it too: so of devices only those that all programs get.
fn beside(closed: &Path) -> Vec<PathBuf> {
    let closed = closed.canonicalize().unwrap_or_else(|_| closed.to_owned());
    let mut found = Vec::new();
    for folder in closed.ancestors().skip(1) {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let others = entries.flatten().filter(|entry| {
            // A link could lead back; what it leads to stands somewhere by itself.
            let path = entry.path();
            let leads_there = closed.starts_with(&path) || path == Path::new("/dev");
            !leads_there && entry.file_type().is_ok_and(|kind| !kind.is_symlink())
        });
        found.extend(others.map(|entry| entry.path()));
    }
    found
}
