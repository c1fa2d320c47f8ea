//! The step that installs the packages on systems that never had the runtime, uses it there, upgrades and removes it.
//!
//! The systems are small Debians, booted with a systemd of their own ([`machine`]); what is done there and what must come of it stands in the scripts of
//! `tests/install`. The packages themselves are looked at first: by lintian, and by making them twice.

pub(super) mod machine;

use super::report::Report;
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::package::{self, Kind, Programs};
use crate::program;
use crate::setup::{self, Tools};
use machine::{Machine, Supply};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const NAME: &str = "installation";

/// What is installed. The archive's program takes a compiler of its own, so here the one of the package is put into its place.
const KINDS: [Kind; 3] = [Kind::Deb, Kind::Desktop, Kind::Rpm];

/// Bytes a package may have.
const PACKAGE_SIZE: u64 = 20_000_000;

/// Bytes the program may have.
const PROGRAM_SIZE: u64 = 12_000_000;

pub(super) fn step(report: &mut Report, checkout: &Checkout, tools: Option<&Tools>) {
    step_of(report, NAME, checkout, tools, run);
}

/// The AppImage alone.
pub(super) fn app_image_step(report: &mut Report, checkout: &Checkout, tools: Option<&Tools>) {
    step_of(report, "app image", checkout, tools, run_app_image);
}

fn step_of(
    report: &mut Report,
    name: &'static str,
    checkout: &Checkout,
    tools: Option<&Tools>,
    run: fn(&Checkout, &Tools) -> Result<()>,
) {
    let is_root = fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
    match tools {
        None => report.skip(name, "setup failed"),
        Some(_) if program::find("dpkg").is_none() => {
            report.skip(name, "packages for Debian are made on Debian only")
        }
        Some(_) if !is_root => report.skip(name, "to boot a system to install on takes root"),
        Some(tools) => drop(report.step(name, || run(checkout, tools))),
    }
}

fn run(checkout: &Checkout, tools: &Tools) -> Result<()> {
    setup::for_packaging()?;
    setup::for_installation()?;
    // To compile takes the processor most of the time, and a Debian the network and the disk.
    let (programs, ()) = at_once(|| Programs::build(checkout, &KINDS), machine::prepare)?;
    let packages = package::pack(checkout, &KINDS, &programs)?;
    check_sizes(&packages, programs.system()?)?;
    check_same(checkout, &programs, &packages)?;
    let [runtime, desktop, rpm] = packages.as_slice() else {
        return Err(Failure::Explained("a package was not made".into()));
    };
    let mut lintian = Command::new("lintian");
    program::run(lintian.args(["--fail-on", "error", "--tag-display-limit", "0"]).arg(runtime).arg(desktop))?;
    let machine = Machine::with_scripts(checkout, tools, Supply::Nothing)?;
    machine.put(runtime, "opt/mhnos-runtime.deb")?;
    machine.run("/opt/tests/package.sh", &["/opt/mhnos-runtime.deb"])?;
    machine.put(rpm, "opt/mhnos-runtime.rpm")?;
    machine.run("/opt/tests/rpm.sh", &["/opt/mhnos-runtime.rpm"])?;
    machine.put(&package::unpacked_archive(checkout, programs.system()?)?, "opt/archive")?;
    machine.run("/opt/tests/service.sh", &["/opt/archive"])?;
    // One machine at a time: two share the control groups, and a run with both did not come to its end in time.
    drop(machine);
    let machine = Machine::with_scripts(checkout, tools, Supply::Desktop)?;
    machine.put(desktop, "opt/mhnos-desktop.deb")?;
    machine.run("/opt/tests/desktop.sh", &["/opt/mhnos-desktop.deb"])
}

/// Does both at the same time.
fn at_once<A, B: Send>(
    one: impl FnOnce() -> Result<A>,
    other: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        let other = other.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok((one?, other?))
    })
}

fn run_app_image(checkout: &Checkout, tools: &Tools) -> Result<()> {
    setup::for_packaging()?;
    setup::for_installation()?;
    let kinds = [Kind::AppImage];
    let images = package::pack(checkout, &kinds, &Programs::build(checkout, &kinds)?)?;
    let machine = Machine::with_scripts(checkout, tools, Supply::Desktop)?;
    for image in images {
        machine.put(&image, "opt/mhnos.AppImage")?;
    }
    machine.run("/opt/tests/app-image.sh", &["/opt/mhnos.AppImage"])
}

fn check_sizes(packages: &[PathBuf], runtime: &Path) -> Result<()> {
    let limits = packages.iter().map(|package| (package.as_path(), PACKAGE_SIZE));
    for (file, most) in limits.chain([(runtime, PROGRAM_SIZE)]) {
        let size = fs::metadata(file).map_err(Failure::file("read", file))?.len();
        println!("{}: {size} bytes", file.display());
        if size > most {
            return Err(Failure::Explained(format!(
                "{} has {size} bytes, and may have {most}: look what made it grow",
                file.display()
            )));
        }
    }
    Ok(())
}

/// Makes the packages again: every byte has to be the same.
fn check_same(checkout: &Checkout, programs: &Programs, packages: &[PathBuf]) -> Result<()> {
    let read = |file: &PathBuf| fs::read(file).map_err(Failure::file("read", file));
    let first = packages.iter().map(read).collect::<Result<Vec<_>>>()?;
    let again = package::pack(checkout, &KINDS, programs)?;
    for (file, first) in again.iter().zip(first) {
        if read(file)? != first {
            return Err(Failure::Explained(format!("{} is another when it is made again", file.display())));
        }
    }
    println!("made twice, the packages are the same");
    Ok(())
}
