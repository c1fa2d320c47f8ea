//! From the outcome of an order to what the trees are.

use std::sync::Arc;

use crate::hub::planning::paths_of;
use crate::hub::state::{Change, Conflict};
use crate::hub::status::Activity;
use crate::hub::{Effect, Hub, UnderWay};
use crate::model::{Node, RelativePath};
use crate::plan::{Agreed, Step, Which};
use crate::side::{Action, Order, Outcome};

impl Hub {
    /// A replica answered an order.
    pub(super) fn outcome(&mut self, key: &Arc<str>, number: u64, outcome: Outcome) {
        let known = self.under_way.get(&number);
        if !known
            .is_some_and(|under_way| under_way.side == Which::Replica && under_way.key.as_ref() == Some(key))
        {
            self.end(key, "answers an order it was not given");
            return;
        }
        if let Some(replica) = self.replicas.get_mut(key)
            && let Some(session) = &mut replica.session
        {
            session.outgoing.unanswered = session.outgoing.unanswered.saturating_sub(1);
            // It read what was said before this order, so it stored the sequences it was told before.
            while let Some((_, sequence)) = session.committed.pop_front_if(|(sent, _)| *sent < number) {
                replica.header.acknowledged = replica.header.acknowledged.max(sequence);
                replica.header_unsaved = true;
            }
        }
        self.finish(number, outcome);
        self.send_orders(key);
        self.end_confirmation(key);
    }

    /// An order was carried out, or not.
    pub(super) fn finish(&mut self, number: u64, outcome: Outcome) {
        let Some(UnderWay { key, side, step, .. }) = self.over(number, true) else { return };
        for path in paths_of(&step) {
            if let Some(replica) = key.as_ref().and_then(|key| self.replicas.get_mut(key)) {
                replica.dirty.insert(path);
            }
        }
        match outcome {
            Outcome::Done => self.done(key.as_ref(), side, &step),
            Outcome::Changed(node) => self.changed(key.as_ref(), side, &step.order, node),
            Outcome::Failed(reason) => self.failed(key.as_ref(), side, step.order, reason),
        }
    }

    fn done(&mut self, key: Option<&Arc<str>>, side: Which, step: &Step) {
        let Order { path, action, .. } = &step.order;
        let node = match action {
            Action::MakeDirectory => Some(Node::Directory),
            Action::Put { content, size, executable, .. } => {
                Some(Node::File { content: *content, size: *size, executable: *executable })
            }
            Action::Remove => None,
            Action::Move { from, moved } => {
                self.moved(key, side, from, path, *moved, step.agreed);
                return;
            }
        };
        self.set_side(key, side, path, node);
        if let Some(replica) = key.and_then(|key| self.replicas.get_mut(key)) {
            replica.retry(side, path);
            replica.transfer.remove(path);
            if step.agreed == Agreed::Follows {
                replica.trees.set_base(&self.host, path, node);
            }
            let replica = replica.header.name.clone();
            let activity = match node {
                Some(_) => Activity::Written { side, replica, path: path.clone() },
                None => Activity::Removed { side, replica, path: path.clone() },
            };
            self.effects.push(Effect::Activity(activity));
        }
    }

    /// What was at `from` is at `to` now, with all that was in it, and perhaps the base with it.
    fn moved(
        &mut self,
        key: Option<&Arc<str>>,
        side: Which,
        from: &RelativePath,
        to: &RelativePath,
        node: Node,
        agreed: Agreed,
    ) {
        let at_new = |path: &RelativePath| {
            RelativePath::new(&format!("{to}{}", &path.as_str()[from.as_str().len()..]))
        };
        let replica = key.and_then(|key| self.replicas.get(key));
        let inside: Vec<(RelativePath, Option<Node>)> = match (side, replica) {
            (Which::Host, _) => crate::tree::inside(&self.host, Some(from))
                .map(|(path, node)| (path.clone(), Some(*node)))
                .collect(),
            (Which::Replica, Some(replica)) => {
                let paths = replica.trees.observed_in(&self.host, Some(from)).into_iter();
                paths.map(|path| (path.clone(), replica.trees.observed(&self.host, &path))).collect()
            }
            (Which::Replica, None) => return,
        };
        let base = match (agreed, replica) {
            (Agreed::Moves, Some(replica)) => {
                let own = replica.trees.triple(&self.host, from).base.map(|node| (from.clone(), node));
                own.into_iter().chain(replica.trees.base_in(&self.host, from)).collect()
            }
            _ => Vec::new(),
        };
        for (path, node) in &base {
            if let (Some(replica), Ok(new)) = (key.and_then(|key| self.replicas.get_mut(key)), at_new(path)) {
                replica.trees.set_base(&self.host, path, None);
                replica.trees.set_base(&self.host, &new, Some(*node));
            }
        }
        for (path, node) in inside.iter().chain(std::iter::once(&(from.clone(), Some(node)))) {
            self.set_side(key, side, path, None);
            if let Ok(new) = at_new(path) {
                self.set_side(key, side, &new, *node);
                self.mark(key, &new);
            }
            self.mark(key, path);
        }
        let Some(replica) = key.and_then(|key| self.replicas.get_mut(key)) else { return };
        replica.retry(side, to);
        let name = replica.header.name.clone();
        if agreed == Agreed::Nothing {
            let conflict = Conflict { path: from.clone(), copy: to.clone(), replica: name };
            self.saving.changes.push(Change::Conflict(conflict.clone()));
            self.conflicts.insert(to.clone(), conflict.clone());
            self.effects.push(Effect::Activity(Activity::Conflict(conflict)));
        } else {
            let activity = Activity::Moved { side, replica: name, from: from.clone(), to: to.clone() };
            self.effects.push(Effect::Activity(activity));
        }
    }

