//! The terminal of the window: how fast it takes what a program prints, beside its library alone.

use serde::Deserialize;

use crate::Result;
use crate::browser;
use crate::report::{Line, Report};
use crate::statistics::median;

/// What the script prints, in megabytes a second.
#[derive(Deserialize)]
struct Measured {
    /// The library, given the same bytes from memory.
    bare: Vec<f64>,
    /// The console, of a program in a shell.
    console: Vec<f64>,
}

/// How fast a listing of 64 MB goes through the console's terminal.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let measured: Measured = browser::run("window.mjs")?;
    let (bare, console) = (median(&measured.bare), median(&measured.console));
    report.add(Line {
        what: "the console's terminal: `cat` of 64 MB in a shell, drawn by Chromium".into(),
        bare: format!("{bare:.1} MB/s (xterm.js with the same bytes from memory)"),
        ours: format!("{console:.1} MB/s"),
        ratio: Some(console / bare),
        target: ">= 30 MB/s",
        met: console >= 30.0,
    });
    Ok(())
}
