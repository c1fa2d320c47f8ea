//! `cargo xtask run`: from a fresh clone to a serving runtime, with the desktop app where there is a screen to show it on.
//!
//! What is started takes this process's place instead of being its child: Ctrl-C, the terminal and the exit code are then
//! its own, with nobody in between.

use crate::checkout::{Checkout, DESKTOP, RUNTIME};
use crate::compile;
use crate::failure::Result;
use crate::{client, program, setup, ui};
use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Arguments are those of `serve`, so with any of them it is `serve` that is started.
pub(crate) fn run(checkout: &Checkout, headless: bool, serve_arguments: &[OsString]) -> Result<Infallible> {
    let with_app = !headless && serve_arguments.is_empty() && has_display();
    setup::for_running()?;
    if with_app {
        println!(
            "run: there is a display, so the desktop app is started; without it: cargo xtask run --headless"
        );
        setup::for_desktop()?;
    }
    client::build(checkout)?;
    ui::build(checkout)?;
    let mut started = if with_app {
        Command::new(compile::programs_for_here(checkout, &[RUNTIME, DESKTOP])?.join(DESKTOP))
    } else {
        let mut serve = Command::new(checkout.build_runtime()?);
        serve.arg("serve").args(serve_arguments);
        serve
    };
    println!("$ {}", program::command_line(&started));
    let source = started.exec();
    Err(program::not_started(&started, source))
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|it| !it.is_empty()))
}
