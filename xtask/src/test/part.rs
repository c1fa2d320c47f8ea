//! Parts of the whole that go on at the same time.
//!
//! What comes after the tests of the crates waits more than it works: for a browser, a container engine, a system that boots, a linker that has one thread. So
//! these parts share the machine, two at a time, but in CI one. Each is a process of its own, `cargo xtask part`, whose output goes to a file and is shown
//! as a whole when it has ended; what it says last is its rows of the table.

use super::report::{Report, Step};
use super::{Prepared, browser_step, containers, desktop, documents, installation};
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use clap::ValueEnum;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

/// Where all is compiled already. In a clean clone the compilers of two parts are in each other's way, and the tests in that of both: there it took as
/// long as one after the other, 37 minutes on two cores.
const AT_A_TIME: usize = 2;

/// The test of ten thousand files: alone, so that what is done two at a time ends at about the same time.
const MANY: &str = "sync-many.test.mjs";

/// Steps that go together, or need each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The packages, installed; and the commands of the documents, some of which are about these.
    Installation,
    /// The image and its containers.
    Containers,
    /// The desktop app.
    Desktop,
    /// The browser tests but those of sync.
    Browser,
    /// The browser tests of sync but for one.
    BrowserSync,
    /// That one, which takes half as long as all others of sync.
    BrowserSyncMany,
}

impl Part {
    pub(super) fn steps(self, report: &mut Report, checkout: &Checkout, prepared: &Step<Prepared<'_>>) {
        match self {
            Self::Installation => {
                let tools = prepared.as_ref().ok().map(|prepared| prepared.tools);
                installation::step(report, checkout, tools);
                documents::step(report, checkout, tools);
            }
            Self::Containers => containers::step(report, checkout, prepared),
            Self::Desktop => desktop::step(report, checkout, prepared),
            Self::Browser => {
                browser_step(report, "browser tests", checkout, prepared, |name| !name.starts_with("sync"));
            }
            Self::BrowserSync => {
                browser_step(report, "browser sync", checkout, prepared, |name| {
                    name.starts_with("sync") && name != MANY
                });
            }
            Self::BrowserSyncMany => {
                browser_step(report, "sync of many", checkout, prepared, |name| name == MANY)
            }
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Where a part's output and rows are, below the target folder.
fn files(checkout: &Checkout, part: &str) -> [PathBuf; 2] {
    let folder = checkout.target().join("parts");
    ["log", "json"].map(|ending| folder.join(format!("{part}.{ending}")))
}

/// Leaves what came of a part to the process that began it.
pub(super) fn leave(checkout: &Checkout, part: Part, report: &Report) -> Result<()> {
    let [_, rows] = files(checkout, &part.name());
    fs::write(&rows, report.rows().to_string()).map_err(Failure::file("write", &rows))
}

/// Carries all parts out, the longest first, and adds their rows in this order; none where what they need is not there.
pub(super) fn all(report: &mut Report, checkout: &Checkout, prepared: &Step<Prepared<'_>>) {
    if let Err(reason) = prepared {
        for part in Part::value_variants() {
            report.skip(&part.name(), reason);
        }
        return;
    }
    let waiting = Mutex::new(Part::value_variants().iter());
    let shown = Mutex::new(());
    let at_a_time = if super::in_ci() { 1 } else { AT_A_TIME };
    let next = || waiting.lock().ok().and_then(|mut parts| parts.next());
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(&part) = next() {
                    begin(checkout, &part.name(), &shown);
                }
            });
        }
    });
    for &part in Part::value_variants() {
        let part = part.name();
        let [_, rows] = files(checkout, &part);
        let rows = fs::read(rows).ok().and_then(|rows| serde_json::from_slice(&rows).ok());
        if !rows.is_some_and(|rows| report.take(&rows)) {
            report.broke_off(&part, "it broke off: its last lines above say at what".into());
        }
    }
}

/// Carries one out, and shows what it printed.
fn begin(checkout: &Checkout, part: &str, shown: &Mutex<()>) {
    let [log, rows] = files(checkout, part);
    let printed = perform(part, &log, &rows);
    let _alone = shown.lock();
    if let Err(failure) = printed {
        println!("{part}: {failure}");
    }
}

fn perform(part: &str, log: &Path, rows: &Path) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    // What an earlier run left says nothing of this one.
    fs::write(rows, "").map_err(Failure::file("write", rows))?;
    let output = File::create(log).map_err(Failure::file("create", log))?;
    let errors = output.try_clone().map_err(Failure::file("open", log))?;
    println!("... {part} has begun; until it ends, what it prints is in {}", log.display());
    // The very program that runs: the file it was started from is another by now, where the tests' compiler is another.
    let mut command = Command::new("/proc/self/exe");
    command.args(["part", part]).stdin(Stdio::null()).stdout(output).stderr(errors);
    command.status().map_err(|source| crate::program::not_started(&command, source))?;
    let mut printed = File::open(log).map_err(Failure::file("open", log))?;
    io::copy(&mut printed, &mut io::stdout().lock()).map_err(Failure::file("show", log))?;
    Ok(())
}
