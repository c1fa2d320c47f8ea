//! What is told of a folder.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::UNIX_EPOCH;

use super::beneath::Found;
use super::*;

const FOLDER: Option<Node> = Some(Node::Directory);

fn entry(text: &str, node: Option<Node>) -> (String, Option<Node>) {
    (text.to_owned(), node)
}

#[test]
fn everything_is_told_then_what_differs() {
    let mut scene = Scene::new();
    scene.write("a/b/c.txt", "c");
    scene.write("d", "d");
    scene.write("run", "x");
    scene.set_mode("run", 0o755);
    scene.write("node_modules/x", "ignored");
    let observation = scene.host().observe(&[]).unwrap();
    assert!(observation.complete && observation.within.is_none() && observation.problems.is_empty());
    let all = [
        entry("a", FOLDER),
        entry("a/b", FOLDER),
        entry("a/b/c.txt", file(b"c")),
        entry("d", file(b"d")),
        entry("run", script(b"x")),
    ];
    assert_eq!(shown(&observation), all);
    assert!(scene.changes(&[]).is_empty());
    scene.write("d", "e");
    fs::remove_dir_all(scene.at("a/b")).unwrap();
    scene.set_mode("run", 0o644);
    let changed =
        [entry("a/b", None), entry("a/b/c.txt", None), entry("d", file(b"e")), entry("run", file(b"x"))];
    assert_eq!(scene.changes(&[]), changed);
    assert!(scene.changes(&[]).is_empty());
}

#[test]
fn one_path_is_told_whole_and_complete() {
    let mut scene = Scene::new();
    scene.write("a/b/c", "c");
    scene.write("a-b/c", "other");
    scene.everything();
    scene.write("a/b/d", "d");
    fs::remove_file(scene.at("a/b/c")).unwrap();
    let observation = scene.host().observe(&[path("a/b")]).unwrap();
    assert!(observation.complete);
    assert_eq!(observation.within, Some(path("a/b")));
    assert_eq!(shown(&observation), [entry("a/b", FOLDER), entry("a/b/c", None), entry("a/b/d", file(b"d"))]);
    let gone = scene.host().observe(&[path("a/b/c"), path("x/y")]).unwrap();
    assert_eq!(
        shown(&gone),
        [entry("a/b/c", None), entry("x", None)],
        "of what has no folder, the folder is told"
    );
}

#[test]
fn mkdir_p_race_all_folders_on_the_way_are_told() {
    let mut scene = Scene::new();
    scene.everything();
    scene.write("a/b/c/d.txt", "d");
    // Of the four events only the last arrived.
    let told = scene.changes(&["a/b/c/d.txt"]);
    assert_eq!(
        told,
        [entry("a", FOLDER), entry("a/b", FOLDER), entry("a/b/c", FOLDER), entry("a/b/c/d.txt", file(b"d"))]
    );
    // And the other way round: only the event of a file deep in a folder that is gone.
    fs::remove_dir_all(scene.at("a")).unwrap();
    assert_eq!(scene.changes(&["a/b/c/d.txt"]).len(), 4);
}

#[test]
fn folder_and_file_change_places() {
    let mut scene = Scene::new();
    scene.write("x/inner", "1");
    scene.write("y", "2");
    scene.everything();
    fs::remove_dir_all(scene.at("x")).unwrap();
    fs::remove_file(scene.at("y")).unwrap();
    scene.write("x", "now a file");
    scene.write("y/inner", "now a folder");
    let told = scene.changes(&["x", "y"]);
    assert_eq!(
        told,
        [
            entry("x", file(b"now a file")),
            entry("x/inner", None),
            entry("y", FOLDER),
            entry("y/inner", file(b"now a folder"))
        ]
    );
}

#[test]
fn same_size_and_mtime_edit_is_seen() {
    let mut scene = Scene::new();
    scene.write("f", "one");
    let set = |scene: &Scene| {
        File::options()
            .write(true)
            .open(scene.at("f"))
            .unwrap()
            .set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000))
            .unwrap()
    };
    set(&scene);
    scene.everything();
    scene.write("f", "two");
    set(&scene);
    assert_eq!(scene.changes(&["f"]), [entry("f", file(b"two"))]);
}

#[test]
fn clock_back_a_file_of_the_future_is_read_every_time() {
    let mut scene = Scene::new();
    scene.write("f", "one");
    let future = std::time::SystemTime::now() + Duration::from_secs(86_400);
    File::options().write(true).open(scene.at("f")).unwrap().set_modified(future).unwrap();
    scene.everything();
    let row = scene.host().take_unsaved().remove(0).1.unwrap();
    assert_eq!(row.fingerprint, None, "no fingerprint is trusted that could come again");
}

