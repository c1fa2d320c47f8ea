//! What an observation changes in the tree of the side that made it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Node, RelativePath};
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
            if told.problems.cover(&folder) || matches!(told.nodes.get(&folder), Some(Some(Node::Directory))) {
                continue;
            }
            now.insert(folder, Some(Node::Directory));
        }
    }
    now.retain(|path, node| current(path) != *node);
    now
}
