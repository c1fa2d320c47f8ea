//! What the integration tests stand on: a real runtime in temporary folders, and clients that speak to it over real sockets.
//!
//! [`Runtime`] starts the binary under test with a port, a workspace, a state folder and a home of its own, and ends it by its pid.
//! [`v1::Client`] says what the published MHNOS says, as raw JSON; [`v2::Client`] speaks 2.0 in the types of `mhnos-protocol`;
//! [`sync::Replica`] is a folder that is kept in sync with the workspace; [`http`] sends any bytes at all. Nothing here waits for a fixed time: [`eventually`] and [`within`] wait for a condition, with a
//! deadline so generous that only a fault can miss it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "only tests use this: a panic is how they fail, and each says what was expected"
)]

use std::time::Duration;

pub mod command;
pub mod display;
pub mod http;
mod random;
mod runtime;
pub mod sync;
pub mod system;
pub mod v1;
pub mod v2;

pub use random::Random;
pub use runtime::{Refused, Runtime, Setup, names_in, runtime_program, tools};

/// A page that tests allow.
pub const ORIGIN: &str = "http://localhost:8000";

/// A page that nobody allowed.
pub const STRANGER: &str = "http://localhost:9999";

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The outcome of something that must not take for ever.
///
/// # Panics
/// When it does.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("this did not happen within {DEADLINE:?}: {what}"),
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// When it never does.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
