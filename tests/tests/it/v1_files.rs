//! Files pushed from the browser's disk and pulled to it.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, names_in};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_pushed_is_pulled_the_same() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let all: Vec<u8> = (0..=255).collect();
    let files = json!([
        {"path": "/all.bin", "kind": "file", "content": all, "mtime": 1_234_567_890_123_u64},
        {"path": "/empty", "kind": "file", "content": [], "mtime": 0},
        {"path": "/grüße/日本語/😀 \"q\" \\ '.txt", "kind": "file", "content": [240, 159, 152, 128], "mtime": 1_600_000_000_000.75},
        {"path": "/deep/er/est/x", "kind": "file", "content": [1]},
        {"path": "/folder", "kind": "directory", "mtime": 5},
        {"path": "/folder/inner", "kind": "directory"},
    ]);
    let results = client.push(files).await;
    assert_eq!(results, json!({"synced": 6, "failed": 0, "errors": []}));
    assert_eq!(std::fs::read(runtime.workspace().join("all.bin")).unwrap(), all);
    assert_eq!(runtime.names(), ["all.bin", "deep", "empty", "folder", "grüße"], "nothing else is left");

    let pulled = client.pull().await;
    let file = |path: &str| {
        let files = pulled["files"].as_array().unwrap();
        files
            .iter()
            .find(|file| file["path"] == path)
            .unwrap_or_else(|| panic!("{path} in {files:?}"))
            .clone()
    };
    assert_eq!(
        file("/all.bin"),
        json!({"path": "/all.bin", "kind": "file", "content": all, "mtime": 1_234_567_890_123_u64})
    );
    assert_eq!(file("/empty"), json!({"path": "/empty", "kind": "file", "content": [], "mtime": 0}));
    let emoji = file("/grüße/日本語/😀 \"q\" \\ '.txt");
    assert_eq!(
        (&emoji["content"], &emoji["mtime"]),
        (&json!([240, 159, 152, 128]), &json!(1_600_000_000_000_u64))
    );
    assert_eq!(file("/folder")["kind"], "directory");
    assert_eq!(file("/folder/inner").get("content"), None);
    assert_eq!(pulled["files"].as_array().unwrap().len(), 11);
    assert_eq!(pulled["skipped"], json!([]));
    // What was pulled can be pushed as it is.
    assert_eq!(client.push(pulled["files"].clone()).await["synced"], 11);
}

#[tokio::test]
async fn all_names_of_a_file_push_the_same_file() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let host_path = format!("{}/a", runtime.workspace().display());
    for (number, path) in
        ["/a", "a", "/workspace/a", &host_path, "/../../a", "/b/../a", "//a"].iter().enumerate()
    {
        let results = client.push(json!([{"path": path, "kind": "file", "content": [number]}])).await;
        assert_eq!(results["synced"], 1, "{path}: {results}");
        assert_eq!(std::fs::read(runtime.workspace().join("a")).unwrap(), [number as u8], "{path}");
    }
    assert_eq!(runtime.names(), ["a"]);
}

#[tokio::test]
async fn each_file_has_a_fate_of_its_own() {
    let runtime = Runtime::start();
    runtime.write("file", "old");
    std::fs::create_dir(runtime.workspace().join("folder")).unwrap();
    let mut client = Client::connect(&runtime).await;
    let long = format!("/{}", "n".repeat(300));
    let results = client
        .push(json!([
            {"path": "/good", "kind": "file", "content": [1]},
            {"path": "/file/beneath", "kind": "file", "content": [1]},
            {"path": "/file", "kind": "directory"},
            {"path": "/folder", "kind": "file", "content": [1]},
            {"path": "/", "kind": "file", "content": [1]},
            {"path": "/zero\u{0}byte", "kind": "file", "content": [1]},
            {"path": long, "kind": "file", "content": [1]},
            {"path": "/also good", "kind": "file", "content": [2]},
        ]))
        .await;
    assert_eq!((&results["synced"], &results["failed"]), (&json!(2), &json!(6)), "{results}");
    let errors = results["errors"].as_array().unwrap();
    let of =
        |path: &str| errors.iter().find(|error| error["path"] == path).unwrap()["error"].as_str().unwrap();
    assert!(of("/file/beneath").contains("a file where a folder is needed"), "{errors:?}");
    assert!(of("/folder").contains("not a regular file"), "{errors:?}");
    assert!(of("/").contains("workspace itself"), "{errors:?}");
    assert!(of("/zero\0byte").contains("zero byte"), "{errors:?}");
    assert!(of(&long).contains("too long"), "{errors:?}");
    assert!(!of("/file").is_empty());
    assert_eq!(runtime.names(), ["also good", "file", "folder", "good"]);
    assert_eq!(std::fs::read(runtime.workspace().join("file")).unwrap(), b"old");
}

