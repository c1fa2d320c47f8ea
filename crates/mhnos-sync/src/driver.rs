//! What keeps a folder and its replicas in sync while a program runs: the hub, the folder, the index, the watches, and the threads they live on.
//!
//! ```text
//! sessions, requests ──► inputs (bounded) ──► hub ──► work ──► host folder, watches
//!                             ▲                │└──► saves ──► index
//!                             └── results, hints ◄──────┘
//! ```
//!
//! Each has a thread of its own, and only that thread touches it. The hub's never waits for another: so the bounded queue into it always empties, and
//! whoever sends more than it takes waits. What it hands out is bounded by what the hub allows to be under way ([`crate::hub`]), and for a replica
//! that does not read by [`UNREAD_BYTES`].

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::host::{self, Host, OpenError};
use crate::hub::message::{FromReplica, ToReplica};
use crate::hub::state::Conflict;
use crate::hub::status::{Activity, Status};
use crate::hub::{Control, Hub, Opening};
use crate::index::Index;
use crate::model::{Node, RelativePath, Tree};
use crate::rules::Rules;
use crate::versions::{Limits, Version};

mod folder;
mod hub;
#[cfg(test)]
mod tests;

use folder::Job;
use hub::Event;

/// Inputs that wait for the hub. Beyond it, who sends waits.
const INPUTS: usize = 1024;
/// Bytes handed out to a session that its replica has not taken. Beyond it the session is ended: it asks for what it does not read.
pub const UNREAD_BYTES: usize = 160 << 20;
/// The hub hears what waits for it for so long when it is to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Activities a subscriber may be behind. Beyond it, it misses the oldest.
const ACTIVITIES: usize = 1024;

/// What is synced, and where what is remembered of it lies.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder, which must be there.
    pub folder: PathBuf,
    /// The index; best not in the folder.
    pub index: PathBuf,
    /// Where versions are kept, and how many.
    pub versions: (PathBuf, Limits),
    /// Who syncs it, for whoever wants to as well; see [`host::Options::holder`].
    pub holder: String,
}

/// The sync has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sync has stopped")]
pub struct Stopped;

/// How a replica opens a session; see [`Opening`].
#[derive(Clone, Debug)]
pub struct Hello {
    /// Who it is.
    pub key: Arc<str>,
    /// How a person knows it.
    pub name: String,
    /// The last sequence it was told.
    pub sequence: u64,
    /// The digest of what it told.
    pub digest: [u8; 32],
    /// Bytes of content that may be on their way to it.
    pub window: u64,
}

/// What a session is told.
#[derive(Debug)]
pub enum ToSession {
    /// For the replica.
    Message(ToReplica),
    /// It is over: why.
    Ended(String),
}

/// An open session. Dropped, it ends.
pub struct Session {
    number: u64,
    /// How often the replica joined by union.
    pub epoch: u64,
    /// Where the hub is with this replica.
    pub sequence: u64,
    /// Whether it must observe everything.
    pub full: bool,
    inputs: mpsc::Sender<Event>,
    messages: mpsc::UnboundedReceiver<ToSession>,
    unread: Arc<hub::Unread>,
}

impl Session {
    /// What is to be told to the replica next; `None`: the sync has stopped.
    pub async fn next(&mut self) -> Option<ToSession> {
        let message = self.messages.recv().await?;
        Some(self.taken(message))
    }

    /// The same if it is there already.
    pub fn try_next(&mut self) -> Option<ToSession> {
        let message = self.messages.try_recv().ok()?;
        Some(self.taken(message))
    }

    fn taken(&self, message: ToSession) -> ToSession {
        if let ToSession::Message(message) = &message {
            self.unread.taken(message);
        }
        message
    }

    /// What says something on behalf of the replica.
    pub fn speaker(&self) -> Speaker {
        Speaker { number: self.number, inputs: self.inputs.clone() }
    }
}

/// Says what a replica says.
#[derive(Clone)]
pub struct Speaker {
    number: u64,
    inputs: mpsc::Sender<Event>,
}

