//! Files, both ways, and whose they are.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mhnos_tests::sync::{Replica, files};
use serde_json::{Value, json};

use crate::support::{PERSON, Up, cli, until_healthy};

fn owner(path: &Path) -> (u32, u32) {
    let metadata = path.metadata().unwrap();
    (metadata.uid(), metadata.gid())
}

#[tokio::test]
async fn files_go_both_ways_and_belong_to_the_person_outside() {
    let up = Up::new().await;
    let mine = owner(up.workspace());
    if nix_is_root() {
        assert_eq!(mine, (PERSON, PERSON));
    }
    let mut page = up.page().await;
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let results = page
        .push(json!([
            {"path": "/project", "kind": "directory"},
            {"path": "/project/from-page.bin", "kind": "file", "content": content, "mtime": 1_700_000_000_000_u64},
        ]))
        .await;
    assert_eq!(results["failed"], 0, "{results}");
    let pushed = up.workspace().join("project/from-page.bin");
    assert_eq!(std::fs::read(&pushed).unwrap(), content);
    assert_eq!((owner(&pushed), owner(pushed.parent().unwrap())), (mine, mine));

    let pid = page.bash("mkdir made && echo from a program > made/in-shell.txt").await;
    assert_eq!(page.run(pid).await.exit["code"], 0);
    let made = up.workspace().join("made/in-shell.txt");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "from a program\n");
    assert_eq!((owner(&made), owner(made.parent().unwrap())), (mine, mine));

    up.write("from-outside.txt", "from outside");
    let pid = page.bash("cat /workspace/from-outside.txt").await;
    assert_eq!(page.run(pid).await.stdout, "from outside");
    let pulled = page.pull().await;
    let files = pulled["files"].as_array().unwrap();
    let find = |path: &str| {
        files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path}: {files:?}"))
    };
    let bytes = |file: &Value| serde_json::from_value::<Vec<u8>>(file["content"].clone()).unwrap();
    assert_eq!(bytes(find("/from-outside.txt")), b"from outside");
    assert_eq!(bytes(find("/project/from-page.bin")), content);
    assert_eq!(bytes(find("/made/in-shell.txt")), b"from a program\n");
}

#[tokio::test]
async fn a_replica_and_the_workspace_are_kept_the_same_through_the_container() {
    let up = Up::new().await;
    let mine = owner(up.workspace());
    up.write("from-outside.txt", "1");
    let mut replica = Replica::new(1);
    replica.open(up.page2().await).await;
    replica.until_equal(up.workspace()).await;

    // Seen by the runtime inside, whoever wrote it: a program of this machine, through the mount, or one beside the runtime.
    up.write("from-outside.txt", "1, edited");
    replica.until("an edit outside", |of| of.read("from-outside.txt").as_deref() == Some("1, edited")).await;
    let mut page = up.page().await;
    let pid = page.bash("mkdir -p made/deep && echo of a program > made/deep/inside.txt").await;
    assert_eq!(page.run(pid).await.exit["code"], 0);
    replica.until("a file of a program inside", |of| of.read("made/deep/inside.txt").is_some()).await;

    // And back: on the disk outside, the person's, and what a program inside reads.
    replica.write("project/of-the-page.txt", "2");
    replica.changed().await;
    replica.until_equal(up.workspace()).await;
    let arrived = up.workspace().join("project/of-the-page.txt");
    assert_eq!(std::fs::read_to_string(&arrived).unwrap(), "2");
    assert_eq!((owner(&arrived), owner(arrived.parent().unwrap())), (mine, mine));
    let pid = page.bash("cat project/of-the-page.txt").await;
    assert_eq!(page.run(pid).await.stdout, "2");

    std::fs::remove_dir_all(up.workspace().join("made")).unwrap();
    replica.until("a removal outside", |of| !of.folder().join("made").exists()).await;
    std::fs::remove_dir_all(replica.folder().join("project")).unwrap();
    replica.changed().await;
    replica.until_equal(up.workspace()).await;
    assert_eq!(files(up.workspace()), [("from-outside.txt".into(), Some(b"1, edited".to_vec()))]);

    // The runtime starts again, with what it knew in its volume: nothing is sent twice, and it goes on.
    replica.cut();
    cli(&["restart"]).await.done();
    until_healthy(up.port).await;
    replica.open(up.page2().await).await;
    assert!(!replica.was_full, "what both had is still known");
    up.write("later.txt", "3");
    replica.until("an edit after the restart", |of| of.read("later.txt").as_deref() == Some("3")).await;
}

fn nix_is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
