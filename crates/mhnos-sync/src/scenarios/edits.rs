//! Two people write, delete and rename the same.

use super::{assert_in_step, conflict, in_step, listing};
use crate::fake::path;
use crate::hub::status::Activity;
use crate::hub::{Control, Keep};
use crate::plan::Which;

#[test]
fn edit_edit_by_two_browsers_and_the_host() {
    let mut world = in_step(2, &[("notes.txt", "old")]);
    world.host.write("notes.txt", "of the host");
    world.replicas[0].side.write("notes.txt", "of the first");
    world.replicas[1].side.write("notes.txt", "of the second");
    world.sync();
    world.sync();
    assert_in_step(&world);
    let copies = ["notes.conflict-replica-1-1.txt", "notes.conflict-replica-2-1.txt"];
    assert_eq!(listing(&world), [copies[0], copies[1], "notes.txt"]);
    assert_eq!(world.host.text("notes.txt").unwrap(), "of the host");
    assert_eq!(world.host.text(copies[0]).unwrap(), "of the first");
    assert_eq!(world.host.text(copies[1]).unwrap(), "of the second");
    let listed =
        [conflict("notes.txt", copies[0], "replica 1"), conflict("notes.txt", copies[1], "replica 2")];
    assert_eq!(world.status().conflicts, listed);
}

#[test]
fn a_conflict_is_resolved_for_either_or_both() {
    for (keep, left, text) in
        [(Keep::Original, 1, "of the host"), (Keep::Copy, 1, "of the page"), (Keep::Both, 2, "of the host")]
    {
        let mut world = in_step(1, &[("a", "old")]);
        world.host.write("a", "of the host");
        world.replicas[0].side.write("a", "of the page");
        world.sync();
        let copy = world.status().conflicts[0].copy.clone();
        world.control(Control::Resolve { copy, keep });
        world.settle();
        assert_in_step(&world);
        assert!(world.status().conflicts.is_empty(), "{keep:?}");
        assert_eq!((listing(&world).len(), world.host.text("a").as_deref()), (left, Some(text)));
        assert!(
            world.host.written.iter().all(|it| world.host.replaced.contains(it) || world.host.keeps(*it))
        );
        assert!(world.replicas[0].side.written.iter().all(|content| world.host.keeps(*content)));
    }
}

#[test]
fn same_edit() {
    let mut world = in_step(1, &[("a", "old")]);
    world.host.write("a", "new");
    world.replicas[0].side.write("a", "new");
    world.sync();
    assert_in_step(&world);
    assert_eq!((listing(&world), world.status().conflicts), (vec!["a".to_owned()], Vec::new()));
}

#[test]
fn edit_delete_the_edit_stays() {
    let mut world = in_step(1, &[("a", "old"), ("b", "old")]);
    world.host.write("a", "new");
    world.replicas[0].side.remove("a");
    world.host.remove("b");
    world.replicas[0].side.write("b", "new");
    world.sync();
    assert_in_step(&world);
    assert_eq!(world.host.text("a").unwrap(), "new");
    assert_eq!(world.host.text("b").unwrap(), "new");
}

#[test]
fn delete_delete() {
    let mut world = in_step(1, &[("x/a", "old"), ("b", "kept")]);
    world.host.remove("x");
    world.replicas[0].side.remove("x");
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["b"]);
}

#[test]
fn a_delete_on_one_side_is_in_the_versions_of_the_host() {
    let mut world = in_step(1, &[("a", "precious"), ("b", "kept")]);
    let content = crate::model::Content::of(b"precious");
    world.replicas[0].side.remove("a");
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["b"]);
    assert!(world.host.keeps(content));
}

#[test]
fn create_create() {
    let mut world = in_step(1, &[]);
    world.host.write("a", "of the host");
    world.replicas[0].side.write("a", "of the page");
    world.host.write("same", "same");
    world.replicas[0].side.write("same", "same");
    world.host.make_directory("thing");
    world.replicas[0].side.write("thing", "a file");
    world.sync();
    world.sync();
    assert_in_step(&world);
    let expected = ["a", "a.conflict-replica-1-1", "same", "thing.conflict-replica-1-1", "thing/"];
    let mut there = listing(&world);
    there.sort();
    assert_eq!(there, expected);
}

