//! Between the records of the wire and what the hub understands. A record that cannot be meant ends its session.

use std::sync::Arc;

use mhnos_protocol::sync as wire;
use mhnos_protocol::limits;
use mhnos_sync::hub::{Ask, Data, FromReplica, Read, ToReplica};
use mhnos_sync::model::{Content, Node, RelativePath};
use mhnos_sync::side::{Action, Observation, Outcome, Problem};

/// Understands one record. `problems` gathers those that stand before their observation.
///
/// `Ok(None)`: there is nothing to hand on yet.
pub(super) fn understand(
    record: wire::Record,
    problems: &mut Vec<Problem>,
) -> Result<Option<FromReplica>, String> {
    use wire::Record;
    Ok(Some(match record {
        Record::Problems(found) => {
            problems.extend(
                found.into_iter().map(|problem| Problem { path: problem.path, reason: problem.reason }),
            );
            if problems.len() > limits::SYNC_PROBLEMS {
                return Err(format!("more than {} files that cannot be synced were named", limits::SYNC_PROBLEMS));
            }
            return Ok(None);
        }
        Record::Observed { complete, more, within, nodes } => {
            let nodes: Result<_, String> =
                nodes.into_iter().map(|(name, node)| Ok((path(&name)?, node.map(node_of)))).collect();
            let observation = Observation {
                nodes: nodes?,
                problems: std::mem::take(problems),
                complete,
                within: within.as_deref().map(path).transpose()?,
            };
            FromReplica::Observed { observation, more }
        }
        Record::Outcome { order, result } => {
            let outcome = match result {
                wire::OrderResult::Done => Outcome::Done,
                wire::OrderResult::Changed(node) => Outcome::Changed(node.map(node_of)),
                wire::OrderResult::Failed(reason) => Outcome::Failed(reason),
            };
            FromReplica::Outcome { order, outcome }
        }
        Record::AskBlocks { request, path: name, content, size } => {
            FromReplica::AskBlocks(Ask { request, path: path(&name)?, content: Content(content), size })
        }
        Record::Blocks { request, hashes } => FromReplica::Blocks { request, blocks: hashes },
        Record::Read { request, path: name, content, offset, length } => {
            if length > limits::SYNC_READ_BYTES {
                return Err(format!("a read of {length} bytes is more than {}", limits::SYNC_READ_BYTES));
            }
            FromReplica::Read(Read { request, path: path(&name)?, content: Content(content), offset, length })
        }
        Record::Data { request, offset, bytes } => {
            FromReplica::Data(Data { request, offset, bytes: bytes.into() })
        }
        Record::Unavailable { request, reason } => FromReplica::Unavailable { request, reason },
        Record::Order { .. }
        | Record::Content { .. }
        | Record::Committed { .. }
        | Record::Halted(_)
        | Record::Rescan => return Err("a replica sent a record that only the hub sends".into()),
    }))
}

/// The record of what the hub says.
pub(super) fn record(message: ToReplica) -> wire::Record {
    use wire::Record;
    match message {
        ToReplica::Order { number, order } => {
            let action = match order.action {
                Action::MakeDirectory => wire::Action::MakeDirectory,
                Action::Put { content, size, executable, copy_from } => wire::Action::Put {
                    content: content.0,
                    size,
                    executable,
                    copy_from: copy_from.map(|path| path.as_str().to_owned()),
                },
                Action::Move { from, moved } => {
                    wire::Action::Move { from: from.as_str().to_owned(), moved: node_to(moved) }
                }
                Action::Remove => wire::Action::Remove,
            };
            Record::Order {
                order: number,
                path: order.path.as_str().to_owned(),
                expect: order.expect.map(node_to),
                action,
            }
        }
        ToReplica::Content { content, bytes } => Record::Content { content: content.0, bytes: bytes.into() },
        ToReplica::AskBlocks(ask) => Record::AskBlocks {
            request: ask.request,
            path: ask.path.as_str().to_owned(),
            content: ask.content.0,
            size: ask.size,
        },
        ToReplica::Blocks { request, blocks } => Record::Blocks { request, hashes: blocks },
        ToReplica::Read(read) => Record::Read {
            request: read.request,
            path: read.path.as_str().to_owned(),
            content: read.content.0,
            offset: read.offset,
            length: read.length,
        },
        ToReplica::Data(data) => {
            Record::Data { request: data.request, offset: data.offset, bytes: data.bytes.into() }
        }
        ToReplica::Unavailable { request, reason } => Record::Unavailable { request, reason },
        ToReplica::Committed { sequence, synced } => Record::Committed { sequence, synced },
        ToReplica::Halted { reason } => Record::Halted((!reason.is_empty()).then_some(reason)),
        ToReplica::Rescan => Record::Rescan,
    }
}

fn path(name: &str) -> Result<RelativePath, String> {
    RelativePath::new(name).map_err(|error| format!("{name:?} {error}"))
}

fn node_of(node: wire::Node) -> Node {
    match node {
        wire::Node::Directory => Node::Directory,
        wire::Node::File { content, size, executable } => {
            Node::File { content: Content(content), size, executable }
        }
    }
}

fn node_to(node: Node) -> wire::Node {
    match node {
        Node::Directory => wire::Node::Directory,
        Node::File { content, size, executable } => {
            wire::Node::File { content: content.0, size, executable }
        }
    }
}
