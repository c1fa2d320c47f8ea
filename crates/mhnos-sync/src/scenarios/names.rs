//! Names one of the sides cannot hold, and names that are ignored.

use std::sync::Arc;

use super::{assert_in_step, in_step, listing};
use crate::rules::Rules;

/// What is told of a path, whoever has trouble with it.
fn told(world: &super::World, path: &str) -> Option<String> {
    let status = world.status();
    let all = status.replicas.iter().flat_map(|replica| &replica.problems).chain(&status.problems);
    all.into_iter().find(|problem| problem.path == path).map(|problem| problem.reason.clone())
}

#[test]
fn case_only_rename() {
    for host_is_insensitive in [false, true] {
        let mut world = in_step(1, &[("readme.md", "text"), ("x/a", "one")]);
        world.host.case_insensitive = host_is_insensitive;
        world.replicas[0].side.case_insensitive = !host_is_insensitive;
        world.host.rename("readme.md", "README.md");
        world.host.rename("x", "X");
        world.sync();
        world.sync();
        assert_in_step(&world);
        assert_eq!(listing(&world), ["README.md", "X/", "X/a"]);
        world.replicas[0].side.rename("README.md", "ReadMe.md");
        world.sync();
        world.sync();
        assert_in_step(&world);
        assert_eq!(listing(&world), ["ReadMe.md", "X/", "X/a"]);
    }
}

#[test]
fn case_twins_are_told_and_all_else_goes_on() {
    let mut world = in_step(1, &[("a", "one")]);
    world.replicas[0].side.case_insensitive = true;
    world.host.write("A", "two");
    world.host.write("b", "three");
    world.sync();
    assert_eq!(world.replicas[0].side.listing(), ["a", "b"]);
    assert_eq!(world.replicas[0].side.text("a").unwrap(), "one");
    assert!(told(&world, "A").unwrap().contains("case"));
    assert_eq!(world.host.text("A").unwrap(), "two", "what cannot be held there stays here");
    // One of them gets another name: nothing is in the way any more.
    world.host.rename("A", "c");
    world.sync();
    assert_in_step(&world);
    assert_eq!(told(&world, "A"), None);
}

#[test]
fn a_move_into_a_folder_that_cannot_be_there_leaves_nothing_at_the_old_name() {
    let mut world = in_step(1, &[("a", "one"), ("x/y", "two")]);
    world.replicas[0].side.case_insensitive = true;
    world.host.rename("x/y", "A/y");
    world.sync();
    world.sync();
    assert_eq!(world.replicas[0].side.listing(), ["a", "x/"]);
    assert!(told(&world, "A").unwrap().contains("case"));
    world.host.rename("A", "b");
    world.sync();
    assert_in_step(&world);
    assert_eq!(world.replicas[0].side.text("b/y").unwrap(), "two");
}

#[test]
fn nfc_nfd_twins_are_told() {
    let mut world = in_step(1, &[("caf\u{e9}", "composed")]);
    world.replicas[0].side.composed_only = true;
    world.host.write("cafe\u{301}", "decomposed");
    world.sync();
    assert_eq!(world.replicas[0].side.listing(), ["caf\u{e9}"]);
    assert!(told(&world, "cafe\u{301}").is_some());
    assert_eq!(world.host.text("cafe\u{301}").unwrap(), "decomposed");
    world.host.remove("cafe\u{301}");
    world.sync();
    assert_in_step(&world);
}

#[test]
fn reserved_names_are_told_with_all_that_is_in_them() {
    let mut world = in_step(1, &[]);
    world.replicas[0].side.reserved.insert("con".to_owned());
    world.host.write("con/a", "one");
    world.host.write("x/con", "two");
    world.host.write("x/fine", "three");
    world.sync();
    assert_eq!(world.replicas[0].side.listing(), ["x/", "x/fine"]);
    assert!(told(&world, "con").is_some() && told(&world, "x/con").is_some());
    assert!(!world.replicas[0].peer.synced());
}

#[test]
fn ignored_is_neither_sent_nor_deleted() {
    let mut world = in_step(1, &[("a", "text")]);
    world.host.write("node_modules/m/index.js", "host's");
    world.replicas[0].side.write("node_modules/m/index.js", "page's");
    world.replicas[0].side.write("notes.txt~", "an editor's");
    world.sync();
    assert_eq!(world.host.text("node_modules/m/index.js").unwrap(), "host's");
    assert_eq!(world.replicas[0].side.text("node_modules/m/index.js").unwrap(), "page's");
    assert_eq!((world.orders, world.host.text("notes.txt~")), (0, None));
}

#[test]
fn ignored_child_in_a_deleted_folder() {
    let mut world = in_step(1, &[("x/a", "text"), ("y/a", "text"), ("b", "text")]);
    world.host.write("x/node_modules/m", "ignored");
    world.replicas[0].side.write("y/node_modules/m", "ignored");
    world.sync();
    world.replicas[0].side.remove("x");
    world.host.remove("y");
    world.sync();
    world.sync();
    assert_eq!(world.host.text("x/node_modules/m").unwrap(), "ignored");
    assert_eq!(world.replicas[0].side.text("y/node_modules/m").unwrap(), "ignored");
    assert_eq!(world.host.text("x/a"), None);
    assert_eq!(world.replicas[0].side.text("y/a"), None);
    for folder in ["x", "y"] {
        assert!(told(&world, folder).unwrap().contains("ignored"), "{folder}");
    }
}

#[test]
fn ignore_rules_changed_meanwhile() {
    let mut world = in_step(1, &[("logs/a", "one"), ("b", "two")]);
    // Now ignored: neither side loses it, and what happens to it is nobody's business.
    world.host.rules = Some(Arc::new(Rules::new("logs/\n")));
    world.sync();
    world.host.remove("logs/a");
    world.replicas[0].side.write("logs/b", "new");
    world.sync();
    assert_eq!(world.orders, 0);
    assert_eq!(world.replicas[0].side.text("logs/a").unwrap(), "one");
    assert_eq!(world.host.text("logs/b"), None);
    // No longer: both sides join there, and nothing is deleted.
    world.host.rules = Some(Arc::default());
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["b", "logs/", "logs/a", "logs/b"]);
}

#[test]
fn leftover_temporaries_of_editors_stay_where_they_are() {
    let mut world = in_step(1, &[("a", "one")]);
    for name in [".a.swp", "a~", "a.tmp", ".goutputstream-X1"] {
        world.host.write(name, "left");
        world.replicas[0].side.write(name, "left there");
    }
    world.sync();
    assert_eq!(world.orders, 0);
    assert_eq!(world.replicas[0].side.text("a~").unwrap(), "left there");
}

#[test]
fn rename_save_over_an_ignored_name_is_one_edit() {
    let mut world = in_step(1, &[("a", "one")]);
    world.host.save("a", "two");
    world.sync();
    assert_in_step(&world);
    assert_eq!((world.replicas[0].side.text("a").as_deref(), world.orders), (Some("two"), 1));
}
