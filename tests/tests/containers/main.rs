//! The runtime in a container, on a real engine: the image made from the very Dockerfile that people use, the compose file, and the
//! commands of `mhnos-runtime docker`.
//!
//! All tests use the names people know (`mhnos-runtime`, `mhnos/runtime`), so they run one at a time and each begins and ends with none of
//! these containers. Ports and workspaces are of their own. `cargo xtask test --only containers` has the engine and has built both images.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in the functions it calls as well"
)]

mod approvals;
mod attacks;
mod classic;
mod commands;
mod faults;
mod files;
mod hardening;
mod lifecycle;
mod programs;
mod support;
