//! What is there on a side and cannot be synced.

use std::collections::BTreeMap;

use crate::model::RelativePath;
use crate::side::Problem;
use crate::tree::{ancestors, inside};

/// The problems of one side. Neither their paths nor anything beneath them is touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    placed: BTreeMap<RelativePath, String>,
    /// Whose path is none that can be synced at all (too long), so that nothing has to be kept away from it.
    unplaced: Vec<Problem>,
}

impl Problems {
    /// Adds one.
    pub fn insert(&mut self, problem: Problem) {
        match RelativePath::new(&problem.path) {
            Ok(path) => {
                self.placed.insert(path, problem.reason);
            }
            Err(_) => self.unplaced.push(problem),
        }
    }

    /// Removes those at and in a path (`None`: all), and returns where they were.
    pub fn remove_in(&mut self, path: Option<&RelativePath>) -> Vec<RelativePath> {
        if path.is_none() {
            self.unplaced.clear();
        }
        let own = path.filter(|path| self.placed.contains_key(*path));
        let gone: Vec<_> =
            own.into_iter().chain(inside(&self.placed, path).map(|(path, _)| path)).cloned().collect();
        gone.iter().for_each(|path| {
            self.placed.remove(path);
        });
        gone
    }

    /// Removes the one at a path, but none of those in it.
    pub fn remove(&mut self, path: &RelativePath) -> bool {
        self.placed.remove(path).is_some()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.unplaced.is_empty()
    }

    /// Whether there is one at the path, or at a folder it is in.
    pub fn cover(&self, path: &RelativePath) -> bool {
        // Nearly always there are none: no walk up the path then.
        !self.placed.is_empty()
            && (self.placed.contains_key(path)
                || ancestors(path).any(|folder| self.placed.contains_key(&folder)))
    }

    /// Whether there is one in the folder.
    pub fn lie_in(&self, folder: &RelativePath) -> bool {
        inside(&self.placed, Some(folder)).next().is_some()
    }

    /// All, as they are shown.
    pub fn list(&self) -> Vec<Problem> {
        let placed = self.placed.iter();
        let placed = placed.map(|(path, reason)| Problem { path: path.to_string(), reason: reason.clone() });
        placed.chain(self.unplaced.iter().cloned()).collect()
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut all = Self::default();
        problems.into_iter().for_each(|problem| all.insert(problem));
        all
    }
}