#[tokio::test]
async fn a_file_whose_content_is_no_bytes_fails_with_its_message_and_nothing_is_written() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    for bad in [
        json!([256]),
        json!([-1]),
        json!([1.5]),
        json!(["a"]),
        json!([[]]),
        json!([1, null]),
        json!("text"),
        json!({}),
    ] {
        let files = json!([
            {"path": "/good", "kind": "file", "content": [1]},
            {"path": "/bad", "kind": "file", "content": bad},
        ]);
        let sentence = client.refusal(json!({"type": "fsync", "operation": "push", "files": files})).await;
        assert!(
            sentence.contains("/bad") || sentence.contains("fsync was not understood"),
            "{bad}: {sentence}"
        );
    }
    for bad in [
        json!({"type": "fsync"}),
        json!({"type": "fsync", "operation": "sideways"}),
        json!({"type": "fsync", "operation": "push"}),
        json!({"type": "fsync", "operation": "push", "files": {}}),
        json!({"type": "fsync", "operation": "push", "files": [{"kind": "file", "content": []}]}),
        json!({"type": "fsync", "operation": "push", "files": [{"path": "/x", "kind": "file"}]}),
        json!({"type": "fsync", "operation": "push", "files": [{"path": "/x", "kind": "link", "content": []}]}),
        json!({"type": "fsync", "operation": "push", "files": [{"path": 1, "kind": "file", "content": []}]}),
    ] {
        client.refusal(bad).await;
    }
    assert_eq!(runtime.names(), Vec::<String>::new());
    client.still_works().await;
}

