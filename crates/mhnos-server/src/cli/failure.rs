//! Why a command could not do what it was asked for: one sentence that says what happened and what to do next.

use mhnos_protocol::v2::ErrorCode;
use mhnos_server::settings::SettingsError;
use mhnos_server::state::StateError;

/// Exit code of a command that did what it was asked for.
pub(crate) const SUCCESS: i32 = 0;
/// Exit code of a command that did not.
pub(crate) const FAILURE: i32 = 1;
/// Exit code of a command that was asked for something that makes no sense; clap uses the same.
const USAGE: i32 = 2;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no runtime is running: start one with `mhnos-runtime serve`")]
    NoRuntime,
    #[error("there is no process {0}: `mhnos-runtime ps --all` lists them")]
    NoProcess(u32),
    #[error("the connection to the runtime was lost: `mhnos-runtime health` says whether it still runs")]
    Disconnected,
    /// The runtime's own words.
    #[error("{error}")]
    Refused { code: ErrorCode, error: String },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Arguments that parse but cannot be meant.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// A failure of the operating system while doing something: `doing` reads "could not <doing>".
    pub(crate) fn system(doing: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::Other(format!("could not {doing}: {error}"))
    }

    /// The runtime's "no such thing" about a process, as the sentence that helps.
    pub(crate) fn about_process(self, pid: u32) -> Self {
        match self {
            Self::Refused { code: ErrorCode::NotFound, .. } => Self::NoProcess(pid),
            other => other,
        }
    }

    pub(crate) fn exit_code(&self) -> i32 {
        if matches!(self, Self::Usage(_)) { USAGE } else { FAILURE }
    }
}
