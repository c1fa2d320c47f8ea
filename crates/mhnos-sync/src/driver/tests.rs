//! The driver on real folders: a workspace, and replicas that are folders too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::hub::status::Phase;
use crate::peer::Peer;

mod returning;
mod watching;

/// Longer than anything here takes; what has not happened by then does not happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a replica listens before it is looked again whether what is waited for is so.
const LISTEN: Duration = Duration::from_millis(5);

pub(super) struct Scene {
    parent: TempDir,
    driver: Option<Driver>,
    runtime: Runtime,
}

/// A replica in a folder of its own.
pub(super) struct Replica {
    key: String,
    root: PathBuf,
    host: Host,
    peer: Peer,
    session: Option<Session>,
    ended: Option<String>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("ws")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut scene = Self { parent, driver: None, runtime };
        scene.start();
        scene
    }

    pub(super) fn start(&mut self) {
        let options = Options {
            folder: self.root(),
            index: self.parent.path().join("index.sqlite"),
            versions: (self.parent.path().join("versions"), Limits::default()),
            holder: "the test".into(),
        };
        self.driver = Some(Driver::start(options).unwrap());
    }

    pub(super) fn stop(&mut self) {
        self.driver.take().unwrap().stop_blocking();
    }

    pub(super) fn driver(&self) -> &Driver {
        self.driver.as_ref().unwrap()
    }

    pub(super) fn root(&self) -> PathBuf {
        self.parent.path().join("ws")
    }

    pub(super) fn beside(&self, text: &str) -> PathBuf {
        self.parent.path().join(text)
    }

    pub(super) fn write(&self, text: &str, content: &str) {
        write(&self.root(), text, content);
    }

    pub(super) fn read(&self, text: &str) -> Option<String> {
        fs::read_to_string(self.root().join(text)).ok()
    }

    /// A replica that nobody knows yet.
    pub(super) fn replica(&self, key: &str) -> Replica {
        let root = self.parent.path().join(key);
        fs::create_dir_all(&root).unwrap();
        let options = host::Options { holder: key.into(), versions: None };
        let host = Host::open(&root, &options).unwrap();
        let peer = Peer::new(Tree::new(), 0);
        let mut replica = Replica { key: key.into(), root, host, peer, session: None, ended: None };
        self.open(&mut replica);
        replica
    }

    pub(super) fn open(&self, replica: &mut Replica) {
        let hello = Hello {
            key: replica.key.as_str().into(),
            name: replica.key.clone(),
            sequence: replica.peer.sequence(),
            digest: replica.peer.digest(),
            window: 4 << 20,
        };
        let session = self.runtime.block_on(self.driver().open(hello)).unwrap();
        let said = replica.peer.opened(session.full, &mut replica.host).unwrap();
        (replica.session, replica.ended) = (Some(session), None);
        self.say(replica, said);
    }

    fn say(&self, replica: &Replica, said: Vec<FromReplica>) {
        let Some(session) = &replica.session else { return };
        let speaker = session.speaker();
        self.runtime.block_on(async {
            for message in said {
                speaker.say(message).await.unwrap();
            }
        });
    }

    /// The replica sees what was changed in its folder.
    pub(super) fn changed(&self, replica: &mut Replica) {
        let said = replica.peer.changed(&[], &mut replica.host).unwrap();
        self.say(replica, said);
    }

    /// Lets replicas do what they are told until something is so.
    #[track_caller]
    pub(super) fn until(
        &self,
        replicas: &mut [&mut Replica],
        what: &str,
        is_so: impl Fn(&[&mut Replica]) -> bool,
    ) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(replicas) {
            assert!(Instant::now() < deadline, "{what}: {:#?}", self.driver().changes().borrow());
            for replica in replicas.iter_mut() {
                self.hear(replica);
            }
        }
    }

    fn hear(&self, replica: &mut Replica) {
        let Some(session) = &mut replica.session else { return };
        let next = self.runtime.block_on(async { tokio::time::timeout(LISTEN, session.next()).await });
        match next {
            Err(_) => {}
            Ok(Some(ToSession::Message(message))) => {
                let said = replica.peer.hear(message, &mut replica.host).unwrap();
                self.say(replica, said);
            }
            Ok(Some(ToSession::Ended(reason))) => {
                (replica.session, replica.ended) = (None, Some(reason));
            }
            Ok(None) => replica.session = None,
        }
    }

    /// Lets it do what it is told until both sides hold the same, and say so.
    #[track_caller]
    pub(super) fn until_equal(&self, replica: &mut Replica) {
        let root = self.root();
        self.until(&mut [replica], "both sides are equal", |replicas| {
            replicas[0].peer.synced() && files(&root) == files(&replicas[0].root)
        });
    }

    pub(super) fn control(&self, control: Control) {
        self.runtime.block_on(self.driver().control(control)).unwrap();
    }

    pub(super) fn phase(&self, key: &str) -> Phase {
        let status = self.driver().changes();
        let status = status.borrow();
        status.replicas.iter().find(|replica| &*replica.key == key).unwrap().phase
    }

    pub(super) fn versions(&self) -> Vec<Version> {
        self.runtime.block_on(self.driver().versions(None)).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.stop_blocking();
        }
    }
}

impl Replica {
    pub(super) fn write(&self, text: &str, content: &str) {
        write(&self.root, text, content);
    }

