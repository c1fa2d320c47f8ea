//! Ends and returns: killed, cut, the index lost, two runtimes, and what a person at a terminal sees of it.

use std::fs;

use mhnos_tests::sync::{Replica, files};
use mhnos_tests::v2::Client;
use mhnos_tests::{Random, Runtime, Setup, command};
use nix::sys::signal::Signal;
use serde_json::json;

fn start(folder: &std::path::Path) -> Runtime {
    Setup::default().state(&folder.join("state")).workspace(&folder.join("ws")).start()
}

#[tokio::test]
async fn killed_in_the_middle_again_and_again_it_converges_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut replica = Replica::new(1);
    for number in 0..300 {
        replica.write(&format!("of-replica/f{number}"), format!("replica {number}"));
    }
    for round in 0..6_u64 {
        let mut runtime = start(folder.path());
        for number in 0..100 {
            runtime.write(&format!("of-host/{round}/f{number}"), format!("host {round} {number}"));
        }
        replica.write("edited", format!("{round}"));
        replica.open(Client::connect(&runtime).await).await;
        // Each time at another point: after the first frames, in the middle, near the end.
        let wanted = 40 + 110 * round as usize;
        replica
            .until("so much is done", |of| {
                files(of.folder()).len() + files(runtime.workspace()).len() > wanted || of.synced()
            })
            .await;
        runtime.stop(Signal::SIGKILL).await;
        for (path, content) in files(runtime.workspace()) {
            // Wholly there or not at all.
            let Some(content) = content else { continue };
            let text = String::from_utf8(content).unwrap();
            let kind = if path.starts_with("of-host") { "host " } else { "replica " };
            assert!(path.starts_with("edited") || text.starts_with(kind), "{path:?}: {text:?}");
        }
        replica.cut();
    }
    let runtime = start(folder.path());
    replica.open(Client::connect(&runtime).await).await;
    replica.until_equal(runtime.workspace()).await;
    for number in 0..300 {
        assert_eq!(replica.read(&format!("of-replica/f{number}")), Some(format!("replica {number}")));
    }
    for (round, number) in (0..6).flat_map(|round| (0..100).map(move |number| (round, number))) {
        assert_eq!(
            replica.read(&format!("of-host/{round}/f{number}")),
            Some(format!("host {round} {number}"))
        );
    }
    assert_eq!(replica.read("edited").as_deref(), Some("5"));
}

#[tokio::test]
async fn a_large_file_that_was_cut_is_resumed_and_an_edit_sends_what_changed() {
    const SIZE: usize = 200 << 20;
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path());
    let mut content = Random::new(1).bytes(SIZE);
    runtime.write("large", &content);
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until("most of it came", |of| of.received > SIZE as u64 * 9 / 10).await;
    replica.cut();
    let before = replica.received;
    replica.open(Client::connect(&runtime).await).await;
    replica.until_equal(runtime.workspace()).await;
    let rest = replica.received - before;
    assert!(rest < SIZE as u64 / 5, "{rest} bytes were sent again");
    // A few bytes in the middle.
    content[SIZE / 2..SIZE / 2 + 5].copy_from_slice(b"edits");
    let before = replica.received;
    runtime.write("large", &content);
    replica.until_equal(runtime.workspace()).await;
    let sent = replica.received - before;
    assert!(sent < 2 << 20, "{sent} bytes for an edit of five");
}

#[tokio::test]
async fn when_the_index_is_deleted_all_join_by_union() {
    let folder = tempfile::tempdir().unwrap();
    let mut runtime = start(folder.path());
    runtime.write("same", "same");
    runtime.write("edited", "base");
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    runtime.stop(Signal::SIGTERM).await;
    replica.cut();
    for entry in fs::read_dir(runtime.state()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("sync.sqlite") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    runtime.write("edited", "edited on the host");
    fs::remove_file(replica.folder().join("same")).unwrap();
    let runtime = start(folder.path());
    replica.open(Client::connect(&runtime).await).await;
    assert!(replica.was_full);
    replica.until_equal(runtime.workspace()).await;
    let names: Vec<_> = files(runtime.workspace()).into_iter().map(|(name, _)| name).collect();
    let wanted = ["edited", "edited.conflict-disk-1-1", "same"];
    assert_eq!(names, wanted.map(std::path::PathBuf::from), "both are kept, and nothing is deleted");
}

#[tokio::test]
async fn a_second_runtime_on_the_folder_is_refused_and_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(folder.path());
    let second = || {
        Setup::default()
            .state(&folder.path().join("another"))
            .workspace(&folder.path().join("ws"))
            .try_start()
    };
    let Err(refused) = second() else { panic!("two runtimes on one folder") };
    assert_ne!(refused.code, Some(0));
    let pid = first.os_pid().to_string();
    assert!(refused.said.contains(&pid) && refused.said.contains(&format!("kill {pid}")), "{}", refused.said);
    assert!(first.is_running());
    // Killed, it lets go.
    first.stop(Signal::SIGKILL).await;
    assert!(second().is_ok());
}

