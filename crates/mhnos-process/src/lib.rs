//! The process engine: starts programs, keeps their output, and ends them with all they started.
//!
//! A [`ProcessTable`] is asked to [`spawn`](ProcessTable::spawn) a [`SpawnRequest`] and hands out a [`Process`], a handle to a
//! task that owns the child. Each program runs below a [`guard`] of its own, in a session of its own, and prints into an
//! [`OutputLog`](log::OutputLog) that any number of viewers read with cursors. [`sample`] watches cpu, memory and ports of what
//! runs. [`program`] knows how the kinds of program are called, [`toolchain`] where they are, [`sandbox`] what they may touch.
//!
//! The engine knows nothing of sockets, messages, origins or the workspace. It runs on Linux; on other systems what
//! [`guard`] and [`system`] do has to be done by other means (Job Objects, kqueue), which are not written yet.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "mhnos-process runs on Linux only so far: guard.rs and system.rs stand on subreapers and /proc"
);

mod account;
mod actor;
pub mod guard;
mod input;
pub mod log;
mod process;
pub mod program;
mod pump;
mod sample;
pub mod sandbox;
pub mod signal;
pub mod system;
mod table;
pub mod toolchain;

pub use guard::message::{Ending, Member};
pub use input::InputError;
pub use process::{EndReason, Exit, KillError, Measured, Process, ResizeError, State, TerminalSize};
pub use table::{Counts, Limits, ProcessEvent, ProcessTable, SpawnError, SpawnRequest};
