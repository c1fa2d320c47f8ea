//! Finding and running other programs.
//!
//! Everything started here reads nothing: the same commands run in CI, where standard input is closed, and a program
//! that would stop to ask a question has to fail instead.

use crate::failure::{Failure, Result};
use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// The cargo that runs us, so that a toolchain chosen with `cargo +name xtask` stays chosen.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where the shell would find this program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let search_path = env::var_os("PATH")?;
    env::split_paths(&search_path)
        .map(|folder| folder.join(name))
        .find(|file| file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0))
}

/// Prints the command line, runs it with its output on ours, and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", command_line(command));
    let status = command.stdin(Stdio::null()).status().map_err(|source| not_started(command, source))?;
    must_succeed(command, status)
}

/// Turns any end but success into the failure of that command.
pub(crate) fn must_succeed(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::Unsuccessful { command: command_line(command), status })
}

/// Runs a command quietly and returns what it wrote on standard output. Its standard error stays visible.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let result = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| not_started(command, source))?;
    must_succeed(command, result.status)?;
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Whether a command runs and succeeds; nothing is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a person would type, with the program by its name alone.
pub(crate) fn command_line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The failure of a program that could not even be started.
pub(crate) fn not_started(command: &Command, source: std::io::Error) -> Failure {
    Failure::NotStarted { program: command.get_program().to_string_lossy().into_owned(), source }
}
