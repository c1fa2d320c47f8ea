//! The step that tests the image and its containers on a real engine.
//!
//! These tests need an engine and each other's names, so they are a test program of their own, which the ordinary run leaves out, and
//! run one at a time. The image is made first, by the program under test, from the
//! very Dockerfile that people use. The desktop app's tests with an engine are run here, too.

use super::report::{Report, Step};
use super::{Prepared, browser_test, desktop, environment, nextest_of};
use crate::checkout::Checkout;
use crate::engine::Engine;
use crate::failure::{Failure, Result};
use crate::program;
use std::fs;
use std::path::Path;
use std::process::Command;

const NAME: &str = "containers";

/// These tests, as nextest names them.
const TESTS: &str = "binary(containers)";

/// A page in Chromium against the container.
const PAGE: &str = "tests/e2e/containers/page.test.mjs";

/// By this name the tests find the image whose program was compiled inside.
const COMPILED: &str = "mhnos-kept:compiled";

/// What decides what is in that image. Members of the workspace that are not compiled there have to be seen only.
const SOURCES: [&str; 12] = [
    ".cargo",
    ".dockerignore",
    "Cargo.lock",
    "Cargo.toml",
    "client",
    "crates",
    "docker",
    "src-tauri/Cargo.toml",
    "templates",
    "tests/Cargo.toml",
    "ui",
    "xtask/Cargo.toml",
];

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
    compiled_inside(checkout, engine)?;
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

/// Makes the image whose program is compiled inside. It takes minutes of all processors, so outside CI it is kept, and loaded where all that goes into it
/// is the same: as the layers of an engine are that is not made anew for each run.
fn compiled_inside(checkout: &Checkout, engine: &Engine) -> Result<()> {
    let folder = checkout.target().join("containers");
    let [image, origin] = ["compiled.tar", "compiled.from"].map(|name| folder.join(name));
    let sources = if super::in_ci() { None } else { committed(checkout) };
    let file = image.display().to_string();
    if sources.is_some() && fs::read_to_string(&origin).ok() == sources {
        return on(Command::new("docker").args(["load", "--quiet", "--input", &file]), engine);
    }
    let classic =
        ["docker", "build", "--quiet", "--tag", "mhnos/runtime", "--file", "docker/Dockerfile", "."];
    on(Command::new("timeout").arg(BUILD_TIME).args(classic).current_dir(checkout.root()), engine)?;
    on(Command::new("docker").args(["tag", "mhnos/runtime", COMPILED]), engine)?;
    let Some(sources) = sources else { return Ok(()) };
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    // What it was made from is written last: an image that was saved by half is that of nothing.
    let _ = fs::remove_file(&origin);
    on(Command::new("docker").args(["save", "--output", &file, COMPILED]), engine)?;
    fs::write(&origin, sources).map_err(Failure::file("write", &origin))
}

/// What goes into that image, by git's hashes, and the compiler; none where something is not committed.
fn committed(checkout: &Checkout) -> Option<String> {
    let git = |words: &[&str]| {
        program::output(Command::new("git").args(words).arg("--").args(SOURCES).current_dir(checkout.root()))
            .ok()
    };
    let changed = git(&["status", "--porcelain"])?;
    let compiler = program::output(Command::new("rustc").arg("--version")).ok()?;
    changed.is_empty().then_some(())?;
    Some(git(&["ls-tree", "HEAD"])? + &compiler)
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
