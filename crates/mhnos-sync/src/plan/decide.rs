//! The rules for one path, without what is in it.

use crate::model::Node;
use crate::plan::Which;
use crate::tree::Triple;

/// What is to become of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This side gets what the other has.
    Gets(Which),
    /// This side gets what neither has: one content, the other's executable bit. Then the other side gets that.
    Merges(Which, Node),
    /// What this side has goes aside.
    Loses(Which),
}

/// Decides a path at which host and replica differ.
pub fn decide(triple: &Triple) -> Verdict {
    let Triple { base, host, replica } = *triple;
    if replica == base {
        return Verdict::Gets(Which::Replica);
    }
    if host == base {
        return Verdict::Gets(Which::Host);
    }
    match (host, replica) {
        // An edit beats a deletion.
        (None, _) => Verdict::Gets(Which::Host),
        (_, None) => Verdict::Gets(Which::Replica),
        (Some(Node::Directory), _) => Verdict::Loses(Which::Replica),
        (_, Some(Node::Directory)) => Verdict::Loses(Which::Host),
        (Some(host), Some(replica)) => merge(base, host, replica),
    }
}

/// Both changed a file. Content and executable bit are told apart: who made a script executable has not edited it.
fn merge(base: Option<Node>, host: Node, replica: Node) -> Verdict {
    let (Some((host_content, host_bit)), Some((replica_content, replica_bit))) =
        (parts(host), parts(replica))
    else {
        return Verdict::Loses(Which::Replica);
    };
    let base = base.and_then(parts);
    if host_content == replica_content {
        // The bit that is not the base's was changed. Without a base, being executable is what somebody asked for.
        let wanted = base.is_none_or(|(_, bit)| !bit);
        return Verdict::Gets(if replica_bit == wanted { Which::Host } else { Which::Replica });
    }
    match base {
        Some((content, _)) if content == host_content && host_bit == replica_bit => {
            Verdict::Gets(Which::Host)
        }
        Some((content, _)) if content == host_content => {
            Verdict::Merges(Which::Replica, with_bit(replica, host_bit))
        }
        Some((content, _)) if content == replica_content && host_bit == replica_bit => {
            Verdict::Gets(Which::Replica)
        }
        Some((content, _)) if content == replica_content => {
            Verdict::Merges(Which::Host, with_bit(host, replica_bit))
        }
        _ => Verdict::Loses(Which::Replica),
    }
}

fn parts(node: Node) -> Option<((crate::model::Content, u64), bool)> {
    match node {
        Node::Directory => None,
        Node::File { content, size, executable } => Some(((content, size), executable)),
    }
}

fn with_bit(node: Node, executable: bool) -> Node {
    match node {
        Node::Directory => node,
        Node::File { content, size, .. } => Node::File { content, size, executable },
    }
}
