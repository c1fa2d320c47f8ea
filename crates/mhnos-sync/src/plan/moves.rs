//! Finds what was moved: gone here, and the same appeared there.
//!
//! A folder counts as moved when all that both sides had in it is at the new place, exactly. What the *other* side changed in it
//! meanwhile is moved along, and the base with it, so that it is told apart at the new place as it would have been at the old one.
//! What was moved and changed at once is found file by file.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Node, RelativePath};
use crate::plan::{Situation, Which};
use crate::side::Action;
use crate::tree::{Triple, ancestors, inside};

/// One move, to be done by the side that has not done it.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) from: RelativePath,
    pub(super) to: RelativePath,
    /// What that side has at `from`.
    pub(super) node: Node,
}

/// Of things that are all alike, so many are looked at for one with the right name.
const ALIKE: usize = 16;

/// Entries in order, and for each a hash of it with all that is in it, and where that ends.
struct Listing<'a> {
    entries: Vec<(&'a RelativePath, Node)>,
    sums: Vec<(u64, usize)>,
}

impl<'a> Listing<'a> {
    fn of(entries: Vec<(&'a RelativePath, Node)>) -> Self {
        let mut sums = vec![(0, 0); entries.len()];
        // Backwards, what is in a folder is known before the folder; `run` finds the entries right below it.
        for at in (0..entries.len()).rev() {
            let (path, node) = entries[at];
            let mut hasher = DefaultHasher::new();
            node.hash(&mut hasher);
            let mut next = at + 1;
            while next < entries.len() && entries[next].0.is_in(path) {
                entries[next].0.as_str()[path.as_str().len()..].hash(&mut hasher);
                sums[next].0.hash(&mut hasher);
                next = sums[next].1;
            }
            sums[at] = (hasher.finish(), next);
        }
        Self { entries, sums }
    }

    /// All at and in one entry, with what their paths are beneath it.
    fn relative(&self, at: usize) -> impl Iterator<Item = (&str, Node)> {
        let length = self.entries[at].0.as_str().len();
        self.entries[at..self.sums[at].1].iter().map(move |(path, node)| (&path.as_str()[length..], *node))
    }
}

/// What `mover` has moved and the other side has not. `closed` are rows nothing may be done with now; rows that are used are added to `taken`.
pub(super) fn detect<'a>(
    situation: &Situation<'_>,
    rows: &'a BTreeMap<RelativePath, Triple>,
    closed: &BTreeSet<&'a RelativePath>,
    mover: Which,
    taken: &mut BTreeSet<&'a RelativePath>,
) -> Vec<Move> {
    let other = mover.other();
    let open = || rows.iter().filter(|(path, _)| !closed.contains(path) && !taken.contains(path));
    let created: Vec<_> = open()
        .filter(|(_, row)| row.base.is_none() && row.on(other).is_none())
        .filter_map(|(path, row)| Some((path, row.on(mover)?)))
        .collect();
    if created.is_empty() {
        return Vec::new();
    }
    let removed: Vec<_> = open()
        .filter(|(_, row)| row.on(mover).is_none())
        .filter_map(|(path, row)| Some((path, row.base?)))
        .collect();
    if removed.is_empty() {
        return Vec::new();
    }
    let (created, removed) = (Listing::of(created), Listing::of(removed));
    let mut alike: HashMap<u64, VecDeque<usize>> = HashMap::new();
    for (at, (sum, _)) in removed.sums.iter().enumerate() {
        alike.entry(*sum).or_default().push_back(at);
    }
    let mut moves = Vec::new();
    let mut at = 0;
    while at < created.entries.len() {
        let (to, node) = created.entries[at];
        let next = at + 1;
        let found = match node {
            // There is nothing to be saved by moving what is empty, and much that is empty is alike.
            Node::Directory if created.sums[at].1 == next => None,
            Node::File { size: 0, .. } => None,
            _ => alike.get_mut(&created.sums[at].0),
        };
        let found = found.and_then(|candidates| {
            candidates.retain(|&candidate| !taken.contains(removed.entries[candidate].0));
            let fits = |candidate: &&usize| {
                let from = removed.entries[**candidate].0;
                movable(situation, rows, closed, taken, other, from, to)
                    && removed.relative(**candidate).eq(created.relative(at))
            };
            let fitting: Vec<usize> = candidates.iter().take(ALIKE).filter(fits).copied().collect();
            let named = fitting.iter().find(|&&candidate| removed.entries[candidate].0.name() == to.name());
            named.or(fitting.first()).copied()
        });
        let Some(candidate) = found else {
            at = next;
            continue;
        };
        let from = removed.entries[candidate].0;
        for place in [from, to] {
            taken.extend(rows.get_key_value(place).map(|(path, _)| path));
            taken.extend(inside(rows, Some(place)).map(|(path, _)| path));
        }
        if let Some(node) = rows.get(from).and_then(|row| row.on(other)) {
            moves.push(Move { from: from.clone(), to: to.clone(), node });
        }
        at = created.sums[at].1;
    }
    moves
}

/// Whether the other side can do this move at all, and nothing is in its way.
fn movable(
    situation: &Situation<'_>,
    rows: &BTreeMap<RelativePath, Triple>,
    closed: &BTreeSet<&RelativePath>,
    taken: &BTreeSet<&RelativePath>,
    other: Which,
    from: &RelativePath,
    to: &RelativePath,
) -> bool {
    let kind = |node: Option<Node>| node.map(|node| node == Node::Directory);
    let row = rows.get(from);
    let same_kind = row.is_some_and(|row| row.on(other).is_some() && kind(row.on(other)) == kind(row.base));
    let parent = to.parent();
    let parent_there = parent.is_none_or(|parent| match rows.get(&parent) {
        Some(row) => {
            row.on(other) == Some(Node::Directory) || (row.base.is_none() && row.on(other).is_none())
        }
        None => situation.trees.triple(situation.host, &parent).on(other) == Some(Node::Directory),
    });
    let unmade = |folder: RelativePath| {
        let refused = situation.refused.get(&(other, folder.clone()));
        let node = || situation.trees.triple(situation.host, &folder).on(other);
        refused.is_some_and(|order| order.action == Action::MakeDirectory && order.expect == node())
    };
    let refused = || {
        let refused = situation.refused.get(&(other, to.clone()));
        refused.is_some_and(|order| matches!(&order.action, Action::Move { from: old, .. } if old == from))
    };
    let free = |place: &RelativePath| {
        !situation.host_problems.lie_in(place)
            && !situation.replica_problems.lie_in(place)
            && inside(rows, Some(place)).all(|(path, _)| !closed.contains(path) && !taken.contains(path))
    };
    // Nearly always nothing was refused: no keys are made then.
    let possible = situation.refused.is_empty() || (!refused() && !ancestors(to).any(unmade));
    same_kind && parent_there && possible && !to.is_in(from) && free(from) && free(to)
}
