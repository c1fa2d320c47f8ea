//! A replica that says what no replica would: well-formed messages, in any order, about anything. What is not well-formed does not reach the hub
//! (`fuzz`, `mhnos-protocol`).

use crate::fake::path;
use crate::hub::message::{Ask, Data, FromReplica, Read};
use crate::hub::status::Phase;
use crate::hub::{Control, Input};
use crate::model::{Content, Node, RelativePath};
use crate::side::{Observation, Outcome, Problem};
use crate::simulator::random::Random;
use crate::simulator::world::World;

const SEEDS: u64 = 300;

fn number(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => u64::MAX,
        1 => random.next(),
        _ => random.below(300) as u64,
    }
}

fn content(random: &mut Random) -> Content {
    match random.percent(50) {
        true => Content::of(format!("text {}", random.below(30)).as_bytes()),
        false => Content([random.below(256) as u8; 32]),
    }
}

fn place(random: &mut Random) -> RelativePath {
    let (folder, file) = (random.below(4), random.below(34));
    match random.below(4) {
        0 => path(&format!("{folder}")),
        1 => path(&format!("{folder}/{file}/deeper")),
        _ => path(&format!("{folder}/{file}")),
    }
}

fn node(random: &mut Random) -> Option<Node> {
    match random.below(4) {
        0 => None,
        1 => Some(Node::Directory),
        _ => Some(Node::File {
            content: content(random),
            size: number(random),
            executable: random.percent(20),
        }),
    }
}

fn anything(random: &mut Random) -> FromReplica {
    let request = number(random);
    match random.below(8) {
        0..=2 => FromReplica::Observed {
            observation: Observation {
                nodes: (0..random.below(6)).map(|_| (place(random), node(random))).collect(),
                problems: (0..random.below(2))
                    .map(|_| Problem { path: place(random).to_string(), reason: "is odd".into() })
                    .collect(),
                complete: random.percent(10),
                within: random.percent(50).then(|| place(random)),
            },
            more: random.percent(10),
        },
        3 => FromReplica::Outcome {
            order: request,
            outcome: match random.below(3) {
                0 => Outcome::Done,
                1 => Outcome::Changed(node(random)),
                _ => Outcome::Failed("fails".into()),
            },
        },
        4 => FromReplica::AskBlocks(Ask {
            request,
            path: place(random),
            content: content(random),
            size: number(random),
        }),
        5 => FromReplica::Read(Read {
            request,
            path: place(random),
            content: content(random),
            offset: number(random),
            length: number(random) as u32,
        }),
        6 => FromReplica::Blocks { request, blocks: vec![[request as u8; 32]; random.below(4)] },
        _ => match random.percent(50) {
            true => {
                let bytes = vec![7; random.below(600)];
                FromReplica::Data(Data { request, offset: number(random), bytes })
            }
            false => FromReplica::Unavailable { request, reason: "is not there".into() },
        },
    }
}

#[test]
fn a_replica_may_say_anything_and_nothing_is_lost_and_others_go_on() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut world = World::new(2);
        (0..30).for_each(|n| world.host.write(&format!("{}/{n}", n % 3), format!("text {n}")));
        world.sync();
        for _ in 0..60 {
            if world.replicas[0].session.is_none() {
                world.open(0);
            }
            if let Some(session) = world.replicas[0].session {
                let message = anything(&mut random);
                world.handle(Input::Message { session, message });
            }
            for _ in 0..random.below(6) {
                let Some(step) = world.movable().into_iter().next() else { break };
                world.go(step);
            }
        }
        assert!(world.host.written.iter().all(|content| world.host.keeps(*content)), "seed {seed}");
        // When it says the truth again, and what failed is tried again, all is well again.
        world.cut(0);
        world.clear_replica(0);
        for _ in 0..4 {
            world.settle();
            world.control(Control::Restore(None));
            world.control(Control::Rescan);
            world.sync();
        }
        for at in 0..2 {
            assert_eq!(world.replicas[at].side.tree(), world.host.tree(), "seed {seed}, replica {at}");
            assert_eq!(world.phase(at), Phase::Synced, "seed {seed}");
        }
        assert!(world.host.written.iter().all(|content| world.host.keeps(*content)), "seed {seed}");
    }
}
