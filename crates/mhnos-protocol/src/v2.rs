//! Protocol 2.0: JSON text frames for control, binary frames ([`crate::frame`]) for bytes.
//!
//! Negotiated by the WebSocket subprotocol [`SUBPROTOCOL`]. The ideas, in the order a reader needs them:
//!
//! - **Output is a log.** Each process has one, of absolute byte offsets from 0. [`Request::Attach`] opens a cursor on it at
//!   `from`; [`Reply::Attached`] says where it really begins and whether bytes before it are gone. A client that lost its
//!   socket attaches again at the offset it had reached.
//! - **Credit.** A viewer is sent as many bytes as it granted, and no more, until it grants further ones ([`Request::Credit`]).
//! - **The end is provable.** [`Reply::Exit`] follows the last byte and carries the log's length.
//! - **Events instead of polling.** [`Request::Subscribe`] answers with the present state and then what changes in it.
//!
//! Offsets, sizes and times are whole numbers below 2^53, so that JavaScript holds them exactly.

mod facts;
mod reply;
mod request;
mod sync;
pub mod typescript;

pub use facts::{
    Access, AuditEntry, DoctorCheck, Exit, FileEntry, KnownOrigin, LogLine, Member, OriginState, Process,
    Signal, SkippedFile, Status,
};
pub use reply::{ErrorCode, Event, Reply};
pub use request::{Message, Request, Spawn, TerminalSize, Topic, parse};
pub use sync::{Conflict, HaltAnswer, Keep, SyncPhase, SyncReplica, SyncStatus, Version};

/// The WebSocket subprotocol that selects 2.0.
pub const SUBPROTOCOL: &str = "mhnos.v2";

/// A page of our own offers this with its ticket behind it, beside [`SUBPROTOCOL`]: browsers let pages choose no other header.
pub const TICKET_SUBPROTOCOL: &str = "mhnos.ticket.";

/// What [`Reply::Welcome`] says of the protocol.
pub const PROTOCOL_VERSION: &str = "2.0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProcessKind, RequestId};

    #[test]
    fn requests_and_replies_have_the_documented_form() {
        let message = parse(r#"{"type":"attach","id":3,"pid":1000,"credit":65536}"#).unwrap();
        assert_eq!(message.id, Some(RequestId::Number(3)));
        assert!(matches!(message.request, Request::Attach { pid: 1000, from: None, credit: 65536 }));
        let message = parse(r#"{"type":"spawn","id":1,"kind":"shell"}"#).unwrap();
        assert!(matches!(message.request, Request::Spawn(Spawn { kind: ProcessKind::Shell, .. })));
        assert!(matches!(
            parse(r#"{"type":"closeInput","id":1,"pid":1}"#).unwrap().request,
            Request::CloseInput { pid: 1 }
        ));
        let reply = Reply::Attached { id: Some(RequestId::Number(3)), pid: 1000, from: 5, to: 9, gap: 5 };
        assert_eq!(reply.to_json(), r#"{"type":"attached","id":3,"pid":1000,"from":5,"to":9,"gap":5}"#);
    }

    #[test]
    fn requests_about_sync_have_the_documented_form() {
        let open = r#"{"type":"syncOpen","id":7,"replica":"00","name":"Tab","sequence":3,"digest":"00","window":1048576}"#;
        let message = parse(open).unwrap();
        assert!(matches!(message.request, Request::SyncOpen { sequence: 3, window: 1_048_576, .. }));
        assert!(matches!(
            parse(r#"{"type":"syncResolve","id":1,"path":"a","keep":"copy"}"#).unwrap().request,
            Request::SyncResolve { keep: Keep::Copy, .. }
        ));
        assert!(matches!(
            parse(r#"{"type":"syncConfirm","id":1,"halt":"restore"}"#).unwrap().request,
            Request::SyncConfirm { halt: HaltAnswer::Restore, replica: None }
        ));
        assert!(matches!(
            parse(r#"{"type":"syncVersions"}"#).unwrap().request,
            Request::SyncVersions { path: None }
        ));
        let ignored = vec![".git".into()];
        let reply = Reply::SyncOpened { id: None, epoch: "e".into(), sequence: 3, full: true, ignored };
        assert_eq!(
            reply.to_json(),
            r#"{"type":"syncOpened","id":null,"epoch":"e","sequence":3,"full":true,"ignored":[".git"]}"#
        );
    }

    #[test]
    fn an_unknown_type_is_named() {
        let malformed = parse(r#"{"type":"dance","id":3}"#).unwrap_err();
        assert_eq!(malformed.id, Some(RequestId::Number(3)));
        assert!(malformed.error.contains("`dance`"), "{}", malformed.error);
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        let message = Message {
            id: Some(RequestId::Number(1)),
            request: Request::Kill { pid: 1000, signal: Some("SIGINT".into()), grace: None },
        };
        let text = serde_json::to_string(&message).unwrap();
        assert!(matches!(parse(&text).unwrap().request, Request::Kill { pid: 1000, grace: None, .. }));
    }
}
