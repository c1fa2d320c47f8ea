//! The client for web pages, `client/`: its dependencies, its bundle, its checks.
//!
//! The runtime serves the bundle at `/client.js`, so it is built before the runtime is. It replaces an earlier one only when it
//! differs, because cargo builds the runtime anew when the file is newer. Dependencies are installed beside the sources, where
//! editors look for them, once for each lock file.

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::fs;
use std::os::unix::fs::symlink;
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
    build_package(&folder, node)?;
    script(&folder, node, "typedoc/bin/typedoc", &[])
}

/// What a package has: the module, small and without its dependencies, and the types.
fn build_package(folder: &Path, node: &Path) -> Result<()> {
    npm(folder, &["run", "--silent", "package"])?;
    script(folder, node, "typescript/bin/tsc", &["--project", "tsconfig.build.json"])
}

/// Packs the package as it would be published, and uses it as others would: in a folder that has nothing but it and its dependencies.
pub(crate) fn check_package(checkout: &Checkout, node: &Path) -> Result<()> {
    /// Bytes of the module, compressed as servers do.
    const MODULE_SIZE: usize = 25_000;
    let folder = folder(checkout);
    install(&folder)?;
    build_package(&folder, node)?;
    let user = checkout.target().join("client-package");
    if user.exists() {
        fs::remove_dir_all(&user).map_err(Failure::file("remove", &user))?;
    }
    let place = user.join("node_modules/@mhnos/runtime-client");
    fs::create_dir_all(&place).map_err(Failure::file("create", &place))?;
    npm(&folder, &["pack", "--silent", "--pack-destination", &user.display().to_string()])?;
    let packed = |name: &str| Path::new(name).extension().is_some_and(|it| it == "tgz");
    let entries = fs::read_dir(&user).map_err(Failure::file("list", &user))?;
    let archive = entries.flatten().map(|entry| entry.path()).find(|path| packed(&path.to_string_lossy()));
    let archive = archive.ok_or_else(|| Failure::Explained("npm pack wrote no archive".into()))?;
    let mut tar = Command::new("tar");
    program::run(
        tar.args(["--extract", "--strip-components=1", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&place),
    )?;
    for dependency in ["@noble", "hash-wasm"] {
        let link = user.join("node_modules").join(dependency);
        symlink(folder.join("node_modules").join(dependency), &link).map_err(Failure::file("link", &link))?;
    }
    let module = place.join("dist/index.js");
    let compressed = Command::new("gzip").args(["-9", "--stdout"]).arg(&module).output();
    let size = compressed.map_err(Failure::file("compress", &module))?.stdout.len();
    println!("the client's module has {size} bytes, compressed");
    if size == 0 || size > MODULE_SIZE {
        return Err(Failure::Explained(format!(
            "the client's module has {size} bytes, compressed, and may have {MODULE_SIZE}: look what made it grow"
        )));
    }
    let program = "import { connect, RuntimeError, syncOpfs } from '@mhnos/runtime-client';\n\
                   const names: string[] = [connect, RuntimeError, syncOpfs].map((it) => it.name);\n\
                   if (names.length !== 3 || typeof connect !== 'function') throw new Error(names.join());\n";
    let settings = "{ \"compilerOptions\": { \"strict\": true, \"target\": \"es2022\", \"module\": \"nodenext\", \
                    \"lib\": [\"es2024\", \"dom\", \"dom.asynciterable\"], \"types\": [] }, \"files\": [\"user.mts\"] }";
    for (name, content) in [("user.mts", program), ("tsconfig.json", settings)] {
        let file = user.join(name);
        fs::write(&file, content).map_err(Failure::file("write", &file))?;
    }
    let compiler = folder.join("node_modules/typescript/bin/tsc");
    program::run(Command::new(node).arg(compiler).current_dir(&user))?;
    program::run(Command::new(node).arg("user.mjs").current_dir(&user))
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

fn npm(folder: &Path, arguments: &[&str]) -> Result<()> {
    program::run(Command::new("npm").args(arguments).current_dir(folder))
}

fn script(folder: &Path, node: &Path, script: &str, arguments: &[&str]) -> Result<()> {
    let file = folder.join("node_modules").join(script);
    program::run(Command::new(node).arg(file).args(arguments).current_dir(folder))
}

/// Installs the dependencies of a folder, unless those of its lock file are there.
pub(crate) fn install(folder: &Path) -> Result<()> {
    let lock_file = folder.join("package-lock.json");
    let lock = fs::read(&lock_file).map_err(Failure::file("read", &lock_file))?;
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("setup: installing what {} is built with", folder.display());
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
