//! Lines that are cut or slow, crashes, and replicas that come back.

use super::{assert_in_step, in_step, listing};
use crate::fake::path;
use crate::hub::message::FromReplica;
use crate::hub::state::Saved;
use crate::model::BLOCK_BYTES;
use crate::side::{Action, Order, Outcome, Side};
use crate::simulator::world::{Move, World};

/// So many blocks, each another.
fn large(blocks: u8) -> Vec<u8> {
    (0..blocks).flat_map(|block| vec![block; BLOCK_BYTES as usize]).collect()
}

/// Moves until the next thing that can move fits.
fn until(world: &mut World, stop: impl Fn(&World, Move) -> bool) {
    while let Some(step) = world.movable().into_iter().next() {
        if stop(world, step) {
            return;
        }
        world.go(step);
    }
    panic!("it came to rest before");
}

#[test]
fn cut_in_mid_batch() {
    let mut world = in_step(1, &[]);
    (0..100).for_each(|n| world.host.write(&format!("x/{n}"), format!("text {n}")));
    (0..100).for_each(|n| world.replicas[0].side.write(&format!("y/{n}"), format!("text {n}")));
    world.host_hint(Vec::new());
    world.replica_hint(0, &[]);
    until(&mut world, |world, _| world.replicas[0].side.tree().len() > 150);
    world.cut(0);
    world.settle();
    let staged = world.replicas[0].side.staged_bytes;
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world).len(), 202);
    let all: u64 = (0..100).map(|n| format!("text {n}").len() as u64).sum();
    assert!(world.replicas[0].side.staged_bytes < staged + all, "what had come was not sent again");
}

#[test]
fn a_large_file_is_resumed_where_it_was_cut() {
    for of_host in [true, false] {
        let mut world = in_step(1, &[]);
        let content = large(100);
        let side = |world: &World| match of_host {
            true => world.replicas[0].side.staged_bytes,
            false => world.host.staged_bytes,
        };
        match of_host {
            true => world.host.write("large", &content),
            false => world.replicas[0].side.write("large", &content),
        }
        world.host_hint(Vec::new());
        world.replica_hint(0, &[]);
        until(&mut world, |world, _| side(world) >= 95 * BLOCK_BYTES);
        world.cut(0);
        world.settle();
        let staged = side(&world);
        assert!(staged < 100 * BLOCK_BYTES);
        world.sync();
        assert_in_step(&world);
        assert_eq!(side(&world), 100 * BLOCK_BYTES, "only what was missing was sent");
    }
}

#[test]
fn of_a_large_file_only_the_changed_block_travels() {
    let mut world = in_step(1, &[]);
    let mut content = large(40);
    world.host.write("large", &content);
    world.sync();
    let staged = world.replicas[0].side.staged_bytes;
    content[17 * BLOCK_BYTES as usize] ^= 1;
    world.host.write("large", &content);
    world.sync();
    assert_in_step(&world);
    assert_eq!(world.replicas[0].side.staged_bytes - staged, BLOCK_BYTES);
    content[3 * BLOCK_BYTES as usize] ^= 1;
    world.replicas[0].side.write("large", &content);
    world.sync();
    assert_in_step(&world);
    assert_eq!(world.host.staged_bytes, BLOCK_BYTES);
}

#[test]
fn a_large_file_that_becomes_shorter_while_it_is_read_is_planned_again() {
    for of_host in [true, false] {
        let mut world = in_step(1, &[]);
        match of_host {
            true => world.host.write("large", large(20)),
            false => world.replicas[0].side.write("large", large(20)),
        }
        world.host_hint(Vec::new());
        world.replica_hint(0, &[]);
        until(&mut world, |world, _| {
            world.host.staged_bytes + world.replicas[0].side.staged_bytes > 3 * BLOCK_BYTES
        });
        match of_host {
            true => world.host.write("large", "short"),
            false => world.replicas[0].side.write("large", "short"),
        }
        world.settle();
        world.sync();
        assert_in_step(&world);
        assert_eq!(world.host.text("large").unwrap(), "short");
    }
}

