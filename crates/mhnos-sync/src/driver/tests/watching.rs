//! What happens on the host is seen, wherever and however it happens.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

#[test]
fn folders_made_in_one_go_and_what_is_in_them_are_seen() {
    let scene = Scene::new();
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    for round in 0..10 {
        let deepest = format!("r{round}/a/b/c/d/e/f");
        scene.write(&deepest, "deep");
        scene.until(&mut [&mut replica], "the deepest file", |of| of[0].read(&deepest).is_some());
        // By now they are watched.
        scene.write(&deepest, "edited");
        scene.until(&mut [&mut replica], "its edit", |of| of[0].read(&deepest).as_deref() == Some("edited"));
    }
}

#[test]
fn a_folder_that_was_deleted_and_made_again_is_still_watched() {
    let scene = Scene::new();
    scene.write("d/inner/f", "0");
    scene.write("keep", "0");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    for round in 1..10 {
        // So quickly that the folders look as before when they are looked at.
        fs::remove_dir_all(scene.root().join("d")).unwrap();
        let (made, edited) = (format!("{round}"), format!("{round}, edited"));
        scene.write("d/inner/f", &made);
        scene.until(&mut [&mut replica], "made again", |of| of[0].read("d/inner/f").as_ref() == Some(&made));
        scene.write("d/inner/f", &edited);
        scene.until(&mut [&mut replica], "its edit", |of| of[0].read("d/inner/f").as_ref() == Some(&edited));
    }
}

#[test]
fn a_folder_moved_away_and_back_is_still_watched() {
    let scene = Scene::new();
    scene.write("d/inner/f", "0");
    scene.write("keep", "0");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    fs::rename(scene.root().join("d"), scene.root().join("e")).unwrap();
    scene.until(&mut [&mut replica], "moved", |of| {
        of[0].read("e/inner/f").is_some() && !of[0].root.join("d").exists()
    });
    fs::rename(scene.root().join("e"), scene.root().join("d")).unwrap();
    scene.until(&mut [&mut replica], "moved back", |of| of[0].read("d/inner/f").is_some());
    scene.write("d/inner/f", "edited");
    scene.until(&mut [&mut replica], "its edit", |of| of[0].read("d/inner/f").as_deref() == Some("edited"));
}

#[test]
fn more_events_than_are_gathered_miss_nothing() {
    let scene = Scene::new();
    scene.write("keep", "0");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    let name = |number: usize| format!("storm/{}/f{number}", number % 7);
    for number in 0..4000 {
        scene.write(&name(number), "content");
    }
    for number in 0..1000 {
        fs::remove_file(scene.root().join(name(number))).unwrap();
    }
    let root = scene.root();
    scene.until(&mut [&mut replica], "both sides are equal", |of| {
        // More may be gone at once by then than is done unasked, and it is what was meant.
        if !of[0].peer.halted().is_empty() {
            scene.control(Control::Confirm(None));
        }
        of[0].peer.synced() && files(&root) == files(&of[0].root)
    });
    assert_eq!(files(&replica.root).len(), 3000 + 7 + 2);
}

#[test]
fn rules_that_change_on_either_side_hold_at_once() {
    let scene = Scene::new();
    // First, as the host may look at any moment.
    scene.write(".mhnosignore", "secret\n");
    scene.write("secret/a", "1");
    scene.write("keep", "0");
    let mut replica = scene.replica("one");
    scene.until(&mut [&mut replica], "all but what is ignored", |of| {
        of[0].read("keep").is_some() && of[0].peer.synced()
    });
    assert_eq!(replica.read("secret/a"), None);
    scene.write("secret/b", "2");
    // By the replica: nothing of it was ever looked at, let alone watched.
    replica.write(".mhnosignore", "other\n");
    scene.changed(&mut replica);
    scene.until(&mut [&mut replica], "no longer ignored", |of| of[0].read("secret/b").is_some());
    scene.write("secret/a", "edited");
    scene.until(&mut [&mut replica], "and watched", |of| of[0].read("secret/a").as_deref() == Some("edited"));
    // By the host: what is ignored from now on stays where it is, on both sides.
    scene.write(".mhnosignore", "secret\n");
    scene.until(&mut [&mut replica], "the rules came over", |of| {
        of[0].read(".mhnosignore").as_deref() == Some("secret\n")
    });
    fs::remove_dir_all(scene.root().join("secret")).unwrap();
    scene.write("keep", "edited");
    scene.until(&mut [&mut replica], "what is not ignored goes on", |of| {
        of[0].read("keep").as_deref() == Some("edited")
    });
    assert_eq!(replica.read("secret/a").as_deref(), Some("edited"));
}

#[test]
fn names_links_and_pipes_that_cannot_be_synced_are_told_and_all_else_goes_on() {
    let scene = Scene::new();
    scene.write("a", "1");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    fs::write(scene.root().join(OsStr::from_bytes(b"b\xff")), "2").unwrap();
    symlink("/etc/passwd", scene.root().join("link")).unwrap();
    mkfifo(&scene.root().join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
    scene.write("c", "3");
    let problems = || scene.driver().changes().borrow().problems.len();
    scene.until(&mut [&mut replica], "the rest goes on", |of| of[0].read("c").is_some() && problems() == 3);
    assert_eq!(files(&replica.root).len(), 2);
    for name in ["link", "pipe"] {
        fs::remove_file(scene.root().join(name)).unwrap();
    }
    scene.until(&mut [&mut replica], "two are over", |_| problems() == 1);
}
