//! A batch of orders: files made and synced, orders carried out in turn, folders synced, what was displaced kept.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::unistd::{fsync, syncfs};
use rayon::prelude::*;

use super::beneath;
use super::order::{Refused, Trace, for_syncing};
use super::prepare::{MANY, Prepared, discard};
use super::{Host, reason};
use crate::model::{Node, RelativePath};
use crate::side::{Action, Order, Outcome};
use crate::versions::Expected;

/// A folder whose entries were changed: which one it is, and the orders that changed it.
struct Touched {
    folder: OwnedFd,
    orders: Vec<usize>,
}

impl Host {
    /// See [`Side::apply`](crate::side::Side::apply).
    pub(super) fn carry_out(&mut self, orders: &[Order]) -> Vec<Outcome> {
        if let Err(error) = self.check_root() {
            return vec![Outcome::Failed(format!("cannot be written: {error}")); orders.len()];
        }
        self.reload_rules();
        let prepared = self.prepare(orders);
        let expected = match self.expect_versions(orders, &prepared) {
            Ok(expected) => expected,
            Err(error) => {
                // What could not be kept must not be displaced.
                let stage = self.own.stage.as_fd();
                prepared.into_iter().for_each(|prepared| give_back(prepared, stage));
                return vec![Outcome::Failed(reason::refused(&error)); orders.len()];
            }
        };
        let mut outcomes = Vec::with_capacity(orders.len());
        let mut displaced = BTreeSet::new();
        let mut touched: BTreeMap<(Option<RelativePath>, u64), Touched> = BTreeMap::new();
        for (index, (order, prepared)) in orders.iter().zip(prepared).enumerate() {
            let prepared = match prepared {
                // Its content may be where an order before this one has put it.
                Prepared::NoContent => self.prepare_late(order),
                prepared => prepared,
            };
            // A file that was prepared late has another name than the one that was written down.
            let staged = match (&prepared, expected.get(&index)) {
                (Prepared::File(fresh), _) => fresh.name.clone(),
                (_, Some((_, expected))) => expected.staged.clone(),
                _ => self.stage.new_name(),
            };
            let mut trace = Trace::default();
            let result = self.carry_out_one(order, &prepared, &staged, &mut trace);
            if trace.displaced {
                displaced.insert((index, staged));
            }
            if !trace.used {
                give_back(prepared, self.own.stage.as_fd());
            }
            for (path, folder) in trace.folders {
                let inode = fstat(&folder).map_or(0, |facts| facts.st_ino);
                touched
                    .entry((path, inode))
                    .or_insert_with(|| Touched { folder, orders: Vec::new() })
                    .orders
                    .push(index);
            }
            outcomes.push(self.outcome(order, result));
        }
        self.sync_folders(orders, touched, &mut outcomes);
        self.keep_displaced(&expected, displaced, orders);
        let answered = orders.iter().filter_map(|order| match order.action {
            Action::Put { content, .. } => Some(content),
            _ => None,
        });
        self.stage.drop_small(&answered.collect::<HashSet<_>>());
        outcomes
    }

    fn outcome(&mut self, order: &Order, result: Result<(), Refused>) -> Outcome {
        match result {
            Ok(()) => Outcome::Done,
            Err(Refused::Failed(reason)) => Outcome::Failed(reason),
            Err(Refused::Changed) => match self.node_now(&order.path) {
                Ok(node) => Outcome::Changed(node),
                Err(reason) => Outcome::Failed(reason),
            },
        }
    }

    /// Writes down what will be displaced: by which order, under which number, and by what name.
    fn expect_versions(
        &mut self,
        orders: &[Order],
        prepared: &[Prepared],
    ) -> std::io::Result<BTreeMap<usize, (i64, Expected)>> {
        let Some(versions) = &mut self.versions else { return Ok(Default::default()) };
        let (mut indices, mut expected) = (Vec::new(), Vec::new());
        for (index, (order, prepared)) in orders.iter().zip(prepared).enumerate() {
            if !matches!(order.expect, Some(Node::File { .. })) {
                continue;
            }
            let (staged, replacement) = match prepared {
                Prepared::File(fresh) => (fresh.name.clone(), fresh.inode),
                _ => (self.stage.new_name(), 0),
            };
            indices.push(index);
            expected.push(Expected { path: order.path.clone(), staged, replacement });
        }
        let ids = versions.expect(&expected)?;
        Ok(indices.into_iter().zip(ids.into_iter().zip(expected)).collect())
    }

