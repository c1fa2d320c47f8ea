//! What an observation changes in the tree of the side that made it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Node, RelativePath};
use crate::side::Observation;
use crate::tree::{Problems, ancestors};

/// An observation, taken together from all of its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// What was named.
    pub(crate) nodes: BTreeMap<RelativePath, Option<Node>>,
    /// What cannot be synced.
    pub(crate) problems: Problems,
    /// In these (`None`: in the root), and at them, what was not named is not there.
    pub(crate) whole: Vec<Option<RelativePath>>,
}

impl Told {
    /// A further part of the observation.
    pub(crate) fn add(&mut self, observation: Observation) {
        let Observation { nodes, problems, complete, within } = observation;
        self.nodes.extend(nodes);
        problems.into_iter().for_each(|problem| self.problems.insert(problem));
        if complete {
            self.whole.push(within);
        }
    }

    /// Replaces the problems that were spoken of. Where there was one, or is one.
    pub(crate) fn settle_problems(&self, problems: &mut Problems) -> BTreeSet<RelativePath> {
        let mut changed = BTreeSet::new();
        for scope in &self.whole {
            changed.extend(problems.remove_in(scope.as_ref()));
        }
        if !problems.is_empty() {
            for (path, node) in &self.nodes {
                match node {
                    Some(Node::Directory) => changed.extend(problems.remove(path).then(|| path.clone())),
                    _ => changed.extend(problems.remove_in(Some(path))),
                }
            }
        }
        for problem in self.problems.list() {
            changed.extend(RelativePath::new(&problem.path));
            problems.insert(problem);
        }
        changed
    }
}

/// What is another now, a folder before what is in it. `current` is what is known at a path, `known` all that is known in a folder.
///
/// What is told of a path says something of others too: where something is, the folders above it are; where no folder is, nothing is
/// beneath.
pub(crate) fn changes_of(
    told: &Told,
    current: impl Fn(&RelativePath) -> Option<Node>,
    known: impl Fn(Option<&RelativePath>) -> Vec<RelativePath>,
) -> BTreeMap<RelativePath, Option<Node>> {
    let mut now: BTreeMap<RelativePath, Option<Node>> = BTreeMap::new();
    for scope in &told.whole {
        let own = scope.iter().filter(|path| current(path).is_some()).cloned();
        for path in own.chain(known(scope.as_ref())) {
            if !told.nodes.contains_key(&path) && !told.problems.cover(&path) {
                now.insert(path, None);
            }
        }
    }
    for (path, node) in &told.nodes {
        now.insert(path.clone(), *node);
        if !matches!(node, Some(Node::Directory)) && matches!(current(path), Some(Node::Directory)) {
            for path in known(Some(path)) {
                if !told.nodes.contains_key(&path) && !told.problems.cover(&path) {
                    now.insert(path, None);
                }
            }
        }
    }
    // A problem is there too: so are the folders above it.
    let there = told.nodes.iter().filter(|(_, node)| node.is_some()).map(|(path, _)| path.clone());
    let problems = told.problems.list();
    let troubled = problems.iter().filter_map(|problem| RelativePath::new(&problem.path).ok());
    let mut seen = BTreeSet::new();
    for path in there.chain(troubled) {
        for folder in ancestors(&path) {
            if !seen.insert(folder.clone()) {
                break;
            }
            if told.problems.cover(&folder) || matches!(told.nodes.get(&folder), Some(Some(Node::Directory)))
            {
                continue;
            }
            now.insert(folder, Some(Node::Directory));
        }
    }
    now.retain(|path, node| current(path) != *node);
    now
}
