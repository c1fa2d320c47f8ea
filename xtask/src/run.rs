//! `cargo xtask run`: from a fresh clone to a serving runtime.
//!
//! The runtime takes this process's place instead of being its child: Ctrl-C, the terminal and the exit code are then
//! the runtime's own, with nobody in between.

use crate::checkout::{Checkout, Profile};
use crate::failure::Result;
use crate::{client, program, setup, ui};
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) fn run(checkout: &Checkout, serve_arguments: &[OsString]) -> Result<Infallible> {
    setup::for_running()?;
    client::build(checkout)?;
    ui::build(checkout)?;
    let runtime = checkout.build_runtime(Profile::Release)?;
    let mut serve = Command::new(runtime);
    serve.arg("serve").args(serve_arguments);
    println!("$ {}", program::command_line(&serve));
    let source = serve.exec();
    Err(program::not_started(&serve, source))
}
