//! Why a command could not do its work, in words for the person who typed it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug)]
pub(crate) enum Failure {
    /// A program could not be started at all.
    NotStarted { program: String, source: io::Error },
    /// A program ran and did not succeed. It has printed why.
    Unsuccessful { command: String, status: ExitStatus },
    /// Something on disk could not be read or written.
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// Anything else: one or more whole sentences that say what to do.
    Explained(String),
}

impl Failure {
    /// For `map_err` on file operations: `doing` completes "could not ...".
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { program, source } => write!(formatter, "could not start {program}: {source}"),
            Self::Unsuccessful { command, status } => write!(formatter, "`{command}` ended with {status}"),
            Self::File { doing, path, source } => {
                write!(formatter, "could not {doing} {}: {source}", path.display())
            }
            Self::Explained(sentences) => formatter.write_str(sentences),
        }
    }
}