#[test]
fn two_puts_of_one_content_behind_a_large_file() {
    let mut world = in_step(1, &[]);
    world.host.write("large", large(3));
    world.host.write("one", "same");
    world.host.write("other", "same");
    // A large one comes last; so another batch follows it.
    world.host_hint(Vec::new());
    until(&mut world, |world, _| world.replicas[0].side.staged_bytes > BLOCK_BYTES);
    world.host.write("third", "alike");
    world.host.write("fourth", "alike");
    world.host_hint(Vec::new());
    world.settle();
    assert_in_step(&world);
    assert!(world.status().replicas[0].problems.is_empty());
}

#[test]
fn crash_in_stage() {
    let mut world = in_step(1, &[("a", "old")]);
    world.replicas[0].side.write("a", large(4));
    world.replica_hint(0, &[]);
    until(&mut world, |world, _| world.host.staged_bytes >= BLOCK_BYTES);
    world.restart();
    assert_eq!(world.host.text("a").unwrap(), "old");
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert!(world.status().conflicts.is_empty());
}

#[test]
fn crash_in_swap() {
    for step in 0..12 {
        for by_copy in [false, true] {
            let mut world = in_step(1, &[("a", "old"), ("x/b", "old"), ("x/c", "old")]);
            world.host.moves_by_copy = by_copy;
            world.host.crash_after = Some(step);
            world.replicas[0].side.write("a", "new");
            world.replicas[0].side.rename("x", "y");
            world.replicas[0].side.write("z", "new");
            world.sync();
            world.host.crash_after = None;
            world.sync();
            world.sync();
            assert_in_step(&world);
            assert_eq!(world.host.text("a").unwrap(), "new", "step {step}");
            assert!(listing(&world).contains(&"y/b".to_owned()), "step {step}");
        }
    }
}

#[test]
fn crash_before_commit() {
    let mut world = in_step(1, &[("a", "old"), ("b", "old"), ("c", "kept")]);
    world.replicas[0].side.write("a", "new");
    world.replicas[0].side.remove("b");
    world.replica_hint(0, &[]);
    // Carried out on the host, but never written down.
    until(&mut world, |world, step| step == Move::Save && world.host.text("b").is_none());
    world.restart();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "c"]);
    assert_eq!(world.host.text("a").unwrap(), "new");
    assert!(world.status().conflicts.is_empty());
}

#[test]
fn a_replica_that_crashes_while_it_carries_out_orders() {
    for step in 0..10 {
        let mut world = in_step(1, &[("a", "old"), ("x/b", "old")]);
        world.remember(0);
        world.replicas[0].side.crash_after = Some(step);
        world.replicas[0].side.moves_by_copy = true;
        world.host.write("a", "new");
        world.host.rename("x", "y");
        world.host.write("c", "new");
        world.sync();
        world.replicas[0].side.crash_after = None;
        world.sync();
        world.sync();
        assert_in_step(&world);
        assert_eq!(world.host.text("a").unwrap(), "new");
        assert!(world.status().conflicts.is_empty());
    }
}

#[test]
fn what_is_said_twice_or_of_an_order_never_given_ends_the_session_and_does_nothing() {
    let mut world = in_step(1, &[("a", "text")]);
    world.replica_hint(0, &[path("a")]);
    world.host.write("b", "new");
    world.host_hint(Vec::new());
    until(&mut world, |world, _| !world.replicas[0].from.is_empty());
    let outcome = world.replicas[0].from.front().cloned().unwrap();
    assert!(matches!(outcome, FromReplica::Outcome { .. }));
    world.replicas[0].from.push_back(outcome);
    world.settle();
    assert_eq!(world.replicas[0].ended.len(), 1);
    assert!(world.replicas[0].ended[0].contains("not given"), "{:?}", world.replicas[0].ended);
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "b"]);
}

#[test]
fn an_order_that_comes_twice_does_nothing_the_second_time() {
    let mut world = in_step(1, &[("a", "text"), ("x/b", "text")]);
    let side = &mut world.replicas[0].side;
    let moved = side.node(&path("x")).unwrap();
    let action = Action::Move { from: path("x"), moved };
    let orders = [
        Order { path: path("y"), expect: None, action },
        Order { path: path("a"), expect: side.node(&path("a")), action: Action::Remove },
    ];
    assert_eq!(side.apply(&orders), [Outcome::Done, Outcome::Done]);
    let after = side.tree();
    side.apply(&orders);
    assert_eq!(side.tree(), after);
}

