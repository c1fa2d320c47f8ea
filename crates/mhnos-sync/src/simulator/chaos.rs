//! What happens by chance: people at work on every side, and all that can go wrong between and beneath them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::random::Random;
use super::world::{Move, World};
use crate::fake::{Clock, Thing, path};
use crate::hub::state::Saved;
use crate::hub::{Control, Keep};
use crate::model::{BLOCK_BYTES, Content};
use crate::rules::Rules;

const FOLDERS: [&str; 6] = ["", "", "x/", "y/", "x/z/", "node_modules/"];
const NAMES: [&str; 9] = ["a", "b", "c.txt", "x", "y", "A", "con", "e\u{301}", "run.sh"];
const RULES: [&str; 3] = ["", "c.txt\n", "/x\n"];

/// A side, for what happens on any of them.
#[derive(Clone, Copy)]
enum Where {
    Host,
    Replica(usize),
}

/// One run.
pub(super) struct Run {
    pub(super) world: World,
    random: Random,
    texts: u64,
    /// How likely each replica is to move when it can, in a hundred.
    speeds: Vec<usize>,
    /// Of the index, as it once was.
    backup: Option<Saved>,
    /// What was only on a disk that was cleared.
    pub(super) excused: BTreeSet<Content>,
}

impl Run {
    /// `clocks` decides how the clocks of all sides jump, and must decide nothing else.
    pub(super) fn new(seed: u64, clocks: u64) -> Self {
        let mut random = Random::new(seed);
        let replicas = 1 + random.below(3);
        let mut world = World::new(replicas);
        let mut jumps = Random::new(clocks);
        world.host.clock = clock(&mut jumps);
        for replica in &mut world.replicas {
            replica.side.clock = clock(&mut jumps);
            replica.side.case_insensitive = random.percent(10);
            replica.side.composed_only = random.percent(10);
            replica.side.moves_by_copy = random.percent(50);
            if random.percent(10) {
                replica.side.reserved.insert("con".to_owned());
            }
            replica.window = if random.percent(50) { 1 << 20 } else { 4 << 20 };
        }
        world.host.case_insensitive = random.percent(5);
        let speeds = (0..replicas).map(|_| *random.pick(&[100, 100, 50, 5])).collect();
        Self { world, random, texts: 0, speeds, backup: None, excused: BTreeSet::new() }
    }

    /// What the seed has happen, and then what must hold.
    pub(super) fn go(&mut self) {
        let steps = 20 + self.random.below(180);
        for _ in 0..steps {
            match self.random.below(100) {
                0..=24 => self.people(),
                25..=34 => self.hints(),
                35..=41 => self.trouble(),
                _ => self.moves(),
            }
        }
        let random = &mut self.random;
        let (world, excused) = (&mut self.world, &self.excused);
        world.replicas.iter_mut().for_each(|replica| replica.frozen = false);
        if world.replicas.len() > 1 && random.percent(20) {
            // One that says nothing and hears nothing holds up nobody.
            let slow = random.below(world.replicas.len());
            world.replicas[slow].frozen = true;
            world.converge(random);
            world.assert_equal();
            world.replicas[slow].frozen = false;
        }
        world.converge(random);
        world.assert_equal();
        world.assert_nothing_lost(excused);
        world.assert_at_rest(random);
    }

    fn somewhere(&mut self) -> Where {
        let sides = self.world.replicas.len() + 1;
        // As much happens on the host as on all replicas.
        match self.random.below(2 * sides - 2) {
            at if at + 1 < sides => Where::Replica(at),
            _ => Where::Host,
        }
    }

    fn side(&mut self, at: Where) -> &mut crate::fake::Fake {
        match at {
            Where::Host => &mut self.world.host,
            Where::Replica(at) => &mut self.world.replicas[at].side,
        }
    }

    fn place(&mut self) -> String {
        format!("{}{}", self.random.pick(&FOLDERS), self.random.pick(&NAMES))
    }

