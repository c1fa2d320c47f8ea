//! `cargo xtask package`: what people install, built from one list of files.
//!
//! Both the .deb and the .rpm are made from the same [`tree`] of files; the `.tar.gz` has a program without any library of the system's
//! ([`archive`]), for machines of every kind and for `install.sh`, and the AppImage every library of it ([`app_image`]). All are reproducible: the same commit, compiled by the same compiler, gives the same
//! bytes wherever and whenever it is built. So every time in them is that of the commit, no path of the building machine is in the programs,
//! and nothing depends on the order in which a folder is listed.
//!
//! The results and `SHA256SUMS` are put into `target/packages`.

mod app_image;
mod archive;
mod deb;
mod programs;
mod rpm;
mod tree;

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::{client, program, setup, ui};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use programs::Programs;

use clap::ValueEnum;
use tree::Tree;

/// What can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Debian package of the runtime alone
    Deb,
    /// The same for systems with rpm
    Rpm,
    /// Debian package of the desktop app, with the runtime in it
    Desktop,
    /// The same for systems with rpm
    DesktopRpm,
    /// Desktop app and all it needs as one file that is started where it lies
    AppImage,
    /// Program without libraries, install.sh, manual pages
    Archive,
}

impl Kind {
    /// Whether it can be made for the machine's architecture.
    fn is_for_here(self) -> bool {
        self != Self::AppImage || env::consts::ARCH == app_image::ARCHITECTURE
    }
}

/// Where and when: what all packages have in common.
pub(crate) struct Release {
    /// As in `Cargo.toml`.
    version: String,
    /// When the commit was made, in seconds since 1970.
    epoch: u64,
    /// Where the results are put.
    folder: PathBuf,
    /// Folder for what is in the making.
    scratch: PathBuf,
}

impl Release {
    fn of(checkout: &Checkout) -> Result<Self> {
        let metadata = crate::checkout::metadata(&checkout.root().join("xtask/Cargo.toml"))?;
        let version = metadata["packages"][0]["version"].as_str().unwrap_or_default().to_owned();
        let given = env::var("SOURCE_DATE_EPOCH").ok();
        let epoch = match given {
            Some(seconds) => seconds,
            None => program::output(
                Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(checkout.root()),
            )?,
        };
        let epoch = epoch.trim().parse().map_err(|_| {
            Failure::Explained("SOURCE_DATE_EPOCH has to be a number of seconds since 1970".into())
        })?;
        let release = Self {
            version,
            epoch,
            folder: checkout.target().join("packages"),
            scratch: checkout.target().join("packages/in-the-making"),
        };
        for folder in [&release.folder, &release.scratch] {
            fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
        }
        Ok(release)
    }

    /// A command that finds the time of the commit where it would take that of the clock.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("SOURCE_DATE_EPOCH", self.epoch.to_string()).env("LC_ALL", "C").env("TZ", "UTC");
        command
    }

    /// The time of the commit, as `date` writes it in this format.
    fn date(&self, format: &str) -> Result<String> {
        let date = program::output(self.command("date").arg(format!("--date=@{}", self.epoch)).arg(format))?;
        Ok(date.trim().to_owned())
    }

    /// An empty folder to make something in.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Failure::file("remove", &folder))?;
        }
        fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
        Ok(folder)
    }
}

/// Builds and packs what is asked for, or everything, and returns the files.
pub(crate) fn package(checkout: &Checkout, kinds: &[Kind]) -> Result<Vec<PathBuf>> {
    setup::for_packaging()?;
    client::build(checkout)?;
    ui::build(checkout)?;
    let everything: Vec<Kind> =
        Kind::value_variants().iter().copied().filter(|kind| kind.is_for_here()).collect();
    let kinds = if kinds.is_empty() { &everything } else { kinds };
    let programs = Programs::build(checkout, kinds)?;
    let files = pack(checkout, kinds, &programs)?;
    for file in &files {
        let size = fs::metadata(file).map_err(Failure::file("read", file))?.len();
        println!("{} ({:.1} MB)", file.display(), size as f64 / 1e6);
    }
    Ok(files)
}

/// Packs programs that are built.
pub(crate) fn pack(checkout: &Checkout, kinds: &[Kind], programs: &Programs) -> Result<Vec<PathBuf>> {
    let release = Release::of(checkout)?;
    let mut files = Vec::new();
    let tree = |desktop| Tree::of(checkout, &release, programs, desktop);
    for kind in kinds {
        let file = match kind {
            Kind::Deb => deb::pack(checkout, &release, &tree(false)?)?,
            Kind::Rpm => rpm::pack(checkout, &release, &tree(false)?)?,
            Kind::Desktop => deb::pack(checkout, &release, &tree(true)?)?,
            Kind::DesktopRpm => rpm::pack(checkout, &release, &tree(true)?)?,
            Kind::AppImage => app_image::pack(checkout, &release, programs)?,
            Kind::Archive => archive::pack(checkout, &release, programs.portable()?)?,
        };
        files.push(file);
    }
    fs::remove_dir_all(&release.scratch).map_err(Failure::file("remove", &release.scratch))?;
    write_checksums(&release.folder, &files)?;
    Ok(files)
}

/// The folder that is in the archive, with another program.
pub(crate) fn unpacked_archive(checkout: &Checkout, runtime: &Path) -> Result<PathBuf> {
    archive::lay_out(checkout, &Release::of(checkout)?, runtime)
}

/// In the form that `sha256sum --check` reads.
/// What a package manager runs at this moment: what is its own (`format`: `debian` or `rpm`), behind what all of them share.
fn script(checkout: &Checkout, format: &str, name: &str) -> Result<String> {
    let folder = checkout.root().join("packaging");
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(Failure::file("read", &path));
    Ok(format!("{}\n{}", read(folder.join("common.sh"))?, read(folder.join(format).join(name))?))
}

fn write_checksums(folder: &Path, files: &[PathBuf]) -> Result<()> {
    let names = files.iter().filter_map(|file| file.file_name());
    let sums = program::output(Command::new("sha256sum").args(names).current_dir(folder))?;
    let list = folder.join("SHA256SUMS");
    fs::write(&list, sums).map_err(Failure::file("write", &list))
}
