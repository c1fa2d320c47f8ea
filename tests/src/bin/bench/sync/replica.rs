//! A replica without a browser: a folder of this machine, over the same wire, as durable as the runtime's own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mhnos_protocol::sync::Batch;
use mhnos_sync::host::{Host, Options};
use mhnos_sync::hub::message::FromReplica;
use mhnos_sync::model::{RelativePath, Tree};
use mhnos_sync::peer::Peer;
use mhnos_tests::sync::wire;
use serde_json::json;

use crate::Result;
use crate::client::{Client, Message, Protocol};
use crate::runtime::Runtime;

/// Content the hub may have on its way.
const WINDOW: u64 = 16 << 20;
/// What is carried out, and synced to disk, at once: what has come, and no more than this.
const GATHERED_MESSAGES: usize = 4096;
/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(600);

/// A folder that is kept in sync.
pub(super) struct Replica {
    folder: PathBuf,
    host: Host,
    peer: Peer,
    session: Option<Session>,
}

struct Session {
    client: Client,
    id: u32,
    frames: u64,
    bytes: u64,
}

impl Replica {
    /// A new replica of this folder.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let options = Options { holder: "the bench".into(), versions: None };
        let host = Host::open(folder, &options).map_err(|error| error.to_string())?;
        Ok(Self { folder: folder.to_owned(), host, peer: Peer::new(Tree::default(), 0), session: None })
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a session, in place of the one before.
    pub(super) fn open(&mut self, runtime: &Runtime) -> Result<()> {
        let mut client = runtime.connect(Protocol::V2)?;
        client.expect_much();
        let digest: String = self.peer.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        let reply = client.request(json!({
            "type": "syncOpen", "replica": "0123456789abcdef0123456789abcdef", "name": "bench",
            "sequence": self.peer.sequence(), "digest": digest, "window": WINDOW,
        }))?;
        let id = reply["id"].as_u64().ok_or("the session has no number")?.try_into()?;
        self.session = Some(Session { client, id, frames: 0, bytes: 0 });
        let full = reply["full"].as_bool().unwrap_or_default();
        let said = self.peer.opened(full, &mut self.host)?;
        self.say(said)
    }

    /// Something may have changed at these paths; anywhere, if there are none.
    pub(super) fn changed(&mut self, paths: &[&str]) -> Result<()> {
        let paths =
            paths.iter().map(|path| RelativePath::new(path)).collect::<std::result::Result<Vec<_>, _>>()?;
        let said = self.peer.changed(&paths, &mut self.host)?;
        self.say(said)
    }

    /// Takes part until this holds; it is looked at after each thing the hub says.
    pub(super) fn until(&mut self, mut holds: impl FnMut(&Self) -> bool) -> Result<()> {
        let began = Instant::now();
        while !holds(self) {
            if began.elapsed() > DEADLINE {
                return Err(format!("it is not synced; halted: {:?}", self.peer.halted()).into());
            }
            self.hear()?;
        }
        Ok(())
    }

    /// Until both sides are equal, with so many files and folders.
    pub(super) fn until_synced(&mut self, entries: usize) -> Result<()> {
        self.until(|it| it.peer.synced() && it.peer.told().len() == entries)
    }

    /// Until both sides are equal, with all that is in this folder.
    pub(super) fn until_synced_with(&mut self, host: &Path) -> Result<()> {
        let entries = count(host)?;
        self.until_synced(entries)
    }

    /// Until the hub says something new is agreed, and that both sides are equal.
    pub(super) fn until_committed(&mut self) -> Result<()> {
        let before = self.peer.sequence();
        self.until(|it| it.peer.synced() && it.peer.sequence() > before)
    }

    /// Bytes of frames in both directions, in this session.
    pub(super) fn wire_bytes(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.bytes)
    }

    /// Waits for a frame, and takes those as well that are there already: so they are synced to disk together.
    fn hear(&mut self) -> Result<()> {
        let session = self.session.as_mut().ok_or("there is no session")?;
        let mut messages = Vec::new();
        loop {
            match session.client.next()? {
                Message::Output(payload) => {
                    session.bytes += payload.len() as u64;
                    messages.extend(wire::from_hub(payload)?);
                }
                Message::Text(text) if text.starts_with(br#"{"type":"error""#) => {
                    return Err(String::from_utf8_lossy(text).into_owned().into());
                }
                Message::Text(_) => {}
            }
            if messages.len() >= GATHERED_MESSAGES || !session.client.has_more()? {
                break;
            }
        }
        let said = self.peer.hear_all(messages, &mut self.host)?;
        self.say(said)
    }

    fn say(&mut self, messages: Vec<FromReplica>) -> Result<()> {
        let session = self.session.as_mut().ok_or("there is no session")?;
        let mut batch = Batch::default();
        for record in messages.into_iter().flat_map(wire::to_hub) {
            if let Some(payload) = batch.push(&record) {
                session.send(&payload)?;
            }
        }
        batch.take().map_or(Ok(()), |payload| session.send(&payload))
    }
}

impl Session {
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.bytes += payload.len() as u64;
        self.client.send_sync(self.id, self.frames, payload)?;
        self.frames += 1;
        Ok(())
    }
}

/// Files and folders in a folder, but for the runtime's own.
fn count(folder: &Path) -> Result<usize> {
    let mut entries = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == ".mhnos-sync" {
            continue;
        }
        entries += 1;
        if entry.file_type()?.is_dir() {
            entries += count(&entry.path())?;
        }
    }
    Ok(entries)
}
