//! `cargo xtask bench`: the release build, measured by the bench program of the tests crate.
//!
//! The bench program measures the bare limits of the machine in the same run, so its table means something on any
//! machine. It finds the runtime and the real programs through the same variables as the tests.

use crate::checkout::{Checkout, DESKTOP};
use crate::compile;
use crate::engine::Engine;
use crate::failure::Result;
use crate::{client, program, setup, test, ui};
use std::ffi::OsString;

pub(crate) fn run(checkout: &Checkout, bench_arguments: &[OsString]) -> Result<()> {
    let tools = setup::everything(checkout)?;
    setup::for_benching()?;
    client::build(checkout)?;
    ui::build(checkout)?;
    let runtime = checkout.build_runtime()?;
    // Two rows need what takes a while to have: only for those who ask for them, or for all.
    let selected = |row: &str| {
        let asked = |word: &OsString| row.contains(&*word.to_string_lossy());
        bench_arguments.is_empty() || bench_arguments.iter().any(asked)
    };
    if selected("app") {
        setup::for_desktop_tests(checkout)?;
        compile::programs_for_here(checkout, &[DESKTOP])?;
    }
    let engine = match selected("container") {
        true => {
            Engine::ready(&tools).inspect_err(|reason| println!("containers are not measured: {reason}")).ok()
        }
        false => None,
    };
    let mut bench = checkout.cargo();
    bench
        .args(["run", "--release", "--package", "mhnos-tests", "--bin", "bench", "--"])
        .args(bench_arguments);
    bench.envs(test::environment(&runtime, &tools));
    if let Some(engine) = &engine {
        bench.envs(engine.environment());
    }
    program::run(&mut bench)
}