    fn mark(&mut self, key: Option<&Arc<str>>, path: &RelativePath) {
        if let Some(replica) = key.and_then(|key| self.replicas.get_mut(key)) {
            replica.dirty.insert(path);
        }
    }

    /// A side has this now, because of an order.
    fn set_side(&mut self, key: Option<&Arc<str>>, side: Which, path: &RelativePath, node: Option<Node>) {
        match side {
            Which::Host => self.set_host(path, node),
            Which::Replica => {
                if let Some(replica) = key.and_then(|key| self.replicas.get_mut(key)) {
                    replica.trees.set_observed(&self.host, path, node);
                    // An observation that began before does not know of it.
                    if let Some(told) = replica.session.as_mut().and_then(|session| session.told.as_mut()) {
                        told.nodes.insert(path.clone(), node);
                    }
                }
            }
        }
    }

    /// Something else was there. When that is what was known, something else again was in the way, and has to be looked for.
    fn changed(&mut self, key: Option<&Arc<str>>, side: Which, order: &Order, node: Option<Node>) {
        let path = &order.path;
        let Some(replica) = key.and_then(|key| self.replicas.get(key)) else {
            self.look(vec![path.clone()]);
            return;
        };
        let now = replica.trees.triple(&self.host, path).on(side);
        let source_as_known = match &order.action {
            Action::Move { from, moved } => replica.trees.triple(&self.host, from).on(side) == Some(*moved),
            _ => true,
        };
        if node != now {
            self.set_side(key, side, path, node);
            if side == Which::Host && node == Some(Node::Directory) {
                // Nothing is known of what is in it.
                self.look(vec![path.clone()]);
            } else if side == Which::Replica && node == Some(Node::Directory) {
                self.rescan(key);
            } else if node != Some(Node::Directory) {
                self.forget_inside(key, side, path);
            }
            return;
        }
        if now != order.expect || !source_as_known || self.host_busy.touches(path) {
            // It was told meanwhile, or the host is being looked at because content for it was no longer there.
            return;
        }
        let Some(replica) = key.and_then(|key| self.replicas.get_mut(key)) else { return };
        if matches!(order.action, Action::Put { copy_from: Some(_), .. }) {
            replica.transfer.insert(path.clone());
        }
        if !replica.puzzling.insert((side, path.clone())) {
            let reason = "was not as it was seen to be, twice".to_owned();
            self.failed(key, side, order.clone(), reason);
            return;
        }
        match side {
            Which::Replica => self.rescan(key),
            Which::Host => {
                let mut paths = vec![path.parent().unwrap_or_else(|| path.clone())];
                if let Action::Move { from, .. } = &order.action {
                    paths.push(from.clone());
                }
                self.look(paths);
            }
        }
    }

    /// No folder is here any more, so nothing is in it.
    fn forget_inside(&mut self, key: Option<&Arc<str>>, side: Which, folder: &RelativePath) {
        let paths: Vec<_> = match (side, key.and_then(|key| self.replicas.get(key))) {
            (Which::Host, _) => {
                crate::tree::inside(&self.host, Some(folder)).map(|(path, _)| path.clone()).collect()
            }
            (Which::Replica, Some(replica)) => replica.trees.observed_in(&self.host, Some(folder)),
            (Which::Replica, None) => Vec::new(),
        };
        for path in paths {
            self.set_side(key, side, &path, None);
            self.mark(key, &path);
        }
    }

    pub(super) fn failed(&mut self, key: Option<&Arc<str>>, side: Which, order: Order, reason: String) {
        if let Some(replica) = key.and_then(|key| self.replicas.get_mut(key)) {
            let place = (side, order.path.clone());
            replica.reasons.insert(place.clone(), reason.clone());
            replica.dirty.insert(&order.path);
            replica.refused.insert(place, order.clone());
            let replica = replica.header.name.clone();
            self.effects.push(Effect::Activity(Activity::Failed { side, replica, path: order.path, reason }));
        }
    }
}
