//! Between the records of the wire and the messages of the engine.

use std::collections::BTreeSet;

use bytes::Bytes;
use mhnos_protocol::limits;
use mhnos_protocol::sync::{self as records, OrderResult, Record};
use mhnos_sync::hub::READ_BYTES;
use mhnos_sync::hub::message::{Ask, Data, FromReplica, Read, ToReplica};
use mhnos_sync::model::{Content, Node, RelativePath};
use mhnos_sync::side::{Action, Observation, Outcome, Problem};

/// Hashes in one record, so that it fits a frame.
const HASHES: usize = limits::SYNC_FRAME_BYTES / 64;
/// Content in one `data` record; what it carries beside it fits the frame too.
const DATA_BYTES: usize = 1 << 20;

/// What a replica says in a record; `None`: it belongs to what follows, and is kept in `problems`.
///
/// # Errors
/// When a replica must not say this: the end of a sentence that begins with "the replica".
pub(crate) fn message(
    record: Record,
    problems: &mut Vec<records::Problem>,
) -> Result<Option<FromReplica>, String> {
    Ok(Some(match record {
        Record::Problems(more) => {
            if problems.len() + more.len() > mhnos_sync::hub::ENTRIES {
                return Err("names more problems than it may have files".into());
            }
            problems.extend(more);
            return Ok(None);
        }
        Record::Observed { complete, more, within, nodes } => {
            let mut told = BTreeSet::new();
            let nodes = nodes
                .into_iter()
                .map(|(text, found)| {
                    let at = path(&text)?;
                    if !told.insert(at.clone()) {
                        return Err(format!("names {text:?} twice in one record"));
                    }
                    Ok((at, found.map(node)))
                })
                .collect::<Result<_, String>>()?;
            let within = within.as_deref().map(path).transpose()?;
            let problems = std::mem::take(problems)
                .into_iter()
                .map(|records::Problem { path, reason }| Problem { path, reason })
                .collect();
            FromReplica::Observed { observation: Observation { nodes, problems, complete, within }, more }
        }
        Record::Outcome { order, result } => {
            let outcome = match result {
                OrderResult::Done => Outcome::Done,
                OrderResult::Changed(found) => Outcome::Changed(found.map(node)),
                OrderResult::Failed(reason) => Outcome::Failed(reason),
            };
            FromReplica::Outcome { order, outcome }
        }
        Record::AskBlocks { request, path: at, content, size } => {
            FromReplica::AskBlocks(Ask { request, path: path(&at)?, content: Content(content), size })
        }
        Record::Read { request, path: at, content, offset, length } => {
            if length > READ_BYTES {
                return Err(format!("asks for {length} bytes at once: at most {READ_BYTES}"));
            }
            let (path, content) = (path(&at)?, Content(content));
            FromReplica::Read(Read { request, path, content, offset, length })
        }
        Record::Blocks { request, hashes } => FromReplica::Blocks { request, blocks: hashes },
        Record::Data { request, offset, bytes } => {
            FromReplica::Data(Data { request, offset, bytes: bytes.into() })
        }
        Record::Unavailable { request, reason } => FromReplica::Unavailable { request, reason },
        Record::Order { .. }
        | Record::Content { .. }
        | Record::Committed { .. }
        | Record::Halted(_)
        | Record::Rescan => return Err("says what only the runtime says".into()),
    }))
}

/// What the hub says, as one record or several.
pub(crate) fn record(message: ToReplica, mut push: impl FnMut(Record)) {
    match message {
        ToReplica::Order { number, order } => {
            let action = match order.action {
                Action::MakeDirectory => records::Action::MakeDirectory,
                Action::Put { content, size, executable, copy_from } => records::Action::Put {
                    content: content.0,
                    size,
                    executable,
                    copy_from: copy_from.map(|path| path.to_string()),
                },
                Action::Move { from, moved } => {
                    records::Action::Move { from: from.to_string(), moved: node_record(moved) }
                }
                Action::Remove => records::Action::Remove,
            };
            let (path, expect) = (order.path.to_string(), order.expect.map(node_record));
            push(Record::Order { order: number, path, expect, action });
        }
        ToReplica::Content { content, bytes } => {
            push(Record::Content { content: content.0, bytes: bytes.into() });
        }
        ToReplica::AskBlocks(Ask { request, path, content, size }) => {
            push(Record::AskBlocks { request, path: path.to_string(), content: content.0, size });
        }
        ToReplica::Blocks { request, blocks } => {
            for hashes in blocks.chunks(HASHES) {
                push(Record::Blocks { request, hashes: hashes.to_vec() });
            }
        }
        ToReplica::Read(Read { request, path, content, offset, length }) => {
            push(Record::Read { request, path: path.to_string(), content: content.0, offset, length });
        }
        ToReplica::Data(Data { request, offset, bytes }) => {
            let mut bytes = Bytes::from(bytes);
            let mut at = offset;
            loop {
                let part = bytes.split_to(bytes.len().min(DATA_BYTES));
                let length = part.len() as u64;
                push(Record::Data { request, offset: at, bytes: part });
                at += length;
                if bytes.is_empty() {
                    break;
                }
            }
        }
        ToReplica::Unavailable { request, reason } => push(Record::Unavailable { request, reason }),
        ToReplica::Committed { sequence, synced } => push(Record::Committed { sequence, synced }),
        ToReplica::Halted { reason } => push(Record::Halted((!reason.is_empty()).then_some(reason))),
        ToReplica::Rescan => push(Record::Rescan),
    }
}

fn path(text: &str) -> Result<RelativePath, String> {
    RelativePath::new(text).map_err(|error| format!("names a path {text:?} that {error}"))
}

fn node(node: records::Node) -> Node {
    match node {
        records::Node::Directory => Node::Directory,
        records::Node::File { content, size, executable } => {
            Node::File { content: Content(content), size, executable }
        }
    }
}

fn node_record(node: Node) -> records::Node {
    match node {
        Node::Directory => records::Node::Directory,
        Node::File { content, size, executable } => {
            records::Node::File { content: content.0, size, executable }
        }
    }
}
