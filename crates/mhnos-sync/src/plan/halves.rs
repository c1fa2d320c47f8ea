//! Keeps the two halves of a move together: what is gone at one path and appeared at another is decided at once, or not yet.
//!
//! Where something is under way nothing is decided. If only one half of a move lies there, the other one decided alone would be a deletion, and a
//! moment later the same content would be sent again; and what the other side had changed in it would come back under the old name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{Content, Node, RelativePath};
use crate::plan::Which;
use crate::tree::Triple;

/// What a row may be of a move.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Half {
    /// The path a file was moved away from.
    Gone,
    /// The one it was moved to.
    Appeared,
}

impl Half {
    fn other(self) -> Self {
        match self {
            Self::Gone => Self::Appeared,
            Self::Appeared => Self::Gone,
        }
    }
}

/// Rows that have to wait although nothing is under way at them, each with the deferred row that may be its other half. `closed` and `taken` are
/// rows of which it is known already what becomes of them now.
pub(super) fn that_wait<'a>(
    rows: &'a BTreeMap<RelativePath, Triple>,
    deferred: &BTreeMap<RelativePath, Vec<RelativePath>>,
    closed: &BTreeSet<&'a RelativePath>,
    taken: &BTreeSet<&'a RelativePath>,
) -> Vec<(&'a RelativePath, RelativePath)> {
    let busy = deferred.keys().filter_map(|path| Some((half(rows.get(path)?)?, path)));
    let busy: HashMap<_, _> = busy.collect();
    if busy.is_empty() {
        return Vec::new();
    }
    let open = rows.iter().filter(|(path, _)| !closed.contains(path) && !taken.contains(path));
    let waits = |(path, row): (&'a RelativePath, &Triple)| {
        let (mover, own, content) = half(row)?;
        let half = busy.get(&(mover, own.other(), content))?;
        Some((path, (*half).clone()))
    };
    open.filter_map(waits).collect()
}

/// Which half of a move by which side a row may be, and the content that was moved.
fn half(row: &Triple) -> Option<(Which, Half, Content)> {
    for mover in [Which::Host, Which::Replica] {
        let other = row.on(mover.other());
        match (row.base, row.on(mover)) {
            // There is nothing to be saved by moving what is empty.
            (_, Some(Node::File { size: 0, .. })) | (Some(Node::File { size: 0, .. }), _) => {}
            (None, Some(Node::File { content, .. })) if other.is_none() => {
                return Some((mover, Half::Appeared, content));
            }
            (Some(Node::File { content, .. }), None) if other.is_some() => {
                return Some((mover, Half::Gone, content));
            }
            _ => {}
        }
    }
    None
}
