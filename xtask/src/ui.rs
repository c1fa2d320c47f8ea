//! The pages, `ui/`: their dependencies, their build, their checks.
//!
//! The same build is the console that the runtime has in it and the desktop's window, so it comes before both. What was built
//! takes the place of an earlier build only when it differs, because cargo builds anew what is newer.

use crate::checkout::Checkout;
use crate::client;
use crate::failure::{Failure, Result};
use crate::program;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs what the pages are built with, and builds `ui/dist`. Their client is built from its sources, so it has to be installed.
pub(crate) fn build(checkout: &Checkout) -> Result<()> {
    let folder = folder(checkout);
    client::install(&folder)?;
    let built = checkout.target().join("ui");
    let mut vite = Command::new("node");
    vite.arg("node_modules/vite/bin/vite.js")
        .args(["build", "--emptyOutDir", "--logLevel", "warn", "--outDir"])
        .arg(&built)
        .current_dir(&folder);
    program::run(&mut vite)?;
    let dist = folder.join("dist");
    if content(&built)? == content(&dist)? {
        return Ok(());
    }
    match fs::remove_dir_all(&dist) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::file("remove", &dist)(error));
        }
        _ => {}
    }
    for (name, bytes) in content(&built)? {
        let file = dist.join(name);
        let parent = file.parent().unwrap_or(&dist);
        fs::create_dir_all(parent).map_err(Failure::file("create", parent))?;
        fs::write(&file, bytes).map_err(Failure::file("write", &file))?;
    }
    Ok(())
}

/// Checks the types of the pages.
pub(crate) fn check(checkout: &Checkout, node: &Path) -> Result<()> {
    script(
        checkout,
        node,
        "svelte-check/bin/svelte-check",
        &["--tsconfig", "tsconfig.json", "--fail-on-warnings"],
    )
}

/// Runs the tests of the components.
pub(crate) fn test(checkout: &Checkout, node: &Path) -> Result<()> {
    script(checkout, node, "vitest/vitest.mjs", &["run"])
}

fn script(checkout: &Checkout, node: &Path, script: &str, arguments: &[&str]) -> Result<()> {
    let folder = folder(checkout);
    client::install(&folder)?;
    let file = Path::new("node_modules").join(script);
    program::run(Command::new(node).arg(file).args(arguments).current_dir(folder))
}

fn folder(checkout: &Checkout) -> PathBuf {
    checkout.root().join("ui")
}

/// All files below a folder by their names; none, if there is no such folder.
fn content(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(within) = folders.pop() {
        let at = folder.join(&within);
        let entries = match fs::read_dir(&at) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(Failure::file("list", &at))?,
        };
        for entry in entries {
            let entry = entry.map_err(Failure::file("list", &at))?;
            let name = within.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                let bytes = fs::read(entry.path()).map_err(Failure::file("read", &entry.path()))?;
                found.insert(name, bytes);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lock_names_no_registry() {
        let lock = include_str!("../../ui/package-lock.json");
        assert!(!lock.contains("\"resolved\""), "ui/.npmrc sets omit-lockfile-registry-resolved");
    }
}
