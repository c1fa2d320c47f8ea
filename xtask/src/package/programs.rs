//! The programs to be packed, compiled so that the result does not depend on where.
//!
//! They are compiled for a named target, even where that is this machine's own: so they have folders of their own, and the flags that
//! keep this machine's paths out of them do not make everything else be compiled anew.

use super::Kind;
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What was built.
pub(crate) struct Programs {
    system: Option<PathBuf>,
    portable: Option<PathBuf>,
}

impl Programs {
    /// Builds what these packages need.
    pub(crate) fn build(checkout: &Checkout, kinds: &[Kind]) -> Result<Self> {
        let mut programs = Self { system: None, portable: None };
        for kind in kinds {
            match kind {
                Kind::Deb | Kind::Rpm if programs.system.is_none() => {
                    programs.system =
                        Some(build(checkout, &format!("{}-unknown-linux-gnu", env::consts::ARCH))?);
                }
                Kind::Archive if programs.portable.is_none() => {
                    programs.portable = Some(build_portable(checkout)?);
                }
                _ => {}
            }
        }
        Ok(programs)
    }

    /// The runtime for a system with the GNU C library.
    pub(super) fn system(&self) -> Result<&Path> {
        self.system.as_deref().ok_or_else(not_built)
    }

    /// The runtime for every Linux.
    pub(super) fn portable(&self) -> Result<&Path> {
        self.portable.as_deref().ok_or_else(not_built)
    }
}

fn not_built() -> Failure {
    Failure::Explained("the program of this package was not built".into())
}

fn build_portable(checkout: &Checkout) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
    let sysroot = program::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(&target);
    if !library.exists() {
        // Part of the toolchain, and only rustup can add it.
        program::run(Command::new("rustup").args(["target", "add", &target]))?;
    }
    build(checkout, &target)
}

fn build(checkout: &Checkout, target: &str) -> Result<PathBuf> {
    let mut cargo = checkout.cargo();
    cargo
        .args(["build", "--release", "--locked", "--package", "mhnos-server", "--bin", "mhnos-runtime"])
        .args(["--target", target])
        // The encoded form would win over the plain one, whose words are separated by spaces.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", without_paths(checkout)?);
    program::run(&mut cargo)?;
    Ok(checkout.target().join(target).join("release/mhnos-runtime"))
}

/// Sources are named in a program where it panics: by these names, wherever they were when it was compiled.
fn without_paths(checkout: &Checkout) -> Result<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"))).ok_or_else(|| {
            Failure::Explained(
                "neither CARGO_HOME nor HOME says where cargo keeps its sources; set one".into(),
            )
        })?;
    let flags = [(checkout.root(), "/mhnos-runtime"), (home.as_path(), "/cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    Ok(flags.join("\u{1f}"))
}
