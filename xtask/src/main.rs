//! The project's own commands, run as `cargo xtask <command>`.
//!
//! Every command finds the checkout it was built from, makes sure that the machine has what the command needs
//! ([`setup`]), and then runs ordinary programs, printing each command line first so that a person can repeat it
//! alone. A command that fails says what happened and what to do next, and ends with a non-zero exit code.

mod bench;
mod checkout;
mod clean_debian;
mod client;
mod compile;
mod engine;
mod failure;
mod fuzz;
mod generate;
mod icons;
mod package;
mod program;
mod run;
mod setup;
mod test;
mod ui;

use clap::{Parser, Subcommand};
use failure::Result;
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Sets up, runs, tests and measures the MHNOS runtime")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need and this machine lacks
    Setup,
    /// Build the runtime and serve, in the foreground, with the given arguments; without any, and with a display, by the desktop app
    #[command(disable_help_flag = true)]
    Run {
        /// Serve without the app
        #[arg(long)]
        headless: bool,
        /// Arguments of `mhnos-runtime serve`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        serve_arguments: Vec<OsString>,
    },
    /// Run every check and test
    Test {
        /// Run only this part of the whole
        #[arg(long, value_name = "PART", conflicts_with = "filter")]
        only: Option<test::Part>,
        /// Only make the AppImage, and start it on a clean system
        #[arg(long, conflicts_with_all = ["filter", "only"])]
        app_image: bool,
        /// Run only the Rust tests that these `cargo nextest run` arguments select
        #[arg(last = true)]
        filter: Vec<OsString>,
    },
    /// One of the parts of `test` that go on at the same time; `test` makes ready what it needs
    #[command(hide = true)]
    Part { part: test::Part },
    /// Feed random input to the fuzz targets
    Fuzz {
        /// How long each target runs
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// One target only
        target: Option<String>,
    },
    /// Build what people install, into target/packages
    Package {
        /// Only these [default: all]
        kinds: Vec<package::Kind>,
    },
    /// Build the package for web pages: bundle, types and API documentation
    Client,
    /// Write the client's TypeScript types from the protocol crate
    Generate {
        /// Compare only, and fail when the file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Draw the app's and the tray's images anew from icons/source.svg
    Icons,
    /// Measure the release build against the bare limits of this machine
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments of the bench program, such as the name of one measurement
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        bench_arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(exit_code) => exit_code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode> {
    let checkout = checkout::Checkout::find()?;
    match task {
        Task::Setup => setup::everything(&checkout).map(drop)?,
        Task::Run { headless, serve_arguments } => match run::run(&checkout, headless, &serve_arguments)? {},
        Task::Test { only: Some(part), .. } => return Ok(test::only(&checkout, part)),
        Task::Test { app_image: true, .. } => return Ok(test::app_image(&checkout)),
        Task::Test { filter, .. } => return Ok(test::test(&checkout, &filter)),
        Task::Part { part } => return test::part(&checkout, part),
        Task::Fuzz { seconds, target } => fuzz::run(&checkout, seconds, target.as_deref())?,
        Task::Package { kinds } => drop(package::package(&checkout, &kinds)?),
        Task::Client => client::package(&checkout, &setup::everything(&checkout)?.node())?,
        Task::Generate { check: false } => generate::write(&checkout)?,
        Task::Generate { check: true } => generate::check(&checkout)?,
        Task::Icons => icons::draw(&checkout)?,
        Task::Bench { bench_arguments } => bench::run(&checkout, &bench_arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
