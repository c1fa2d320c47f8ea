//! Sides that are empty, gone, full or read-only, and what a person says of it.

use super::{assert_in_step, in_step, listing};
use crate::fake::path;
use crate::hub::Control;
use crate::hub::status::Phase;
use crate::plan::{HaltReason, Which};
use crate::simulator::world::World;

fn halt(world: &World) -> Option<(HaltReason, Which)> {
    let halt = world.status().replicas[0].halt.clone()?;
    Some((halt.reason, halt.side))
}

fn twenty() -> World {
    let mut world = in_step(1, &[]);
    (0..20).for_each(|n| world.host.write(&format!("x/{n}"), format!("text {n}")));
    world.sync();
    world.orders = 0;
    world
}

#[test]
fn an_emptied_side_halts_and_nothing_is_deleted() {
    for side in [Which::Host, Which::Replica] {
        for confirm in [true, false] {
            let mut world = twenty();
            match side {
                Which::Host => world.host.clear(),
                Which::Replica => world.replicas[0].side.clear(),
            }
            world.sync();
            assert_eq!(halt(&world), Some((HaltReason::Empty, side)));
            assert_eq!((world.orders, world.phase(0)), (0, Phase::Halted));
            assert!(world.replicas[0].peer.halted().contains("is empty, and had 20 files"));
            world.control(if confirm { Control::Confirm(None) } else { Control::Restore(None) });
            world.settle();
            world.sync();
            assert_in_step(&world);
            assert_eq!(listing(&world).len(), if confirm { 0 } else { 21 }, "{side:?}");
            assert_eq!(world.replicas[0].peer.halted(), "");
        }
    }
}

#[test]
fn more_than_half_deleted_halts_and_what_comes_back_ends_it() {
    let mut world = twenty();
    (0..12).for_each(|n| world.host.remove(&format!("x/{n}")));
    world.sync();
    assert_eq!(halt(&world), Some((HaltReason::MostDeleted, Which::Host)));
    assert_eq!(world.orders, 0);
    (0..12).for_each(|n| world.host.write(&format!("x/{n}"), format!("text {n}")));
    world.sync();
    assert_in_step(&world);
    assert_eq!(world.orders, 0);
}

#[test]
fn deletions_one_after_the_other_halt_as_well_while_they_are_under_way() {
    let mut world = twenty();
    world.replicas[0].frozen = true;
    for n in 0..20 {
        world.host.remove(&format!("x/{n}"));
        world.host_hint(vec![path(&format!("x/{n}"))]);
        world.settle();
    }
    assert_eq!(halt(&world).map(|(_, side)| side), Some(Which::Host));
    assert!(world.orders < 20);
}

/// A rename that is seen in two steps is a copy and a deletion, and what is still being copied is not lost.
#[test]
fn a_folder_that_has_another_name_is_not_lost_while_it_is_copied() {
    for side in [Which::Host, Which::Replica] {
        let mut world = twenty();
        match side {
            Which::Host => world.host.rename("x", "y"),
            Which::Replica => world.replicas[0].side.rename("x", "y"),
        }
        let hint = |world: &mut World, name: &str| match side {
            Which::Host => world.host_hint(vec![path(name)]),
            Which::Replica => world.replica_hint(0, &[path(name)]),
        };
        hint(&mut world, "y");
        // Copied in part, and in part still on its way.
        while world.orders < 10 {
            let step = world.movable().into_iter().next().unwrap();
            world.go(step);
        }
        hint(&mut world, "x");
        while let Some(step) = world.movable().into_iter().next() {
            assert_eq!(halt(&world), None, "{side:?}");
            world.go(step);
        }
        assert_in_step(&world);
        assert_eq!(listing(&world).len(), 21);
    }
}

#[test]
fn host_root_gone_halts_everything_until_it_is_back() {
    let mut world = twenty();
    world.host.missing = true;
    world.replicas[0].side.write("new", "new");
    world.sync();
    assert!(matches!(world.status().down, Some(HaltReason::Missing(_))));
    assert_eq!(world.orders, 0);
    world.host.missing = false;
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world).len(), 22);
}

