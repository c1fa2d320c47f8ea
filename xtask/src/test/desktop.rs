//! The step for the desktop app: its lints, its own tests, and those that use it as a person does.
//!
//! Only here is compiled what needs the system's web view. The app is built beside the runtime of the earlier steps, which it starts; its
//! tests bring their display and their session bus themselves, and make the pictures of it in `docs/screenshots`.

use super::report::{Report, Step};
use super::{Prepared, environment};
use crate::checkout::Checkout;
use crate::failure::Result;
use crate::program;
use crate::setup;

const NAME: &str = "desktop";

/// What makes cargo see these tests.
pub(super) const FEATURE: &str = "mhnos-tests/desktop";

/// Both packages in each command, so that nothing is compiled again for other features of a dependency.
const PACKAGES: [&str; 6] = ["--package", "mhnos-desktop", "--package", "mhnos-tests", "--features", FEATURE];

/// The app, and the program of tests.
const PROGRAMS: [&str; 4] = ["--bin", "mhnos-desktop", "--test", "desktop"];

pub(super) fn step(report: &mut Report, checkout: &Checkout, prepared: &Step<Prepared<'_>>) {
    if !cfg!(target_os = "linux") {
        return report.skip(NAME, "the app is for Linux so far");
    }
    report.step_needing(NAME, prepared, |prepared| run(checkout, prepared));
}

fn run(checkout: &Checkout, prepared: &Prepared<'_>) -> Result<()> {
    let driver = setup::for_desktop_tests(checkout)?;
    program::run(checkout.cargo().arg("clippy").args(PACKAGES).args(PROGRAMS))?;
    program::run(checkout.cargo().arg("build").args(PACKAGES).args(&PROGRAMS[..2]))?;
    let mut nextest = checkout.cargo();
    nextest
        .args(["nextest", "run"])
        .args(PACKAGES)
        .args(PROGRAMS)
        .envs(environment(prepared.runtime, prepared.tools))
        .env("MHNOS_TEST_TAURI_DRIVER", driver)
        .env("MHNOS_TEST_PICTURES", checkout.root().join("docs/screenshots"));
    program::run(&mut nextest)
}
