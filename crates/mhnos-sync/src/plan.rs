//! What either side has to do, decided from three trees. Nothing here reads a file or a clock, and nothing is decided elsewhere.
//!
//! A path is decided from what is there in base, host and replica ([`decide`]), and from what becomes of what is in it. Only rows in which
//! the trees differ are looked at, and of these only those that have to do with a path that changed: a save costs the same in a folder of
//! ten files and of a million.
//!
//! Orders are such that each is safe whatever became of the others. Anything that needs two steps in a certain order across both sides
//! is done in two plans: a conflict is one order, to move the loser aside, and all else follows from the rules for a file that is only on one
//! side; a folder that becomes a file is removed first, and put by the next plan. Wherever something is taken away only to make
//! room, the base forgets the path at once, so that what is missing there can never be mistaken for what somebody deleted.
//!
//! - [`decide`]: the rules for one path.
//! - `moves`: what vanished here and appeared there.
//! - `halves`: what of it has to wait, because something is under way at the other end.
//! - `settle`: what becomes of the paths that changed, folders after what is in them.
//! - `name`: names of conflict copies.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Node, RelativePath, Tree};
use crate::side::{Order, Problem};
use crate::tree::{Ignores, Problems, ReplicaTrees, Triple};

pub mod decide;
mod halves;
mod moves;
pub mod name;
mod settle;
#[cfg(test)]
mod tests;

/// One of the two sides of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    /// The folder on the host.
    Host,
    /// The replica.
    Replica,
}

impl Which {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Host => Self::Replica,
            Self::Replica => Self::Host,
        }
    }
}

impl Triple {
    /// What a side has.
    pub fn on(&self, which: Which) -> Option<Node> {
        match which {
            Which::Host => self.host,
            Which::Replica => self.replica,
        }
    }
}

/// What a plan is made from.
pub struct Situation<'a> {
    /// What the host was seen to have.
    pub host: &'a Tree,
    /// Base, and what the replica was seen to have.
    pub trees: &'a ReplicaTrees,
    /// What the replica is called; a part of conflict copies' names.
    pub name: &'a str,
    /// What cannot be synced on the host.
    pub host_problems: &'a Problems,
    /// What cannot be synced on the replica.
    pub replica_problems: &'a Problems,
    /// Orders that could not be carried out, by side and path. They are not given again while they would be the same.
    pub refused: &'a BTreeMap<(Which, RelativePath), Order>,
    /// Paths whose content is not to be copied from elsewhere on the side, since that failed.
    pub transfer: &'a BTreeSet<RelativePath>,
    /// What is never sent and never deleted.
    pub ignores: &'a dyn Ignores,
    /// Whether something is under way at a path, above or beneath it.
    pub busy: &'a dyn Fn(&RelativePath) -> bool,
    /// Files that are being deleted on the other side because they vanished on this one: host, replica.
    pub vanishing: [usize; 2],
    /// A person said that what vanished was deleted on purpose: from the host, from the replica.
    pub confirmed: [bool; 2],
}

/// What becomes of the base when an order was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// It is what the path holds now: the other side had it already.
    Follows,
    /// It stays: the other side is still to get this.
    Stays,
    /// It moves along: what is not moved now is told apart from it at its new place.
    Moves,
    /// Nothing is agreed at either place of the move: the loser of a conflict went aside.
    Nothing,
}

/// An order, and what it means for the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is to be done.
    pub order: Order,
    /// See [`Agreed`].
    pub agreed: Agreed,
}

/// Why nothing is done until a person decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What is wrong.
    pub reason: HaltReason,
    /// The side of which something is wrong.
    pub side: Which,
    /// Files both had.
    pub base_files: usize,
    /// How many of them that side has no more.
    pub vanished: usize,
}

/// See [`Halt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HaltReason {
    /// The side has nothing any more.
    Empty,
    /// More than half of the files, and more than 10, are gone at once.
    MostDeleted,
    /// The root is gone, was replaced or cannot be read.
    Missing(String),
    /// Nothing can be written there.
    DiskFull(String),
}

/// Files that may vanish at once without anybody being asked.
pub const VANISH_UNASKED: usize = 10;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By the host, in this order.
    pub host: Vec<Step>,
    /// By the replica, in this order.
    pub replica: Vec<Step>,
    /// What the base is at once.
    pub base: Vec<(RelativePath, Option<Node>)>,
    /// What something under way keeps from being planned: to be planned again when that is over, each with what has to be planned with it.
    pub deferred: BTreeMap<RelativePath, Vec<RelativePath>>,
    /// What differs and stays so until one of the sides, or a person, changes something.
    pub held: Vec<RelativePath>,
    /// What cannot be done at all.
    pub problems: Vec<Problem>,
    /// Nothing of it is to be done.
    pub halt: Option<Halt>,
}

/// Plans what has to do with the paths that changed; with everything that differs, if none are given.
pub fn plan(situation: &Situation<'_>, changed: Option<&BTreeSet<RelativePath>>) -> Plan {
    settle::settle(situation, affected(situation, changed))
}

/// The rows that may have to be decided anew when these paths changed: they, the folders they are in, what is in them.
fn affected(
    situation: &Situation<'_>,
    changed: Option<&BTreeSet<RelativePath>>,
) -> BTreeMap<RelativePath, Triple> {
    let differences = situation.trees.differences();
    let triple = |path: &RelativePath| (path.clone(), situation.trees.triple(situation.host, path));
    let Some(changed) = changed else {
        return differences.keys().map(triple).collect();
    };
    let mut rows = BTreeMap::new();
    let mut last_parent = None;
    // What is in a folder that was looked at is not looked at again for each changed path in it.
    let mut looked: Option<&RelativePath> = None;
    for path in changed {
        if differences.contains_key(path) {
            rows.insert(path.clone(), situation.trees.triple(situation.host, path));
        }
        if looked.is_some_and(|folder| path.is_in(folder)) {
            continue;
        }
        looked = Some(path);
        rows.extend(crate::tree::inside(differences, Some(path)).map(|(path, _)| triple(path)));
        let parent = path.parent();
        if parent != last_parent {
            let folders = crate::tree::ancestors(path).filter(|folder| differences.contains_key(folder));
            rows.extend(folders.map(|folder| triple(&folder)));
            last_parent = parent;
        }
    }
    rows
}
