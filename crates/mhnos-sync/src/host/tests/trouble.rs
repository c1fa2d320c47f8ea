//! What goes wrong on real disks, and what somebody does in the wrong moment.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::*;

/// A small disk in memory, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf, options: &str) -> Self {
        mount(Some("tmpfs"), &at, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        Self(at)
    }

    fn make_read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(Some("tmpfs"), &self.0, Some("tmpfs"), flags, None::<&str>).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It may be unmounted already, by the test.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn opened(root: PathBuf, versions: PathBuf) -> Host {
    let options = Options { holder: "the test".into(), versions: Some((versions, Limits::default())) };
    Host::open(&root, &options).unwrap()
}

#[test]
fn a_symbolic_link_leads_nowhere() {
    let mut scene = Scene::new();
    symlink("../elsewhere", scene.at("out")).unwrap();
    symlink("../secret", scene.at("link")).unwrap();
    symlink(".", scene.at("loop")).unwrap();
    scene.everything();
    let orders = [
        put("out/f", None, b"1"),
        make("out/d"),
        put("link", None, b"1"),
        put("link", file(b"secret"), b"1"),
        remove("link", file(b"secret")),
        move_to("out/moved", None, "f", file(b"f").unwrap()),
        put("loop/f", None, b"1"),
    ];
    scene.write("f", "f");
    for outcome in scene.apply(&[b"1"], &orders) {
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    }
    assert_eq!(fs::read_dir(scene.beside("elsewhere")).unwrap().count(), 0);
    assert_eq!(fs::read(scene.beside("secret")).unwrap(), b"secret");
    assert!(scene.at("link").is_symlink());
    let secret = Content::of(b"secret");
    assert_eq!(scene.host().read(&path("link"), secret, 0, 6).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(
        scene.host().missing(secret, 6, &blocks(b"secret"), &path("link")).unwrap() == [0],
        "not taken from there"
    );
    // A copy is not taken from there either.
    let action = Action::Put { content: secret, size: 6, executable: false, copy_from: Some(path("link")) };
    let copied = scene.host().apply(&[Order { path: path("g"), expect: None, action }]);
    assert_eq!(copied, [Outcome::Changed(None)]);
}

#[test]
fn a_sibling_with_the_same_beginning_is_not_in_it() {
    let mut scene = Scene::new();
    symlink("../ws-sibling", scene.at("s")).unwrap();
    scene.everything();
    assert!(matches!(&scene.apply(&[b"1"], &[put("s/f", None, b"1")])[0], Outcome::Failed(_)));
    assert_eq!(fs::read_dir(scene.beside("ws-sibling")).unwrap().count(), 0);
}

#[test]
fn a_parent_swapped_for_a_link_in_mid_apply_leads_nowhere() {
    let mut scene = Scene::new();
    scene.write("d/keep", "1");
    scene.everything();
    symlink("../elsewhere", scene.at("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (swapping, root) = (stop.clone(), File::open(scene.root()).unwrap());
    let swapper = std::thread::spawn(move || {
        let mut swaps = 0_u32;
        while !swapping.load(Ordering::Relaxed) || swaps % 2 == 1 {
            let exchange = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
            nix::fcntl::renameat2(&root, "d", &root, "link", exchange).unwrap();
            swaps += 1;
        }
        swaps
    });
    let (mut done, mut refused) = (Vec::new(), 0);
    for round in 0..200 {
        let name = format!("d/{round}");
        match &scene.apply(&[b"1"], &[put(&name, None, b"1")])[0] {
            Outcome::Done => done.push(name),
            _ => refused += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(swapper.join().unwrap() > 0);
    assert_eq!(fs::read_dir(scene.beside("elsewhere")).unwrap().count(), 0);
    assert!(refused > 0 || done.len() == 200);
    for name in done {
        assert_eq!(fs::read(scene.at(&name)).unwrap(), b"1", "what was done is there");
    }
}

#[test]
fn what_is_written_in_the_instant_of_the_swap_is_not_lost() {
    let mut scene = Scene::new();
    for round in 0..150_u32 {
        scene.write("f", "old");
        scene.everything();
        let mine = format!("mine {round}");
        let (at, aside, text) = (scene.at("f"), scene.at("f~"), mine.clone());
        let start = Arc::new(std::sync::Barrier::new(2));
        let started = start.clone();
        let person = std::thread::spawn(move || {
            fs::write(&aside, text).unwrap();
            started.wait();
            (0..round * 400).for_each(|_| std::hint::spin_loop());
            fs::rename(&aside, &at).unwrap();
        });
        start.wait();
        let outcome = scene.apply(&[b"theirs"], &[put("f", file(b"old"), b"theirs")]).remove(0);
        person.join().unwrap();
        let live = fs::read(scene.at("f")).unwrap();
        let kept = scene.versions("f");
        assert!(
            live == mine.as_bytes() || kept.contains(&mine.clone().into_bytes()),
            "round {round}: {outcome:?}"
        );
        assert!(outcome != Outcome::Done || live == b"theirs" || live == mine.as_bytes());
    }
}

#[test]
fn a_file_growing_for_ever_is_told_as_a_problem_and_all_else_goes_on() {
    let mut scene = Scene::new();
    scene.write("f", noise(1, 40 << 20));
    scene.write("g", "g");
    let stop = Arc::new(AtomicBool::new(false));
    let (writing, at) = (stop.clone(), scene.at("f"));
    let writer = std::thread::spawn(move || {
        let mut file = File::options().append(true).open(at).unwrap();
        while !writing.load(Ordering::Relaxed) {
            std::io::Write::write_all(&mut file, b"more").unwrap();
        }
    });
    // On a busy machine the writer may not come to write while the file is read: then it is taken as it was.
    let observation = (0..1000)
        .map(|_| scene.host().observe(&[]).unwrap())
        .find(|observation| !observation.problems.is_empty())
        .expect("it is written to while it is read, sooner or later");
    assert_eq!(shown(&observation), [("g".to_owned(), file(b"g"))]);
    assert_eq!(observation.problems[0].path, "f");
    assert!(observation.problems[0].reason.starts_with("keeps changing"));
    let (_, again) = scene.host().look_again().unwrap();
    assert_eq!(again, [path("f")]);
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    scene.host().restless.get_mut(&path("f")).unwrap().at = Instant::now();
    let observation = scene.host().observe(&again).unwrap();
    assert!(observation.problems.is_empty());
    assert_eq!(observation.nodes.len(), 1);
    assert!(scene.host().look_again().is_none());
}

#[test]
fn two_runtimes_on_one_folder_the_second_names_the_first() {
    let mut scene = Scene::new();
    let options = Options { holder: "another".into(), versions: None };
    let refused = Host::open(&scene.root(), &options).unwrap_err();
    assert!(matches!(&refused, OpenError::Taken(by) if by == "the test"), "{refused}");
    let identity = scene.host().identity().to_owned();
    scene.reopen(Vec::new());
    assert_eq!(scene.host().identity(), identity);
    assert_eq!(identity.len(), 32);
}

#[test]
fn a_root_that_is_gone_or_replaced_is_an_error_and_nothing_is_written() {
    let mut scene = Scene::new();
    scene.write("f", "1");
    scene.everything();
    let aside = scene.beside("aside");
    fs::rename(scene.root(), &aside).unwrap();
    assert_eq!(scene.host().observe(&[]).unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::create_dir(scene.root()).unwrap();
    assert!(scene.host().observe(&[]).unwrap_err().to_string().contains("another folder"));
    assert!(matches!(&scene.apply(&[b"2"], &[put("f", file(b"1"), b"2")])[0], Outcome::Failed(_)));
    assert_eq!(fs::read(aside.join("f")).unwrap(), b"1");
    assert_eq!(fs::read_dir(scene.root()).unwrap().count(), 0);
    fs::remove_dir(scene.root()).unwrap();
    fs::rename(&aside, scene.root()).unwrap();
    assert_eq!(scene.everything().len(), 1, "it goes on by itself");
}

#[test]
fn a_root_that_is_unmounted_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("ws");
    fs::create_dir(&root).unwrap();
    let mounted = Mounted::new(root.clone(), "size=4m");
    let mut host = opened(root.clone(), parent.path().join("versions"));
    fs::write(root.join("f"), "1").unwrap();
    assert_eq!(host.observe(&[]).unwrap().nodes.len(), 1);
    umount2(&mounted.0, MntFlags::MNT_DETACH).unwrap();
    assert!(host.observe(&[]).unwrap_err().to_string().contains("disk is mounted"));
}

#[test]
fn a_disk_mounted_in_the_workspace_is_a_problem() {
    let mut scene = Scene::new();
    scene.write("d/f", "1");
    scene.everything();
    let _mounted = Mounted::new(scene.at("d"), "size=1m");
    let observation = scene.host().changes(&[]).unwrap();
    assert!(observation.nodes.is_empty(), "what it hides is not gone: {observation:?}");
    assert_eq!(observation.problems[0].path, "d");
}

#[test]
fn a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("ws");
    fs::create_dir(&root).unwrap();
    let _mounted = Mounted::new(root.clone(), "size=3m");
    // The versions are on another disk: they are copied there.
    let mut host = opened(root.clone(), parent.path().join("versions"));
    fs::write(root.join("f"), "old").unwrap();
    fs::write(root.join("ballast"), vec![1; 2 << 20]).unwrap();
    host.observe(&[]).unwrap();
    let large = noise(1, 8 * BLOCK_BYTES as usize);
    let content = Content::of(&large);
    host.missing(content, large.len() as u64, &blocks(&large), &path("f")).unwrap();
    let mut staged = large
        .chunks(BLOCK_BYTES as usize)
        .zip(0..)
        .map(|(block, index)| host.stage(content, large.len() as u64, index, block));
    assert_eq!(staged.find_map(Result::err).unwrap().kind(), io::ErrorKind::StorageFull);
    drop(staged);
    let small: Vec<_> = (0..8).map(|seed| noise(seed, 200 << 10)).collect();
    for content in &small {
        host.stage(Content::of(content), content.len() as u64, 0, content).unwrap();
    }
    let orders: Vec<_> =
        small.iter().enumerate().map(|(index, content)| put(&index.to_string(), None, content)).collect();
    let outcomes = host.apply(&orders);
    let full =
        |outcome: &Outcome| matches!(outcome, Outcome::Failed(reason) if reason.contains("disk is full"));
    assert!(outcomes.iter().any(full), "{outcomes:?}");
    assert_eq!(fs::read(root.join("f")).unwrap(), b"old");
    fs::remove_file(root.join("ballast")).unwrap();
    host.stage(Content::of(b"new"), 3, 0, b"new").unwrap();
    assert_eq!(host.apply(&[put("f", file(b"old"), b"new")]), [Outcome::Done]);
    let versions = host.versions().unwrap().list(Some(&path("f"))).unwrap();
    assert_eq!(fs::read(parent.path().join("versions").join(versions[0].id.to_string())).unwrap(), b"old");
}

#[test]
fn a_read_only_disk_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("ws");
    fs::create_dir(&root).unwrap();
    let mounted = Mounted::new(root.clone(), "size=3m");
    fs::write(root.join("f"), "old").unwrap();
    let options = Options { holder: "the test".into(), versions: None };
    let mut host = Host::open(&root, &options).unwrap();
    host.observe(&[]).unwrap();
    host.stage(Content::of(b"new"), 3, 0, b"new").unwrap();
    mounted.make_read_only();
    let orders = [put("f", file(b"old"), b"new"), remove("f", file(b"old")), make("d")];
    for outcome in host.apply(&orders) {
        assert!(matches!(&outcome, Outcome::Failed(reason) if reason.contains("read-only")), "{outcome:?}");
    }
    assert_eq!(fs::read(root.join("f")).unwrap(), b"old");
}