    /// Something that is there, most of the time.
    fn existing(&mut self, at: Where) -> String {
        let paths: Vec<String> = self.side(at).things.keys().map(ToString::to_string).collect();
        if paths.is_empty() || self.random.percent(10) {
            return self.place();
        }
        self.random.pick(&paths).clone()
    }

    fn text(&mut self) -> Vec<u8> {
        self.texts += 1;
        match self.random.below(100) {
            0 => Vec::new(),
            // Large ones differ in the last block only.
            1 => {
                let mut bytes = vec![7; 2 * BLOCK_BYTES as usize];
                bytes.extend_from_slice(format!("large {}", self.texts).as_bytes());
                bytes
            }
            // Two people may write the same.
            2..=9 => format!("common {}", self.random.below(3)).into_bytes(),
            // All of the same size.
            _ => format!("text {:06}", self.texts).into_bytes(),
        }
    }

    fn people(&mut self) {
        let at = self.somewhere();
        let (one, other) = (self.existing(at), self.place());
        let text = self.text();
        let what = self.random.below(100);
        let side = match at {
            Where::Host => &mut self.world.host,
            Where::Replica(at) => &mut self.world.replicas[at].side,
        };
        if side.missing {
            return;
        }
        let mut touched = vec![one.clone()];
        match what {
            0..=24 => {
                side.write(&other, text);
                touched = vec![other];
            }
            25..=44 => side.write(&one, text),
            45..=49 => side.save(&one, &String::from_utf8_lossy(&text)),
            50..=64 => side.remove(&one),
            65..=79 => {
                side.rename(&one, &other);
                touched.push(other);
            }
            80..=82 => {
                // Crossed: each has the other's name.
                side.rename(&one, "third");
                side.rename(&other, &one);
                side.rename("third", &other);
                touched.push(other);
            }
            83..=87 => {
                side.make_directory(&other);
                touched = vec![other];
            }
            88..=90 => {
                side.set_executable(&one, what == 88);
            }
            91..=93 => {
                side.remove(&one);
                side.make_link(&one);
            }
            94..=96 => {
                side.remove(&one);
                side.make_directory(&one);
                side.write(&format!("{one}/a"), text);
            }
            _ => {
                let copied = match side.things.get(&path(&one)) {
                    Some(Thing::File(file)) => file.bytes.clone(),
                    _ => return,
                };
                side.write(&other, copied);
                touched = vec![other];
            }
        }
        self.world.note(|| {
            let name = match at {
                Where::Host => "host".to_owned(),
                Where::Replica(at) => format!("{}", at + 1),
            };
            format!("a person on {name} at {touched:?} ({what})")
        });
        let hints = match at {
            Where::Host => &mut self.world.hints,
            Where::Replica(at) => &mut self.world.replicas[at].hints,
        };
        hints.extend(touched.iter().map(|text| path(text)));
    }

    /// A watcher tells what it saw, some of it, or that it saw too much.
    fn hints(&mut self) {
        let at = self.somewhere();
        let mut hints = std::mem::take(match at {
            Where::Host => &mut self.world.hints,
            Where::Replica(at) => &mut self.world.replicas[at].hints,
        });
        let overflow = self.random.percent(10);
        let dropped = self.random.below(3);
        hints.retain(|_| dropped != 0 || self.random.percent(50));
        if overflow {
            hints.clear();
        } else if hints.is_empty() {
            return;
        }
        match at {
            Where::Host => self.world.host_hint(hints),
            Where::Replica(at) => self.world.replica_hint(at, &hints),
        }
    }

    fn moves(&mut self) {
        for _ in 0..self.random.below(12) {
            let moves = self.world.movable();
            if moves.is_empty() {
                return;
            }
            let step = *self.random.pick(&moves);
            let speed = match step {
                Move::To(at) | Move::From(at) => self.speeds[at],
                _ => 100,
            };
            if self.random.percent(speed) {
                self.world.go(step);
            }
        }
    }

