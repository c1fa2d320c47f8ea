//! The modules of the server that are fuzzed, by their files. They stand on little, and a clean machine would compile all that the server stands on
//! for longer than it fuzzes.

#[path = "../../crates/mhnos-server/src/origin.rs"]
pub mod origin;
#[path = "../../crates/mhnos-server/src/paths.rs"]
pub mod paths;
#[path = "../../crates/mhnos-server/src/socket.rs"]
pub mod socket;
#[path = "../../crates/mhnos-server/src/websocket.rs"]
pub mod websocket;
