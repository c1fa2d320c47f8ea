//! Where this checkout and its build results are.

use crate::compile;
use crate::failure::{Failure, Result};
use crate::program;
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the runtime's program.
pub(crate) const RUNTIME: &str = "mhnos-runtime";

/// The name of the desktop app's program, which starts the runtime that is beside it.
pub(crate) const DESKTOP: &str = "mhnos-desktop";

pub(crate) struct Checkout {
    root: PathBuf,
    target: PathBuf,
}

impl Checkout {
    /// Asks cargo, because the target folder can be anywhere (`CARGO_TARGET_DIR`, a person's own configuration).
    pub(crate) fn find() -> Result<Self> {
        // Set by `cargo run` to where the sources are now; the folder they were compiled in is the second best.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let metadata = metadata(&Path::new(&manifest).join("Cargo.toml"))?;
        let folder = |name: &str| {
            let path = metadata[name].as_str();
            path.map(PathBuf::from)
                .ok_or_else(|| Failure::Explained(format!("`cargo metadata` did not name the {name}")))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// `cargo` with the checkout as its working folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = program::cargo();
        cargo.current_dir(&self.root);
        cargo
    }

    /// Builds the runtime for people and returns the program's path: the one that is packed is also the one that is run and measured.
    pub(crate) fn build_runtime(&self) -> Result<PathBuf> {
        Ok(compile::programs_for_here(self, &[RUNTIME])?.join(RUNTIME))
    }
}

/// What cargo knows of one package or workspace, without its dependencies.
pub(crate) fn metadata(manifest: &Path) -> Result<Value> {
    let mut cargo = program::cargo();
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest);
    let text = program::output(&mut cargo)?;
    serde_json::from_str(&text)
        .map_err(|source| Failure::Explained(format!("`cargo metadata` printed no JSON: {source}")))
}
