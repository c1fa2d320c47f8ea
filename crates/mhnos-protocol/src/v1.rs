//! Protocol 1.x, exactly as the published MHNOS speaks it.
//!
//! A text frame holds one JSON object with a `type`. Field names are those of the published client, which cannot be
//! changed. [`parse`] turns a frame into a [`Request`]; replies are [`Reply`] values, and the two messages that come
//! in bulk, output and files, have their own writers ([`output`], [`pulled_files`]).

use serde::{Deserialize, Serialize};

mod reply;
mod request;

pub use reply::{
    Config, FileFailure, ListedProcess, PulledEntry, PushResults, Reply, StatusConfig, opening, output,
    pulled_files,
};
pub use request::{Kill, Message, Pid, PushedEntry, Request, Resize, Spawn, SpawnOptions, Write, parse};

/// What `connected` says of the protocol.
pub const PROTOCOL_VERSION: &str = "1.0.0";

/// What a file request is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file.
    #[default]
    File,
    /// A folder.
    Directory,
}

/// The stream a piece of output came from. A terminal has only `stdout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
