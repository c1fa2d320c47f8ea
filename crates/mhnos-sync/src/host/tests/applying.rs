//! Orders carried out.

use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

const DONE: Outcome = Outcome::Done;

#[test]
fn a_batch_is_carried_out_in_order_and_not_told_as_a_change() {
    let mut scene = Scene::new();
    scene.write("old", "old");
    scene.write("gone", "gone");
    scene.write("from/deep/f", "f");
    scene.everything();
    let orders = [
        make("a"),
        make("a/b"),
        put("a/b/new", None, b"new"),
        put("a/b/again", None, b"new"),
        put("a/empty", None, b""),
        put("old", file(b"old"), b"newer"),
        remove("gone", file(b"gone")),
        move_to("a/moved", None, "from", Node::Directory),
        remove("a/b/again", file(b"new")),
    ];
    assert_eq!(scene.apply(&[b"new", b"newer"], &orders), vec![DONE; 9]);
    assert_eq!(fs::read(scene.at("a/b/new")).unwrap(), b"new");
    assert_eq!(fs::read(scene.at("a/moved/deep/f")).unwrap(), b"f");
    assert!(scene.changes(&[]).is_empty(), "the hub knows");
    assert_eq!(scene.everything().len(), 8);
    assert_eq!(scene.versions("old"), [b"old"]);
    assert_eq!(scene.versions("gone"), [b"gone"]);
    assert!(scene.staged().is_empty(), "{:?}", scene.staged());
    // The same once more: nothing is there to be done.
    let again = scene.apply(&[b"new", b"newer"], &orders[..3]);
    assert_eq!(again, vec![DONE; 3]);
    assert_eq!(scene.apply(&[], &[orders[6].clone()]), [DONE]);
    assert_eq!(
        scene.apply(&[], &[orders[7].clone()]),
        [Outcome::Changed(Some(Node::Directory))],
        "its source is gone"
    );
}

#[test]
fn what_is_not_as_expected_is_told_and_left() {
    let mut scene = Scene::new();
    scene.write("f", "mine");
    scene.write("d/x", "x");
    scene.everything();
    scene.write("f", "just now");
    let orders = [
        put("f", file(b"mine"), b"theirs"),
        put("f", None, b"theirs"),
        remove("f", file(b"mine")),
        remove("d", Some(Node::Directory)),
        put("d", Some(Node::Directory), b"theirs"),
        make("f"),
        put("nowhere/f", None, b"theirs"),
        put("g", None, b"never staged"),
        move_to("h", None, "f", file(b"mine").unwrap()),
    ];
    let mine = Outcome::Changed(file(b"just now"));
    let folder = Outcome::Changed(Some(Node::Directory));
    let nothing = Outcome::Changed(None);
    let outcomes = scene.apply(&[b"theirs"], &orders);
    let expected =
        [&mine, &mine, &mine, &folder, &folder, &mine, &nothing, &nothing, &nothing].map(Clone::clone);
    assert_eq!(outcomes, expected);
    assert_eq!(fs::read(scene.at("f")).unwrap(), b"just now");
    assert_eq!(fs::read(scene.at("d/x")).unwrap(), b"x");
    assert!(scene.staged().is_empty(), "{:?}", scene.staged());
    assert_eq!(scene.host().versions().unwrap().list(None).unwrap(), []);
}

#[test]
fn ignored_child_in_a_deleted_folder_stays_and_so_does_the_folder() {
    let mut scene = Scene::new();
    scene.write("p/node_modules/x", "x");
    scene.write("q/f", "f");
    symlink("f", scene.at("q/link")).unwrap();
    scene.everything();
    let outcomes = scene.apply(
        &[],
        &[remove("p", Some(Node::Directory)), remove("q/f", file(b"f")), remove("q", Some(Node::Directory))],
    );
    assert!(
        matches!(&outcomes[0], Outcome::Failed(reason) if reason.contains("ignored files")),
        "{outcomes:?}"
    );
    assert!(matches!(&outcomes[2], Outcome::Failed(reason) if reason.contains("link")), "{outcomes:?}");
    assert!(scene.at("p/node_modules/x").exists() && scene.at("q/link").is_symlink());
    let ignored = scene.apply(&[b"1"], &[put("a/node_modules/f", None, b"1")]);
    assert_eq!(ignored, [Outcome::Failed("is ignored".into())]);
}

