//! One test for each thing that happens to people who sync, on hub, host and replicas in memory. What a real file system has a part in
//! is tested on one, in `host::tests`.

use crate::fake::path;
use crate::hub::state::Conflict;
use crate::hub::status::Phase;
use crate::simulator::world::World;

mod edits;
mod hostile;
mod lines;
mod names;
mod safety;

/// A host and replicas that all have these files, in step.
fn in_step(replicas: usize, files: &[(&str, &str)]) -> World {
    let mut world = World::new(replicas);
    files.iter().for_each(|(path, text)| world.host.write(path, text));
    world.sync();
    assert_in_step(&world);
    world.activity.clear();
    world.orders = 0;
    world
}

/// All have the same, and the hub says so.
fn assert_in_step(world: &World) {
    for at in 0..world.replicas.len() {
        assert_eq!(world.replicas[at].side.tree(), world.host.tree(), "replica {}", at + 1);
        assert_eq!(world.phase(at), Phase::Synced);
        assert!(world.replicas[at].peer.synced());
    }
    let status = world.status();
    assert!(status.replicas.iter().all(|replica| replica.differences == 0 && replica.halt.is_none()));
}

fn listing(world: &World) -> Vec<String> {
    world.host.listing()
}

fn conflict(at: &str, copy: &str, replica: &str) -> Conflict {
    Conflict { path: path(at), copy: path(copy), replica: replica.to_owned() }
}
