//! What must hold of every plan, whatever the three trees are.
//!
//! Plans are carried out on trees, each order with what it expects, as sides do it; and what was agreed follows, as the hub has it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::Content;
use crate::side::Action;
use crate::tree::{NothingIgnored, ancestors, inside, is_file};

const PATHS: [&str; 12] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "i", "d/i", "d/i/a", "B"];
/// Most plans until nothing is left to do.
const ROUNDS: usize = 12;

/// Something that somebody does on a side.
#[derive(Clone, Debug)]
enum Deed {
    Write(usize, u8, bool),
    MakeDirectory(usize),
    Remove(usize),
    Rename(usize, usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let at = 0..PATHS.len();
    prop_oneof![
        4 => (at.clone(), 0..6_u8, any::<bool>()).prop_map(|(at, text, bit)| Deed::Write(at, text, bit)),
        1 => at.clone().prop_map(Deed::MakeDirectory),
        2 => at.clone().prop_map(Deed::Remove),
        2 => (at.clone(), at).prop_map(|(from, to)| Deed::Rename(from, to)),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    proptest::collection::vec(deed(), 0..8)
}

fn path(at: usize) -> RelativePath {
    RelativePath::new(PATHS[at]).unwrap()
}

/// Texts below 3 are the same whoever writes them; the others are each side's own.
fn file(owner: &str, text: u8, executable: bool) -> Node {
    let text = if text < 3 { format!("common {text}") } else { format!("{owner} {text}") };
    Node::File { content: Content::of(text.as_bytes()), size: text.len() as u64, executable }
}

fn remove(tree: &mut Tree, at: &RelativePath) {
    tree.retain(|path, _| path != at && !path.is_in(at));
}

fn set(tree: &mut Tree, at: RelativePath, node: Node) {
    for folder in ancestors(&at) {
        tree.insert(folder, Node::Directory);
    }
    if node != Node::Directory {
        remove(tree, &at);
    }
    tree.insert(at, node);
}

fn rename(tree: &mut Tree, from: &RelativePath, to: &RelativePath) {
    if from == to || to.is_in(from) || from.is_in(to) || !tree.contains_key(from) {
        return;
    }
    let moved: Vec<_> = tree.iter().filter(|(path, _)| *path == from || path.is_in(from)).collect();
    let moved: Vec<_> = moved.into_iter().map(|(path, node)| (path.clone(), *node)).collect();
    remove(tree, from);
    remove(tree, to);
    for (path, node) in moved {
        let new = format!("{to}{}", &path.as_str()[from.as_str().len()..]);
        set(tree, RelativePath::new(&new).unwrap(), node);
    }
}

fn done_to(mut tree: Tree, owner: &str, deeds: &[Deed]) -> Tree {
    for deed in deeds {
        match *deed {
            Deed::Write(at, text, bit) => set(&mut tree, path(at), file(owner, text, bit)),
            Deed::MakeDirectory(at) => set(&mut tree, path(at), Node::Directory),
            Deed::Remove(at) => remove(&mut tree, &path(at)),
            Deed::Rename(from, to) => rename(&mut tree, &path(from), &path(to)),
        }
    }
    tree
}

/// Three trees, and plans made from them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scene {
    base: Tree,
    host: Tree,
    replica: Tree,
}

struct IsI;

impl Ignores for IsI {
    fn ignores(&self, path: &RelativePath, _: bool) -> bool {
        path.as_str().split('/').any(|name| name == "i")
    }
}

impl Scene {
    fn new(base: &[Deed], host: &[Deed], replica: &[Deed]) -> Self {
        let base = done_to(Tree::new(), "both", base);
        let (host, replica) =
            (done_to(base.clone(), "host", host), done_to(base.clone(), "replica", replica));
        Self { base, host, replica }
    }

    fn plan(&self, ignores: &dyn Ignores, confirmed: bool) -> Plan {
        self.plan_with(&ReplicaTrees::of(&self.host, &self.base, &self.replica), ignores, confirmed)
    }

    fn plan_with(&self, trees: &ReplicaTrees, ignores: &dyn Ignores, confirmed: bool) -> Plan {
        let situation = Situation {
            host: &self.host,
            trees,
            name: "tab",
            host_problems: &Problems::default(),
            replica_problems: &Problems::default(),
            refused: &BTreeMap::new(),
            transfer: &BTreeSet::new(),
            ignores,
            busy: &|_| false,
            vanishing: [0; 2],
            confirmed: [confirmed; 2],
        };
        super::plan(&situation, None)
    }

