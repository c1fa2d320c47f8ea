//! What must hold when everybody is there, nothing is broken any more, and everything has come to rest.

use std::collections::BTreeSet;

use super::random::Random;
use super::world::World;
use crate::fake::Fake;
use crate::hub::Control;
use crate::hub::status::Phase;
use crate::model::{Content, RelativePath, Tree};
use crate::side::Problem;

/// Most rounds of all looking at everything before all are equal.
const ROUNDS: usize = 10;
/// Most things that move in one round.
const MOVES: usize = 50_000;

impl World {
    /// Everything moves, in any order, until nothing does.
    pub(super) fn come_to_rest(&mut self, random: &mut Random) {
        for _ in 0..MOVES {
            let moves = self.movable();
            if moves.is_empty() {
                return;
            }
            let step = *random.pick(&moves);
            self.go(step);
        }
        panic!("it does not come to rest");
    }

    /// All faults are mended, all look at everything, people answer what they are asked, until all are equal.
    pub(super) fn converge(&mut self, random: &mut Random) {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            self.mend();
            self.control(Control::Resume);
            self.host_hint(Vec::new());
            for at in 0..self.replicas.len() {
                if self.replicas[at].session.is_none() && !self.replicas[at].frozen {
                    self.open(at);
                }
            }
            self.come_to_rest(random);
            for at in (0..self.replicas.len()).filter(|at| !self.replicas[*at].frozen).collect::<Vec<_>>() {
                self.replica_hint(at, &[]);
            }
            let before = self.trees();
            self.control(Control::Rescan);
            self.come_to_rest(random);
            // What a disk cannot hold is tried again in every round: only what is there tells that nothing changes any more.
            quiet = if self.answer_halts(random) || self.trees() != before { 0 } else { quiet + 1 };
            if quiet == 2 {
                return;
            }
        }
        panic!("still not equal after {ROUNDS} rounds: {:#?}", self.status());
    }

    fn trees(&self) -> Vec<Tree> {
        let sides = self.replicas.iter().map(|replica| &replica.side).chain(std::iter::once(&self.host));
        sides.map(Fake::tree).collect()
    }

    fn mend(&mut self) {
        let sides = self.replicas.iter_mut().map(|replica| &mut replica.side);
        for side in sides.chain(std::iter::once(&mut self.host)) {
            side.capacity = None;
            side.read_only = false;
            side.missing = false;
            side.crash_after = None;
            side.held_open.clear();
        }
    }

    /// Whether anybody was asked anything.
    fn answer_halts(&mut self, random: &mut Random) -> bool {
        let halted: Vec<_> = self.status().replicas.into_iter().filter(|it| it.halt.is_some()).collect();
        for replica in &halted {
            let key = Some(replica.key.clone());
            let control = if random.percent(50) { Control::Confirm(key) } else { Control::Restore(key) };
            self.control(control);
            self.come_to_rest(random);
        }
        !halted.is_empty()
    }

    /// All that was seen equal is equal, and what is not has a reason that a person can read.
    pub(super) fn assert_equal(&self) {
        let status = self.status();
        assert_eq!(status.down, None);
        let host = self.host.tree();
        for (at, replica) in self.replicas.iter().enumerate().filter(|(_, replica)| !replica.frozen) {
            let own = status.replicas.iter().find(|it| it.key == replica.key).expect("it is remembered");
            assert_eq!(own.halt, None);
            assert_eq!((own.phase, own.orders), (Phase::Synced, 0), "replica {}", at + 1);
            let ignored = |path: &RelativePath| self.host.is_ignored(path) || replica.side.is_ignored(path);
            let tree = replica.side.tree();
            let paths: BTreeSet<_> = host.keys().chain(tree.keys()).collect();
            for path in paths.into_iter().filter(|path| !ignored(path)) {
                if host.get(path) != tree.get(path) {
                    let told = status.problems.iter().chain(&own.problems).any(|it| speaks_of(it, path));
                    assert!(told, "{path} differs: {:?}, {:?}; {own:#?}", host.get(path), tree.get(path));
                }
            }
            if own.problems.is_empty() && status.problems.is_empty() {
                let ignored = own.differences == 0 || !replica.side.things.keys().all(|path| !ignored(path));
                assert!(ignored, "the base is not what both have: {own:?}");
            }
        }
    }

    /// Nothing a person wrote is gone unless somebody who saw it wanted that.
    pub(super) fn assert_nothing_lost(&self, excused: &BTreeSet<Content>) {
        let sides = || self.replicas.iter().map(|it| &it.side).chain(std::iter::once(&self.host));
        for side in sides() {
            for content in &side.written {
                let wanted = excused.contains(content) || sides().any(|it| it.replaced.contains(content));
                assert!(wanted || sides().any(|it| it.keeps(*content)), "{content:?} was lost");
            }
        }
    }

    /// At rest there is nothing to do, however often everybody looks, and whoever begins anew with what was written down.
    pub(super) fn assert_at_rest(&mut self, random: &mut Random) {
        let before = self.orders;
        self.restart();
        for at in (0..self.replicas.len()).filter(|at| !self.replicas[*at].frozen).collect::<Vec<_>>() {
            self.open(at);
        }
        self.host_hint(Vec::new());
        self.come_to_rest(random);
        let refused = self.status().replicas.iter().any(|it| !it.problems.is_empty());
        assert!(refused || self.orders == before, "at rest, and yet something was done");
    }
}

fn speaks_of(problem: &Problem, path: &RelativePath) -> bool {
    let Ok(place) = RelativePath::new(&problem.path) else { return false };
    place == *path || place.is_in(path) || path.is_in(&place)
}
