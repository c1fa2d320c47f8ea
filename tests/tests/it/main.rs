//! The runtime, tested from outside: a real binary, real sockets, real programs.
//!
//! Each module is about one promise; each test's name says what it shows. What is large or slow is in `heavy`, which the runner does not
//! run beside others of its kind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in the functions it calls as well"
)]

mod activation;
mod architecture;
mod audit;
mod bad_input;
mod client_script;
mod control;
mod doctor;
mod endings;
mod gate;
mod gate_model;
mod heavy;
mod interleavings;
mod limits;
mod origins_command;
mod output;
mod ownership;
mod pairing;
mod paths;
mod processes;
mod programs;
mod sandbox;
mod secrets;
mod security_document;
mod sync;
mod terminals;
mod v1_files;
mod v1_requests;
mod v2_files;
mod waiting;
