//! The bridge between browser tabs and programs: what listens, who is let in, and what messages do.
//!
//! In the order of a message's way: [`http`] accepts and upgrades, [`gate`] decides, [`websocket`] reads, `connection` understands
//! both protocols, [`runtime`] carries out, with the processes of `mhnos-process` and the files of [`workspace`] (whose names
//! [`paths`] resolves). [`settings`], [`state`] and [`logging`] are what is there before; [`serve`] puts all together.

mod connection;
pub mod gate;
pub mod http;
pub mod logging;
pub mod paths;
pub mod runtime;
pub mod serve;
pub mod settings;
pub mod state;
pub mod websocket;
pub mod workspace;
