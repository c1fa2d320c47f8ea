//! Files, both ways, and whose they are.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{PERSON, Up};

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

fn nix_is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
