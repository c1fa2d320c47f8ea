//! Work on the host: what was asked for, and what its results mean.

use std::io;
use std::sync::Arc;

use crate::hub::message::ToReplica;
use crate::hub::outgoing::data;
use crate::hub::replica::Dirty;
use crate::hub::state::Change;
use crate::hub::work::{Work, WorkResult};
use crate::hub::{APPLY_ORDERS, Hub};
use crate::model::{Content, Node, RelativePath};
use crate::plan::HaltReason;
use crate::side::Observation;
use crate::tree::{Ignores, Told, changes_of};

/// What the answer to a work is for.
pub(super) enum Pending {
    /// Something may have changed.
    Hint,
    /// Something was not as expected at these paths; nothing is planned there until they were looked at.
    Look(Vec<RelativePath>),
    Apply(Vec<u64>),
    /// Content that goes with an order to a replica.
    Cargo {
        key: Arc<str>,
        number: u64,
        content: Content,
    },
    /// An answer to a replica's question.
    Answer {
        key: Arc<str>,
        session: u64,
        request: u64,
        offset: u64,
        /// Bytes that were asked for.
        length: u32,
        path: RelativePath,
    },
    /// Which blocks are missing for an order on the host.
    Missing {
        key: Arc<str>,
        number: u64,
    },
    /// Content for an order on the host; so many bytes of it are held.
    Stage {
        key: Arc<str>,
        session: u64,
        number: u64,
        bytes: u64,
    },
}

impl Hub {
    /// Something may have changed on the host.
    pub(super) fn hint(&mut self, paths: Vec<RelativePath>) {
        let everything = paths.is_empty();
        match &mut self.hints {
            Some(hints) if hints.is_empty() => {}
            Some(hints) if everything => hints.clear(),
            Some(hints) => hints.extend(paths),
            None => self.hints = Some(paths),
        }
        self.look_at_hints();
    }

    /// One look at a time: what comes meanwhile is looked at together.
    fn look_at_hints(&mut self) {
        if self.observing == 0
            && let Some(mut paths) = self.hints.take()
        {
            if !self.host_seen || self.host_down.is_some() {
                paths.clear();
            }
            paths.sort();
            paths.dedup();
            self.observing += 1;
            self.work(Work::Observe(paths), Pending::Hint);
        }
    }

    /// Looks at paths of the host that were not as expected.
    pub(super) fn look(&mut self, paths: Vec<RelativePath>) {
        paths.iter().for_each(|path| self.host_busy.begin(path));
        self.observing += 1;
        self.work(Work::Observe(paths.clone()), Pending::Look(paths));
    }