#[test]
fn rename_edit_the_edit_goes_along() {
    let mut world = in_step(1, &[("a", "old"), ("x/b", "old")]);
    world.host.rename("a", "c");
    world.replicas[0].side.write("a", "new");
    world.host.rename("x", "y");
    world.replicas[0].side.write("x/b", "new");
    world.replicas[0].side.write("x/n", "made there");
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["c", "y/", "y/b", "y/n"]);
    assert_eq!(world.host.text("c").unwrap(), "new");
    assert_eq!(world.host.text("y/b").unwrap(), "new");
}

#[test]
fn rename_rename_both_names_stay() {
    let mut world = in_step(1, &[("a", "text")]);
    world.host.rename("a", "b");
    world.replicas[0].side.rename("a", "c");
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["b", "c"]);
    assert_eq!(world.host.text("b"), world.host.text("c"));
}

#[test]
fn renaming_a_folder_moves_no_content() {
    let mut world = in_step(1, &[]);
    (0..200).for_each(|n| world.host.write(&format!("x/y/{n}"), format!("text {n}")));
    world.sync();
    (world.orders, world.host.read_bytes, world.replicas[0].side.staged_bytes) = (0, 0, 0);
    world.host.rename("x", "z");
    world.sync();
    assert_in_step(&world);
    assert_eq!((world.orders, world.host.read_bytes, world.replicas[0].side.staged_bytes), (1, 0, 0));
    let moved = |activity: &Activity| {
        matches!(activity, Activity::Moved { side: Which::Replica, from, to, .. }
            if *from == path("x") && *to == path("z"))
    };
    assert!(world.activity.iter().any(moved));
}

#[test]
fn crossed_moves() {
    let mut world = in_step(1, &[("a", "one"), ("b", "two"), ("x/f", "three"), ("y/g", "four")]);
    for (one, other) in [("a", "b"), ("x", "y")] {
        world.host.rename(one, "third");
        world.host.rename(other, one);
        world.host.rename("third", other);
    }
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(world.replicas[0].side.text("a").unwrap(), "two");
    assert_eq!(world.replicas[0].side.text("b").unwrap(), "one");
    assert_eq!(listing(&world), ["a", "b", "x/", "x/g", "y/", "y/f"]);
}

#[test]
fn moves_crossed_between_the_sides() {
    let mut world = in_step(1, &[("x/a", "one"), ("y/b", "two")]);
    // Each into the other, so that neither move can be repeated.
    world.host.rename("x", "y/x");
    world.replicas[0].side.rename("y", "x/y");
    world.sync();
    world.sync();
    assert_in_step(&world);
    let contents: Vec<_> = world.host.tree().keys().filter_map(|at| world.host.text(at.as_str())).collect();
    assert!(contents.contains(&"one".to_owned()) && contents.contains(&"two".to_owned()), "{contents:?}");
}

#[test]
fn folder_delete_against_child_create() {
    let mut world = in_step(1, &[("x/y/old", "old"), ("z/old", "old")]);
    world.host.remove("x");
    world.replicas[0].side.write("x/y/new", "new");
    world.replicas[0].side.remove("z");
    world.host.write("z/new", "new");
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["x/", "x/y/", "x/y/new", "z/", "z/new"]);
}

#[test]
fn folder_file_and_symlink_take_each_others_place() {
    let mut world = in_step(1, &[("x/a", "in a folder"), ("f", "a file"), ("l", "to be a link")]);
    world.host.remove("x");
    world.host.write("x", "a file now");
    world.host.remove("f");
    world.host.write("f/a", "in a folder now");
    world.host.remove("l");
    world.host.make_link("l");
    world.sync();
    world.sync();
    let replica = &world.replicas[0].side;
    assert_eq!(replica.text("x").unwrap(), "a file now");
    assert_eq!(replica.text("f/a").unwrap(), "in a folder now");
    assert_eq!(replica.text("l").unwrap(), "to be a link", "a link is not a deletion");
    let problems = world.status().problems;
    assert_eq!((problems.len(), problems[0].path.as_str()), (1, "l"));
    // The link becomes a folder: the file it was follows.
    world.host.remove("l");
    world.host.write("l/a", "in a folder");
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert!(world.status().problems.is_empty());
}

