//! The host on real folders. What each part is for stands in its own file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::model::Content;
use crate::side::Action;

mod applying;
mod crash;
mod large;
mod looking;
mod trouble;

/// A workspace in a folder of its own, with a versions store and something beside it that nobody may touch.
pub(super) struct Scene {
    parent: TempDir,
    host: Option<Host>,
}

pub(super) fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

pub(super) fn file(content: &[u8]) -> Option<Node> {
    Some(Node::File { content: Content::of(content), size: content.len() as u64, executable: false })
}

pub(super) fn script(content: &[u8]) -> Option<Node> {
    Some(Node::File { content: Content::of(content), size: content.len() as u64, executable: true })
}

pub(super) fn blocks(content: &[u8]) -> Vec<[u8; 32]> {
    content.chunks(BLOCK_BYTES as usize).map(|block| *blake3::hash(block).as_bytes()).collect()
}

/// Bytes that look random and are the same every time.
pub(super) fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

pub(super) fn put(at: &str, expect: Option<Node>, content: &[u8]) -> Order {
    let action = Action::Put {
        content: Content::of(content),
        size: content.len() as u64,
        executable: false,
        copy_from: None,
    };
    Order { path: path(at), expect, action }
}

pub(super) fn remove(at: &str, expect: Option<Node>) -> Order {
    Order { path: path(at), expect, action: Action::Remove }
}

pub(super) fn make(at: &str) -> Order {
    Order { path: path(at), expect: None, action: Action::MakeDirectory }
}

pub(super) fn move_to(at: &str, expect: Option<Node>, from: &str, moved: Node) -> Order {
    Order { path: path(at), expect, action: Action::Move { from: path(from), moved } }
}

impl Scene {
    pub(super) fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        for folder in ["ws", "ws-sibling", "elsewhere"] {
            fs::create_dir(parent.path().join(folder)).unwrap();
        }
        fs::write(parent.path().join("secret"), "secret").unwrap();
        let mut scene = Self { parent, host: None };
        scene.reopen(Vec::new());
        scene
    }

    /// Ends the host, and opens the folder anew with what an index would have kept.
    pub(super) fn reopen(&mut self, rows: Vec<HostRow>) {
        self.host = None;
        let options = Options {
            holder: "the test".into(),
            versions: Some((self.parent.path().join("versions"), Limits::default())),
        };
        let mut host = Host::open(&self.root(), &options).unwrap();
        host.remember(rows);
        self.host = Some(host);
    }

    pub(super) fn root(&self) -> PathBuf {
        self.parent.path().join("ws")
    }

    pub(super) fn at(&self, text: &str) -> PathBuf {
        self.root().join(text)
    }

    pub(super) fn beside(&self, text: &str) -> PathBuf {
        self.parent.path().join(text)
    }

    pub(super) fn write(&self, text: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(text).parent().unwrap()).unwrap();
        fs::write(self.at(text), content).unwrap();
    }

    pub(super) fn host(&mut self) -> &mut Host {
        self.host.as_mut().unwrap()
    }

    /// Stages small contents and carries orders out.
    pub(super) fn apply(&mut self, contents: &[&[u8]], orders: &[Order]) -> Vec<Outcome> {
        for content in contents {
            self.host().stage(Content::of(content), content.len() as u64, 0, content).unwrap();
        }
        self.host().apply(orders)
    }

    /// What is told of everything.
    pub(super) fn everything(&mut self) -> Vec<(String, Option<Node>)> {
        shown(&self.host().observe(&[]).unwrap())
    }

    pub(super) fn changes(&mut self, paths: &[&str]) -> Vec<(String, Option<Node>)> {
        let paths: Vec<_> = paths.iter().map(|text| path(text)).collect();
        shown(&self.host().changes(&paths).unwrap())
    }

    pub(super) fn problems(&mut self) -> Vec<(String, String)> {
        let observation = self.host().observe(&[]).unwrap();
        let mut problems: Vec<_> =
            observation.problems.into_iter().map(|problem| (problem.path, problem.reason)).collect();
        problems.sort();
        problems
    }

    /// The contents of the versions of a path, the latest first.
    pub(super) fn versions(&mut self, text: &str) -> Vec<Vec<u8>> {
        let versions = self.host().versions().unwrap();
        let read = |version: &Version| {
            let mut bytes = Vec::new();
            versions.open_version(version.id).unwrap().1.read_to_end(&mut bytes).unwrap();
            bytes
        };
        versions.list(Some(&path(text))).unwrap().iter().map(read).collect()
    }

    pub(super) fn staged(&self) -> Vec<String> {
        staged_in(&self.at(""))
    }

    pub(super) fn mode(&self, text: &str) -> u32 {
        fs::metadata(self.at(text)).unwrap().permissions().mode() & 0o7777
    }

    pub(super) fn set_mode(&self, text: &str, mode: u32) {
        fs::set_permissions(self.at(text), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The files in the stage folder of this root, and of the folders in it.
fn staged_in(root: &Path) -> Vec<String> {
    let (mut folders, mut files) = (vec![root.join(".mhnos-sync/stage")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.file_name().into_string().unwrap());
            }
        }
    }
    files
}

fn shown(observation: &Observation) -> Vec<(String, Option<Node>)> {
    let mut nodes: Vec<_> = observation.nodes.iter().map(|(path, node)| (path.to_string(), *node)).collect();
    nodes.sort_by(|one, other| one.0.cmp(&other.0));
    nodes
}
