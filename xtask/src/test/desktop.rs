//! The step for the desktop app: its own tests, and those that use it as a person does.
//!
//! They bring their display and their session bus themselves, and make the pictures of the app in `docs/screenshots`. Those that need a
//! container engine are run by the step that has one (`containers`).

use super::report::{Report, Step};
use super::{Prepared, environment, nextest_of};
use crate::checkout::Checkout;
use crate::engine::Engine;
use crate::failure::Result;
use crate::program;
use crate::setup;
use std::process::Command;

const NAME: &str = "desktop";

/// These tests, as nextest names them.
const TESTS: &str = "package(mhnos-desktop) | binary(desktop) - test(/^docker::/)";

/// Those that need a container engine.
const WITH_ENGINE: &str = "binary(desktop) & test(/^docker::/)";

pub(super) fn step(report: &mut Report, checkout: &Checkout, prepared: &Step<Prepared<'_>>) {
    report.step_needing(NAME, prepared, |prepared| program::run(&mut tests(checkout, prepared, TESTS)?));
}

/// Those of its tests that need a container engine, and its one container: one at a time.
pub(super) fn with_engine(checkout: &Checkout, prepared: &Prepared<'_>, engine: &Engine) -> Result<()> {
    let mut nextest = tests(checkout, prepared, WITH_ENGINE)?;
    program::run(nextest.args(["--test-threads", "1"]).envs(engine.environment()))
}

fn tests(checkout: &Checkout, prepared: &Prepared<'_>, tests: &str) -> Result<Command> {
    let driver = setup::for_desktop_tests(checkout)?;
    let mut nextest = nextest_of(checkout, tests);
    nextest
        .envs(environment(prepared.runtime, prepared.tools))
        .env("MHNOS_TEST_TAURI_DRIVER", driver)
        .env("MHNOS_TEST_PICTURES", checkout.root().join("docs/screenshots"));
    Ok(nextest)
}
