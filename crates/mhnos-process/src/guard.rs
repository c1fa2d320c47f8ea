//! Between the runtime and each program stands a small process of our own, its guard.
//!
//! ```text
//! runtime ── spawner ─┬─ guard ── program ── its children …
//!    │                └─ guard ── program …
//!    └── one socket to each guard ──┘
//! ```
//!
//! A guard is the *subreaper* of its program's tree: whatever the program starts, in whatever session, and however often it
//! forks into the background, stays below the guard. So "the whole tree" has an exact meaning, and the guard can prove
//! that nothing of it lives on: it reaps until there is no child left. When its socket closes, because the
//! runtime is gone (even by `kill -9`), the guard ends the tree and itself.
//!
//! Guards are forked by the *spawner*, one single-threaded process that does nothing else. A fork of it costs a tenth of
//! starting a program anew, and, unlike a fork of the runtime with its threads, may run any code before `exec`: session,
//! terminal, limits. One guard always waits, already forked, so that a spawn costs the program's own fork and
//! `exec` and two messages.
//!
//! [`link`] is the runtime's side, [`spawner`] and [`warden`] are what runs in the other processes, [`message`] is what they
//! say to each other.

pub(crate) mod link;
pub mod message;
mod spawner;
mod warden;

pub use spawner::main;
