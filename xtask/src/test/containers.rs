//! The step that tests the image and its containers on a real engine.
//!
//! These tests need an engine and each other's names, so they are a test program of their own, which the ordinary run leaves out, and
//! run one at a time. The image is made first, by the program under test, from the
//! very Dockerfile that people use. The desktop app's tests with an engine are run here, too.

use super::report::{Report, Step};
use super::{Prepared, browser_test, desktop, environment, nextest_of};
use crate::checkout::Checkout;
use crate::engine::Engine;
use crate::failure::Result;
use crate::program;
use std::path::Path;
use std::process::Command;

const NAME: &str = "containers";

/// These tests, as nextest names them.
const TESTS: &str = "binary(containers)";

/// A page in Chromium against the container.
const PAGE: &str = "tests/e2e/containers/page.test.mjs";

/// By this name the tests find the image whose program was compiled inside.
const COMPILED: &str = "mhnos-kept:compiled";

/// Seconds for compiling the runtime in a container, and for packages, which come over the network and may hang.
const BUILD_TIME: &str = "1500";

pub(super) fn step(report: &mut Report, checkout: &Checkout, prepared: &Step<Prepared<'_>>) {
    let Ok(ready) = prepared else {
        return report.skip(NAME, "setup or the build failed");
    };
    match Engine::ready(ready.tools) {
        Ok(engine) => drop(report.step(NAME, || run(checkout, ready, &engine))),
        Err(reason) => report.skip(NAME, &reason),
    }
}

fn run(checkout: &Checkout, prepared: &Prepared<'_>, engine: &Engine) -> Result<()> {
    // As README says, which compiles everything inside; then the two images of the program under test.
    let classic =
        ["docker", "build", "--quiet", "--tag", "mhnos/runtime", "--file", "docker/Dockerfile", "."];
    on(Command::new("timeout").arg(BUILD_TIME).args(classic).current_dir(checkout.root()), engine)?;
    on(Command::new("docker").args(["tag", "mhnos/runtime", COMPILED]), engine)?;
    for variant in ["usual", "openclaw"] {
        let mut own = Command::new("timeout");
        own.arg(BUILD_TIME).arg(prepared.runtime).args(["docker", "build", "--variant", variant]);
        on(&mut own, engine)?;
    }
    let tested = tests(checkout, prepared, engine);
    let mut kept = Command::new("docker");
    kept.args(["image", "rm", COMPILED, "mhnos-kept:usual", "mhnos-kept:openclaw"])
        .envs(engine.environment());
    // By these names the tests keep the images that they remove.
    program::succeeds(&mut kept);
    for variant in ["usual", "openclaw"] {
        // A private engine goes as a whole; of another, only what is ours.
        let mut down = Command::new(prepared.runtime);
        on(down.args(["docker", "down", "--variant", variant]), engine)?;
    }
    tested
}

/// Runs a command that is about this engine.
fn on(command: &mut Command, engine: &Engine) -> Result<()> {
    program::run(command.envs(engine.environment()))
}

fn tests(checkout: &Checkout, prepared: &Prepared<'_>, engine: &Engine) -> Result<()> {
    let mut nextest = nextest_of(checkout, TESTS);
    nextest
        .args(["--test-threads", "1"])
        .envs(environment(prepared.runtime, prepared.tools))
        .envs(engine.environment());
    program::run(&mut nextest)?;
    program::run(browser_test(checkout, prepared, Path::new(PAGE)).envs(engine.environment()))?;
    desktop::with_engine(checkout, prepared, engine)
}
