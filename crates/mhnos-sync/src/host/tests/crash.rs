//! `kill -9` of a process that carries orders out, at any moment; and what a start finds then.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

/// Names the workspace to the process that is killed.
const VICTIM: &str = "MHNOS_SYNC_TEST_VICTIM";
const FILES: usize = 12;

fn content(file: usize, generation: usize) -> Vec<u8> {
    // Some of one block, some of several.
    let length = if file.is_multiple_of(4) { 700_000 } else { 3_000 };
    let mut bytes = format!("{file} {generation} ").into_bytes();
    bytes.extend(noise((file * 31 + generation) as u8, length));
    bytes
}

fn generation_of(file: usize, bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(&bytes[..20]);
    let generation = text.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap();
    assert!(bytes == content(file, generation), "file {file} is neither wholly old nor wholly new");
    generation
}

fn options(root: &Path) -> Options {
    let limits = Limits { per_path: 10_000, ..Limits::default() };
    Options { holder: "a victim".into(), versions: Some((root.with_file_name("versions"), limits)) }
}

/// Replaces every file by its next generation, and moves a folder to and fro.
fn round(host: &mut Host) {
    let told = host.observe(&[]).unwrap();
    let there: std::collections::BTreeMap<_, _> = told.nodes.into_iter().collect();
    let mut orders = Vec::new();
    for file in 0..FILES {
        let path = path(&format!("f{file}"));
        let expect = there.get(&path).copied().flatten();
        let generation = match expect {
            Some(Node::File { content, size, .. }) => {
                generation_of(file, &read(host, &path, content, size)) + 1
            }
            _ => 0,
        };
        let bytes = content(file, generation);
        let list =
            if bytes.len() as u64 > BLOCK_BYTES { blocks(&bytes) } else { vec![Content::of(&bytes).0] };
        for block in host.missing(Content::of(&bytes), bytes.len() as u64, &list, &path).unwrap() {
            let piece = bytes.chunks(BLOCK_BYTES as usize).nth(block as usize).unwrap();
            host.stage(Content::of(&bytes), bytes.len() as u64, block, piece).unwrap();
        }
        let action = Action::Put {
            content: Content::of(&bytes),
            size: bytes.len() as u64,
            executable: false,
            copy_from: None,
        };
        orders.push(Order { path, expect, action });
    }
    let (from, to) = if there.contains_key(&path("one")) { ("one", "two") } else { ("two", "one") };
    orders.push(move_to(to, None, from, Node::Directory));
    assert!(host.apply(&orders).iter().all(|outcome| *outcome == Outcome::Done));
}

fn read(host: &mut Host, path: &RelativePath, content: Content, size: u64) -> Vec<u8> {
    host.read(path, content, 0, size as u32).unwrap()
}

/// Not a test of its own: what is killed.
#[test]
#[ignore = "is started, and killed, by the test below"]
fn victim() {
    let root = PathBuf::from(std::env::var_os(VICTIM).unwrap());
    let mut host = Host::open(&root, &options(&root)).unwrap();
    loop {
        round(&mut host);
        let mut told = io::stdout().lock();
        told.write_all(b"round\n").unwrap();
        told.flush().unwrap();
    }
}

#[test]
fn killed_at_any_moment_each_file_is_wholly_old_or_new_and_nothing_is_lost() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("ws");
    fs::create_dir_all(root.join("one/deep")).unwrap();
    fs::write(root.join("one/deep/f"), "f").unwrap();
    let mut generations = [None; FILES];
    for kill in 0..40_u64 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "host::tests::crash::victim", "--ignored", "--nocapture"])
            .env(VICTIM, &root)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut rounds = BufReader::new(victim.stdout.take().unwrap()).lines();
        assert!(rounds.any(|line| line.unwrap().ends_with("round")), "it works");
        // Not to wait for anything: to end it at another moment each time.
        std::thread::sleep(Duration::from_micros(kill * 1_733 % 40_000));
        victim.kill().unwrap();
        victim.wait().unwrap();

        let mut host = Host::open(&root, &options(&root)).unwrap();
        for (file, before) in generations.iter_mut().enumerate() {
            let name = format!("f{file}");
            let generation = generation_of(file, &fs::read(root.join(&name)).unwrap());
            assert!(before.is_none_or(|before| before <= generation));
            *before = Some(generation);
            // Whatever was there before is kept.
            let versions = host.versions().unwrap();
            let kept = versions.list(Some(&path(&name))).unwrap();
            let kept: std::collections::BTreeSet<_> = kept
                .iter()
                .map(|version| {
                    let mut bytes = Vec::new();
                    versions.open_version(version.id).unwrap().1.read_to_end(&mut bytes).unwrap();
                    generation_of(file, &bytes)
                })
                .collect();
            assert!(
                (0..generation).all(|old| kept.contains(&old)),
                "kill {kill}: file {file} of {generation}: {kept:?}"
            );
        }
        let there = ["one/deep/f", "two/deep/f"].map(|name| root.join(name).exists());
        assert!(there[0] ^ there[1], "moved or not, and never both");
        let leftovers = staged_in(&root);
        assert!(leftovers.iter().all(|name| name.len() == 64), "only large content is kept: {leftovers:?}");
        round(&mut host);
    }
}

#[test]
fn what_was_displaced_before_a_crash_is_kept_and_other_leftovers_are_not() {
    let mut scene = Scene::new();
    scene.write("f", "old");
    scene.everything();
    // As after a crash right behind the exchange; and one right before it.
    let stage = scene.at(".mhnos-sync/stage");
    let expected = |name: &str, replacement| crate::versions::Expected {
        path: path("f"),
        staged: name.into(),
        replacement,
    };
    fs::write(stage.join("new-1"), "not yet there").unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(stage.join("new-1")).unwrap());
    scene
        .host()
        .versions
        .as_mut()
        .unwrap()
        .expect(&[expected("new-1", inode), expected("new-2", 7)])
        .unwrap();
    fs::rename(scene.at("f"), stage.join("new-2")).unwrap();
    fs::write(stage.join("new-3"), "half").unwrap();
    fs::write(stage.join("5/new-5"), "half").unwrap();
    fs::create_dir(stage.join("of another version")).unwrap();
    scene.reopen(Vec::new());
    assert_eq!(scene.versions("f"), [b"old"]);
    assert!(scene.staged().is_empty(), "{:?}", scene.staged());
}