#[test]
fn a_folder_becomes_a_file_and_a_file_a_folder() {
    let mut scene = Scene::new();
    scene.write("f", "f");
    fs::create_dir(scene.at("d")).unwrap();
    scene.everything();
    let folder = Order { expect: file(b"f"), ..make("f") };
    assert_eq!(scene.apply(&[b"d"], &[put("d", Some(Node::Directory), b"d"), folder]), [DONE, DONE]);
    assert!(scene.at("f").is_dir());
    assert_eq!(fs::read(scene.at("d")).unwrap(), b"d");
    assert_eq!(scene.versions("f"), [b"f"]);
    assert!(scene.changes(&[]).is_empty());
}

#[test]
fn a_move_onto_a_file_keeps_what_was_there() {
    let mut scene = Scene::new();
    for is_plain in [false, true] {
        scene.write("a", "a");
        scene.write("b", "b");
        scene.host().swap.is_plain = is_plain;
        scene.everything();
        assert_eq!(scene.apply(&[], &[move_to("b", file(b"b"), "a", file(b"a").unwrap())]), [DONE]);
        assert_eq!(scene.everything(), [("b".to_owned(), file(b"a"))]);
        assert_eq!(scene.versions("b")[0], b"b");
    }
}

#[test]
fn crossed_moves_go_by_a_third_name() {
    let mut scene = Scene::new();
    scene.write("a", "a");
    scene.write("b", "b");
    scene.everything();
    let (a, b) = (file(b"a").unwrap(), file(b"b").unwrap());
    let orders = [move_to("c", None, "a", a), move_to("a", None, "b", b), move_to("b", None, "c", a)];
    assert_eq!(scene.apply(&[], &orders), vec![DONE; 3]);
    assert_eq!(scene.everything(), [("a".to_owned(), file(b"b")), ("b".to_owned(), file(b"a"))]);
}

#[test]
fn modes_are_kept_and_the_executable_bit_follows() {
    let mut scene = Scene::new();
    scene.write("private", "1");
    scene.set_mode("private", 0o600);
    scene.write("tool", "1");
    scene.everything();
    let executable = |at: &str, expect, content: &[u8], copy_from: Option<&str>| {
        let action = Action::Put {
            content: Content::of(content),
            size: content.len() as u64,
            executable: true,
            copy_from: copy_from.map(path),
        };
        Order { path: path(at), expect, action }
    };
    let orders = [
        put("private", file(b"1"), b"2"),
        executable("tool", file(b"1"), b"1", Some("tool")),
        executable("new", None, b"2", None),
    ];
    assert_eq!(scene.apply(&[b"2"], &orders), vec![DONE; 3]);
    let umask = 0o755 & !scene.mode("new") & 0o777;
    assert_eq!(scene.mode("private"), 0o600);
    assert_eq!((scene.mode("tool"), scene.mode("new")), (0o755 & !umask, 0o755 & !umask));
    assert_eq!(scene.everything()[2], ("tool".to_owned(), script(b"1")));
}

#[test]
fn a_read_only_file_is_replaced_and_stays_read_only() {
    let mut scene = Scene::new();
    scene.write("f", "1");
    scene.set_mode("f", 0o444);
    scene.everything();
    assert_eq!(scene.apply(&[b"2"], &[put("f", file(b"1"), b"2")]), [DONE]);
    assert_eq!((fs::read(scene.at("f")).unwrap(), scene.mode("f")), (b"2".to_vec(), 0o444));
}

#[test]
fn a_hard_link_is_replaced_and_the_other_name_keeps_its_content() {
    let mut scene = Scene::new();
    scene.write("f", "1");
    fs::hard_link(scene.at("f"), scene.at("g")).unwrap();
    scene.everything();
    assert_eq!(scene.apply(&[b"2"], &[put("f", file(b"1"), b"2")]), [DONE]);
    assert_eq!(fs::read(scene.at("g")).unwrap(), b"1");
    // Writing through the other name does not reach into the version.
    scene.write("g", "3");
    assert_eq!(scene.versions("f"), [b"1"]);
}

