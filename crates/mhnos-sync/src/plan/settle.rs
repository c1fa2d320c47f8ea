//! What becomes of the rows that may have to be decided anew.
//!
//! Backwards, so that a folder is settled after what is in it: it can only be removed when nothing stays in it. Then forwards, so that a
//! folder is made before what is in it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::{BLOCK_BYTES, Content, Node, RelativePath};
use crate::plan::decide::{Verdict, decide};
use crate::plan::{
    Agreed, Halt, HaltReason, Plan, Situation, Step, VANISH_UNASKED, Which, halves, moves, name,
};
use crate::side::{Action, Order, Problem};
use crate::tree::{Triple, inside, is_file};

/// Whether something stays in a folder that one side wants gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stay {
    /// It can neither be kept nor removed now.
    Held,
    /// It is kept, and the folder with it.
    Kept,
}

/// So many names for a conflict copy are tried on a side that refuses them.
const NAMES_REFUSED: usize = 3;

/// What is to be done about one row.
enum Deed {
    Does(Which, Step),
    /// What the side has goes aside; the name is still to be found.
    Aside(Which, Node),
    Held,
}

struct Settling<'a, 's> {
    situation: &'a Situation<'s>,
    rows: &'a BTreeMap<RelativePath, Triple>,
    plan: Plan,
    /// Rows nothing may be done with now.
    closed: BTreeSet<&'a RelativePath>,
    /// Rows that are ignored.
    ignored: HashSet<&'a RelativePath>,
    /// Rows that are moved, or moved away from.
    taken: BTreeSet<&'a RelativePath>,
    /// Folders in which something stays, by side.
    stays: [HashMap<RelativePath, Stay>; 2],
}

pub(super) fn settle(situation: &Situation<'_>, rows: BTreeMap<RelativePath, Triple>) -> Plan {
    let mut settling = Settling {
        situation,
        rows: &rows,
        plan: Plan::default(),
        closed: BTreeSet::new(),
        ignored: HashSet::new(),
        taken: BTreeSet::new(),
        stays: [HashMap::new(), HashMap::new()],
    };
    settling.close();
    // The side that is to do the moves comes first.
    let mut moved = Vec::new();
    for mover in [Which::Host, Which::Replica] {
        let found = moves::detect(situation, &rows, &settling.closed, mover, &mut settling.taken);
        moved.extend(found.into_iter().map(|found| (found.to.clone(), (mover.other(), found))));
    }
    for side in [Which::Host, Which::Replica] {
        if let Some(halt) = settling.halt(side) {
            let deferred = rows.into_keys().map(|path| (path, Vec::new())).collect();
            return Plan { deferred, halt: Some(halt), ..Plan::default() };
        }
    }
    settling.keep_together();
    let deeds = settling.deeds();
    settling.give(deeds, moved.into_iter().collect());
    settling.plan
}

