//! Small Debians to run things in that must not touch this machine, made by `debootstrap` and kept as archives in the person's cache.
//!
//! An archive is named after what it was made from. It appears under its final name only when it is whole.

use crate::failure::{Failure, Result};
use crate::{program, setup};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian keeps the certificates it trusts.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Seconds for what needs the network or a slow disk.
const PATIENCE: &str = "300";

/// An archive of a Debian with these packages (separated by commas), to which something is added. Made when it is not there.
pub(crate) fn archive(name: &str, packages: &str, add: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = setup::cache_folder()?;
    let archive = cache.join(format!("{name}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    let partial = cache.join(format!("partial-{name}-{}", std::process::id()));
    fs::create_dir_all(&partial).map_err(Failure::file("create", &partial))?;
    let made = debootstrap(&partial, packages).and_then(|root| add(&root).map(|()| root));
    let made = made.and_then(|root| pack(&root, &partial.join("whole.tar"), &archive));
    let removed = fs::remove_dir_all(&partial).map_err(Failure::file("remove", &partial));
    made.and(removed).map(|()| archive)
}

fn debootstrap(partial: &Path, packages: &str) -> Result<PathBuf> {
    let root = partial.join("root");
    let mut debootstrap = bounded("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={packages}"), "bookworm"]).arg(&root);
    println!("$ {}", program::command_line(&debootstrap));
    // Its many lines say nothing that is of use when it succeeds.
    let said = debootstrap.output().map_err(|source| program::not_started(&debootstrap, source))?;
    if !said.status.success() {
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let last = said.lines().last().unwrap_or("nothing");
        return Err(Failure::Explained(format!("debootstrap made no Debian; it said last: {last}")));
    }
    // Where this machine reaches the registries through a proxy of its own, its certificates are needed inside as well.
    if Path::new(CERTIFICATES).is_file() {
        copy(Path::new(CERTIFICATES), &root.join(CERTIFICATES.trim_start_matches('/')))?;
    }
    Ok(root)
}

fn pack(root: &Path, whole: &Path, archive: &Path) -> Result<()> {
    let mut tar = bounded("tar");
    tar.arg("--create").arg("--file").arg(whole).arg("--directory").arg(root);
    tar.args(["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*", "."]);
    program::run(&mut tar)?;
    fs::rename(whole, archive).map_err(Failure::file("move into place", whole))
}

/// A command that must end within [`PATIENCE`].
pub(crate) fn bounded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args([PATIENCE, program]);
    command
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Failure::file("copy", from))
}