    fn trouble(&mut self) {
        let at = self.random.below(self.world.replicas.len());
        let anywhere = self.somewhere();
        let number = self.random.below(40);
        match self.random.below(22) {
            0..=4 => self.world.open(at),
            5 | 6 => self.world.cut(at),
            7 => self.world.restart(),
            8 => self.world.restart_replica(at),
            9 => self.side(anywhere).crash_after = Some(number),
            10 => self.world.remember(at),
            11 => {
                let failed = self.random.percent(50);
                self.world.save(failed);
            }
            12 => {
                let paused = self.random.percent(50);
                self.world.control(if paused { Control::Pause } else { Control::Resume });
            }
            13 => self.world.control(Control::Rescan),
            14 => self.disk_trouble(anywhere),
            15 => {
                let text = *self.random.pick(&RULES);
                self.world.note(|| format!("rules {text:?}"));
                self.world.host.rules = Some(Arc::new(Rules::new(text)));
                self.world.host_hint(Vec::new());
            }
            16 => self.world.replicas[at].frozen ^= true,
            17 => self.backup(),
            18 => self.clear(at),
            19 => self.resolve(),
            20 => self.say_twice(at),
            _ => {
                let key = self.random.percent(50).then(|| self.world.replicas[at].key.clone());
                let confirm = self.random.percent(50);
                self.world.control(if confirm { Control::Confirm(key) } else { Control::Restore(key) });
            }
        }
    }

    fn disk_trouble(&mut self, at: Where) {
        let what = self.random.below(6);
        let name = self.existing(at);
        self.world.note(|| format!("trouble with a disk: {what}"));
        let side = self.side(at);
        match what {
            0 => side.capacity = Some(60),
            1 => side.read_only ^= true,
            2 => side.missing ^= true,
            3 => drop(side.held_open.insert(path(&name))),
            4 => side.held_open.clear(),
            _ => side.capacity = None,
        }
    }

    /// The index is restored from a backup, deleted, or backed up.
    fn backup(&mut self) {
        match self.random.below(4) {
            0 => {
                self.world.note(|| "the index is deleted".to_owned());
                self.world.durable = Saved::default();
                self.world.restart();
            }
            1 | 2 => self.backup = Some(self.world.durable.clone()),
            _ => {
                if let Some(backup) = self.backup.take() {
                    self.world.note(|| "the index is restored from a backup".to_owned());
                    self.world.durable = backup;
                    self.world.restart();
                }
            }
        }
    }

    /// A browser's storage is cleared: with what tells who it is, or only the files.
    fn clear(&mut self, at: usize) {
        let whole = self.random.percent(50);
        let contents = self.world.replicas[at].side.written.clone();
        self.world.note(|| format!("{} is cleared, whole: {whole}", at + 1));
        if whole {
            self.world.clear_replica(at);
        } else {
            self.world.replicas[at].side.clear();
        }
        let world = &self.world;
        let elsewhere = |content: &Content| {
            world.host.keeps(*content) || world.replicas.iter().any(|replica| replica.side.keeps(*content))
        };
        self.excused.extend(contents.into_iter().filter(|content| !elsewhere(content)));
    }

    fn resolve(&mut self) {
        let conflicts = self.world.status().conflicts;
        if !conflicts.is_empty() {
            let copy = self.random.pick(&conflicts).copy.clone();
            let keep = *self.random.pick(&[Keep::Original, Keep::Copy, Keep::Both]);
            self.world.control(Control::Resolve { copy, keep });
        }
    }

    /// What a replica said is said again at once.
    fn say_twice(&mut self, at: usize) {
        if let Some(message) = self.world.replicas[at].from.front().cloned() {
            self.world.note(|| "said twice".to_owned());
            self.world.replicas[at].from.push_front(message);
        }
    }
}

/// One that goes on, mostly; or jumps back and forth by hours.
fn clock(jumps: &mut Random) -> Clock {
    let step = |jumps: &mut Random| {
        let nanoseconds = (jumps.next() % 3_600_000_000_000) as i64 | 1;
        match jumps.below(4) {
            0 => -nanoseconds,
            1 => nanoseconds,
            _ => nanoseconds % 5_000_000,
        }
    };
    Clock::stepping((0..1 + jumps.below(5)).map(|_| step(jumps)).collect())
}