impl<'a> Settling<'a, '_> {
    /// Sorts out what is not to be decided now, and what is agreed already.
    fn close(&mut self) {
        for (path, row) in self.rows {
            let directory = [row.base, row.host, row.replica].contains(&Some(Node::Directory));
            if self.situation.ignores.ignores(path, directory) {
                self.ignored.insert(path);
                self.closed.insert(path);
                if row.base.is_some() {
                    self.plan.base.push((path.clone(), None));
                }
            } else if self.situation.host_problems.cover(path) || self.situation.replica_problems.cover(path)
            {
                self.closed.insert(path);
                self.plan.held.push(path.clone());
            } else if (self.situation.busy)(path) {
                self.closed.insert(path);
                self.plan.deferred.insert(path.clone(), Vec::new());
            }
        }
    }

    /// Has what may be one half of a move wait for the other.
    fn keep_together(&mut self) {
        let waiting = halves::that_wait(self.rows, &self.plan.deferred, &self.closed, &self.taken);
        for (path, half) in waiting {
            self.closed.insert(path);
            self.plan.deferred.entry(half).or_default().push(path.clone());
        }
    }

    /// Whether too much vanished from a side.
    fn halt(&self, side: Which) -> Option<Halt> {
        if self.situation.confirmed[side as usize] {
            return None;
        }
        let open =
            self.rows.iter().filter(|(path, _)| !self.closed.contains(path) && !self.taken.contains(path));
        let gone = open.clone().filter(|(_, row)| {
            is_file(&row.base) && row.on(side).is_none() && row.on(side.other()).is_some()
        });
        let gone: Vec<_> = gone.filter_map(|(_, row)| content(row.base)).collect();
        if gone.is_empty() {
            return None;
        }
        let base_files = self.situation.trees.base_files();
        let vanishing = self.situation.vanishing[side as usize];
        let is_most = |vanished| vanished > VANISH_UNASKED && vanished * 2 > base_files;
        let mut vanished = gone.len() + vanishing;
        if is_most(vanished) {
            // What is still there under another name was not deleted, also where it could not be told as a move.
            let mut elsewhere = self.appeared(side);
            let lost = gone.iter().filter(|content| match elsewhere.get_mut(content) {
                Some(copies @ 1..) => {
                    *copies -= 1;
                    false
                }
                _ => true,
            });
            vanished = lost.count() + vanishing;
        }
        let (entries, problems) = match side {
            Which::Host => (self.situation.host.len(), self.situation.host_problems),
            Which::Replica => (self.situation.trees.entries(), self.situation.replica_problems),
        };
        let reason = if entries == 0 && problems.is_empty() {
            HaltReason::Empty
        } else if is_most(vanished) {
            HaltReason::MostDeleted
        } else {
            return None;
        };
        Some(Halt { reason, side, base_files, vanished })
    }

    /// How often a side has each content where it was not agreed: anywhere, because what is being done about it is not planned again now.
    fn appeared(&self, side: Which) -> HashMap<Content, usize> {
        let mut contents = HashMap::new();
        for path in self.situation.trees.differences().keys().filter(|path| !self.taken.contains(path)) {
            let row = self.situation.trees.triple(self.situation.host, path);
            if let Some(content) = content(row.on(side)).filter(|_| row.base != row.on(side)) {
                *contents.entry(content).or_insert(0) += 1;
            }
        }
        contents
    }

    /// What to do about each row that is open, in the order of the paths.
    fn deeds(&mut self) -> Vec<(&'a RelativePath, Deed)> {
        let mut deeds = Vec::new();
        for (path, row) in self.rows.iter().rev() {
            if self.taken.contains(path) {
                continue;
            }
            if self.closed.contains(path) {
                self.mark(path, row, Stay::Held);
                continue;
            }
            if row.host == row.replica {
                self.plan.base.push((path.clone(), row.host));
                self.mark(path, row, Stay::Kept);
                continue;
            }
            let deed = self.deed(path, row);
            match &deed {
                Deed::Held => {
                    self.mark(path, row, Stay::Held);
                    self.explain(path, row);
                }
                Deed::Does(_, step) if removes_for_good(row, step) => {}
                Deed::Does(..) | Deed::Aside(..) => {
                    self.stays_on(Which::Host, path, Stay::Kept);
                    self.stays_on(Which::Replica, path, Stay::Kept);
                }
            }
            deeds.push((path, deed));
        }
        deeds.reverse();
        deeds
    }

    /// A folder that is to be removed stays because of what is ignored in it: that is told. On the host the order itself says so.
    fn explain(&mut self, path: &RelativePath, row: &Triple) {
        let ignored =
            |(path, row): (&RelativePath, &Triple)| self.ignored.contains(path) && row.replica.is_some();
        if row.replica == Some(Node::Directory)
            && row.host != Some(Node::Directory)
            && inside(self.rows, Some(path)).any(ignored)
        {
            let reason = "has ignored files in it, which are never deleted".to_owned();
            self.plan.problems.push(Problem { path: path.to_string(), reason });
        }
    }

    fn mark(&mut self, path: &RelativePath, row: &Triple, stay: Stay) {
        for side in [Which::Host, Which::Replica] {
            if row.on(side).is_some() {
                self.stays_on(side, path, stay);
            }
        }
    }

    fn stays_on(&mut self, side: Which, path: &RelativePath, stay: Stay) {
        if let Some(folder) = path.parent() {
            let mark = self.stays[side as usize].entry(folder).or_insert(stay);
            *mark = stay.max(*mark);
        }
    }

    /// Decides one row; what is in it was decided before.
    fn deed(&self, path: &RelativePath, row: &Triple) -> Deed {
        let does = |side, expect, action, agreed| {
            let order = Order { path: path.clone(), expect, action };
            if self.is_refused(side, &order) { Deed::Held } else { Deed::Does(side, Step { order, agreed }) }
        };
        let side = match decide(row) {
            Verdict::Gets(side) => side,
            Verdict::Merges(side, node) => return does(side, row.on(side), put(node), Agreed::Stays),
            Verdict::Loses(side) => return aside(side, row),
        };
        let has = row.on(side);
        match (row.on(side.other()), has) {
            (Some(Node::Directory), None) => does(side, None, Action::MakeDirectory, Agreed::Follows),
            // Makes room; the folder is made by the next plan.
            (Some(Node::Directory), _) => does(side, has, Action::Remove, Agreed::Follows),
            (wanted, Some(Node::Directory)) => match (self.stay(side, path), wanted) {
                (None, _) => does(side, has, Action::Remove, Agreed::Follows),
                (Some(Stay::Held), _) => Deed::Held,
                (Some(Stay::Kept), None) => does(side.other(), None, Action::MakeDirectory, Agreed::Follows),
                (Some(Stay::Kept), Some(_)) => aside(side.other(), row),
            },
            (Some(file), _) => does(side, has, put(file), Agreed::Follows),
            (None, _) => does(side, has, Action::Remove, Agreed::Follows),
        }
    }

    fn stay(&self, side: Which, folder: &RelativePath) -> Option<Stay> {
        let problems = match side {
            Which::Host => self.situation.host_problems,
            Which::Replica => self.situation.replica_problems,
        };
        let held = problems.lie_in(folder).then_some(Stay::Held);
        self.stays[side as usize].get(folder).copied().max(held)
    }

    fn is_refused(&self, side: Which, order: &Order) -> bool {
        // Nearly always nothing is: no key is made then.
        !self.situation.refused.is_empty()
            && self.situation.refused.get(&(side, order.path.clone())).is_some_and(|refused| {
                refused.expect == order.expect && same_action(&refused.action, &order.action)
            })
    }

    /// Turns deeds into orders: what goes aside, folders and moves, files, removals.
    fn give(
        &mut self,
        deeds: Vec<(&'a RelativePath, Deed)>,
        moved: BTreeMap<RelativePath, (Which, moves::Move)>,
    ) {
        let mut given = [Given::default(), Given::default()];
        let mut names = BTreeSet::new();
        let mut moved = moved.into_iter().peekable();
        for (path, deed) in deeds {
            while let Some((_, (side, found))) = moved.next_if(|(to, _)| to <= path) {
                self.give_move(&mut given, side, found);
            }
            match deed {
                Deed::Held => self.plan.held.push(path.clone()),
                Deed::Aside(side, node) => self.give_aside(&mut given, &mut names, side, path, node),
                Deed::Does(side, step) => {
                    let makes_room = step.order.action == Action::Remove
                        && is_file(&step.order.expect)
                        && self.rows.get(path).is_some_and(|row| row.on(side.other()).is_some());
                    if makes_room {
                        self.plan.base.push((path.clone(), None));
                    }
                    self.give_step(&mut given, side, step);
                }
            }
        }
        moved.for_each(|(_, (side, found))| self.give_move(&mut given, side, found));
        let [host, replica] = given;
        self.plan.host = self.in_order(Which::Host, host);
        self.plan.replica = self.in_order(Which::Replica, replica);
    }

    fn give_move(&mut self, given: &mut [Given; 2], side: Which, found: moves::Move) {
        let moves::Move { from, to, node } = found;
        if !self.parent_there(&mut given[side as usize], side, &to) {
            self.plan.held.extend([from, to]);
            return;
        }
        if node == Node::Directory {
            given[side as usize].made.insert(to.clone());
        }
        let order = Order { path: to, expect: None, action: Action::Move { from, moved: node } };
        given[side as usize].structure.push(Step { order, agreed: Agreed::Moves });
    }

    fn give_aside(
        &mut self,
        given: &mut [Given; 2],
        names: &mut BTreeSet<RelativePath>,
        side: Which,
        path: &RelativePath,
        node: Node,
    ) {
        let mut refused = 0;
        for n in 1.. {
            let copy = match name::conflict_copy(path, self.situation.name, n) {
                Ok(copy) => copy,
                Err(error) => {
                    let reason = format!("was changed on both sides, but the name of its copy {error}");
                    self.plan.problems.push(Problem { path: path.to_string(), reason });
                    self.plan.held.push(path.clone());
                    return;
                }
            };
            let nothing = Triple { base: None, host: None, replica: None };
            let free = self.situation.trees.triple(self.situation.host, &copy) == nothing
                && !names.contains(&copy)
                && !(self.situation.busy)(&copy);
            let action = Action::Move { from: path.clone(), moved: node };
            let order = Order { path: copy, expect: None, action };
            // A name may be one that this side cannot hold; but where nothing can be moved, no other name helps.
            if free && self.is_refused(side, &order) {
                refused += 1;
                if refused == NAMES_REFUSED {
                    let reason =
                        "was changed on both sides, and a copy of it can have no name here".to_owned();
                    self.plan.problems.push(Problem { path: path.to_string(), reason });
                    self.plan.held.push(path.clone());
                    return;
                }
            } else if free {
                names.insert(order.path.clone());
                self.plan.base.push((path.clone(), None));
                given[side as usize].aside.push(Step { order, agreed: Agreed::Nothing });
                return;
            }
        }
    }

    fn give_step(&mut self, given: &mut [Given; 2], side: Which, step: Step) {
        let given = &mut given[side as usize];
        if step.order.expect.is_none() && !self.parent_there(given, side, &step.order.path) {
            // The folder it is to be in is held, or is made by the next plan; then this is planned again with it.
            self.plan.held.push(step.order.path);
            return;
        }
        match step.order.action {
            Action::Remove => given.removals.push(step),
            Action::Put { .. } => given.puts.push(step),
            Action::MakeDirectory | Action::Move { .. } => {
                given.made.insert(step.order.path.clone());
                given.structure.push(step);
            }
        }
    }

    fn parent_there(&self, given: &mut Given, side: Which, path: &RelativePath) -> bool {
        let Some(folder) = path.parent() else { return true };
        if let Some((last, there)) = &given.last_parent
            && *last == folder
        {
            return *there;
        }
        let node = self.situation.trees.triple(self.situation.host, &folder).on(side);
        let there = node == Some(Node::Directory) || given.made.contains(&folder);
        given.last_parent = Some((folder, there));
        there
    }

    fn in_order(&self, side: Which, mut given: Given) -> Vec<Step> {
        self.find_copies(side, &given.aside, &mut given.puts);
        // What is small is not to wait for what is large.
        given.puts.sort_by_key(|step| match step.order.action {
            Action::Put { size, .. } if size > BLOCK_BYTES => size,
            _ => 0,
        });
        let mut steps = given.aside;
        steps.append(&mut given.structure);
        steps.append(&mut given.puts);
        steps.extend(given.removals.into_iter().rev());
        steps
    }

    /// Where the side has the content already, in a file that stays as it is until all files were put.
    fn find_copies(&self, side: Which, aside: &[Step], puts: &mut [Step]) {
        if puts.is_empty() {
            return;
        }
        let gone = aside.iter().filter_map(|step| match &step.order.action {
            Action::Move { from, .. } => Some(from.clone()),
            _ => None,
        });
        let rewritten: HashSet<_> = puts.iter().map(|step| step.order.path.clone()).chain(gone).collect();
        let mut there: HashMap<Content, &RelativePath> = HashMap::new();
        for (path, row) in self.rows {
            let stays =
                !rewritten.contains(path) && !self.taken.contains(path) && !self.closed.contains(path);
            if let Some(content) = content(row.on(side)).filter(|_| stays) {
                there.entry(content).or_insert(path);
            }
        }
        for step in puts {
            let own = content(step.order.expect);
            if let Action::Put { content, copy_from, .. } = &mut step.order.action
                && !self.situation.transfer.contains(&step.order.path)
            {
                let source =
                    if own == Some(*content) { Some(&step.order.path) } else { there.get(content).copied() };
                *copy_from = source.cloned();
            }
        }
    }
}