#[test]
fn what_an_earlier_session_still_says_is_not_heard() {
    let mut world = in_step(1, &[("a", "text")]);
    let old = world.replicas[0].session.unwrap();
    world.open(0);
    world.settle();
    let gone = FromReplica::Observed {
        observation: crate::side::Observation { complete: true, ..Default::default() },
        more: false,
    };
    world.handle(crate::hub::Input::Message { session: old, message: gone });
    world.settle();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a"]);
}

#[test]
fn a_hundred_thousand_small_files() {
    let mut world = World::new(1);
    (0..100_000).for_each(|n| world.host.write(&format!("{}/f{}", n % 300, n), format!("text {n}")));
    world.sync();
    assert_eq!(world.replicas[0].side.things.len(), 100_300);
    assert_in_step(&world);
    // With all of them there, a save is one look at one path, and one order.
    (world.orders, world.host.read_bytes) = (0, 0);
    world.host.write("7/f7", "edited");
    world.host_hint(vec![path("7/f7")]);
    world.settle();
    assert_in_step(&world);
    assert_eq!((world.orders, world.host.read_bytes), (1, 6));
}

#[test]
fn one_slow_replica_never_holds_up_another() {
    let mut world = in_step(2, &[("a", "old")]);
    world.replicas[1].frozen = true;
    for n in 0..50 {
        world.host.write("a", format!("edit {n}"));
        world.host.write(&format!("x/{n}"), "new");
        world.host_hint(Vec::new());
        world.settle();
        assert_eq!(world.replicas[0].side.tree(), world.host.tree());
        assert!(world.replicas[0].peer.synced());
    }
    world.replicas[0].side.rename("x", "y");
    world.replica_hint(0, &[]);
    world.settle();
    assert_eq!(world.replicas[0].side.tree(), world.host.tree());
    world.replicas[1].frozen = false;
    world.settle();
    world.sync();
    assert_in_step(&world);
}

#[test]
fn memory_within_the_credits() {
    let mut world = in_step(1, &[]);
    world.replicas[0].window = 1 << 20;
    world.open(0);
    world.settle();
    world.replicas[0].frozen = true;
    // Forty megabytes for a replica that reads nothing: the window's worth is on its way, and the rest is not read yet.
    (0..200_u32).for_each(|n| {
        let mut bytes = vec![0; 200 << 10];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        world.host.write(&format!("{n}"), bytes);
    });
    world.host_hint(Vec::new());
    world.settle();
    assert!(world.host.read_bytes <= 1 << 20, "{} bytes were read", world.host.read_bytes);
    world.replicas[0].frozen = false;
    world.settle();
    assert_in_step(&world);
}

#[test]
fn git_checkout_storm() {
    let mut world = in_step(2, &[]);
    (0..300).for_each(|n| world.host.write(&format!("src/{}/{n}", n % 7), format!("main {n}")));
    world.sync();
    // Branches change back and forth while the first change is still on its way.
    for branch in ["topic", "main", "topic"] {
        for n in 0..300 {
            match (n % 3, branch) {
                (0, "topic") => world.host.remove(&format!("src/{}/{n}", n % 7)),
                (1, "topic") => world.host.write(&format!("lib/{n}"), format!("new {n}")),
                (1, _) => world.host.remove(&format!("lib/{n}")),
                _ => world.host.write(&format!("src/{}/{n}", n % 7), format!("{branch} {n}")),
            }
        }
        world.host_hint(Vec::new());
        (0..150).for_each(|_| {
            if let Some(step) = world.movable().into_iter().next() {
                world.go(step);
            }
        });
    }
    world.settle();
    world.sync();
    assert_in_step(&world);
    assert!(world.status().conflicts.is_empty());
    assert_eq!(world.replicas[0].side.text("src/2/2").unwrap(), "topic 2");
}

#[test]
fn a_replica_back_after_months() {
    let mut world = in_step(2, &[("a", "old"), ("b", "old"), ("c", "old")]);
    world.cut(1);
    world.host.write("a", "new");
    world.host.remove("b");
    world.replicas[1].side.write("d", "written while away");
    world.sync_but(1);
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "c", "d"]);
    assert!(world.status().conflicts.is_empty());
    // Forgotten meanwhile: it joins by union, and nothing is deleted.
    world.cut(1);
    world.control(crate::hub::Control::Forget(world.replicas[1].key.clone()));
    world.host.remove("c");
    world.sync_but(1);
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "c", "d"]);
}

