//! The TypeScript types of 2.0, generated from the Rust ones so that they cannot drift.

use ts_rs::{Config, TS};

use crate::frame::HEADER_BYTES;
use crate::v2;
use crate::{ProcessCounts, ProcessKind, RequestId, limits};

/// The whole generated module.
pub fn typescript() -> String {
    let config = Config::new().with_large_int("number");
    let mut module = String::from(
        "// Generated from crates/mhnos-protocol by `cargo xtask generate`. Do not edit.\n\n\
         /** The WebSocket subprotocol that selects 2.0. */\n",
    );
    module.push_str(&format!("export const SUBPROTOCOL = \"{}\";\n\n", v2::SUBPROTOCOL));
    module.push_str(
        "/** A page of the runtime itself offers this with its ticket behind it, beside SUBPROTOCOL. */\n",
    );
    module.push_str(&format!("export const TICKET_SUBPROTOCOL = \"{}\";\n\n", v2::TICKET_SUBPROTOCOL));
    module.push_str("/** Bytes before the payload of a binary frame. */\n");
    module.push_str(&format!("export const FRAME_HEADER_BYTES = {HEADER_BYTES};\n\n"));
    module.push_str("/** Largest input in one binary frame. */\n");
    module.push_str(&format!("export const INPUT_FRAME_BYTES = {};\n", limits::INPUT_FRAME_BYTES));
    module.push_str("\n/** Bytes of one block of content in sync. */\n");
    module.push_str(&format!("export const SYNC_BLOCK_BYTES = {};\n", limits::SYNC_BLOCK_BYTES));
    module.push_str("\n/** Largest payload of one frame of a sync session. */\n");
    module.push_str(&format!("export const SYNC_FRAME_BYTES = {};\n", limits::SYNC_FRAME_BYTES));
    module.push_str("\n/** Most bytes one `read` of a sync session asks for. */\n");
    module.push_str(&format!("export const SYNC_READ_BYTES = {};\n", limits::SYNC_READ_BYTES));
    add::<RequestId>(&mut module, &config);
    add::<ProcessKind>(&mut module, &config);
    add::<ProcessCounts>(&mut module, &config);
    add::<v2::Request>(&mut module, &config);
    add::<v2::Spawn>(&mut module, &config);
    add::<v2::TerminalSize>(&mut module, &config);
    add::<v2::Topic>(&mut module, &config);
    module.push_str("\n/** A request with the id its reply repeats. */\nexport type Message = { id?: RequestId } & Request;\n");
    add::<v2::Reply>(&mut module, &config);
    add::<v2::Exit>(&mut module, &config);
    add::<v2::Signal>(&mut module, &config);
    add::<v2::Member>(&mut module, &config);
    add::<v2::Process>(&mut module, &config);
    add::<v2::Status>(&mut module, &config);
    add::<v2::AuditEntry>(&mut module, &config);
    add::<v2::LogLine>(&mut module, &config);
    add::<v2::DoctorCheck>(&mut module, &config);
    add::<v2::KnownOrigin>(&mut module, &config);
    add::<v2::OriginState>(&mut module, &config);
    add::<v2::Access>(&mut module, &config);
    add::<v2::FileEntry>(&mut module, &config);
    add::<v2::SkippedFile>(&mut module, &config);
    add::<v2::SyncStatus>(&mut module, &config);
    add::<v2::SyncReplica>(&mut module, &config);
    add::<v2::SyncPhase>(&mut module, &config);
    add::<v2::Conflict>(&mut module, &config);
    add::<v2::Keep>(&mut module, &config);
    add::<v2::HaltAnswer>(&mut module, &config);
    add::<v2::Version>(&mut module, &config);
    add::<v2::Event>(&mut module, &config);
    add::<v2::ErrorCode>(&mut module, &config);
    module
}

fn add<T: TS>(module: &mut String, config: &Config) {
    module.push('\n');
    if let Some(docs) = T::docs() {
        module.push_str(docs.trim_end());
        module.push('\n');
    }
    module.push_str(&format!("export {}\n", T::decl(config)));
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_named_type_is_declared() {
        let module = super::typescript();
        for name in
            ["Request", "Reply", "Process", "Exit", "Event", "ErrorCode", "FileEntry", "Member", "Signal"]
        {
            assert!(module.contains(&format!("export type {name} =")), "{name} is missing");
        }
        assert!(!module.contains("bigint"), "a number that JavaScript reads as bigint");
    }
}