    fn tree(&mut self, side: Which) -> &mut Tree {
        match side {
            Which::Host => &mut self.host,
            Which::Replica => &mut self.replica,
        }
    }

    /// As a side does it: not at all, if something else is there.
    fn carry_out(&mut self, side: Which, step: &Step) {
        let Order { path, expect, action } = &step.order;
        let tree = self.tree(side);
        let parent_there = path.parent().is_none_or(|folder| tree.get(&folder) == Some(&Node::Directory));
        if tree.get(path) != expect.as_ref() || !parent_there {
            return;
        }
        let node = match action {
            Action::MakeDirectory => Some(Node::Directory),
            Action::Put { content, size, executable, .. } => {
                Some(Node::File { content: *content, size: *size, executable: *executable })
            }
            Action::Remove if inside(tree, Some(path)).next().is_some() => return,
            Action::Remove => None,
            Action::Move { from, moved } => {
                if tree.get(from) != Some(moved) {
                    return;
                }
                rename(tree, from, path);
                if step.agreed == Agreed::Moves {
                    rename(&mut self.base, from, path);
                }
                return;
            }
        };
        match node {
            Some(node) => drop(tree.insert(path.clone(), node)),
            None => drop(tree.remove(path)),
        }
        if step.agreed == Agreed::Follows {
            self.agree(path, node);
        }
    }

    fn agree(&mut self, path: &RelativePath, node: Option<Node>) {
        match node {
            Some(node) => drop(self.base.insert(path.clone(), node)),
            None => drop(self.base.remove(path)),
        }
    }

    /// All of a plan is carried out, in an order that `shuffle` decides if there is one.
    fn follow(&mut self, plan: &Plan, shuffle: Option<u64>) {
        for (path, node) in &plan.base {
            self.agree(path, *node);
        }
        let host = plan.host.iter().map(|step| (Which::Host, step));
        let mut steps: Vec<_> = host.chain(plan.replica.iter().map(|step| (Which::Replica, step))).collect();
        if let Some(seed) = shuffle {
            steps.sort_by_key(|(side, step)| {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&seed.to_le_bytes()).update(step.order.path.as_str().as_bytes());
                *hasher.update(&[*side as u8]).finalize().as_bytes()
            });
        }
        steps.into_iter().for_each(|(side, step)| self.carry_out(side, step));
    }

    /// Plans and carries out until nothing is left to do.
    fn converge(&mut self, shuffle: Option<u64>) {
        for round in 0..ROUNDS {
            let plan = self.plan(&NothingIgnored, true);
            assert_eq!(plan.halt, None);
            if plan == Plan::default() {
                assert!(
                    self.host == self.replica && self.host == self.base,
                    "at rest and not equal: {self:?}"
                );
                return;
            }
            self.follow(&plan, shuffle.map(|seed| seed + round as u64));
        }
        panic!("not at rest after {ROUNDS} plans: {:?}", self.plan(&NothingIgnored, true));
    }

    fn contents(tree: &Tree) -> BTreeSet<Content> {
        let content = |node: &Node| match node {
            Node::File { content, .. } => Some(*content),
            Node::Directory => None,
        };
        tree.values().filter_map(content).collect()
    }

    /// What either side has written since both agreed.
    fn new_contents(&self) -> BTreeSet<Content> {
        let base = Self::contents(&self.base);
        let both = Self::contents(&self.host).into_iter().chain(Self::contents(&self.replica));
        both.filter(|content| !base.contains(content)).collect()
    }
}

