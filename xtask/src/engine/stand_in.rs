//! The stand-ins for the base images: a small Debian, with Node and npm where the official image has them, or with a C compiler and the
//! machine's Rust.
//!
//! Each is an archive in the person's cache, named after what it was made from. It appears under its final name only when it is whole.

use super::{bounded, run};
use crate::failure::{Failure, Result};
use crate::program;
use crate::setup::{self, Tools};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian keeps the certificates it trusts.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What an image is to say beside its files. Where this machine reaches the registries through a proxy of its own, its certificates are
/// needed inside as well: the variables are those of Node and of cargo.
pub(super) const CONFIGURATION: [&str; 4] = [
    "CMD [\"bash\"]",
    "ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt",
    "ENV CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt",
];

/// To be raised when what is made here changes.
const VERSION: u32 = 2;

/// The archive for `node`, made when it is not there.
pub(super) fn node(tools: &Tools) -> Result<PathBuf> {
    let version = program::output(Command::new(tools.node()).arg("--version"))?;
    ensure(&format!("node-{}", version.trim()), "ca-certificates", |root| {
        let node = fs::canonicalize(tools.node()).map_err(Failure::file("find", &tools.node()))?;
        copy(&node, &root.join("usr/local/bin/node"))?;
        install_npm(root)?;
        // The official image has this user.
        let root = root.display().to_string();
        run("chroot", &[&root, "useradd", "--create-home", "--uid", "1000", "--shell", "/bin/bash", "node"])
    })
}

/// The archive for `rust`, made when it is not there.
pub(super) fn rust() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let sysroot = program::output(rustc.args(["--print", "sysroot"]))?;
    let version = program::output(Command::new("rustc").arg("--version"))?;
    let version = version.split(' ').nth(1).unwrap_or("unknown").to_owned();
    ensure(&format!("rust-{version}"), "ca-certificates,gcc,libc6-dev", |root| {
        let cargo = root.join("usr/local/cargo");
        fs::create_dir_all(&cargo).map_err(Failure::file("create", &cargo))?;
        // Without its documentation, which is most of it.
        for part in ["bin", "lib", "libexec"] {
            let from = Path::new(sysroot.trim()).join(part);
            if from.exists() {
                program::run(bounded(Path::new("cp")).arg("--archive").arg(&from).arg(&cargo))?;
            }
        }
        Ok(())
    })
}

/// An archive of a Debian with these packages, to which something is added.
fn ensure(name: &str, packages: &str, add: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = setup::cache_folder()?;
    let archive = cache.join(format!("stand-in-{VERSION}-{name}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    let partial = cache.join(format!("partial-stand-in-{}", std::process::id()));
    fs::create_dir_all(&partial).map_err(Failure::file("create", &partial))?;
    let made = debian(&partial, packages).and_then(|root| add(&root).map(|()| root));
    let made = made.and_then(|root| pack(&root, &partial.join("whole.tar"), &archive));
    let removed = fs::remove_dir_all(&partial).map_err(Failure::file("remove", &partial));
    made.and(removed).map(|()| archive)
}

fn debian(partial: &Path, packages: &str) -> Result<PathBuf> {
    let root = partial.join("root");
    let mut debootstrap = bounded(Path::new("debootstrap"));
    debootstrap.args(["--variant=minbase", &format!("--include={packages}"), "bookworm"]).arg(&root);
    println!("$ {}", program::command_line(&debootstrap));
    // Its many lines say nothing that is of use when it succeeds.
    let said = debootstrap.output().map_err(|source| program::not_started(&debootstrap, source))?;
    if !said.status.success() {
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let last = said.lines().last().unwrap_or("nothing");
        return Err(Failure::Explained(format!("debootstrap made no Debian; it said last: {last}")));
    }
    if Path::new(CERTIFICATES).is_file() {
        copy(Path::new(CERTIFICATES), &root.join(CERTIFICATES.trim_start_matches('/')))?;
    }
    Ok(root)
}

fn pack(root: &Path, whole: &Path, archive: &Path) -> Result<()> {
    let mut tar = bounded(Path::new("tar"));
    tar.arg("--create").arg("--file").arg(whole).arg("--directory").arg(root);
    tar.args(["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*", "."]);
    program::run(&mut tar)?;
    fs::rename(whole, archive).map_err(Failure::file("move into place", whole))
}

/// npm as this machine has it.
fn install_npm(root: &Path) -> Result<()> {
    let global = program::output(Command::new("npm").args(["root", "--global"]))?;
    let modules = root.join("usr/local/lib/node_modules");
    fs::create_dir_all(&modules).map_err(Failure::file("create", &modules))?;
    let npm = Path::new(global.trim()).join("npm");
    // Debian's own npm takes its parts from beside it, by links that would lead nowhere inside.
    program::run(bounded(Path::new("cp")).args(["--recursive", "--dereference"]).arg(&npm).arg(&modules))?;
    for name in ["npm", "npx"] {
        let link = root.join("usr/local/bin").join(name);
        symlink(format!("../lib/node_modules/npm/bin/{name}-cli.js"), &link)
            .map_err(Failure::file("link", &link))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Failure::file("copy", from))
}
