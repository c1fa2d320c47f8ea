//! Two people write, delete and rename the same.

use super::{assert_in_step, conflict, in_step, listing};

#[test]
fn edit_edit() {
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