#[tokio::test]
async fn no_symbolic_link_leads_a_push_or_a_pull_out() {
    let runtime = Runtime::start();
    let outside = runtime.workspace().with_file_name("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, runtime.workspace().join("out")).unwrap();
    symlink("../outside/secret", runtime.workspace().join("link")).unwrap();
    symlink("../outside/absent", runtime.workspace().join("dangling")).unwrap();
    let mut client = Client::connect(&runtime).await;
    let pulled = client.pull().await;
    assert_eq!(pulled["files"], json!([]), "{pulled}");
    let skipped: Vec<&Value> =
        pulled["skipped"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    assert_eq!(skipped, ["/dangling", "/link", "/out"]);
    let results = client
        .push(json!([
            {"path": "/out/new", "kind": "file", "content": [1]},
            {"path": "/out/secret", "kind": "file", "content": [1]},
            {"path": "/out/folder", "kind": "directory"},
            {"path": "/out/../../outside/secret", "kind": "file", "content": [1]},
            {"path": "/link", "kind": "file", "content": [1]},
            {"path": "/dangling", "kind": "file", "content": [2]},
        ]))
        .await;
    assert_eq!((&results["synced"], &results["failed"]), (&json!(3), &json!(3)), "{results}");
    // The link itself is replaced, never what it points to.
    assert_eq!(std::fs::read(runtime.workspace().join("link")).unwrap(), [1]);
    assert!(std::fs::symlink_metadata(runtime.workspace().join("link")).unwrap().is_file());
    assert_eq!(names_in(&outside), ["secret"]);
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
    assert!(
        runtime.workspace().join("outside/secret").exists(),
        "`..` is taken off before links are looked at"
    );
}

#[tokio::test]
async fn a_folder_swapped_for_a_link_at_any_moment_leads_nothing_out() {
    use mhnos_protocol::v2::{Reply, Request};
    let runtime = Runtime::start();
    let outside = runtime.workspace().with_file_name("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let swaps = Arc::new(AtomicUsize::new(0));
    let swapper = std::thread::spawn({
        let (over, swaps) = (Arc::clone(&over), Arc::clone(&swaps));
        let (outside, swap) = (outside.clone(), runtime.workspace().join("swap"));
        move || {
            while !over.load(Ordering::SeqCst) {
                // Any of these may fail because a push was faster; what stands there then is taken away in the next round.
                let _ = std::fs::remove_dir_all(&swap);
                let linked = symlink(&outside, &swap).is_ok();
                let _ = std::fs::remove_file(&swap);
                let _ = std::fs::create_dir(&swap);
                swaps.fetch_add(usize::from(linked), Ordering::SeqCst);
            }
        }
    });
    let mut client = Client::connect(&runtime).await;
    let mut modern = mhnos_tests::v2::Client::connect(&runtime).await;
    let mut number = 0;
    while number < 200 || swaps.load(Ordering::SeqCst) < 200 {
        number += 1;
        client
            .push(json!([
                {"path": format!("/swap/{number}"), "kind": "file", "content": [1]},
                {"path": "/swap/secret", "kind": "file", "content": [2]},
                {"path": format!("/swap/folder{number}"), "kind": "directory"},
            ]))
            .await;
        if let Reply::File { size, .. } =
            modern.request(Request::ReadFile { path: "/swap/secret".into(), credit: 0 }).await
        {
            assert_eq!(size, 1, "the one that was pushed, not the one outside");
        }
    }
    over.store(true, Ordering::SeqCst);
    swapper.join().unwrap();
    assert_eq!(names_in(&outside), ["secret"]);
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
}

#[tokio::test]
async fn whoever_reads_a_file_while_it_is_pushed_sees_it_whole() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    const LENGTH: usize = 300_000;
    let version = |number: u8| json!([{"path": "/f", "kind": "file", "content": vec![number; LENGTH]}]);
    client.push(version(0)).await;
    let path = runtime.workspace().join("f");
    let over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut versions = std::collections::BTreeSet::new();
            while !over.load(Ordering::SeqCst) {
                let content = std::fs::read(&path).expect("there is a file at every instant");
                assert_eq!(content.len(), LENGTH, "it is whole");
                assert!(content.iter().all(|byte| *byte == content[0]), "it is one version");
                versions.insert(content[0]);
            }
            versions
        }
    });
    for number in 1..=40 {
        assert_eq!(client.push(version(number)).await["synced"], 1);
    }
    over.store(true, Ordering::SeqCst);
    let versions = reader.join().expect("no reader saw half a file");
    assert!(!versions.is_empty());
    assert_eq!(runtime.names(), ["f"]);
}

#[tokio::test]
async fn a_file_keeps_its_mode_when_it_is_replaced() {
    let runtime = Runtime::start();
    let path = runtime.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut client = Client::connect(&runtime).await;
    let results = client
        .push(json!([{"path": "/run.sh", "kind": "file", "content": [35], "mtime": 4_000_000_000_000_u64}]))
        .await;
    assert_eq!(results["synced"], 1);
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.mtime()), (0o755, 4_000_000_000));
}

#[tokio::test]
async fn a_pull_leaves_out_what_is_too_much_and_says_so() {
    let runtime = Runtime::start();
    runtime.write("small", "s");
    runtime.write("node_modules/left/pad.js", "no");
    runtime.write(".git/config", "no");
    std::fs::File::create(runtime.workspace().join("large")).unwrap().set_len((5 << 20) + 1).unwrap();
    std::fs::File::create(runtime.workspace().join("just fits")).unwrap().set_len(5 << 20).unwrap();
    let mut client = Client::connect(&runtime).await;
    let pulled = client.pull().await;
    let paths: Vec<&Value> = pulled["files"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["/just fits", "/small"]);
    assert_eq!(pulled["files"][0]["content"].as_array().unwrap().len(), 5 << 20);
    assert_eq!(pulled["skipped"][0]["path"], "/large");
    assert!(pulled["skipped"][0]["error"].as_str().unwrap().contains("5 MiB"));
}

#[tokio::test]
async fn a_time_that_is_none_is_not_kept_and_no_error() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    for mtime in [json!(-1), json!(1e300), json!(null), json!(-0.0)] {
        let files = json!([{"path": "/a", "kind": "file", "content": [1], "mtime": mtime}]);
        assert_eq!(client.push(files).await["synced"], 1, "{mtime}");
    }
}