    pub(super) fn read(&self, text: &str) -> Option<String> {
        fs::read_to_string(self.root.join(text)).ok()
    }
}

fn write(root: &Path, text: &str, content: &str) {
    let path = root.join(text);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Every file and folder but the engine's own.
pub(super) fn files(root: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_name() == crate::rules::OWN_FOLDER {
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push((name, None));
                folders.push(path);
            } else {
                found.push((name, fs::read(&path).ok()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_either_side_makes_edits_renames_and_removes_the_other_has() {
    let scene = Scene::new();
    scene.write("from-host/a", "1");
    let mut replica = scene.replica("one");
    replica.write("from-replica/b", "2");
    scene.changed(&mut replica);
    scene.until_equal(&mut replica);
    assert_eq!(scene.read("from-replica/b").as_deref(), Some("2"));
    assert_eq!(replica.read("from-host/a").as_deref(), Some("1"));

    scene.write("from-host/a", "1, edited");
    scene.until(&mut [&mut replica], "an edit on the host", |of| {
        of[0].read("from-host/a").as_deref() == Some("1, edited")
    });
    replica.write("from-replica/b", "2, edited");
    scene.changed(&mut replica);
    scene.until(&mut [&mut replica], "an edit of the replica", |_| {
        scene.read("from-replica/b").as_deref() == Some("2, edited")
    });

    fs::rename(scene.root().join("from-host"), scene.root().join("renamed")).unwrap();
    scene.until(&mut [&mut replica], "a rename on the host", |of| {
        of[0].read("renamed/a").is_some() && !of[0].root.join("from-host").exists()
    });
    fs::rename(replica.root.join("from-replica"), replica.root.join("renamed-too")).unwrap();
    scene.changed(&mut replica);
    scene.until(&mut [&mut replica], "a rename of the replica", |_| {
        scene.read("renamed-too/b").is_some() && !scene.root().join("from-replica").exists()
    });

    fs::remove_dir_all(scene.root().join("renamed")).unwrap();
    scene.until(&mut [&mut replica], "a removal on the host", |of| !of[0].root.join("renamed").exists());
    fs::remove_file(replica.root.join("renamed-too/b")).unwrap();
    scene.changed(&mut replica);
    scene.until_equal(&mut replica);
    assert_eq!(scene.read("renamed-too/b"), None);
    assert!(scene.versions().iter().any(|version| version.path.as_str() == "renamed-too/b"));
    assert!(scene.driver().changes().borrow().problems.is_empty());
}

#[test]
fn an_edit_on_both_sides_keeps_both_on_both() {
    let scene = Scene::new();
    scene.write("note.txt", "base");
    let mut replica = scene.replica("one");
    scene.until_equal(&mut replica);
    scene.control(Control::Pause);
    scene.write("note.txt", "of the host");
    replica.write("note.txt", "of the replica");
    scene.changed(&mut replica);
    let text = |status: &Status| status.replicas[0].differences;
    scene.until(&mut [&mut replica], "both edits are seen", |_| text(&scene.driver().changes().borrow()) > 0);
    assert_eq!(scene.phase("one"), Phase::Paused);
    scene.driver().hint_blocking(RelativePath::new("note.txt").unwrap()).unwrap();
    scene.control(Control::Resume);
    scene.until_equal(&mut replica);
    assert_eq!(scene.read("note.txt").as_deref(), Some("of the host"));
    assert_eq!(scene.read("note.conflict-one-1.txt").as_deref(), Some("of the replica"));
    let conflicts = scene.driver().changes().borrow().conflicts.clone();
    assert_eq!(conflicts.len(), 1);

    let copy = conflicts[0].copy.clone();
    scene.control(Control::Resolve { copy, keep: crate::hub::Keep::Copy });
    scene.until_equal(&mut replica);
    scene.until(&mut [&mut replica], "the copy has the name", |of| {
        of[0].read("note.txt").as_deref() == Some("of the replica")
            && of[0].read("note.conflict-one-1.txt").is_none()
    });
    assert!(scene.driver().changes().borrow().conflicts.is_empty());
    let kept = scene.versions().into_iter().find(|version| version.path.as_str() == "note.txt").unwrap();
    scene.runtime.block_on(scene.driver().restore(kept.id, None)).unwrap();
    scene.until(&mut [&mut replica], "what was displaced is back", |of| {
        of[0].read("note.txt").as_deref() == Some("of the host")
    });
}

#[test]
fn two_replicas_and_the_host_are_equal_and_a_second_session_ends_the_first() {
    let scene = Scene::new();
    let (mut one, mut two) = (scene.replica("one"), scene.replica("two"));
    one.write("a/b/c", "of one");
    scene.changed(&mut one);
    two.write("d", "of two");
    scene.changed(&mut two);
    let root = scene.root();
    scene.until(&mut [&mut one, &mut two], "all three are equal", |of| {
        let host = files(&root);
        host.len() == 4 && of.iter().all(|replica| replica.peer.synced() && files(&replica.root) == host)
    });
    let earlier = one.session.take();
    scene.open(&mut one);
    let mut again = Replica { session: earlier, ..scene.replica("three") };
    scene.until(&mut [&mut again], "the earlier is ended", |of| of[0].ended.is_some());
    assert!(again.ended.unwrap().contains("opened again elsewhere"));
    // The later one is not.
    scene.write("e", "of the host");
    scene.until(&mut [&mut one], "the later goes on", |of| of[0].read("e").is_some());
}
