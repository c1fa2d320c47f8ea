//! The files of a package, where they are put and with which permissions: the one list that all formats are made from.

use super::{Programs, Release};
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whoever reads the packages' fields can write to.
pub(super) const MAINTAINER: &str = "The MHNOS Runtime contributors <maintainers@mhnos.example>";

/// Permissions of a file that is run.
const PROGRAM: u32 = 0o755;

/// Permissions of a file that is read.
const DATA: u32 = 0o644;

/// A package's name, what it says of itself, and its files by where they are put (without the first slash).
pub(super) struct Tree {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: String,
    /// The package whose files it has too, so that only one of both can be installed.
    pub(super) replaces: Option<&'static str>,
    files: BTreeMap<PathBuf, File>,
}

struct File {
    content: Vec<u8>,
    mode: u32,
}

impl Tree {
    /// The runtime alone, or with the desktop app. One takes the other's place, so that either way one file is all a person needs.
    pub(super) fn of(
        checkout: &Checkout,
        release: &Release,
        programs: &Programs,
        desktop: bool,
    ) -> Result<Self> {
        const RUNTIME: &str = "MHNOS Runtime listens on ws://localhost:18790 and runs node, python, workerd, shells and \
                               the OpenClaw agent for a browser tab, in a sandbox, and only for pages that were allowed to.";
        let mut tree = Self {
            name: "mhnos-runtime",
            summary: "real programs for MHNOS, the operating system in a browser tab",
            description: RUNTIME.to_owned(),
            replaces: None,
            files: BTreeMap::new(),
        };
        if desktop {
            tree.name = "mhnos-desktop";
            tree.summary = "tray and window of MHNOS Runtime, with the runtime itself";
            tree.description = format!(
                "{RUNTIME} This app keeps it running and shows what it does, in the tray and in a window."
            );
            tree.replaces = Some("mhnos-runtime");
            tree.add_desktop(checkout, release, programs.desktop()?)?;
        }
        tree.add_runtime(checkout, release, programs.system()?)?;
        Ok(tree)
    }

    /// The app, its icons, and what makes a desktop know it: in the menu, and for `mhnos://` links.
    fn add_desktop(&mut self, checkout: &Checkout, release: &Release, desktop: &Path) -> Result<()> {
        self.copy(desktop, "usr/bin/mhnos-desktop", PROGRAM)?;
        self.add_manual(release, Command::new(desktop).arg("--manual"))?;
        self.copy(
            &checkout.root().join("packaging/org.mhnos.runtime.desktop"),
            "usr/share/applications/org.mhnos.runtime.desktop",
            DATA,
        )?;
        for size in [32, 128, 256, 512] {
            let icon = checkout.root().join(format!("icons/app/{size}.png"));
            self.copy(&icon, format!("usr/share/icons/hicolor/{size}x{size}/apps/mhnos-desktop.png"), DATA)?;
        }
        Ok(())
    }

    /// Program, completions, manual pages, units for a person's service manager.
    fn add_runtime(&mut self, checkout: &Checkout, release: &Release, runtime: &Path) -> Result<()> {
        self.copy(runtime, "usr/bin/mhnos-runtime", PROGRAM)?;
        for (shell, path) in [
            ("bash", "usr/share/bash-completion/completions/mhnos-runtime"),
            ("zsh", "usr/share/zsh/vendor-completions/_mhnos-runtime"),
            ("fish", "usr/share/fish/vendor_completions.d/mhnos-runtime.fish"),
        ] {
            let script = program::output(Command::new(runtime).args(["completions", shell]))?;
            self.add(path, script, DATA);
        }
        self.add_manual(release, Command::new(runtime).arg("manual"))?;
        for unit in ["mhnos-runtime.service", "mhnos-runtime.socket"] {
            let from = checkout.root().join("packaging/systemd/user").join(unit);
            self.copy(&from, format!("usr/lib/systemd/user/{unit}"), DATA)?;
        }
        self.copy(
            &checkout.root().join("packaging/copyright"),
            format!("usr/share/doc/{}/copyright", self.name),
            DATA,
        )
    }

    /// The manual pages that a program writes itself, with this command and the name of a folder.
    fn add_manual(&mut self, release: &Release, command: &mut Command) -> Result<()> {
        let folder = release.fresh("manual")?;
        program::run(command.arg(&folder))?;
        for page in sorted(&folder)? {
            let name = format!("usr/share/man/man1/{}.gz", file_name(&page));
            self.add(name, compressed(release, &page)?, DATA);
        }
        Ok(())
    }

    /// Files and their permissions, in the order of their names.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, u32)> {
        self.files.iter().map(|(path, file)| (path.as_path(), file.mode))
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> u64 {
        self.files.values().map(|file| file.content.len() as u64).sum()
    }

    pub(super) fn add(&mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>, mode: u32) {
        self.files.insert(path.into(), File { content: content.into(), mode });
    }

    fn copy(&mut self, from: &Path, path: impl Into<PathBuf>, mode: u32) -> Result<()> {
        let content = fs::read(from).map_err(Failure::file("read", from))?;
        self.add(path, content, mode);
        Ok(())
    }

    /// Writes all of it below a folder, with the permissions it is to have whatever this process' mask is.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        for (path, file) in &self.files {
            let path = folder.join(path);
            for parent in path.ancestors().skip(1).take_while(|parent| parent.starts_with(folder)) {
                fs::create_dir_all(parent).map_err(Failure::file("create", parent))?;
                set_mode(parent, 0o755)?;
            }
            fs::write(&path, &file.content).map_err(Failure::file("write", &path))?;
            set_mode(&path, file.mode)?;
        }
        Ok(())
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Failure::file("set permissions of", path))
}

/// What is in a folder, by name.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Failure::file("list", folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file as `gzip` makes it smallest, without its name and time.
pub(super) fn compressed(release: &Release, file: &Path) -> Result<Vec<u8>> {
    let mut gzip = release.command("gzip");
    gzip.args(["-9", "--no-name", "--stdout"]).arg(file);
    let result = gzip.output().map_err(|source| program::not_started(&gzip, source))?;
    program::must_succeed(&gzip, result.status)?;
    Ok(result.stdout)
}