/// Orders for one side, by what they do.
#[derive(Default)]
struct Given {
    aside: Vec<Step>,
    structure: Vec<Step>,
    puts: Vec<Step>,
    removals: Vec<Step>,
    /// Folders that are there after `structure`.
    made: HashSet<RelativePath>,
    /// Siblings come one after the other: the answer for the last folder is kept.
    last_parent: Option<(RelativePath, bool)>,
}

fn aside(side: Which, row: &Triple) -> Deed {
    row.on(side).map_or(Deed::Held, |node| Deed::Aside(side, node))
}

/// Whether nothing is left at the path on either side.
fn removes_for_good(row: &Triple, step: &Step) -> bool {
    step.order.action == Action::Remove && (row.host.is_none() || row.replica.is_none())
}

fn put(node: Node) -> Action {
    match node {
        Node::Directory => Action::MakeDirectory,
        Node::File { content, size, executable } => {
            Action::Put { content, size, executable, copy_from: None }
        }
    }
}

fn content(node: Option<Node>) -> Option<Content> {
    match node {
        Some(Node::File { content, .. }) => Some(content),
        _ => None,
    }
}

/// Whether two actions are the same but for where a copy is taken from.
fn same_action(one: &Action, other: &Action) -> bool {
    let plain = |action: &Action| match action {
        Action::Put { content, size, executable, .. } => {
            Action::Put { content: *content, size: *size, executable: *executable, copy_from: None }
        }
        other => other.clone(),
    };
    plain(one) == plain(other)
}