#[test]
fn index_deleted_everything_joins_by_union() {
    let mut world = in_step(2, &[("a", "old"), ("b", "old")]);
    world.host.write("a", "edited");
    world.replicas[0].side.remove("b");
    world.durable = Saved::default();
    world.restart();
    world.sync();
    world.sync();
    assert_in_step(&world);
    let copies = listing(&world).iter().filter(|name| name.contains("conflict")).count();
    assert!(copies > 0 && world.host.text("a").unwrap() == "edited" && world.host.text("b").is_some());
}

#[test]
fn index_restored_from_backup_everything_joins_by_union() {
    let mut world = in_step(1, &[("a", "one"), ("b", "one")]);
    let backup = world.durable.clone();
    world.replicas[0].side.remove("b");
    world.host.write("c", "new");
    world.sync();
    assert_in_step(&world);
    world.durable = backup;
    world.restart();
    // To the index of then, c never was, and b is what both had.
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "c"]);
    assert_eq!(world.status().conflicts, []);
}

#[test]
fn index_restored_from_backup_takes_nothing_for_deleted_that_was_made_since() {
    let mut world = in_step(1, &[("a", "one"), ("b", "one")]);
    let backup = world.durable.clone();
    world.replicas[0].side.remove("b");
    world.sync();
    assert_in_step(&world);
    // To the index of then the replica removed what is made here anew.
    world.durable = backup;
    world.host.write("b", "one");
    world.restart();
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "b"]);
}

#[test]
fn a_browsers_disk_restored_from_an_older_copy_joins_by_union() {
    let mut world = in_step(1, &[("a", "old"), ("b", "old")]);
    let (side, peer) = (world.replicas[0].side.clone(), &world.replicas[0].peer);
    let (told, sequence) = (peer.told().clone(), peer.sequence());
    world.host.write("a", "new");
    world.host.write("c", "new");
    world.host.remove("b");
    world.sync();
    // The answer to this says that what was agreed before it was heard.
    world.host.write("d", "new");
    world.sync();
    assert_in_step(&world);
    // Its own memory is as old as its files: by it, nobody on that disk removed c or undid the edit of a.
    world.cut(0);
    world.replicas[0].side = side;
    world.replicas[0].peer = crate::peer::Peer::new(told, sequence);
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!((world.host.text("a").unwrap(), world.host.text("c").unwrap()), ("new".into(), "new".into()));
    let names = listing(&world);
    assert_eq!((names.len(), world.status().conflicts.len()), (5, 1), "{names:?}");
    assert_eq!(world.host.text(&world.status().conflicts[0].copy.to_string()).unwrap(), "old");
}

#[test]
fn a_second_sync_tool_on_the_folder() {
    let mut world = in_step(1, &[("a", "old"), ("x/b", "old")]);
    for round in 0..20 {
        // It brings the page's edits too, in its own way, by its own temporaries, at any time.
        world.replicas[0].side.write("a", format!("edit {round}"));
        world.replica_hint(0, &[]);
        (0..round).for_each(|_| {
            if let Some(step) = world.movable().into_iter().next() {
                world.go(step);
            }
        });
        world.host.write(".a.part", format!("edit {round}"));
        world.host.rename(".a.part", "a");
        world.host_hint(vec![path("a")]);
        world.settle();
        world.sync();
        assert_in_step(&world);
        assert_eq!(listing(&world), ["a", "x/", "x/b"], "the same edit by two ways is no conflict");
    }
}

#[test]
fn hints_that_were_dropped_are_made_up_for_by_one_look_at_everything() {
    let mut world = in_step(1, &[("a", "old"), ("x/b", "old"), ("c", "old")]);
    world.host.write("a", "new");
    world.host.rename("x", "y");
    world.replicas[0].side.remove("c");
    world.replicas[0].side.write("d", "new");
    world.settle();
    assert_eq!(world.orders, 0);
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "d", "y/", "y/b"]);
}