    pub(super) fn work_done(&mut self, ticket: u64, result: WorkResult) {
        let Some(pending) = self.pending.remove(&ticket) else { return };
        match (pending, result) {
            (Pending::Hint, WorkResult::Observed { observations, rules }) => {
                self.observing -= 1;
                self.host_observed(observations, rules);
                self.look_at_hints();
            }
            (Pending::Look(paths), WorkResult::Observed { observations, rules }) => {
                self.observing -= 1;
                paths.iter().for_each(|path| self.host_busy.end(path));
                self.host_observed(observations, rules);
                for path in &paths {
                    self.replicas.values_mut().for_each(|replica| {
                        replica.resume(path, &self.host_busy);
                        replica.dirty.insert(path);
                    });
                }
                self.look_at_hints();
            }
            (Pending::Apply(numbers), WorkResult::Applied(outcomes)) => {
                self.applying = false;
                for (number, outcome) in numbers.into_iter().zip(outcomes) {
                    self.finish(number, outcome);
                }
            }
            (Pending::Cargo { key, number, content }, WorkResult::Read(result)) => {
                self.cargo_read(&key, number, content, result);
            }
            (Pending::Answer { key, session, request, offset, length, path }, WorkResult::Read(result)) => {
                let answer = result.and_then(|bytes| match bytes.len() == length as usize {
                    true => Ok(data(request, offset, bytes)),
                    // The replica would wait for the rest.
                    false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "is shorter now")),
                });
                self.answer(&key, session, request, &path, answer);
            }
            (Pending::Answer { key, session, request, path, .. }, WorkResult::Blocks(result)) => {
                let answer = result.map(|blocks| ToReplica::Blocks { request, blocks });
                self.answer(&key, session, request, &path, answer);
            }
            (Pending::Missing { key, number }, WorkResult::Missing(result)) => {
                self.missing(&key, number, result);
            }
            (Pending::Stage { key, session, number, bytes }, WorkResult::Staged(result)) => {
                self.staged(&key, session, number, bytes, result);
            }
            _ => debug_assert!(false, "the answer to another question"),
        }
    }

    fn host_observed(&mut self, observations: io::Result<Vec<Observation>>, rules: Option<Arc<dyn Ignores>>) {
        if let Some(rules) = rules {
            self.set_rules(rules);
        }
        let observations = match observations {
            Ok(observations) => observations,
            Err(error) => {
                self.host_is_down(HaltReason::Missing(error.to_string()));
                return;
            }
        };
        if matches!(self.host_down, Some(HaltReason::Missing(_))) {
            self.host_down = None;
            self.tell_halts();
        }
        for observation in observations {
            let everything = observation.complete && observation.within.is_none();
            self.host_told(observation);
            if everything && !self.host_seen {
                self.host_seen = true;
                self.replicas.values_mut().for_each(|replica| replica.dirty = Dirty::Everything);
            }
        }
    }

    fn host_told(&mut self, observation: Observation) {
        let mut told = Told::default();
        told.add(observation);
        for path in told.settle_problems(&mut self.host_problems) {
            self.replicas.values_mut().for_each(|replica| replica.dirty.insert(&path));
        }
        let tree = &self.host;
        let changes = changes_of(
            &told,
            |path| tree.get(path).copied(),
            |folder| crate::tree::inside(tree, folder).map(|(path, _)| path.clone()).collect(),
        );
        changes.into_iter().for_each(|(path, node)| self.set_host(&path, node));
    }

    /// Other paths are ignored now. What is ignored was never seen: so it can be neither sent nor missed.
    fn set_rules(&mut self, rules: Arc<dyn Ignores>) {
        self.rules = rules;
        let ignored =
            |(path, node): &(&RelativePath, &Node)| self.rules.ignores(path, **node == Node::Directory);
        let ignored: Vec<_> = self.host.iter().filter(ignored).map(|(path, _)| path.clone()).collect();
        ignored.iter().for_each(|path| self.set_host(path, None));
        self.replicas.values_mut().for_each(|replica| replica.dirty = Dirty::Everything);
    }

    /// The host has this now.
    pub(super) fn set_host(&mut self, path: &RelativePath, node: Option<Node>) {
        let before = self.host.get(path).copied();
        if before == node {
            return;
        }
        match node {
            Some(node) => self.host.insert(path.clone(), node),
            None => self.host.remove(path),
        };
        self.host_unsaved.insert(path.clone());
        for replica in self.replicas.values_mut() {
            replica.trees.host_changed(path, before, node);
            replica.dirty.insert(path);
        }
        if node.is_none() && self.conflicts.remove(path).is_some() {
            self.saving.changes.push(Change::ConflictOver { copy: path.clone() });
        }
    }

    /// Nothing can be done on the host.
    pub(super) fn host_is_down(&mut self, reason: HaltReason) {
        self.host_down = Some(reason);
        self.tell_halts();
    }

    /// Gives the host what it can carry out; what comes meanwhile is given together, and synced to disk together.
    pub(super) fn apply_ready(&mut self) {
        if self.applying || self.ready.is_empty() || self.host_down.is_some() || self.paused {
            return;
        }
        let some = self.ready.len().min(APPLY_ORDERS);
        let numbers: Vec<u64> =
            self.ready.drain(..some).filter(|number| self.under_way.contains_key(number)).collect();
        let order = |number: &u64| self.under_way.get(number).map(|under_way| under_way.step.order.clone());
        let orders: Vec<_> = numbers.iter().filter_map(order).collect();
        if !orders.is_empty() {
            self.applying = true;
            self.work(Work::Apply(orders), Pending::Apply(numbers));
        }
    }
}