#[test]
fn a_restart_reads_nothing_again_that_was_not_touched() {
    let mut scene = Scene::new();
    scene.write("old", "old");
    scene.everything();
    // As an index would have it, but for the content: if that is told, the file was not read.
    let fingerprint = {
        let folder = beneath::open_parent(&scene.host().root, &path("old")).unwrap();
        let Found::File(fingerprint) = beneath::look(folder, "old").unwrap() else { panic!() };
        fingerprint
    };
    let row = HostRow { path: path("old"), node: file(b"kept").unwrap(), fingerprint: Some(fingerprint) };
    scene.reopen(vec![row.clone()]);
    assert_eq!(scene.everything(), [entry("old", file(b"kept"))]);
    scene.reopen(vec![HostRow { fingerprint: Some(Fingerprint { ctime: 1, ..fingerprint }), ..row.clone() }]);
    assert_eq!(scene.everything(), [entry("old", file(b"old"))], "another ctime: read");
    scene.reopen(vec![HostRow { path: path("never"), ..row }]);
    let told = scene.changes(&[]);
    assert_eq!(
        told,
        [entry("old", file(b"old"))],
        "the first time everything is told, and what is not there is not"
    );
}

#[test]
fn truncate_then_write_save_ends_with_the_new_content() {
    let mut scene = Scene::new();
    scene.write("f", "before");
    scene.everything();
    let mut open = File::create(scene.at("f")).unwrap();
    assert_eq!(scene.changes(&["f"]), [entry("f", file(b""))], "seen in the middle");
    std::io::Write::write_all(&mut open, b"after").unwrap();
    assert_eq!(scene.changes(&["f"]), [entry("f", file(b"after"))]);
}

#[test]
fn rename_save_of_vim_and_intellij_is_one_edit() {
    let mut scene = Scene::new();
    scene.write("f.js", "before");
    scene.everything();
    // vim with backupcopy=no: probe, backup by renaming, a new file, the backup deleted.
    scene.write("4913", "");
    fs::rename(scene.at("f.js"), scene.at("f.js~")).unwrap();
    scene.write("f.js", "vim");
    scene.write(".f.js.swp", "swap");
    fs::remove_file(scene.at("4913")).unwrap();
    assert_eq!(scene.changes(&[]), [entry("f.js", file(b"vim"))]);
    // IntelliJ: temporary, old one aside, temporary in its place.
    scene.write("f.js___jb_tmp___", "idea");
    fs::rename(scene.at("f.js"), scene.at("f.js___jb_old___")).unwrap();
    fs::rename(scene.at("f.js___jb_tmp___"), scene.at("f.js")).unwrap();
    assert_eq!(
        scene.changes(&["f.js", "f.js___jb_tmp___", "f.js___jb_old___"]),
        [entry("f.js", file(b"idea"))]
    );
}

#[test]
fn links_pipes_sockets_devices_and_odd_names_are_problems_and_all_else_goes_on() {
    use std::os::unix::ffi::OsStrExt;
    let mut scene = Scene::new();
    scene.write("fine", "1");
    symlink("../secret", scene.at("link")).unwrap();
    symlink(scene.beside("elsewhere"), scene.at("folder-link")).unwrap();
    nix::unistd::mkfifo(&scene.at("pipe"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.at("socket")).unwrap();
    nix::sys::stat::mknod(
        &scene.at("device"),
        nix::sys::stat::SFlag::S_IFCHR,
        Mode::S_IRWXU,
        nix::sys::stat::makedev(1, 3),
    )
    .unwrap();
    fs::write(scene.at("d").parent().unwrap().join(std::ffi::OsStr::from_bytes(b"od\xffd")), "").unwrap();
    fs::hard_link(scene.at("fine"), scene.at("hard link")).unwrap();
    let problems = scene.problems();
    let paths: Vec<_> = problems.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["device", "folder-link", "link", "od\u{fffd}d", "pipe", "socket"]);
    assert!(
        problems.iter().all(|(_, reason)| reason.starts_with("is a ") || reason.starts_with("has a name")),
        "{problems:?}"
    );
    assert_eq!(scene.everything(), [entry("fine", file(b"1")), entry("hard link", file(b"1"))]);
}

