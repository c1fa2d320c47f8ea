//! The step for the desktop app: its lints, its own tests, and those that use it as a person does.
//!
//! Only here is compiled what needs the system's web view. The app is built beside the runtime of the earlier steps, which it starts; its
//! tests bring their display and their session bus themselves, and make the pictures of it in `docs/screenshots`. Those that need a
//! container engine are run by the step that has one (`containers`).

use super::report::{Report, Step};
use super::{Prepared, environment};
use crate::checkout::Checkout;
use crate::engine::Engine;
use crate::failure::Result;
use crate::program;
use crate::setup;
use std::path::PathBuf;
use std::process::Command;

const NAME: &str = "desktop";

/// What makes cargo see these tests.
pub(super) const FEATURE: &str = "mhnos-tests/desktop";

/// Both packages in each command, so that nothing is compiled again for other features of a dependency.
const PACKAGES: [&str; 6] = ["--package", "mhnos-desktop", "--package", "mhnos-tests", "--features", FEATURE];

/// The app, and the program of tests.
const PROGRAMS: [&str; 4] = ["--bin", "mhnos-desktop", "--test", "desktop"];

/// Those that need a container engine, as nextest names them.
const WITH_ENGINE: &str = "binary(desktop) & test(/^docker::/)";

pub(super) fn step(report: &mut Report, checkout: &Checkout, prepared: &Step<Prepared<'_>>) {
    if !cfg!(target_os = "linux") {
        return report.skip(NAME, "the app is for Linux so far");
    }
    report.step_needing(NAME, prepared, |prepared| run(checkout, prepared));
}

fn run(checkout: &Checkout, prepared: &Prepared<'_>) -> Result<()> {
    let driver = setup::for_desktop_tests(checkout)?;
    program::run(checkout.cargo().arg("clippy").args(PACKAGES).args(PROGRAMS))?;
    build(checkout)?;
    program::run(tests(checkout, prepared, driver).args(["-E", &format!("not ({WITH_ENGINE})")]))
}

/// Those of its tests that need a container engine, and its one container: one at a time.
pub(super) fn with_engine(checkout: &Checkout, prepared: &Prepared<'_>, engine: &Engine) -> Result<()> {
    let driver = setup::for_desktop_tests(checkout)?;
    build(checkout)?;
    let mut nextest = tests(checkout, prepared, driver);
    program::run(nextest.args(["-E", WITH_ENGINE, "--test-threads", "1"]).envs(engine.environment()))
}

fn build(checkout: &Checkout) -> Result<()> {
    program::run(checkout.cargo().arg("build").args(PACKAGES).args(&PROGRAMS[..2]))
}

fn tests(checkout: &Checkout, prepared: &Prepared<'_>, driver: PathBuf) -> Command {
    let mut nextest = checkout.cargo();
    nextest
        .args(["nextest", "run"])
        .args(PACKAGES)
        .args(PROGRAMS)
        .envs(environment(prepared.runtime, prepared.tools))
        .env("MHNOS_TEST_TAURI_DRIVER", driver)
        .env("MHNOS_TEST_PICTURES", checkout.root().join("docs/screenshots"));
    nextest
}
