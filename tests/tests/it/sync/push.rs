//! What comes by other ways than sync is as safe: the 1.x push, and `writeFile` of 2.0.

use std::fs;

use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::Runtime;
use mhnos_tests::sync::Replica;
use mhnos_tests::{v1, v2};
use serde_json::json;

#[tokio::test]
async fn a_push_replaces_what_is_older_and_keeps_it() {
    let runtime = Runtime::start();
    runtime.write("a.txt", "of the host");
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    let mut page = v1::Client::connect(&runtime).await;
    let pushed = page.push(json!([{"path": "/a.txt", "kind": "file", "content": b"pushed"}])).await;
    assert_eq!(pushed["synced"], 1);
    replica.until("the push came over", |of| of.read("a.txt").as_deref() == Some("pushed")).await;
    let mut control = v2::Client::connect(&runtime).await;
    let versions = match control.request(Request::SyncVersions { path: Some("a.txt".into()) }).await {
        Reply::SyncVersions { versions, .. } => versions,
        other => panic!("{other:?}"),
    };
    control.done(Request::SyncRestore { version: versions[0].id, path: None }).await;
    replica.until("it is back", |of| of.read("a.txt").as_deref() == Some("of the host")).await;
}

#[tokio::test]
async fn a_push_of_an_older_copy_keeps_both_and_lists_them() {
    let runtime = Runtime::start();
    runtime.write("a.txt", "newer, of the host");
    runtime.write("beside", "not named by the push");
    let mut page = v1::Client::connect(&runtime).await;
    let old =
        json!([{"path": "/a.txt", "kind": "file", "content": b"older", "mtime": 1_000_000_000_000_u64}]);
    for _ in 0..2 {
        assert_eq!(page.push(old.clone()).await["synced"], 1);
    }
    assert_eq!(fs::read_to_string(runtime.workspace().join("a.txt")).unwrap(), "newer, of the host");
    assert!(runtime.workspace().join("beside").exists(), "a push never deletes");
    let mut control = v2::Client::connect(&runtime).await;
    let conflicts = match control.request(Request::SyncConflicts).await {
        Reply::SyncConflicts { conflicts, .. } => conflicts,
        other => panic!("{other:?}"),
    };
    let [conflict] = &conflicts[..] else { panic!("pushed twice, kept once: {conflicts:?}") };
    assert_eq!(conflict.path, "a.txt");
    assert_eq!(fs::read_to_string(runtime.workspace().join(&conflict.copy)).unwrap(), "older");
    // The same in 2.0.
    let mtime = Some(1_000_000_000_000);
    let write = Request::WriteFile { path: "/beside".into(), size: 0, mtime, executable: None };
    control.done(write).await;
    assert_eq!(fs::read_to_string(runtime.workspace().join("beside")).unwrap(), "not named by the push");
    assert!(matches!(control.request(Request::SyncConflicts).await,
        Reply::SyncConflicts { conflicts, .. } if conflicts.len() == 2));
}

#[tokio::test]
async fn the_folder_of_the_sync_is_neither_listed_nor_written_by_a_page() {
    let runtime = Runtime::start();
    let mut page = v1::Client::connect(&runtime).await;
    let pushed = page.push(json!([{"path": "/.mhnos-sync/x", "kind": "file", "content": [1]}])).await;
    assert_eq!(pushed["failed"], 1, "{pushed}");
    let pulled = page.pull().await;
    assert_eq!(pulled["files"], json!([]), "{pulled}");
}
