//! The desktop app, as a person has it: a display, a session bus with a panel that shows tray icons, hands on the keyboard.
//!
//! Each test has all of these for itself: an X server without a screen, a bus, a panel ([`panel`]) that does what a real one does over
//! D-Bus, and home, state folder, workspace and port of its own. Nothing reaches into the app: it is looked at and operated from outside,
//! as `/health`, its tray, its windows and its processes show it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, and each says what was expected"
)]

mod approval;
mod autostart;
mod docker;
mod links;
mod notifications;
mod numbers;
mod panel;
mod pictures;
mod session;
mod supervision;
mod tray;
mod webdriver;
mod window;