#[test]
fn folder_against_file_the_folder_keeps_the_name() {
    let mut world = in_step(1, &[("x/a", "old")]);
    world.host.remove("x");
    world.host.write("x", "a file now");
    world.replicas[0].side.write("x/new", "new");
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["x/", "x/new", "x.conflict-replica-1-1"]);
    assert_eq!(world.host.text("x.conflict-replica-1-1").unwrap(), "a file now");
}

#[test]
fn folder_deleted_and_made_again() {
    let mut world = in_step(1, &[("x/a", "old"), ("x/b", "same")]);
    world.host.remove("x");
    world.host.write("x/b", "same");
    world.host.write("x/c", "new");
    world.sync();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["x/", "x/b", "x/c"]);
}

#[test]
fn executable_bit_and_edit_are_both_kept() {
    let mut world = in_step(1, &[("run.sh", "old")]);
    world.host.set_executable("run.sh", true);
    world.replicas[0].side.write("run.sh", "new");
    world.sync();
    world.sync();
    assert_in_step(&world);
    assert_eq!(world.host.text("run.sh").unwrap(), "new");
    assert!(matches!(
        world.host.node(&path("run.sh")),
        Some(crate::model::Node::File { executable: true, .. })
    ));
    assert!(world.status().conflicts.is_empty());
}

/// Who is first when a page makes a folder of the name that another gets on the host, as one does that looks for a file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Host,
    Page,
    /// The page is, but the host had looked at its own before it was told to make that of the page.
    PageAfterTheLook,
}

#[test]
fn folder_renamed_while_the_page_makes_one_of_that_name() {
    let names: Vec<_> = (0..40).map(|n| format!("many/{}/{n}", n % 4)).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    for first in [First::Host, First::Page, First::PageAfterTheLook] {
        let mut world = in_step(1, &files);
        let staged = world.replicas[0].side.staged_bytes;
        world.host.rename("many", "renamed");
        world.replicas[0].side.make_directory("renamed/3");
        if first == First::Page {
            world.replica_hint(0, &[path("renamed")]);
        }
        world.host_hint(vec![path("many"), path("renamed")]);
        if first == First::PageAfterTheLook {
            world.work(0);
        }
        world.replica_hint(0, &[path("renamed")]);
        if first == First::PageAfterTheLook {
            world.hub_hears(0);
            world.result(0);
        }
        world.settle();
        assert_in_step(&world);
        assert_eq!(listing(&world).len(), 45, "{first:?}");
        let removed = |activity: &Activity| matches!(activity, Activity::Removed { path, .. } if path.name().parse::<u8>().is_ok_and(|n| n > 3));
        assert!(!world.activity.iter().any(removed), "{first:?}: no file is removed for a rename");
        assert_eq!(world.replicas[0].side.staged_bytes, staged, "{first:?}: no content travels for a rename");
    }
}

#[test]
fn folder_renamed_while_an_edit_of_the_page_is_on_its_way_into_it() {
    let mut world = in_step(1, &[("x/a", "old"), ("x/b", "kept")]);
    world.host.rename("x", "y");
    world.host_hint(vec![path("x"), path("y")]);
    world.work(0);
    world.replicas[0].side.write("x/a", "of the page");
    world.replica_hint(0, &[path("x/a")]);
    world.hub_hears(0);
    world.result(0);
    world.settle();
    assert_in_step(&world);
    assert_eq!(listing(&world), ["y/", "y/a", "y/b"]);
    assert_eq!(world.host.text("y/a").unwrap(), "of the page");
}
