//! `cargo xtask test`: every check and every test, one after the other, and at last some at the same time ([`part`]).
//!
//! A step that fails does not end the run: what comes after it still says something, unless it needs what failed. The
//! last lines are a table of the steps and their count. The tests find the runtime and the real programs they start
//! through the variables of [`environment`], and nothing else has to be set to run them.
//!
//! Every command of cargo is about the whole workspace, so that nothing is compiled again for other features of a dependency ([`cargo`]). Which of the
//! tests an ordinary run takes says `.config/nextest.toml`.

mod attempts;
mod containers;
mod desktop;
mod documents;
mod installation;
mod part;
mod report;

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::setup::{self, Tools};
use crate::{checkout, client, fuzz, generate, program, ui};
pub(crate) use part::Part;
use report::{Report, Step};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const BROWSER_TESTS: &str = "tests/e2e";
/// The longest that one file of them may take, in the notation of coreutils' `timeout`.
const BROWSER_TEST_BOUND: &str = "5m";

/// The seeded runs of the sync engine, as nextest names them.
const SIMULATOR: &str = "package(mhnos-sync) & test(/^simulator::/)";
/// Seeds in CI; elsewhere fewer, so that nobody waits for them.
const SEEDS: &str = "10000";
const FEWER_SEEDS: &str = "2000";

/// Runs all steps, or with a filter only the Rust tests that it selects.
pub(crate) fn test(checkout: &Checkout, filter: &[OsString]) -> ExitCode {
    let mut report = Report::default();
    let tools = report.step("setup", || setup::everything(checkout));
    let everything = filter.is_empty();
    // Before all that compiles the runtime, which has the client's bundle in it.
    report.step("client", || client::build(checkout));
    report.step("pages", || ui::build(checkout));
    if everything {
        report.step("formatting", || check_formatting(checkout));
        if !in_ci() {
            report.step("lints", || {
                program::run(checkout.cargo().args(["clippy", "--workspace", "--all-targets"]))
            });
        }
        report.step("dependencies", || check_dependencies(checkout));
        report.step("generated types", || generate::check(checkout));
        let tools = tools.as_ref().ok_or("setup failed");
        report.step_needing("client types", &tools, |tools| client::check(checkout, &tools.node()));
        report.step_needing("client package", &tools, |tools| client::check_package(checkout, &tools.node()));
        report.step_needing("client tests", &tools, |tools| client::test(checkout, &tools.node()));
        report.step_needing("page types", &tools, |tools| ui::check(checkout, &tools.node()));
        report.step_needing("page tests", &tools, |tools| ui::test(checkout, &tools.node()));
    }
    let runtime = report.step(if in_ci() { "build and lints" } else { "build" }, || build(checkout));
    let prepared = prepared(tools.as_ref(), runtime.as_deref());
    report.step_needing("tests", &prepared, |prepared| {
        let mut nextest = nextest(checkout);
        nextest.args(filter);
        if everything {
            nextest.args(["-E", &format!("not ({SIMULATOR})")]);
        }
        program::run(nextest.envs(environment(prepared.runtime, prepared.tools)))
    });
    if everything {
        report.step("simulator", || simulate(checkout));
        report.step("doc tests", || program::run(cargo(checkout).args(["test", "--doc", "--workspace"])));
        report.step_needing("fuzzing", &tools.as_ref().ok_or("setup failed"), |_| {
            fuzz::run_targets(checkout, fuzzing_seconds(), None)
        });
        part::all(&mut report, checkout, &prepared);
    }
    report.print();
    report.exit_code()
}

/// Makes ready and carries out one part alone.
pub(crate) fn only(checkout: &Checkout, part: Part) -> ExitCode {
    let mut report = Report::default();
    let tools = report.step("setup", || setup::everything(checkout));
    report.step("client", || client::build(checkout));
    report.step("pages", || ui::build(checkout));
    let runtime = report.step("build", || build(checkout));
    part.steps(&mut report, checkout, &prepared(tools.as_ref(), runtime.as_deref()));
    report.print();
    report.exit_code()
}

/// Carries out one part for which [`test()`] has made ready, in a process of its own, and leaves its rows there.
pub(crate) fn part(checkout: &Checkout, part: Part) -> Result<ExitCode> {
    let tools = setup::tools()?;
    let runtime = runtime(checkout);
    let mut report = Report::default();
    part.steps(&mut report, checkout, &prepared(Some(&tools), Some(&runtime)));
    part::leave(checkout, part, &report)?;
    Ok(report.exit_code())
}

/// Makes the AppImage and tries it, which is no part of the whole: it takes minutes, and its parts are in the packages that are tried there.
pub(crate) fn app_image(checkout: &Checkout) -> ExitCode {
    let mut report = Report::default();
    let tools = report.step("setup", || setup::everything(checkout));
    report.step("client", || client::build(checkout));
    report.step("pages", || ui::build(checkout));
    installation::app_image_step(&mut report, checkout, tools.as_ref());
    report.print();
    report.exit_code()
}

/// How long each target is fuzzed. CI takes its time; elsewhere what runs before this one learnt is kept, and many short runs are a long one.
/// `cargo xtask fuzz` takes as long as it is told.
fn fuzzing_seconds() -> u64 {
    if in_ci() { 60 } else { 5 }
}

fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// The cargo that compiles for tests. In CI its compiler is Clippy, which is the usual one with more lints: a clean clone would go through all libraries
/// once more for lints alone, which is minutes. Elsewhere a lint is not to keep anybody from running a test.
fn cargo(checkout: &Checkout) -> Command {
    let mut cargo = checkout.cargo();
    if in_ci() {
        cargo.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    }
    cargo
}