fn steps(plan: &Plan) -> impl Iterator<Item = (Which, &Step)> {
    let host = plan.host.iter().map(|step| (Which::Host, step));
    host.chain(plan.replica.iter().map(|step| (Which::Replica, step)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn converges_in_a_few_rounds_and_keeps_what_was_written(
        base in deeds(), host in deeds(), replica in deeds()
    ) {
        let mut scene = Scene::new(&base, &host, &replica);
        let new = scene.new_contents();
        scene.converge(None);
        prop_assert!(new.is_subset(&Scene::contents(&scene.host)), "{scene:?}");
    }

    #[test]
    fn order_within_a_batch_does_not_matter(
        base in deeds(), host in deeds(), replica in deeds(), shuffle in any::<u32>()
    ) {
        let mut scene = Scene::new(&base, &host, &replica);
        // What was seen in another order is the same.
        let mut trees = ReplicaTrees::of(&scene.host, &scene.base, &Tree::new());
        for (path, node) in scene.replica.iter().rev() {
            trees.set_observed(&scene.host, path, Some(*node));
        }
        prop_assert_eq!(scene.plan_with(&trees, &NothingIgnored, true), scene.plan(&NothingIgnored, true));
        // Orders that come in another order are safe each by itself, and what could not be done is planned again.
        let new = scene.new_contents();
        scene.converge(Some(u64::from(shuffle)));
        prop_assert!(new.is_subset(&Scene::contents(&scene.host)), "{scene:?}");
    }

    #[test]
    fn what_is_removed_or_replaced_is_what_both_had(base in deeds(), host in deeds(), replica in deeds()) {
        let mut scene = Scene::new(&base, &host, &replica);
        for _ in 0..ROUNDS {
            let plan = scene.plan(&NothingIgnored, true);
            for (side, step) in steps(&plan) {
                let Order { path, expect, action } = &step.order;
                if !is_file(expect) || matches!(action, Action::Move { .. }) {
                    continue;
                }
                let same_content = match (action, expect) {
                    (Action::Put { content, .. }, Some(Node::File { content: old, .. })) => content == old,
                    _ => false,
                };
                // Only an executable bit may change on what is not as both had it, or be taken over with the other's edit.
                let content = |node: Option<&Node>| match node {
                    Some(Node::File { content, .. }) => Some(*content),
                    _ => None,
                };
                let as_agreed = content(expect.as_ref()) == content(scene.base.get(path));
                prop_assert!(same_content || as_agreed, "{side:?} {step:?}");
                if *action == Action::Remove {
                    prop_assert_eq!(expect.as_ref(), scene.base.get(path), "{:?} {:?}", side, step);
                }
            }
            scene.follow(&plan, None);
        }
    }

    #[test]
    fn at_rest_the_plan_is_empty_and_what_was_done_is_not_done_again(
        base in deeds(), host in deeds(), replica in deeds()
    ) {
        let mut scene = Scene::new(&base, &host, &replica);
        let first = scene.plan(&NothingIgnored, true);
        scene.converge(None);
        prop_assert_eq!(scene.plan(&NothingIgnored, false), Plan::default());
        let rest = scene.clone();
        // A replayed order that removes or replaces finds something else; what it makes is there, or was renamed on.
        for (side, step) in steps(&first).filter(|(_, step)| step.order.expect.is_some()) {
            let mut replayed = rest.clone();
            replayed.carry_out(side, step);
            let back = step.order.expect.as_ref() == rest.host.get(&step.order.path);
            prop_assert!(back || replayed == rest, "{side:?} {step:?}");
        }
    }

    #[test]
    fn ignored_paths_are_not_touched(base in deeds(), host in deeds(), replica in deeds()) {
        let mut scene = Scene::new(&base, &host, &replica);
        let ignored = |tree: &Tree| -> Tree {
            tree.iter().filter(|(path, _)| IsI.ignores(path, false)).map(|(path, node)| (path.clone(), *node)).collect()
        };
        let before = (ignored(&scene.host), ignored(&scene.replica));
        for _ in 0..ROUNDS {
            let plan = scene.plan(&IsI, true);
            for (side, step) in steps(&plan) {
                prop_assert!(!IsI.ignores(&step.order.path, false), "{side:?} {step:?}");
            }
            scene.follow(&plan, None);
        }
        prop_assert_eq!(before, (ignored(&scene.host), ignored(&scene.replica)));
    }

    #[test]
    fn an_empty_side_halts_with_no_deletion_at_all(base in deeds(), other in deeds(), is_host in any::<bool>()) {
        let mut scene = Scene::new(&base, &other, &other);
        let emptied = if is_host { Which::Host } else { Which::Replica };
        scene.tree(emptied).clear();
        let other = scene.tree(emptied.other()).clone();
        let would_vanish = scene.base.iter().any(|(path, node)| {
            is_file(&Some(*node)) && other.get(path) == Some(node)
        });
        let plan = scene.plan(&NothingIgnored, false);
        if would_vanish {
            let halt = plan.halt.as_ref().map(|halt| (halt.reason.clone(), halt.side));
            prop_assert_eq!(halt, Some((HaltReason::Empty, emptied)));
        }
        let deletions = steps(&plan).filter(|(side, step)| {
            *side != emptied && step.order.action == Action::Remove && is_file(&step.order.expect)
        });
        prop_assert_eq!(deletions.count(), 0);
    }
}
