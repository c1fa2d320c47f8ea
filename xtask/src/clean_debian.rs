//! Small Debians to run things in that must not touch this machine, made by `debootstrap` and kept as archives in the person's cache.
//!
//! All of them begin as the same one, to which packages are added, so that it is fetched and set up once. An archive is named after what it was made
//! from. It appears under its final name only when it is whole.

use crate::failure::{Failure, Result};
use crate::{program, setup};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian keeps the certificates it trusts.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Seconds for what needs the network or a slow disk.
const PATIENCE: &str = "300";

/// What all of them have, and the name of its archive.
const BASE: (&str, &str) = ("debian-bookworm-1", "ca-certificates");

/// An archive of a Debian with these packages (separated by spaces), to which something is added. Made when it is not there.
pub(crate) fn archive(name: &str, packages: &str, add: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    extended(
        name,
        || kept(BASE.0, debootstrap),
        |root| {
            install(root, packages)?;
            add(root)
        },
    )
}

/// An archive of what is in another one, to which something is added. Made when it is not there.
pub(crate) fn extended(
    name: &str,
    from: impl FnOnce() -> Result<PathBuf>,
    add: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    kept(name, |root| {
        unpack(&from()?, root)?;
        add(root)
    })
}

/// The archive of this name, of what is made in an empty folder when it is not there.
fn kept(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = setup::cache_folder()?;
    let archive = cache.join(format!("{name}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    let partial = cache.join(format!("partial-{name}-{}", std::process::id()));
    let root = partial.join("root");
    fs::create_dir_all(&root).map_err(Failure::file("create", &root))?;
    let made = make(&root).and_then(|()| pack(&root, &partial.join("whole.tar"), &archive));
    let removed = fs::remove_dir_all(&partial).map_err(Failure::file("remove", &partial));
    made.and(removed).map(|()| archive)
}

/// Unpacks an archive into a folder.
pub(crate) fn unpack(archive: &Path, root: &Path) -> Result<()> {
    program::run(bounded("tar").arg("--extract").arg("--file").arg(archive).arg("--directory").arg(root))
}

fn debootstrap(root: &Path) -> Result<()> {
    let mut debootstrap = bounded("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={}", BASE.1), "bookworm"]).arg(root);
    quietly(&mut debootstrap)?;
    // Where this machine reaches the registries through a proxy of its own, its certificates are needed inside as well.
    if Path::new(CERTIFICATES).is_file() {
        copy(Path::new(CERTIFICATES), &root.join(CERTIFICATES.trim_start_matches('/')))?;
    }
    Ok(())
}

fn install(root: &Path, packages: &str) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    for arguments in ["update", &format!("install --yes --no-install-recommends {packages}")] {
        let mut inside = bounded("chroot");
        inside.arg(root).args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]);
        quietly(inside.args(arguments.split(' ')))?;
    }
    Ok(())
}

/// Runs a command whose many lines say nothing that is of use when it succeeds.
fn quietly(command: &mut Command) -> Result<()> {
    println!("$ {}", program::command_line(command));
    let said = command.output().map_err(|source| program::not_started(command, source))?;
    if said.status.success() {
        return Ok(());
    }
    let said = [said.stdout, said.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let last = said.lines().last().unwrap_or("nothing");
    Err(Failure::Explained(format!("`{}` failed; it said last: {last}", program::command_line(command))))
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