#[tokio::test]
async fn the_root_deleted_and_made_again_while_it_runs_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path());
    runtime.write("a", "1");
    let mut control = Client::connect(&runtime).await;
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    fs::remove_dir_all(runtime.workspace()).unwrap();
    fs::create_dir(runtime.workspace()).unwrap();
    replica.until("it halts", |of| !of.halted().is_empty()).await;
    assert_eq!(replica.read("a").as_deref(), Some("1"));
    let shown = mhnos_tests::sync::status(&mut control).await;
    assert!(shown.halted.is_some(), "{shown:?}");
}

#[tokio::test]
async fn a_person_at_a_terminal_sees_and_settles_it() {
    let runtime = Runtime::start();
    runtime.write("note.txt", "base");
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    let shown = command::run(&runtime, &["sync", "status"]).await.done();
    assert!(shown.contains("all is equal") && shown.contains("disk-1"), "{shown}");
    command::run(&runtime, &["sync", "pause"]).await.done();
    let paused = command::run(&runtime, &["sync", "status", "--json"]).await.json();
    assert_eq!(paused["paused"], json!(true));
    runtime.write("note.txt", "of the host");
    replica.write("note.txt", "of the replica");
    replica.changed().await;
    command::run(&runtime, &["sync", "rescan"]).await.done();
    command::run(&runtime, &["sync", "resume"]).await.done();
    replica.until_equal(runtime.workspace()).await;
    let conflicts = command::run(&runtime, &["sync", "conflicts", "--json"]).await.json();
    let copy = conflicts[0]["copy"].as_str().unwrap().to_owned();
    let listed = command::run(&runtime, &["sync", "conflicts"]).await.done();
    assert!(listed.contains(&copy) && listed.contains("sync resolve"), "{listed}");
    command::run(&runtime, &["sync", "resolve", &copy, "--keep", "name"]).await.done();
    replica.until("the copy is gone", |of| files(of.folder()).len() == 1).await;
    assert_eq!(command::run(&runtime, &["sync", "conflicts"]).await.done(), "no conflicts\n");
    let versions = command::run(&runtime, &["sync", "versions", "--json"]).await.json();
    let version = versions[0]["id"].to_string();
    command::run(&runtime, &["sync", "restore", &version, "--to", "back.txt"]).await.done();
    replica.until("it is back", |of| of.read("back.txt").is_some()).await;
    let refused = command::run(&runtime, &["sync", "restore", "999999"]).await;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("not kept any more"), "{refused:?}");
}

#[tokio::test]
async fn a_person_at_a_terminal_gives_back_what_is_missing_or_lets_it_go() {
    let elsewhere = tempfile::tempdir().unwrap();
    let runtime = Runtime::start();
    for number in 0..12 {
        runtime.write(&format!("folder/{number}"), "content");
    }
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    for (answer, files_after) in [("undelete", 12), ("confirm", 0)] {
        fs::rename(runtime.workspace().join("folder"), elsewhere.path().join(answer)).unwrap();
        replica.until("it halts", |of| !of.halted().is_empty()).await;
        let shown = command::run(&runtime, &["sync", "status"]).await.done();
        assert!(shown.contains("sync confirm") && shown.contains("sync undelete"), "{shown}");
        command::run(&runtime, &["sync", answer]).await.done();
        let deep = |of: &Replica| files(&of.folder().join("folder")).len();
        replica.until("it is as was said", |of| deep(of) == files_after && of.halted().is_empty()).await;
        replica.until_equal(runtime.workspace()).await;
        assert_eq!(
            (deep(&replica), files(&runtime.workspace().join("folder")).len()),
            (files_after, files_after)
        );
    }
}
