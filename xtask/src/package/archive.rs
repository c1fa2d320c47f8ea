//! The `.tar.gz`: a program that needs nothing of the system's but its kernel, and what `install.sh` puts beside it.

use super::Release;
use super::tree::file_name;
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that lie in the archive as they lie in the checkout.
const FILES: [&str; 7] = [
    "CHANGELOG.md",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "install.sh",
    "packaging/systemd/system/mhnos-runtime.service",
];

pub(super) fn pack(checkout: &Checkout, release: &Release, runtime: &Path) -> Result<PathBuf> {
    let folder = lay_out(checkout, release, runtime)?;
    let (parent, name) = (folder.with_file_name(""), file_name(&folder));
    let tar = parent.join(format!("{name}.tar"));
    program::run(
        release
            .command("tar")
            .args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
            // Whatever this process' mask was, and the checkout's.
            .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", release.epoch)])
            .arg("--directory")
            .arg(&parent)
            .arg("--file")
            .arg(&tar)
            .arg(&name),
    )?;
    program::run(release.command("gzip").args(["-9", "--no-name"]).arg(&tar))?;
    let file = release.folder.join(format!("{name}.tar.gz"));
    let built = tar.with_extension("tar.gz");
    fs::rename(&built, &file).map_err(Failure::file("move into place", &built))?;
    Ok(file)
}

/// The archive's one folder, with everything in it.
pub(super) fn lay_out(checkout: &Checkout, release: &Release, runtime: &Path) -> Result<PathBuf> {
    let name = format!("mhnos-runtime-{}-{}-linux", release.version, env::consts::ARCH);
    let folder = release.fresh("archive")?.join(name);
    for path in FILES {
        copy(&checkout.root().join(path), &folder.join(path))?;
    }
    copy(runtime, &folder.join(file_name(runtime)))?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    fs::copy(from, to).map(drop).map_err(Failure::file("copy", from))
}
