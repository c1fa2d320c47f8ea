//! `cargo xtask bench [row …]`: how fast the runtime is, beside how fast the machine is.
//!
//! Each row measures the same thing twice, in turns and in the same run: the *bare limit*, which is what a few lines of code
//! around the system calls can do here, and the runtime from outside, over a real socket, with real programs. What
//! counts is the ratio of the two medians: it means something on a busy machine as well, where the numbers themselves do
//! not. The programs that print, echo and flood are this very executable ([`program`]).
//!
//! The runtime is found through `MHNOS_TEST_RUNTIME`. Every row starts one of its own, with a workspace and a state
//! folder of its own, and ends it. Arguments select the rows whose name contains one of them.

mod app;
mod bare;
mod browser;
mod client;
mod container;
mod flood;
mod gate;
mod idle;
mod keystrokes;
mod output;
mod program;
mod push;
mod refused;
mod report;
mod runtime;
mod sandbox;
mod spawning;
mod stalled;
mod start;
mod statistics;
mod sync;
mod window;

use std::process::ExitCode;

use report::Report;

/// A benchmark that cannot be carried out ends with a sentence.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a row's function is called by.
type Row = (&'static str, fn(&mut Report) -> Result<()>);

const ROWS: [Row; 21] = [
    ("terminal", output::terminal),
    ("pipe", output::pipe),
    ("keystroke", keystrokes::measure),
    ("spawn", spawning::measure),
    ("sandbox", sandbox::measure),
    ("gate", gate::measure),
    ("refused", refused::measure),
    ("decode", push::decode),
    ("push", push::socket),
    ("stalled", stalled::measure),
    ("idle", idle::measure),
    ("start", start::measure),
    ("container", container::measure),
    ("app", app::measure),
    ("window", window::measure),
    ("sync-files", sync::files),
    ("sync-large", sync::large),
    ("sync-unchanged", sync::unchanged),
    ("sync-save", sync::save),
    ("sync-rename", sync::rename),
    ("sync-browser", sync::browser),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, role @ ..] = &arguments[..]
        && first == program::AS_PROGRAM
    {
        return program::main(role);
    }
    let mut report = Report::default();
    let mut failed = false;
    for (name, measure) in ROWS {
        if !arguments.is_empty() && !arguments.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        eprintln!("{name} …");
        if let Err(error) = measure(&mut report) {
            eprintln!("{name} could not be measured: {error}");
            failed = true;
        }
    }
    report.print();
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
