//! `cargo xtask bench`: the release build, measured by the bench program of the tests crate.
//!
//! The bench program measures the bare limits of the machine in the same run, so its table means something on any
//! machine. It finds the runtime and the real programs through the same variables as the tests.

use crate::checkout::{Checkout, Profile};
use crate::failure::Result;
use crate::{client, program, setup, test};
use std::ffi::OsString;

pub(crate) fn run(checkout: &Checkout, bench_arguments: &[OsString]) -> Result<()> {
    let tools = setup::everything(checkout)?;
    client::build(checkout)?;
    let runtime = checkout.build_runtime(Profile::Release)?;
    let mut bench = checkout.cargo();
    bench
        .args(["run", "--release", "--package", "mhnos-tests", "--bin", "bench", "--"])
        .args(bench_arguments);
    program::run(bench.envs(test::environment(&runtime, &tools)))
}
