//! Two-way sync over real sockets: a workspace, and folders that take part as a browser's disk does.

use std::fs;

use mhnos_protocol::v2::{Event, HaltAnswer, Keep, Reply, Request, SyncPhase, Topic};
use mhnos_tests::sync::{Replica, files, status};
use mhnos_tests::v2::Client;
use mhnos_tests::{Runtime, eventually};

mod ends;
mod host;
mod pages;
mod push;

#[tokio::test]
async fn create_edit_rename_and_delete_go_both_ways() {
    let runtime = Runtime::start();
    // So that no side is ever empty, which is no deletion but a halt.
    runtime.write("keep", "0");
    runtime.write("from-host/a", "1");
    let mut replica = Replica::opened(1, &runtime).await;
    replica.write("from-replica/b", "2");
    replica.changed().await;
    replica.until_equal(runtime.workspace()).await;
    assert_eq!(files(runtime.workspace()).len(), 5);

    runtime.write("from-host/a", "1, edited");
    replica.until("an edit of the host", |of| of.read("from-host/a").as_deref() == Some("1, edited")).await;
    replica.write("from-replica/b", "2, edited");
    replica.changed().await;
    replica.until_equal(runtime.workspace()).await;
    assert_eq!(fs::read_to_string(runtime.workspace().join("from-replica/b")).unwrap(), "2, edited");

    fs::rename(runtime.workspace().join("from-host"), runtime.workspace().join("renamed")).unwrap();
    replica.until("a rename of the host", |of| of.read("renamed/a").is_some()).await;
    fs::rename(replica.folder().join("from-replica"), replica.folder().join("renamed-too")).unwrap();
    replica.changed().await;
    replica.until_equal(runtime.workspace()).await;
    assert!(runtime.workspace().join("renamed-too/b").exists());

    fs::remove_dir_all(runtime.workspace().join("renamed")).unwrap();
    replica.until("a removal of the host", |of| !of.folder().join("renamed").exists()).await;
    fs::remove_dir_all(replica.folder().join("renamed-too")).unwrap();
    replica.changed().await;
    replica.until_equal(runtime.workspace()).await;
    assert_eq!(files(runtime.workspace()).len(), 1);
}

#[tokio::test]
async fn an_edit_on_both_sides_is_kept_listed_and_settled() {
    let runtime = Runtime::start();
    let mut control = Client::connect(&runtime).await;
    runtime.write("note.txt", "base");
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    control.done(Request::SyncPause).await;
    runtime.write("note.txt", "of the host");
    replica.write("note.txt", "of the replica");
    replica.changed().await;
    assert_eq!(status(&mut control).await.replicas[0].phase, SyncPhase::Paused);
    control.done(Request::SyncRescan).await;
    control.done(Request::SyncResume).await;
    replica.until_equal(runtime.workspace()).await;
    // Which of the two was seen first is not said; both are there, on both sides.
    let mut texts: Vec<_> = files(replica.folder()).into_iter().filter_map(|(_, content)| content).collect();
    texts.sort();
    assert_eq!(texts, [b"of the host".to_vec(), b"of the replica".to_vec()]);
    let conflicts = match control.request(Request::SyncConflicts).await {
        Reply::SyncConflicts { conflicts, .. } => conflicts,
        other => panic!("{other:?}"),
    };
    let [conflict] = &conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!((conflict.path.as_str(), conflict.copy.as_str()), ("note.txt", "note.conflict-disk-1-1.txt"));
    let copy = fs::read(runtime.workspace().join(&conflict.copy)).unwrap();
    let resolve = Request::SyncResolve { path: conflict.copy.clone(), keep: Keep::Copy };
    control.done(resolve).await;
    replica
        .until("the copy has the name", |of| files(of.folder()) == [("note.txt".into(), Some(copy.clone()))])
        .await;
    replica.until_equal(runtime.workspace()).await;
    assert_eq!(status(&mut control).await.conflicts, 0);
    // What lost its place is restored.
    let versions = match control.request(Request::SyncVersions { path: Some("note.txt".into()) }).await {
        Reply::SyncVersions { versions, .. } => versions,
        other => panic!("{other:?}"),
    };
    let version = versions[0].id;
    control.done(Request::SyncRestore { version, path: Some("/back.txt".into()) }).await;
    replica.until("it is back", |of| of.read("back.txt").is_some_and(|text| text.as_bytes() != copy)).await;
}

