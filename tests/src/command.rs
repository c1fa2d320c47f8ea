//! The command line of the binary under test.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::{Runtime, runtime_program};

/// What a command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Said {
    /// What a command that did what it was asked for printed.
    ///
    /// # Panics
    /// When it did not.
    pub fn done(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// The same as JSON.
    ///
    /// # Panics
    /// When it did not, or printed something else.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.done()).expect("it prints JSON")
    }
}

/// A command of `mhnos-runtime` about this runtime, not started yet.
pub fn command(runtime: &Runtime, words: &[&str]) -> Command {
    let mut command = Command::new(runtime_program());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MHNOS_")) {
        command.env_remove(name);
    }
    command.arg("--state-dir").arg(runtime.state()).args(words).stdin(Stdio::null());
    command
}

/// Carries out a command of `mhnos-runtime` about this runtime.
///
/// # Panics
/// When it cannot be started.
pub async fn run(runtime: &Runtime, words: &[&str]) -> Said {
    let mut command = command(runtime, words);
    let shown = format!("mhnos-runtime {words:?}");
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = crate::within(&shown, output).await.expect("the thread lives");
    output.expect("the binary can be executed").into()
}
