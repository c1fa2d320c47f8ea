//! A replica's messages as records of the wire.

use bytes::Bytes;
use mhnos_protocol::sync::{self as wire, Record};
use mhnos_sync::hub::message::{Ask, Data, FromReplica, Read, ToReplica};
use mhnos_sync::model::{Content, Node, RelativePath};
use mhnos_sync::side::{Action, Observation, Order, Outcome};

/// What is not said in a session, or not understood.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Hashes in one record.
const HASHES: usize = 16 << 10;

/// What the hub says, of the payload of a frame.
///
/// # Errors
/// When it is none of its records.
pub fn from_hub(payload: &[u8]) -> Result<Vec<ToReplica>> {
    wire::decode(Bytes::copy_from_slice(payload))?.into_iter().map(message).collect()
}

fn message(record: Record) -> Result<ToReplica> {
    Ok(match record {
        Record::Order { order, path, expect, action } => {
            let (path, expect) = (RelativePath::new(&path)?, expect.map(node));
            ToReplica::Order { number: order, order: Order { path, expect, action: self::action(action)? } }
        }
        Record::Content { content, bytes } => {
            ToReplica::Content { content: Content(content), bytes: bytes.into() }
        }
        Record::AskBlocks { request, path, content, size } => {
            let (path, content) = (RelativePath::new(&path)?, Content(content));
            ToReplica::AskBlocks(Ask { request, path, content, size })
        }
        Record::Read { request, path, content, offset, length } => {
            let (path, content) = (RelativePath::new(&path)?, Content(content));
            ToReplica::Read(Read { request, path, content, offset, length })
        }
        Record::Blocks { request, hashes } => ToReplica::Blocks { request, blocks: hashes },
        Record::Data { request, offset, bytes } => {
            ToReplica::Data(Data { request, offset, bytes: bytes.into() })
        }
        Record::Unavailable { request, reason } => ToReplica::Unavailable { request, reason },
        Record::Committed { sequence, synced } => ToReplica::Committed { sequence, synced },
        Record::Halted(reason) => ToReplica::Halted { reason: reason.unwrap_or_default() },
        Record::Rescan => ToReplica::Rescan,
        other => return Err(format!("a hub does not say {other:?}").into()),
    })
}

/// The records that say what a replica says.
pub fn to_hub(message: FromReplica) -> Vec<Record> {
    match message {
        FromReplica::Observed { observation, more } => {
            let Observation { nodes, problems, complete, within } = observation;
            let problems = problems
                .into_iter()
                .map(|problem| wire::Problem { path: problem.path, reason: problem.reason })
                .collect::<Vec<_>>();
            let nodes = nodes.into_iter().map(|(path, node)| (path.to_string(), node.map(wire_node)));
            let within = within.map(|path| path.to_string());
            let observed = Record::Observed { complete, more, within, nodes: nodes.collect() };
            if problems.is_empty() { vec![observed] } else { vec![Record::Problems(problems), observed] }
        }
        FromReplica::Outcome { order, outcome } => {
            let result = match outcome {
                Outcome::Done => wire::OrderResult::Done,
                Outcome::Changed(node) => wire::OrderResult::Changed(node.map(wire_node)),
                Outcome::Failed(reason) => wire::OrderResult::Failed(reason),
            };
            vec![Record::Outcome { order, result }]
        }
        FromReplica::AskBlocks(Ask { request, path, content, size }) => {
            vec![Record::AskBlocks { request, path: path.to_string(), content: content.0, size }]
        }
        FromReplica::Blocks { request, blocks } => {
            blocks.chunks(HASHES).map(|part| Record::Blocks { request, hashes: part.to_vec() }).collect()
        }
        FromReplica::Read(Read { request, path, content, offset, length }) => {
            vec![Record::Read { request, path: path.to_string(), content: content.0, offset, length }]
        }
        FromReplica::Data(Data { request, offset, bytes }) => {
            vec![Record::Data { request, offset, bytes: bytes.into() }]
        }
        FromReplica::Unavailable { request, reason } => vec![Record::Unavailable { request, reason }],
    }
}

fn action(action: wire::Action) -> Result<Action> {
    Ok(match action {
        wire::Action::MakeDirectory => Action::MakeDirectory,
        wire::Action::Put { content, size, executable, copy_from } => {
            let copy_from = copy_from.map(|path| RelativePath::new(&path)).transpose()?;
            Action::Put { content: Content(content), size, executable, copy_from }
        }
        wire::Action::Move { from, moved } => {
            Action::Move { from: RelativePath::new(&from)?, moved: node(moved) }
        }
        wire::Action::Remove => Action::Remove,
    })
}

fn node(node: wire::Node) -> Node {
    match node {
        wire::Node::Directory => Node::Directory,
        wire::Node::File { content, size, executable } => {
            Node::File { content: Content(content), size, executable }
        }
    }
}

fn wire_node(node: Node) -> wire::Node {
    match node {
        Node::Directory => wire::Node::Directory,
        Node::File { content, size, executable } => wire::Node::File { content: content.0, size, executable },
    }
}
