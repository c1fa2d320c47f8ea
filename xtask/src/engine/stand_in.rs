//! The stand-ins for the base images: a small Debian, with Node and npm where the official image has them, or with a C compiler and the
//! machine's Rust.
//!
//! Each is an archive in the person's cache, named after what it was made from. It appears under its final name only when it is whole.

use super::{bounded, run};
use crate::clean_debian::{self, copy};
use crate::failure::{Failure, Result};
use crate::program;
use crate::setup::Tools;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What an image is to say beside its files. Where this machine reaches the registries through a proxy of its own, its certificates are
/// needed inside as well: the variables are those of Node and of cargo.
pub(super) const CONFIGURATION: [&str; 4] = [
    "CMD [\"bash\"]",
    "ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt",
    "ENV CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt",
];

/// Of the one with Rust: what the Dockerfile compiles is only to be seen to work, and would take most of the step's time otherwise.
pub(super) const COMPILES_QUICKLY: [&str; 3] = [
    "ENV CARGO_PROFILE_RELEASE_LTO=off",
    "ENV CARGO_PROFILE_RELEASE_OPT_LEVEL=0",
    "ENV CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16",
];

/// To be raised when what is made here changes.
const VERSION: u32 = 3;

/// The archive for `node`, made when it is not there.
pub(super) fn node(tools: &Tools) -> Result<PathBuf> {
    let version = program::output(Command::new(tools.node()).arg("--version"))?;
    ensure(&format!("node-{}", version.trim()), "", |root| {
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
    ensure(&format!("rust-{version}"), "gcc libc6-dev", |root| {
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
    clean_debian::archive(&format!("stand-in-{VERSION}-{name}"), packages, add)
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