/// Compiles the runtime, the app and the tests. Returns where the runtime is; the app is beside it, which starts it.
fn build(checkout: &Checkout) -> Result<PathBuf> {
    program::run(cargo(checkout).args(["build", "--workspace", "--all-targets"]))?;
    Ok(runtime(checkout))
}

/// Where the runtime is that was built for development.
fn runtime(checkout: &Checkout) -> PathBuf {
    checkout.target().join("debug").join(checkout::RUNTIME)
}

/// `cargo nextest run`, which takes the tests that need nothing but what [`environment`] names.
fn nextest(checkout: &Checkout) -> Command {
    let mut nextest = cargo(checkout);
    nextest.args(["nextest", "run", "--workspace"]);
    nextest
}

/// The same for the tests that need more, which an ordinary run leaves out.
fn nextest_of(checkout: &Checkout, tests: &str) -> Command {
    let mut nextest = nextest(checkout);
    nextest.args(["--ignore-default-filter", "-E", tests]);
    nextest
}

/// How the tests find what they test, and the real programs they test it with.
pub(crate) fn environment(runtime: &Path, tools: &Tools) -> [(&'static str, PathBuf); 5] {
    [
        ("MHNOS_TEST_RUNTIME", runtime.to_owned()),
        ("MHNOS_TEST_TOOLS", tools.programs()),
        ("MHNOS_TEST_NODE24", tools.node()),
        // ECMAScript modules ignore NODE_PATH: the browser tests give this to `createRequire`.
        ("MHNOS_TEST_MODULES", tools.modules()),
        ("MHNOS_TEST_CHROMIUM", program::find("chromium").unwrap_or_default()),
    ]
}

/// What the tests themselves need: the earlier steps' results.
struct Prepared<'a> {
    tools: &'a Tools,
    runtime: &'a Path,
}

/// Both results, or which of them there is none of.
fn prepared<'a>(tools: Option<&'a Tools>, runtime: Option<&'a Path>) -> Step<Prepared<'a>> {
    Ok(Prepared { tools: tools.ok_or("setup failed")?, runtime: runtime.ok_or("the build failed")? })
}

/// A seed that fails is printed with the command that replays it.
fn simulate(checkout: &Checkout) -> Result<()> {
    let seeds = if in_ci() { SEEDS } else { FEWER_SEEDS };
    let mut nextest = nextest(checkout);
    nextest.args(["-E", SIMULATOR, "--success-output", "final"]);
    program::run(nextest.env("MHNOS_SIM_SEEDS", env::var_os("MHNOS_SIM_SEEDS").unwrap_or(seeds.into())))
}

fn check_formatting(checkout: &Checkout) -> Result<()> {
    // rustfmt does not heed NO_COLOR by itself.
    let color = if env::var_os("NO_COLOR").is_some() { "never" } else { "auto" };
    for scope in [["--all"].as_slice(), &["--manifest-path", "fuzz/Cargo.toml"]] {
        program::run(checkout.cargo().args(["fmt", "--check"]).args(scope).args(["--", "--color", color]))?;
    }
    Ok(())
}

/// What `deny.toml` allows of libraries, and whether the lists of them are those of the manifests. What is known against one takes a database that is in
/// no package registry; the workflow asks it.
fn check_dependencies(checkout: &Checkout) -> Result<()> {
    let deny = setup::for_dependencies(checkout)?;
    // The list of what is allowed is for both, and each has libraries that the other has not.
    for (manifest, not_there) in
        [("Cargo.toml", "license-exception-not-encountered"), ("fuzz/Cargo.toml", "license-not-encountered")]
    {
        let mut command = Command::new(&deny);
        command.args(["--locked", "--workspace", "--manifest-path", manifest, "check"]);
        command.args(["--allow", not_there, "licenses", "bans", "sources"]);
        program::run(command.current_dir(checkout.root()))?;
    }
    Ok(())
}

fn browser_step(
    report: &mut Report,
    name: &'static str,
    checkout: &Checkout,
    prepared: &Step<Prepared<'_>>,
    wanted: impl Fn(&str) -> bool,
) {
    report.step_needing(name, prepared, |prepared| {
        browser_tests(checkout, prepared, &browser_test_files(checkout, wanted)?)
    });
}

/// The files of browser tests whose names are wanted.
fn browser_test_files(checkout: &Checkout, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let folder = checkout.root().join(BROWSER_TESTS);
    let entries = fs::read_dir(&folder).map_err(Failure::file("list", &folder))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let tests = names.filter(|name| name.ends_with(".test.mjs") && wanted(name));
    let mut files: Vec<PathBuf> = tests.map(|name| Path::new(BROWSER_TESTS).join(name)).collect();
    files.sort();
    Ok(files)
}

/// Each file for itself: one that hangs costs its own time only, and is named.
fn browser_tests(checkout: &Checkout, prepared: &Prepared<'_>, files: &[PathBuf]) -> Result<()> {
    let mut failed = Vec::new();
    for file in files {
        let name = file.display().to_string();
        if attempts::perform(&name, || program::run(&mut browser_test(checkout, prepared, file))).is_err() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Explained(format!("tests failed in {}", failed.join(", "))))
    }
}

/// A page that waits would wait for ever, and so would whoever closes it: the test, the file and the program that
/// runs it each have a time after which they are ended.
fn browser_test(checkout: &Checkout, prepared: &Prepared<'_>, file: &Path) -> Command {
    let mut bounded = Command::new("timeout");
    bounded
        .args(["--kill-after=20s", BROWSER_TEST_BOUND])
        .arg(prepared.tools.node())
        .args(["--test", "--test-reporter=spec", "--test-force-exit", "--test-timeout=180000"])
        .arg(file)
        .current_dir(checkout.root())
        .envs(environment(prepared.runtime, prepared.tools));
    bounded
}
