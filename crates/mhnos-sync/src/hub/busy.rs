//! Where something is under way.

use std::collections::BTreeMap;

use crate::model::RelativePath;
use crate::tree::{ancestors, inside};

/// Paths, each counted as often as something is under way there.
#[derive(Debug, Default)]
pub(super) struct Busy(BTreeMap<RelativePath, u32>);

impl Busy {
    pub(super) fn begin(&mut self, path: &RelativePath) {
        *self.0.entry(path.clone()).or_insert(0) += 1;
    }

    pub(super) fn end(&mut self, path: &RelativePath) {
        if let Some(count) = self.0.get_mut(path) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(path);
            }
        }
    }

    /// Whether something is under way at a path, in it, or at a folder it is in.
    pub(super) fn touches(&self, path: &RelativePath) -> bool {
        !self.0.is_empty()
            && (self.0.contains_key(path)
                || inside(&self.0, Some(path)).next().is_some()
                || ancestors(path).any(|folder| self.0.contains_key(&folder)))
    }
}
