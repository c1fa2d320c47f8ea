//! What is remembered: over restarts, cuts, and when the index is lost.

use super::*;
use crate::plan::HaltReason;

#[test]
fn after_a_restart_only_what_changed_meanwhile_is_told_and_nothing_comes_back() {
    let mut scene = Scene::new();
    for number in 0..50 {
        scene.write(&format!("f{number}"), "content");
    }
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    let sequence = replica.peer.sequence();
    replica.session = None;
    scene.stop();
    fs::remove_file(scene.root().join("f0")).unwrap();
    scene.write("f1", "edited on the host");
    fs::remove_file(replica.root.join("f2")).unwrap();
    scene.start();
    scene.open(&mut replica);
    assert!(!replica.session.as_ref().unwrap().full, "it is known, and knows the same");
    scene.until_equal(&mut replica);
    assert_eq!((scene.read("f0"), replica.read("f0")), (None, None), "deleted, and stays so");
    assert_eq!(replica.read("f1").as_deref(), Some("edited on the host"));
    assert_eq!((scene.read("f2"), replica.read("f2")), (None, None));
    assert!(replica.peer.sequence() > sequence);
    assert_eq!(files(&scene.root()).len(), 48);
}

#[test]
fn without_its_index_it_joins_by_union_and_deletes_nothing() {
    let mut scene = Scene::new();
    scene.write("same", "same");
    scene.write("edited", "base");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    replica.session = None;
    scene.stop();
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(scene.beside(&format!("index.sqlite{ending}")));
    }
    scene.write("edited", "edited on the host");
    scene.write("new-here", "1");
    replica.write("new-there", "2");
    scene.start();
    scene.open(&mut replica);
    assert!(replica.session.as_ref().unwrap().full);
    scene.until_equal(&mut replica);
    assert_eq!(scene.read("edited").as_deref(), Some("edited on the host"));
    let copy = scene.read("edited.conflict-one-1");
    assert_eq!(copy.as_deref(), Some("base"), "nobody can tell which is newer: both are kept");
    assert_eq!(files(&scene.root()).len(), 5);
}

#[test]
fn an_index_that_is_damaged_is_put_aside() {
    let mut scene = Scene::new();
    scene.write("a", "1");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    replica.session = None;
    scene.stop();
    fs::write(scene.beside("index.sqlite"), "no database").unwrap();
    scene.start();
    scene.open(&mut replica);
    scene.until_equal(&mut replica);
    assert_eq!(files(&scene.root()).len(), 1);
    assert!(scene.beside("index.sqlite.unusable").exists());
}

#[test]
fn a_folder_that_is_emptied_halts_until_a_person_says_what_was_meant() {
    let scene = Scene::new();
    for number in 0..20 {
        scene.write(&format!("d/f{number}"), "content");
    }
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    fs::remove_dir_all(scene.root().join("d")).unwrap();
    // The peer may hear of it before the status says so.
    let halted = |of: &[&mut Replica]| !of[0].peer.halted().is_empty() && scene.phase("one") == Phase::Halted;
    scene.until(&mut [&mut replica], "it halts", halted);
    assert_eq!(files(&replica.root).len(), 21, "nothing was deleted");
    scene.control(Control::Restore(None));
    scene.until_equal(&mut replica);
    assert_eq!(files(&scene.root()).len(), 21, "given back");

    fs::remove_dir_all(scene.root().join("d")).unwrap();
    scene.until(&mut [&mut replica], "it halts again", |of| !of[0].peer.halted().is_empty());
    scene.control(Control::Confirm(None));
    scene.until(&mut [&mut replica], "it was meant", |of| files(&of[0].root).is_empty());
    scene.until_equal(&mut replica);
}

#[test]
fn a_root_that_is_gone_deletes_nothing_and_comes_back() {
    let scene = Scene::new();
    scene.write("a", "1");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    let down = |of: &str| matches!(&scene.driver().changes().borrow().down, Some(HaltReason::Missing(why)) if why.contains(of));
    let away = scene.beside("away");
    fs::rename(scene.root(), &away).unwrap();
    scene.until(&mut [&mut replica], "it is seen to be gone", |_| down("was moved, deleted or unmounted"));
    replica.write("b", "2");
    scene.changed(&mut replica);
    // Another folder in its place is not taken for it.
    fs::create_dir(scene.root()).unwrap();
    scene.control(Control::Rescan);
    scene.until(&mut [&mut replica], "another one is told", |_| down("is another folder than it was"));
    assert_eq!((files(&replica.root).len(), files(&scene.root()).len()), (2, 0));
    fs::remove_dir(scene.root()).unwrap();
    fs::rename(&away, scene.root()).unwrap();
    scene.until_equal(&mut replica);
    assert_eq!(files(&scene.root()).len(), 2);
}
