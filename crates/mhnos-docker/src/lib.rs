//! The runtime in a container: the engine behind `mhnos-runtime docker`.
//!
//! [`find`] says where an engine listens and why that one. [`Engine`] is a connection to it: it builds the image from the context that is
//! compiled in ([`image`]), makes a container from a [`Spec`], and keeps it ([`container`]). Everything that lasts is a stream, everything
//! that goes wrong a [`DockerError`], whose words say what to do.
//!
//! What runs is told by what the engine says, never by what was done earlier: a container that was removed by hand, made by
//! `docker compose` or changed since is seen as it is each time.
//!
//! Podman is spoken to through the same interface, which it imitates; it counts its steps in another way ([`image`]). No test runs on it.

mod about;
pub mod container;
mod context;
mod engine;
mod error;
pub mod find;
pub mod image;
mod spec;
mod usage;

pub use about::About;
pub use engine::Engine;
pub use error::DockerError;
pub use find::Found;
pub use spec::{Limits, Owner, Spec, Variant};
pub use usage::Usage;
