//! How a command that answers once answers: text for people, or one JSON document for programs;
//! and how one that goes on says so, in lines of JSON.

use std::io::Write;

use serde::Serialize;

use super::failure::{Failure, SUCCESS};

/// Prints what was asked for.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    unless_unread(written)
}

/// Prints one JSON document.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let document = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::Other(format!("could not put the answer into JSON: {error}")))?;
    text(&format!("{document}\n"))
}

/// Prints one JSON document on a line of its own: one of many.
pub(crate) fn json_line(document: &impl Serialize) -> Result<(), Failure> {
    let document = serde_json::to_string(document)
        .map_err(|error| Failure::Other(format!("could not put the answer into JSON: {error}")))?;
    text(&format!("{document}\n"))
}

/// A reader that has seen enough (`| head`) is no failure.
fn unless_unread(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::system("write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Ends the command with what clap has to say: help that was asked for, or what is wrong with the command line.
pub(crate) fn misunderstood(error: &clap::Error) -> ! {
    // The command line could not be read, so whether it asks for JSON has to be seen by eye.
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let sentence = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        std::process::exit(finish(Err(Failure::Usage(sentence)), true));
    }
    error.exit()
}

/// Prints why a command failed, and says with which code it ends.
pub(crate) fn finish(result: Result<i32, Failure>, as_json: bool) -> i32 {
    let failure = match result {
        Ok(code) => return code,
        Err(failure) => failure,
    };
    let line = if as_json {
        serde_json::json!({ "error": failure.to_string() }).to_string()
    } else {
        format!("mhnos-runtime: {}", super::format::plain(&failure.to_string()))
    };
    // Nobody is left to be told when standard error is closed; the code still says it.
    let _ = writeln!(std::io::stderr(), "{line}");
    failure.exit_code()
}

/// The code of a command that ends because of a signal.
pub(crate) fn signal_code(signal: i32) -> i32 {
    128 + signal
}

/// The code of a command that did what it could: not all of it, perhaps.
pub(crate) fn code(complete: bool) -> i32 {
    if complete { SUCCESS } else { super::failure::FAILURE }
}
