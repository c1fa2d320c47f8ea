//! From what changed to orders under way.

use std::sync::Arc;

use crate::hub::replica::Dirty;
use crate::hub::status::Activity;
use crate::hub::{Hub, UnderWay};
use crate::model::RelativePath;
use crate::plan::{Agreed, Halt, Plan, Situation, Step, Which, plan};
use crate::side::Action;
use crate::tree::is_file;

impl Hub {
    /// Plans for every replica for which something changed. What halted one can only be seen in all of it: so while it is halted, it is not planned for
    /// each order that ends, but when something was told (`tells`), and when nothing is under way any more.
    pub(super) fn plan_all(&mut self, tells: bool) {
        if self.paused || !self.host_seen || self.host_down.is_some() {
            return;
        }
        let ready = self.replicas.iter().filter(|(_, replica)| {
            let session = replica.session.as_ref();
            session.is_some_and(|session| !session.expecting && session.told.is_none())
                && !replica.dirty.is_empty()
                && (replica.halt.is_none() || tells || replica.steps == 0)
        });
        let keys: Vec<Arc<str>> = ready.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.plan_for(key));
    }

    fn plan_for(&mut self, key: &Arc<str>) {
        let Some(replica) = self.replicas.get_mut(key) else { return };
        let mut dirty = replica.dirty.take();
        if replica.halt.is_some() {
            dirty = Dirty::Everything;
        }
        let changed = match &dirty {
            Dirty::Everything => None,
            Dirty::Paths(paths) => Some(paths),
        };
        let (busy, host_busy) = (&replica.busy, &self.host_busy);
        let situation = Situation {
            host: &self.host,
            trees: &replica.trees,
            name: &replica.header.name,
            host_problems: &self.host_problems,
            replica_problems: &replica.problems,
            refused: &replica.refused,
            transfer: &replica.transfer,
            ignores: &*self.rules,
            busy: &|path| busy.touches(path) || host_busy.touches(path),
            vanishing: replica.vanishing,
            confirmed: replica.confirmed,
        };
        let plan = plan(&situation, changed);
        match changed {
            None => replica.held.clear(),
            Some(paths) if replica.held.is_empty() || paths.is_empty() => {}
            Some(paths) => {
                // What was planned again is held only if it is held again.
                let again = |held: &RelativePath| {
                    paths.contains(held)
                        || crate::tree::ancestors(held).any(|folder| paths.contains(&folder))
                        || crate::tree::any_inside(paths, held)
                };
                replica.held.retain(|held| !again(held));
            }
        }
        self.take_plan(key, plan);
    }

    fn take_plan(&mut self, key: &Arc<str>, plan: Plan) {
        let Plan { host, replica: replica_steps, base, deferred, held, problems, halt } = plan;
        let Some(replica) = self.replicas.get_mut(key) else { return };
        if let Some(halt) = halt {
            if replica.halt.as_ref() != Some(&halt) {
                let halted = Activity::Halted { replica: replica.header.name.clone(), halt: halt.clone() };
                self.effects.push(crate::hub::Effect::Activity(halted));
            }
            replica.halt = Some(halt);
            self.tell_halts();
            return;
        }
        if replica.halt.take().is_some() {
            self.tell_halts();
        }
        let Some(replica) = self.replicas.get_mut(key) else { return };
        for (path, node) in base {
            replica.trees.set_base(&self.host, &path, node);
        }
        for (path, together) in deferred {
            replica.deferred.entry(path).or_default().extend(together);
        }
        replica.held.extend(held);
        replica.nameless.extend(problems.into_iter().map(|problem| (problem.path, problem.reason)));
        host.into_iter().for_each(|step| self.begin(Some(key.clone()), Which::Host, step));
        replica_steps.into_iter().for_each(|step| self.begin(Some(key.clone()), Which::Replica, step));
        self.send_orders(key);
        self.fetch(key);
        self.end_confirmation(key);
    }

    /// A person's word holds for what was planned from it, and not for what vanishes later.
    pub(super) fn end_confirmation(&mut self, key: &Arc<str>) {
        if let Some(replica) = self.replicas.get_mut(key)
            && replica.rests()
        {
            replica.confirmed = [false; 2];
        }
    }

    /// An order is under way from now on.
    pub(super) fn begin(&mut self, key: Option<Arc<str>>, side: Which, step: Step) {
        let number = self.number();
        let transfers = side == Which::Host
            && key.is_some()
            && matches!(step.order.action, Action::Put { copy_from: None, .. });
        if let Some(replica) = key.as_ref().and_then(|key| self.replicas.get_mut(key)) {
            replica.steps += 1;
            paths_of(&step).for_each(|path| replica.busy.begin(path));
            if let Some(side) = vanished_on(side, &step) {
                replica.vanishing[side as usize] += 1;
            }
            if let Some(session) = &mut replica.session {
                match side {
                    Which::Replica => session.outgoing.push(number, &step.order),
                    Which::Host if transfers => session.incoming.push(number),
                    Which::Host => {}
                }
            }
        }
        if side == Which::Host && !transfers {
            self.make_ready(number, &step);
        }
        self.under_way.insert(number, UnderWay { key, side, step, bytes: 0 });
    }

    /// The host can carry out an order: nobody else plans there now.
    pub(super) fn make_ready(&mut self, number: u64, step: &Step) {
        paths_of(step).for_each(|path| self.host_busy.begin(path));
        self.ready.push_back(number);
    }

    /// An order is no longer under way. Whether the host had it, or was about to.
    pub(super) fn over(&mut self, number: u64, given: bool) -> Option<UnderWay> {
        let under_way = self.under_way.remove(&number)?;
        let UnderWay { key, side, step, bytes } = &under_way;
        if *side == Which::Host && given {
            paths_of(step).for_each(|path| self.host_busy.end(path));
        }
        if let Some(replica) = key.as_ref().and_then(|key| self.replicas.get_mut(key)) {
            replica.steps -= 1;
            paths_of(step).for_each(|path| replica.busy.end(path));
            if let Some(side) = vanished_on(*side, step) {
                replica.vanishing[side as usize] -= 1;
            }
            if let Some(session) = &mut replica.session {
                session.outgoing.bytes -= bytes;
            }
        }
        for path in paths_of(step) {
            self.replicas.values_mut().for_each(|replica| replica.resume(path, &self.host_busy));
        }
        Some(under_way)
    }

    /// An order that was not given yet is dropped, because what it needs is no longer there; `look`: on the host.
    pub(super) fn abandon(&mut self, number: u64, look: bool) {
        let Some(under_way) = self.over(number, false) else { return };
        let path = under_way.step.order.path;
        if let Some(replica) = under_way.key.and_then(|key| self.replicas.get_mut(&key)) {
            replica.dirty.insert(&path);
        }
        if look {
            self.look(vec![path]);
        }
    }

    /// Tells replicas why nothing is done, and that it is.
    pub(super) fn tell_halts(&mut self) {
        for replica in self.replicas.values_mut() {
            let reason = match (&self.host_down, &replica.halt) {
                (Some(reason), _) => crate::hub::status::sentence(&Halt {
                    reason: reason.clone(),
                    side: Which::Host,
                    base_files: 0,
                    vanished: 0,
                }),
                (None, Some(halt)) => crate::hub::status::sentence(halt),
                (None, None) => String::new(),
            };
            if let Some(session) = &mut replica.session
                && session.told_halted != reason
            {
                session.told_halted.clone_from(&reason);
                let message = crate::hub::message::ToReplica::Halted { reason };
                self.effects.push(crate::hub::Effect::Send { session: session.number, message });
            }
        }
    }
}

/// Where an order changes something.
pub(super) fn paths_of(step: &Step) -> impl Iterator<Item = &RelativePath> {
    let from = match &step.order.action {
        Action::Move { from, .. } => Some(from),
        _ => None,
    };
    std::iter::once(&step.order.path).chain(from)
}

/// The side on which a file vanished, for an order that removes it from the other one.
fn vanished_on(side: Which, step: &Step) -> Option<Which> {
    let removes =
        step.order.action == Action::Remove && is_file(&step.order.expect) && step.agreed == Agreed::Follows;
    removes.then(|| side.other())
}