#[tokio::test]
async fn an_edit_beats_a_delete_on_either_side() {
    let runtime = Runtime::start();
    let mut control = Client::connect(&runtime).await;
    for name in ["a", "b", "both"] {
        runtime.write(name, "base");
    }
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    control.done(Request::SyncPause).await;
    runtime.write("a", "edited by the host");
    fs::remove_file(replica.folder().join("a")).unwrap();
    fs::remove_file(runtime.workspace().join("b")).unwrap();
    replica.write("b", "edited by the replica");
    fs::remove_file(runtime.workspace().join("both")).unwrap();
    fs::remove_file(replica.folder().join("both")).unwrap();
    replica.changed().await;
    control.done(Request::SyncRescan).await;
    control.done(Request::SyncResume).await;
    replica.until("both edits stay", |of| of.read("a").is_some() && of.read("b").is_some()).await;
    replica.until_equal(runtime.workspace()).await;
    let names: Vec<_> = files(runtime.workspace()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [std::path::Path::new("a"), std::path::Path::new("b")]);
}

#[tokio::test]
async fn a_side_that_is_suddenly_empty_halts_and_a_person_decides() {
    let runtime = Runtime::start();
    let mut control = Client::connect(&runtime).await;
    for number in 0..30 {
        runtime.write(&format!("d/f{number}"), "content");
    }
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    let confirm = |halt| Request::SyncConfirm { halt, replica: None };
    // The replica lost everything, and it was not meant.
    fs::remove_dir_all(replica.folder().join("d")).unwrap();
    replica.changed().await;
    replica.until("it halts", |of| !of.halted().is_empty()).await;
    let shown = status(&mut control).await.replicas.remove(0);
    assert_eq!((shown.phase, shown.halted.is_some()), (SyncPhase::Halted, true), "{shown:?}");
    assert_eq!(files(runtime.workspace()).len(), 31, "nothing was deleted");
    control.done(confirm(HaltAnswer::Restore)).await;
    replica.until_equal(runtime.workspace()).await;
    assert_eq!(files(replica.folder()).len(), 31);
    // The host lost more than half, and it was meant.
    for number in 0..20 {
        fs::remove_file(runtime.workspace().join(format!("d/f{number}"))).unwrap();
    }
    replica
        .until("it halts again, or was quicker than all of it", |of| {
            !of.halted().is_empty() || files(of.folder()).len() == 11
        })
        .await;
    control.done(confirm(HaltAnswer::Confirm)).await;
    replica.until_equal(runtime.workspace()).await;
    assert_eq!(files(replica.folder()).len(), 11);
}

#[tokio::test]
async fn three_sides_are_equal_in_the_end() {
    let runtime = Runtime::start();
    let mut one = Replica::opened(1, &runtime).await;
    let mut two = Replica::opened(2, &runtime).await;
    runtime.write("of-host", "0");
    one.write("of-one", "1");
    one.changed().await;
    two.write("of-two", "2");
    two.changed().await;
    let all = |of: &Replica| files(of.folder()).len() == 3;
    while !(all(&one) && all(&two)) {
        one.hear().await;
        two.hear().await;
    }
    one.until_equal(runtime.workspace()).await;
    two.until_equal(runtime.workspace()).await;
}

#[tokio::test]
async fn who_subscribed_is_told_how_it_stands() {
    let runtime = Runtime::start();
    let mut control = Client::connect(&runtime).await;
    control.request(Request::Subscribe { topics: vec![Topic::Sync] }).await;
    let mut replica = Replica::opened(1, &runtime).await;
    runtime.write("a", "1");
    replica.until_equal(runtime.workspace()).await;
    let is_equal = |reply: &Reply| {
        matches!(reply, Reply::Event { event: Event::SyncChanged { status } }
            if status.replicas.iter().any(|replica| replica.phase == SyncPhase::Synced && replica.last_synced.is_some()))
    };
    control.take_reply("an event that says both are equal", is_equal).await;
    replica.cut();
    let is_away = |reply: &Reply| {
        matches!(reply, Reply::Event { event: Event::SyncChanged { status } }
            if status.replicas.iter().any(|replica| replica.phase == SyncPhase::Away && !replica.connected))
    };
    control.take_reply("an event that says it is away", is_away).await;
    eventually("the workspace stays", || runtime.workspace().join("a").exists()).await;
}
