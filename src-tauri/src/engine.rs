//! What runs the bridge: a child of ours, a container, or something that runs already. One trait for all three.
//!
//! An engine starts and stops, says where the bridge is reached, tells of its end, and keeps the last lines it printed. It knows nothing of
//! back-off or of what is shown: that is the supervisor's.

mod child;
mod docker;
mod existing;
mod lines;
mod native;

use std::path::PathBuf;
use std::process::Stdio;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

pub(crate) use self::docker::Docker;
pub(crate) use self::existing::Existing;
pub(crate) use self::native::Native;

/// Which kind of engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A child of this app.
    Native,
    /// A container.
    Docker,
    /// One that somebody else started: systemd, a person in a terminal.
    Existing,
}

/// Where a bridge is reached, and with what right.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// `ws://127.0.0.1:<port>`.
    pub(crate) url: String,
    /// Its port on this machine.
    pub(crate) port: u16,
    /// How this app proves whose it is.
    pub(crate) way: Way,
}

/// How a bridge is told that this app may see and do all.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Over the Unix socket of its state folder, where the kernel says who is there.
    Control(PathBuf),
    /// Over TCP, with the token of its state folder: a container's socket is not to be had from outside.
    Token(String),
}

/// Why an engine does not do what it was asked for; a sentence for the person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EngineError(pub(crate) String);

/// Something that runs a bridge.
pub(crate) trait Engine: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> Kind;

    /// Whether this app started it: then it is started anew when it ends, and ends with the app.
    fn is_ours(&self) -> bool;

    /// Sets it going. Whether it answers is another question.
    fn start(&mut self) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Where it is reached; `None` while that is not known yet.
    fn endpoint(&mut self) -> BoxFuture<'_, Result<Option<Endpoint>, EngineError>>;

    /// Waits for its end, and says how it ended. Given up at any time.
    fn ended(&mut self) -> BoxFuture<'_, String>;

    /// Ends it, and returns when it is gone.
    fn stop(&mut self) -> BoxFuture<'_, Result<(), EngineError>>;

    /// The last lines it printed.
    fn lines(&self) -> Vec<String>;
}

/// The sentence in what a command of `mhnos-runtime` says on its standard error when it fails, with or without `--json`.
pub(crate) fn refusal(said: &str) -> String {
    #[derive(Deserialize)]
    struct Document {
        error: String,
    }
    let said = said.trim();
    serde_json::from_str(said)
        .map_or_else(|_| said.trim_start_matches("error: ").to_owned(), |Document { error }| error)
}

/// A command of `mhnos-runtime` that reads nothing, and ends when it is dropped and with the app, whatever becomes of that.
///
/// # Errors
/// When there is no such program.
pub(crate) fn runtime_command() -> Result<Command, EngineError> {
    let mut command = Command::new(runtime_program()?);
    command.stdin(Stdio::null()).kill_on_drop(true);
    child::die_with_this_thread(command.as_std_mut());
    Ok(command)
}

/// Where `mhnos-runtime` is: beside this program, as every package has it, or else where `PATH` finds it.
///
/// # Errors
/// When it is at neither.
fn runtime_program() -> Result<PathBuf, EngineError> {
    const NAME: &str = "mhnos-runtime";
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(NAME)));
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(NAME)).find(|file| file.is_file())
    };
    beside.filter(|file| file.is_file()).or_else(on_path).ok_or_else(|| {
        EngineError(
            "mhnos-runtime is neither beside this program nor in PATH: install MHNOS Runtime anew".into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_sentence_in_either_form() {
        let sentence = "the engine does not answer: start it";
        assert_eq!(refusal(&format!("error: {sentence}\n")), sentence);
        assert_eq!(refusal(&format!("{{\"error\":\"{sentence}\"}}\n")), sentence);
    }
}
