//! The bridge between browser tabs and programs: what listens, who is let in, and what messages do.
//!
//! In the order of a message's way: [`http`] (or, for local commands, [`control`]) accepts and upgrades a [`socket`], [`gate`] says who it is and
//! [`trust`] what they may do, [`websocket`] reads, `connection` understands both protocols, [`runtime`] carries out, with the processes
//! of `mhnos-process`, the files of [`workspace`] and their two-way [`sync`] (whose names [`paths`] resolves). [`settings`], [`state`] and [`logging`] are what is
//! there before; [`serve`] puts all together, [`listen`] opens its sockets or takes those of a service manager;
//! [`own_command`] is the name people call it by.

mod client_script;
mod connection;
mod console;
pub mod control;
pub mod gate;
pub mod http;
pub mod listen;
pub mod logging;
pub mod origin;
pub mod own_command;
pub mod paths;
pub mod runtime;
pub mod serve;
pub mod settings;
pub mod socket;
pub mod state;
pub mod sync;
pub mod trust;
pub mod websocket;
pub mod workspace;
