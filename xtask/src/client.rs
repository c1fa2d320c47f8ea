//! The client for web pages, `client/`: its dependencies, its bundle, its checks.
//!
//! The runtime serves the bundle at `/client.js`, so it is built before the runtime is. It replaces an earlier one only when it
//! differs, because cargo builds the runtime anew when the file is newer. Dependencies are installed beside the sources, where
//! editors look for them, once for each lock file.

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs what the client is built with, and builds `client/dist/client.js`.
pub(crate) fn build(checkout: &Checkout) -> Result<()> {
    let folder = folder(checkout);
    install(&folder)?;
    let bundle = checkout.target().join("client.js");
    let mut esbuild = Command::new(folder.join("node_modules/.bin/esbuild"));
    esbuild
        .args(["src/index.ts", "--bundle", "--format=esm", "--target=es2022", "--log-level=warning"])
        .arg(format!("--outfile={}", bundle.display()))
        .current_dir(&folder);
    program::run(&mut esbuild)?;
    let built = fs::read(&bundle).map_err(Failure::file("read", &bundle))?;
    let served = folder.join("dist/client.js");
    if fs::read(&served).is_ok_and(|served| served == built) {
        return Ok(());
    }
    fs::create_dir_all(folder.join("dist")).map_err(Failure::file("create", &folder.join("dist")))?;
    fs::write(&served, built).map_err(Failure::file("write", &served))
}

/// Builds all that a package of the client has: the bundle, the types and the API documentation.
pub(crate) fn package(checkout: &Checkout, node: &Path) -> Result<()> {
    build(checkout)?;
    let folder = folder(checkout);
    script(&folder, node, "typescript/bin/tsc", &["--project", "tsconfig.build.json"])?;
    script(&folder, node, "typedoc/bin/typedoc", &[])
}

/// Checks the types of the client and its tests, and that everything it exports is documented.
pub(crate) fn check(checkout: &Checkout, node: &Path) -> Result<()> {
    let folder = folder(checkout);
    install(&folder)?;
    script(&folder, node, "typescript/bin/tsc", &["--noEmit"])?;
    script(&folder, node, "typedoc/bin/typedoc", &["--emit", "none"])
}

/// Runs the client's own tests, those that need no browser.
pub(crate) fn test(checkout: &Checkout, node: &Path) -> Result<()> {
    let folder = folder(checkout);
    install(&folder)?;
    let mut tests = Command::new(node);
    tests
        .args(["--test", "--test-reporter=spec", "--test-timeout=60000", "tests/*.test.ts"])
        .current_dir(&folder);
    program::run(&mut tests)
}

fn folder(checkout: &Checkout) -> PathBuf {
    checkout.root().join("client")
}

fn script(folder: &Path, node: &Path, script: &str, arguments: &[&str]) -> Result<()> {
    let file = folder.join("node_modules").join(script);
    program::run(Command::new(node).arg(file).args(arguments).current_dir(folder))
}

/// Installs the dependencies, unless those of this lock file are there.
fn install(folder: &Path) -> Result<()> {
    let lock_file = folder.join("package-lock.json");
    let lock = fs::read(&lock_file).map_err(Failure::file("read", &lock_file))?;
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("setup: installing what the client is built with");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress"])
        .arg("--loglevel=error")
        .current_dir(folder)
        // Both would change what is installed.
        .env_remove("NODE_ENV")
        .env_remove("NODE_OPTIONS");
    program::run(&mut npm)?;
    fs::write(&installed, lock).map_err(Failure::file("write", &installed))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lock_names_no_registry() {
        let lock = include_str!("../../client/package-lock.json");
        assert!(!lock.contains("\"resolved\""), "client/.npmrc sets omit-lockfile-registry-resolved");
    }
}