#[test]
fn opfs_cleared_joins_as_a_new_replica() {
    let mut world = twenty();
    world.clear_replica(0);
    world.replicas[0].side.write("new", "made after it was cleared");
    world.sync();
    world.sync();
    let now = world.replicas[0].side.tree();
    assert_eq!(now, world.host.tree());
    assert_eq!(now.len(), 22);
    assert_eq!(world.replicas[0].side.text("x/3").unwrap(), "text 3");
}

#[test]
fn opfs_quota_full_is_told_and_all_that_fits_goes_on() {
    let mut world = in_step(1, &[("a", "old")]);
    world.replicas[0].side.capacity = Some(100);
    world.host.write("big", "x".repeat(200));
    world.host.write("small", "fits");
    world.sync();
    assert_eq!(world.replicas[0].side.listing(), ["a", "small"]);
    let problems = world.status().replicas[0].problems.clone();
    assert_eq!((problems.len(), problems[0].path.as_str()), (1, "big"));
    world.replicas[0].side.write("b", "still goes up");
    world.sync();
    assert_eq!(world.host.text("b").unwrap(), "still goes up");
    // There is room again: the path is told again, and planned anew.
    world.replicas[0].side.capacity = None;
    world.open(0);
    world.settle();
    assert_in_step(&world);
    assert!(world.status().replicas[0].problems.is_empty());
}

#[test]
fn host_full_or_read_only_halts_until_a_person_says_so() {
    for full in [true, false] {
        let mut world = in_step(1, &[("a", "old")]);
        world.host.capacity = full.then_some(20);
        world.host.read_only = !full;
        world.replicas[0].side.write("big", "x".repeat(200));
        world.sync();
        assert!(matches!(world.status().down, Some(HaltReason::DiskFull(_))));
        assert!(!world.replicas[0].peer.halted().is_empty());
        assert_eq!(listing(&world), ["a"]);
        world.host.capacity = None;
        world.host.read_only = false;
        world.control(Control::Confirm(None));
        world.settle();
        assert_in_step(&world);
        assert_eq!(listing(&world), ["a", "big"]);
    }
}

#[test]
fn an_index_that_cannot_be_written_halts_and_nothing_of_it_is_forgotten() {
    let mut world = in_step(1, &[("a", "old"), ("b", "old")]);
    world.replicas[0].side.remove("b");
    world.replicas[0].side.write("a", "new");
    world.replica_hint(0, &[]);
    while world.saves.is_empty() {
        let step = world.movable()[0];
        world.go(step);
    }
    world.save(true);
    world.settle();
    assert!(matches!(world.status().down, Some(HaltReason::DiskFull(_))));
    assert!(world.saves.is_empty(), "it is not tried again by itself");
    world.control(Control::Confirm(None));
    world.settle();
    world.sync();
    assert_in_step(&world);
    world.orders = 0;
    world.restart();
    world.sync();
    assert_in_step(&world);
    assert_eq!((world.orders, listing(&world)), (0, vec!["a".to_owned()]));
}

#[test]
fn a_file_held_open_by_a_page_is_written_when_it_is_released() {
    let mut world = in_step(1, &[("a", "old"), ("b", "old")]);
    world.replicas[0].side.held_open.insert(path("a"));
    world.host.write("a", "new");
    world.host.write("b", "new");
    world.sync();
    assert_eq!(world.replicas[0].side.text("a").unwrap(), "old");
    assert_eq!(world.replicas[0].side.text("b").unwrap(), "new");
    let problems = world.status().replicas[0].problems.clone();
    assert_eq!((problems[0].path.as_str(), problems[0].reason.as_str()), ("a", "is held open"));
    // While it was held, the page wrote: both are kept.
    world.replicas[0].side.write("a", "of the page");
    world.replicas[0].side.held_open.clear();
    world.replica_hint(0, &[path("a")]);
    world.settle();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "a.conflict-replica-1-1", "b"]);
}

#[test]
fn paused_nothing_is_done_and_nothing_is_missed() {
    let mut world = in_step(1, &[("a", "old")]);
    world.control(Control::Pause);
    world.host.write("a", "new");
    world.replicas[0].side.write("b", "new");
    world.sync();
    assert_eq!((world.orders, world.phase(0)), (0, Phase::Paused));
    world.control(Control::Resume);
    world.settle();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["a", "b"]);
}