impl Speaker {
    /// Hands the hub a message. Waits while the hub has much to do.
    ///
    /// # Errors
    /// When the sync has stopped.
    pub async fn say(&self, message: FromReplica) -> Result<(), Stopped> {
        let event = Event::Message { session: self.number, message };
        self.inputs.send(event).await.map_err(|_| Stopped)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (inputs, session) = (self.inputs.clone(), self.number);
        // The queue may be full, and a drop cannot wait.
        if let Err(mpsc::error::TrySendError::Full(event)) = inputs.try_send(Event::Closed { session }) {
            std::thread::spawn(move || inputs.blocking_send(event));
        }
    }
}

/// See the [module's description](self).
pub struct Driver {
    inputs: mpsc::Sender<Event>,
    jobs: std::sync::mpsc::Sender<Job>,
    status: watch::Receiver<Arc<Status>>,
    activities: broadcast::Sender<Activity>,
    rules: watch::Receiver<Arc<Rules>>,
    /// Since when it is to stop.
    stopping: Arc<OnceLock<Instant>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Driver {
    /// Opens the folder and begins to sync it.
    ///
    /// # Errors
    /// When another runtime syncs it, or something cannot be opened.
    pub fn start(options: Options) -> Result<Self, OpenError> {
        let mut index = Index::open(&options.index)?;
        let host_options = host::Options { holder: options.holder, versions: Some(options.versions) };
        // The lock first: an index must not be touched while another runtime writes it.
        let mut host = Host::open(&options.folder, &host_options)?;
        if !index.claim(host.identity())? {
            tracing::info!(folder = %options.folder.display(), "sync begins anew with this folder");
        }
        let rows = index.host_rows()?;
        let tree: Tree = rows.iter().map(|row| (row.path.clone(), row.node)).collect();
        host.remember(rows);
        let saved = index.load(tree)?;
        let rules = Arc::clone(host.rules());
        let hub = Hub::new(saved, rules.clone());

        let (inputs, events) = mpsc::channel(INPUTS);
        let (jobs, job_queue) = std::sync::mpsc::channel();
        let (saves, save_queue) = std::sync::mpsc::channel();
        let (status_out, status) = watch::channel(Arc::new(hub.status()));
        let (rules_out, rules) = watch::channel(rules);
        let (activities, _) = broadcast::channel(ACTIVITIES);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run)
        };
        let (to_hub, to_host) = (inputs.clone(), jobs.clone());
        let folder_thread = spawn(
            "sync folder",
            Box::new(move || folder::run(host, &job_queue, &to_host, &to_hub, &rules_out)),
        )?;
        let to_hub = inputs.clone();
        let index_thread =
            spawn("sync index", Box::new(move || hub::run_index(index, &save_queue, &to_hub)))?;
        let stopping = Arc::new(OnceLock::new());
        let (hub_jobs, hub_activities, hub_stopping) =
            (jobs.clone(), activities.clone(), Arc::clone(&stopping));
        let hub_thread = spawn(
            "sync hub",
            Box::new(move || {
                hub::run(hub, events, hub_jobs, saves, &status_out, &hub_activities, &hub_stopping);
            }),
        )?;
        let threads = Mutex::new(vec![hub_thread, folder_thread, index_thread]);
        Ok(Self { inputs, jobs, status, activities, rules, stopping, threads })
    }

    /// Opens a session. A replica has one; a further one ends the earlier.
    ///
    /// # Errors
    /// When the sync has stopped.
    pub async fn open(&self, hello: Hello) -> Result<Session, Stopped> {
        let (reply, opened) = oneshot::channel();
        self.send(Event::Open { hello, reply }).await?;
        let hub::Opened { number, epoch, sequence, full, messages, unread } =
            opened.await.map_err(|_| Stopped)?;
        Ok(Session { number, epoch, sequence, full, inputs: self.inputs.clone(), messages, unread })
    }

    /// Does what a person asks for.
    ///
    /// # Errors
    /// When the sync has stopped.
    pub async fn control(&self, control: Control) -> Result<(), Stopped> {
        let (reply, done) = oneshot::channel();
        self.send(Event::Control { control, reply }).await?;
        done.await.map_err(|_| Stopped)
    }

    /// Waits until what was given to the folder before this call is done.
    ///
    /// # Errors
    /// When the sync has stopped.
    pub async fn settled(&self) -> Result<(), Stopped> {
        let (reply, done) = oneshot::channel();
        self.jobs.send(Job::Settled { reply }).map_err(|_| Stopped)?;
        done.await.map_err(|_| Stopped)
    }

    /// Says that something may have changed at a path, without waiting for the watch to say so.
    ///
    /// # Errors
    /// When the sync has stopped.
    pub fn hint_blocking(&self, path: RelativePath) -> Result<(), Stopped> {
        self.inputs.blocking_send(Event::Hint(vec![path])).map_err(|_| Stopped)
    }

    /// How everything stands after all that was said to the sync before this call. What [`Self::changes`] shows may be a moment older.
    ///
    /// # Errors
    /// When the sync has stopped.
    pub async fn status(&self) -> Result<Arc<Status>, Stopped> {
        let (reply, status) = oneshot::channel();
        self.send(Event::Status { reply }).await?;
        status.await.map_err(|_| Stopped)
    }

    /// How everything stands, and that it has changed.
    pub fn changes(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// What is done from now on.
    pub fn activities(&self) -> broadcast::Receiver<Activity> {
        self.activities.subscribe()
    }

    /// What is ignored now.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// The versions of this file, or of the files in this folder; of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn versions(&self, path: Option<RelativePath>) -> io::Result<Vec<Version>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Versions { path, reply }, answer).await
    }

    /// Puts a version in its place again, or elsewhere. What is there becomes a version itself.
    ///
    /// # Errors
    /// When it is not kept any more, or cannot be written: a sentence.
    pub async fn restore(&self, id: i64, to: Option<RelativePath>) -> io::Result<Version> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Restore { id, to, reply }, answer).await
    }

    /// Keeps what is at a path as a version, because somebody is about to replace it by other means than the sync.
    ///
    /// # Errors
    /// When it cannot be kept; it must not be replaced then.
    pub fn keep_blocking(&self, path: RelativePath) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other(Stopped);
        self.jobs.send(Job::Keep { path, reply }).map_err(|_| gone())?;
        answer.blocking_recv().map_err(|_| gone())?
    }

    /// What is at a path now, by its content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn node_blocking(&self, path: RelativePath) -> io::Result<Option<Node>> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other(Stopped);
        self.jobs.send(Job::Node { path, reply }).map_err(|_| gone())?;
        answer.blocking_recv().map_err(|_| gone())?
    }

    /// Lists a conflict that came about by other means than the sync.
    ///
    /// # Errors
    /// When the sync has stopped.
    pub fn conflict_blocking(&self, conflict: Conflict) -> Result<(), Stopped> {
        let (reply, done) = oneshot::channel();
        let control = Control::Conflict(conflict);
        self.inputs.blocking_send(Event::Control { control, reply }).map_err(|_| Stopped)?;
        done.blocking_recv().map_err(|_| Stopped)
    }

    /// Ends all sessions, writes down what is to be remembered, and lets go of the folder. To be called where waiting is allowed. What was said
    /// before is heard if that takes no more than two seconds; else it is seen again when the sync starts.
    pub fn stop_blocking(&self) {
        self.stopping.get_or_init(Instant::now);
        let _ = self.inputs.blocking_send(Event::Stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the sync ended in a panic");
            }
        }
    }

    async fn send(&self, event: Event) -> Result<(), Stopped> {
        self.inputs.send(event).await.map_err(|_| Stopped)
    }

    async fn ask<T>(&self, job: Job, answer: oneshot::Receiver<io::Result<T>>) -> io::Result<T> {
        self.jobs.send(job).map_err(|_| io::Error::other(Stopped))?;
        answer.await.map_err(|_| io::Error::other(Stopped))?
    }
}

/// The same as [`Opening`], with a number.
fn opening(session: u64, hello: Hello) -> Opening {
    let Hello { key, name, sequence, digest, window } = hello;
    Opening { session, key, name, sequence, digest, window }
}
