//! A replica of the workspace that is a folder of this machine, over the same wire as a browser's disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::sync::Batch;
use mhnos_protocol::v2::{Reply, Request, SyncStatus};
use mhnos_sync::host::{Host, Options};
use mhnos_sync::hub::message::FromReplica;
use mhnos_sync::model::Tree;
use mhnos_sync::peer::Peer;
use mhnos_sync::rules::OWN_FOLDER;
use tempfile::TempDir;

use crate::v2::{Client, Incoming};
use crate::{DEADLINE, Runtime};

pub mod wire;

/// Content the hub may have on its way.
pub const WINDOW: u64 = 8 << 20;
/// How long it listens before it is looked again whether what is waited for is so.
const LISTEN: Duration = Duration::from_millis(5);

/// See the [module's description](self).
pub struct Replica {
    folder: TempDir,
    host: Host,
    peer: Peer,
    key: String,
    session: Option<Session>,
    /// Why its last session was ended.
    pub ended: Option<String>,
    /// Bytes of frames it received, in all sessions.
    pub received: u64,
    /// Whether it had to tell everything when its last session was opened.
    pub was_full: bool,
}

struct Session {
    client: Client,
    id: u32,
    sent: u64,
    received: u64,
}

impl Replica {
    /// A new one, with an empty folder; the number makes its key.
    ///
    /// # Panics
    /// When there is no room for a folder.
    pub fn new(number: u32) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let options = Options { holder: "a test".into(), versions: None };
        let host = Host::open(folder.path(), &options).expect("the folder is ours");
        Self {
            folder,
            host,
            peer: Peer::new(Tree::new(), 0),
            key: format!("{number:032x}"),
            session: None,
            ended: None,
            received: 0,
            was_full: false,
        }
    }

    /// A new one with a session, as a local program.
    pub async fn opened(number: u32, runtime: &Runtime) -> Self {
        let mut replica = Self::new(number);
        replica.open(Client::connect(runtime).await).await;
        replica
    }

    /// Its 32 digits.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The request that opens a session.
    pub fn opening(&self) -> Request {
        Request::SyncOpen {
            replica: self.key.clone(),
            name: format!("disk-{}", self.key.trim_start_matches('0')),
            sequence: self.peer.sequence(),
            digest: self.peer.digest().iter().map(|byte| format!("{byte:02x}")).collect(),
            window: WINDOW,
        }
    }

    /// Opens a session, in place of the one before.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(&mut self, mut client: Client) {
        let id = client.begin(self.opening()).await;
        let full = match client.answer(id).await {
            Reply::SyncOpened { full, .. } => full,
            other => panic!("not opened: {other:?}"),
        };
        (self.was_full, self.ended) = (full, None);
        self.session = Some(Session { client, id, sent: 0, received: 0 });
        let said = self.peer.opened(full, &mut self.host).expect("the folder can be read");
        self.say(said).await;
    }

    /// Cuts the connection.
    pub fn cut(&mut self) {
        self.session = None;
    }

    /// Sees what was changed in its folder, and tells it.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub async fn changed(&mut self) {
        let said = self.peer.changed(&[], &mut self.host).expect("the folder can be read");
        self.say(said).await;
    }

    async fn say(&mut self, said: Vec<FromReplica>) {
        let Some(session) = &mut self.session else { return };
        let mut batch = Batch::default();
        let records = said.into_iter().flat_map(wire::to_hub);
        let mut payloads: Vec<_> = records.filter_map(|record| batch.push(&record)).collect();
        payloads.extend(batch.take());
        for payload in payloads {
            session.client.send_frame(Kind::Sync, session.id, session.sent, &payload).await;
            session.sent += 1;
        }
    }

    /// Takes part until something is so.
    ///
    /// # Panics
    /// When it never is.
    pub async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            let (synced, halted) = (self.peer.synced(), self.peer.halted());
            assert!(
                began.elapsed() < DEADLINE,
                "{what}: synced {synced}, halted {halted:?}, ended {:?}",
                self.ended
            );
            self.hear().await;
        }
    }

    /// Takes part until both sides hold the same, and the hub says so.
    pub async fn until_equal(&mut self, workspace: &Path) {
        self.until("both sides are equal", |replica| {
            replica.peer.synced() && files(replica.folder()) == files(workspace)
        })
        .await;
    }

    /// Carries out what it is told, if anything is told soon.
    ///
    /// # Panics
    /// When what it is told is not what the wire allows.
    pub async fn hear(&mut self) {
        let Some(session) = &mut self.session else { return };
        let Ok(incoming) = tokio::time::timeout(LISTEN, session.client.next()).await else { return };
        match incoming {
            Incoming::Frame(Header { kind, channel, offset }, payload) => {
                assert_eq!((kind, channel, offset), (Kind::Sync, session.id, session.received), "in turn");
                session.received += 1;
                self.received += payload.len() as u64;
                let messages = wire::from_hub(&payload).expect("the runtime sends records");
                let said = self.peer.hear_all(messages, &mut self.host).expect("the folder can be read");
                self.say(said).await;
            }
            Incoming::Reply(Reply::Error { error, .. }) => self.ended = Some(error),
            Incoming::Reply(_) => {}
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the runtime said that both sides are equal.
    pub fn synced(&self) -> bool {
        self.peer.synced()
    }

    /// Why nothing is done; empty: something is.
    pub fn halted(&self) -> &str {
        self.peer.halted()
    }

    /// Puts a file into its folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder can be made");
        std::fs::write(&path, content).expect("the file can be written");
    }

    /// The text of a file of its folder.
    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.folder().join(path)).ok()
    }
}

/// Every file and folder in a folder but the engine's own: path and content.
///
/// # Panics
/// When there are links to nowhere.
pub fn files(root: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            if name == Path::new(OWN_FOLDER) {
                continue;
            }
            if kind.is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                found.push((name, None));
            } else {
                found.push((name, Some(std::fs::read(&path).unwrap_or_default())));
            }
        }
    }
    found.sort();
    found
}

/// How sync stands.
///
/// # Panics
/// When it is not told.
pub async fn status(client: &mut Client) -> SyncStatus {
    match client.request(Request::SyncStatus).await {
        Reply::SyncStatus { status, .. } => status,
        other => panic!("not told: {other:?}"),
    }
}