    /// Brings the changed folders to disk. What was put into a folder that has been moved away meanwhile was not put where it was ordered.
    fn sync_folders(
        &mut self,
        orders: &[Order],
        touched: BTreeMap<(Option<RelativePath>, u64), Touched>,
        outcomes: &mut [Outcome],
    ) {
        let at_once = self.syncs_at_once && touched.len() >= MANY;
        let mut results: Vec<(Vec<usize>, Result<bool, Errno>)> = self.pool.install(|| {
            let sync = |((path, inode), touched): ((Option<RelativePath>, u64), Touched)| {
                let synced = if at_once {
                    Ok(())
                } else {
                    for_syncing(&touched.folder).and_then(|(folder, _)| fsync(folder))
                };
                let there = beneath::open_folder(&self.root, path.as_ref(), beneath::PASSED).and_then(fstat);
                (touched.orders, synced.map(|()| there.is_ok_and(|facts| facts.st_ino == inode)))
            };
            touched.into_par_iter().map(sync).collect()
        });
        if at_once && let Err(error) = syncfs(&self.own.stage) {
            results.iter_mut().for_each(|(_, result)| *result = Err(error));
        }
        for (indices, result) in results {
            for index in indices {
                let Some(Outcome::Done) = outcomes.get(index) else { continue };
                outcomes[index] = match result {
                    Ok(true) => continue,
                    // A folder that is gone because a later order removed or moved it is no surprise.
                    Ok(false) if self.was_ordered_away(&orders[index], &orders[index + 1..]) => continue,
                    Ok(false) => self.outcome(&orders[index], Err(Refused::Changed)),
                    Err(error) => Outcome::Failed(reason::refused(&error.into())),
                };
            }
        }
    }

    fn was_ordered_away(&self, order: &Order, later: &[Order]) -> bool {
        let paths = |order: &Order| match &order.action {
            Action::Move { from, .. } => vec![order.path.clone(), from.clone()],
            _ => vec![order.path.clone()],
        };
        let parents: Vec<_> = paths(order).iter().filter_map(RelativePath::parent).collect();
        let is_at_or_above =
            |path: &RelativePath| parents.iter().any(|parent| parent == path || parent.is_in(path));
        later.iter().any(|order| match &order.action {
            Action::Remove | Action::Put { .. } => is_at_or_above(&order.path),
            Action::Move { from, .. } => is_at_or_above(from) || is_at_or_above(&order.path),
            Action::MakeDirectory => false,
        })
    }

    /// Brings what was displaced into the store, or to its end if there is none.
    fn keep_displaced(
        &mut self,
        expected: &BTreeMap<usize, (i64, Expected)>,
        displaced: BTreeSet<(usize, String)>,
        orders: &[Order],
    ) {
        let stage = self.own.stage.as_fd();
        let Some(versions) = &mut self.versions else {
            displaced.iter().for_each(|(_, staged)| discard(stage, staged));
            return;
        };
        let mut all: Vec<_> = expected.values().cloned().collect();
        let mut kept = BTreeSet::new();
        let mut unexpected = Vec::new();
        for (index, staged) in displaced {
            match expected.get(&index).filter(|(_, expected)| expected.staged == staged) {
                Some((id, _)) => drop(kept.insert(*id)),
                None => {
                    unexpected.push(Expected { path: orders[index].path.clone(), staged, replacement: 0 })
                }
            }
        }
        let result = versions.expect(&unexpected).and_then(|ids| {
            kept.extend(&ids);
            all.extend(ids.into_iter().zip(unexpected));
            versions.settle(stage, &all, &kept)
        });
        if let Err(error) = result {
            tracing::warn!(%error, "displaced versions stay in the stage folder until the next start");
        }
    }
}

fn give_back(prepared: Prepared, stage: impl AsFd) {
    if let Prepared::File(fresh) = prepared {
        fresh.give_back(stage.as_fd());
    }
}