#[test]
fn a_copy_on_the_same_side_needs_no_content() {
    let mut scene = Scene::new();
    let large = noise(1, 3 * BLOCK_BYTES as usize + 5);
    scene.write("large", &large);
    scene.write("small", "s");
    scene.everything();
    let copy = |at: &str, content: &[u8], from: &str| {
        let action = Action::Put {
            content: Content::of(content),
            size: content.len() as u64,
            executable: false,
            copy_from: Some(path(from)),
        };
        Order { path: path(at), expect: None, action }
    };
    // The last one copies what an order before it has made.
    let orders = [
        copy("a", &large, "large"),
        copy("b", b"s", "small"),
        copy("c", b"else", "small"),
        put("e", None, b"new"),
        copy("f", b"new", "e"),
    ];
    let outcomes = scene.apply(&[b"new"], &orders);
    assert_eq!(outcomes, [DONE, DONE, Outcome::Changed(None), DONE, DONE]);
    assert_eq!(fs::read(scene.at("a")).unwrap(), large);
    assert_ne!(fs::metadata(scene.at("a")).unwrap().ino(), fs::metadata(scene.at("large")).unwrap().ino());
}

#[test]
fn where_nothing_can_be_exchanged_it_is_done_in_two_steps() {
    let mut scene = Scene::new();
    scene.write("f", "1");
    scene.write("gone", "gone");
    scene.write("d/x", "x");
    scene.everything();
    scene.host().swap.is_plain = true;
    let orders = [
        put("f", file(b"1"), b"2"),
        put("new", None, b"2"),
        remove("gone", file(b"gone")),
        move_to("e", None, "d", Node::Directory),
        put("e/y", None, b"2"),
    ];
    assert_eq!(scene.apply(&[b"2"], &orders), vec![DONE; 5]);
    assert_eq!(scene.versions("f"), [b"1"]);
    assert_eq!(scene.versions("gone"), [b"gone"]);
    assert_eq!(scene.everything().len(), 5);
    assert!(scene.staged().is_empty());
}

#[test]
fn a_version_is_restored_and_the_present_becomes_one() {
    let mut scene = Scene::new();
    let large = noise(2, 2 * BLOCK_BYTES as usize + 1);
    scene.write("d/f", &large);
    scene.everything();
    scene.apply(&[b"2"], &[put("d/f", file(&large), b"2")]);
    let id = scene.host().versions().unwrap().list(Some(&path("d/f"))).unwrap()[0].id;
    let (version, place) = scene.host().restore(id, None).unwrap();
    assert_eq!((version.path, version.size, place), (path("d/f"), large.len() as u64, path("d/f")));
    assert_eq!(fs::read(scene.at("d/f")).unwrap(), large);
    assert_eq!(scene.versions("d/f"), [b"2".to_vec(), large.clone()]);
    // Also when its folder is gone by now.
    fs::remove_dir_all(scene.at("d")).unwrap();
    scene.everything();
    scene.host().restore(id, None).unwrap();
    assert_eq!(fs::read(scene.at("d/f")).unwrap(), large);
    // And elsewhere.
    scene.host().restore(id, Some(path("e/g"))).unwrap();
    assert_eq!(fs::read(scene.at("e/g")).unwrap(), large);
    assert!(scene.host().restore(9_999, None).unwrap_err().to_string().contains("not kept any more"));
}

#[test]
fn a_thousand_files_at_once_are_all_there() {
    let mut scene = Scene::new();
    scene.everything();
    let contents: Vec<_> = (0..1000).map(|index| format!("content {index}")).collect();
    let contents: Vec<_> = contents.iter().map(|content| content.as_bytes()).collect();
    let mut orders: Vec<_> = (0..40).map(|folder| make(&format!("d{folder}"))).collect();
    orders.extend(
        contents
            .iter()
            .enumerate()
            .map(|(index, content)| put(&format!("d{}/{index}", index % 40), None, content)),
    );
    assert_eq!(scene.apply(&contents, &orders), vec![DONE; 1040]);
    assert!(scene.changes(&[]).is_empty());
    assert_eq!(scene.everything().len(), 1040);
}

#[test]
fn what_something_else_is_about_to_replace_is_kept() {
    let mut scene = Scene::new();
    scene.write("d/f", b"one");
    scene.everything();
    scene.host().keep(&path("d/f")).unwrap();
    scene.write("d/f", b"two");
    assert_eq!(scene.versions("d/f"), [b"one".to_vec()]);
    // Where nothing is, and where a folder is, there is nothing to keep.
    scene.host().keep(&path("x/y")).unwrap();
    scene.host().keep(&path("d")).unwrap();
    assert_eq!(scene.host().versions().unwrap().list(None).unwrap().len(), 1);
}