#[test]
fn a_file_that_becomes_a_link_is_not_told_as_gone_and_comes_back() {
    let mut scene = Scene::new();
    scene.write("d/f", "1");
    scene.everything();
    fs::rename(scene.at("d"), scene.beside("elsewhere/d")).unwrap();
    symlink(scene.beside("elsewhere/d"), scene.at("d")).unwrap();
    let observation = scene.host().changes(&[]).unwrap();
    assert!(observation.nodes.is_empty(), "{observation:?}");
    assert_eq!(observation.problems[0].path, "d");
    assert_eq!(scene.host().observe(&[path("d/f")]).unwrap().problems.len(), 1);
    assert!(scene.everything().is_empty());
    fs::remove_file(scene.at("d")).unwrap();
    assert_eq!(scene.changes(&[]), [entry("d", None), entry("d/f", None)]);
    assert!(scene.problems().is_empty());
    // And when it is a folder again: told, as nobody knows what was made of it.
    symlink("x", scene.at("d")).unwrap();
    scene.changes(&[]);
    fs::remove_file(scene.at("d")).unwrap();
    scene.write("d/f", "1");
    assert_eq!(scene.changes(&["d"]), [entry("d", FOLDER), entry("d/f", file(b"1"))]);
}

#[test]
fn a_name_that_is_too_long_as_a_path_is_a_problem() {
    let mut scene = Scene::new();
    let name = "n".repeat(250);
    let mut folder = File::open(scene.root()).unwrap();
    for _ in 0..20 {
        nix::sys::stat::mkdirat(&folder, name.as_str(), Mode::S_IRWXU).unwrap();
        folder = File::from(
            nix::fcntl::openat(&folder, name.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap(),
        );
    }
    assert_eq!(scene.problems().len(), 1);
    assert_eq!(scene.everything().len(), 16, "4,095 bytes hold sixteen of them");
}

#[test]
fn ignore_rules_changed_meanwhile() {
    let mut scene = Scene::new();
    scene.write("logs/a", "a");
    scene.write("dist/b", "b");
    assert_eq!(scene.everything().len(), 2);
    let before = scene.host().rules().clone();
    scene.write(".mhnosignore", "logs\n!dist\n");
    // Whatever is looked at, all of it is.
    let told = scene.changes(&["unrelated"]);
    assert_eq!(
        told,
        [entry(".mhnosignore", file(b"logs\n!dist\n")), entry("dist", FOLDER), entry("dist/b", file(b"b"))]
    );
    assert!(!Arc::ptr_eq(&before, scene.host().rules()));
    assert!(scene.host().rules().ignores(&path("logs/a"), false));
    fs::remove_file(scene.at(".mhnosignore")).unwrap();
    let told = scene.changes(&[".mhnosignore"]);
    assert_eq!(
        told,
        [entry(".mhnosignore", None), entry("logs", FOLDER), entry("logs/a", file(b"a"))],
        "dist is not told as gone"
    );
}

#[test]
fn git_checkout_storm() {
    let mut scene = Scene::new();
    let git = |scene: &Scene, arguments: &[&str]| {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=one", "-c", "gc.auto=0"];
        let done =
            Command::new("git").args(identity).args(arguments).current_dir(scene.root()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&scene, &["init", "-q"]);
    for index in 0..300 {
        scene.write(&format!("src/{}/{index}.txt", index % 10), format!("one {index}"));
    }
    git(&scene, &["add", "."]);
    git(&scene, &["commit", "-qm", "one"]);
    git(&scene, &["checkout", "-qb", "two"]);
    for index in 0..150 {
        scene.write(&format!("src/{}/{index}.txt", index % 10), format!("two {index}"));
    }
    fs::remove_dir_all(scene.at("src/9")).unwrap();
    git(&scene, &["add", "-A"]);
    git(&scene, &["commit", "-qm", "two"]);
    assert!(
        !scene.everything().iter().any(|(path, _)| path.contains(".git/") || path.contains(".mhnos-sync"))
    );
    // To and fro: what is told adds up to what is there, whenever it was looked at.
    let mut told: std::collections::BTreeMap<_, _> = scene.everything().into_iter().collect();
    for branch in ["one", "two", "one"] {
        let (root, branch) = (scene.root(), branch.to_owned());
        let storm = std::thread::spawn(move || {
            Command::new("git").args(["checkout", "-q", &branch]).current_dir(root).status().unwrap()
        });
        while !storm.is_finished() {
            told.extend(scene.changes(&[]));
        }
        assert!(storm.join().unwrap().success());
    }
    told.extend(scene.changes(&[]));
    told.retain(|_, node| node.is_some());
    assert_eq!(told, scene.everything().into_iter().collect());
    assert_eq!(told.len(), 300 + 10 + 1);
    assert!(scene.problems().is_empty());
}
