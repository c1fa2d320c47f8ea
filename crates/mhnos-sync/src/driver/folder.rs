//! The thread of the host's folder: it looks, reads, stages and applies, one thing after the other, and gathers what the watch says meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::hub::Event;
use crate::host::Host;
use crate::hub::work::{Work, WorkResult};
use crate::index::HostChange;
use crate::model::{Node, RelativePath};
use crate::rules::Rules;
use crate::side::Side;
use crate::tree::Ignores;
use crate::versions::Version;
use crate::watch::Watch;

/// How often it is looked whether the folder is still the one it was: neither its being unmounted nor its coming back makes an event everywhere.
const ROOT_CHECK: Duration = Duration::from_secs(2);
/// Everything is looked at so often, whatever was watched: there are file systems that tell nothing.
const FULL_LOOK: Duration = Duration::from_secs(10 * 60);
/// The same where not everything can be watched; or twenty times as long as looking takes, if that is more.
const UNWATCHED_LOOK: Duration = Duration::from_secs(3);

/// What could not be read is not asked for again before the hub had time to have it looked at.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// What the thread is asked for.
pub(super) enum Job {
    Work {
        ticket: u64,
        work: Work,
    },
    Versions {
        path: Option<RelativePath>,
        reply: oneshot::Sender<io::Result<Vec<Version>>>,
    },
    Restore {
        id: i64,
        to: Option<RelativePath>,
        reply: oneshot::Sender<io::Result<Version>>,
    },
    Keep {
        path: RelativePath,
        reply: oneshot::Sender<io::Result<()>>,
    },
    Node {
        path: RelativePath,
        reply: oneshot::Sender<io::Result<Option<Node>>>,
    },
    Settled {
        reply: oneshot::Sender<()>,
    },
    /// The watch has something.
    Wake,
    Stop,
}

struct Folder<'a> {
    host: Host,
    watch: Watch,
    inputs: &'a mpsc::Sender<Event>,
    rules_out: &'a watch::Sender<Arc<Rules>>,
    rules: Arc<Rules>,
    is_there: bool,
    full_look: Instant,
    look_took: Duration,
}

/// Runs until it is stopped.
pub(super) fn run(
    host: Host,
    jobs: &Receiver<Job>,
    wake: &Sender<Job>,
    inputs: &mpsc::Sender<Event>,
    rules_out: &watch::Sender<Arc<Rules>>,
) {
    let rules = Arc::clone(host.rules());
    let wake = wake.clone();
    let watch = Watch::new(host.path(), Arc::clone(&rules), move || drop(wake.send(Job::Wake)));
    let mut folder = Folder {
        host,
        watch,
        inputs,
        rules_out,
        rules,
        is_there: true,
        full_look: Instant::now(),
        look_took: Duration::ZERO,
    };
    // What is known from before is watched before it is looked at for the first time.
    let known = folder.host.folders();
    folder.watch.follow(&[], known);
    let mut root_check = Instant::now() + ROOT_CHECK;
    let mut asked_again = Instant::now();
    loop {
        let mut next = root_check.min(folder.full_look + folder.full_look_after());
        if let Some(due) = folder.watch.due() {
            next = next.min(due);
        }
        if let Some((at, _)) = folder.host.look_again() {
            next = next.min(at.max(asked_again + ASKED_AGAIN));
        }
        match jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(job) => folder.carry_out(job),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        if folder.watch.due().is_some_and(|due| due <= now)
            && let Some(paths) = folder.watch.take()
        {
            folder.hint(paths);
        }
        if let Some((at, paths)) = folder.host.look_again()
            && at.max(asked_again + ASKED_AGAIN) <= now
        {
            asked_again = now;
            folder.hint(paths);
        }
        if folder.full_look + folder.full_look_after() <= now {
            folder.full_look = now;
            folder.hint(Vec::new());
        }
        if root_check <= now {
            root_check = now + ROOT_CHECK;
            let is_there = folder.host.is_there();
            if is_there != folder.is_there {
                folder.is_there = is_there;
                folder.hint(Vec::new());
            }
        }
    }
}

impl Folder<'_> {
    fn full_look_after(&self) -> Duration {
        match self.watch.limited() {
            Some(_) => UNWATCHED_LOOK.max(self.look_took * 20),
            None => FULL_LOOK,
        }
    }

    fn hint(&self, paths: Vec<RelativePath>) {
        // If the hub is gone, this thread is told to stop.
        let _ = self.inputs.blocking_send(Event::Hint(paths));
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Work { ticket, work } => {
                let result = self.work(work);
                let rows = self.rows();
                let _ = self.inputs.blocking_send(Event::WorkDone { ticket, result, rows });
            }
            Job::Versions { path, reply } => {
                let list = self.host.versions().map(|versions| versions.list(path.as_ref()));
                let _ = reply.send(list.unwrap_or_else(|| Ok(Vec::new())));
            }
            Job::Restore { id, to, reply } => {
                let restored = self.host.restore(id, to);
                if let Ok((version, path)) = &restored {
                    tracing::info!(version = version.id, path = %path, "a version was restored");
                    self.hint(vec![path.clone()]);
                }
                let _ = reply.send(restored.map(|(version, _)| version));
            }
            Job::Keep { path, reply } => drop(reply.send(self.host.keep(&path))),
            Job::Node { path, reply } => drop(reply.send(self.host.node_at(&path))),
            Job::Settled { reply } => drop(reply.send(())),
            Job::Wake | Job::Stop => {}
        }
    }

    fn work(&mut self, work: Work) -> WorkResult {
        let Work::Observe(mut paths) = work else {
            let result = work.carry_out(&mut self.host);
            if self.has_other_rules() {
                // They came from a replica: what is no longer ignored has never been looked at.
                self.hint(Vec::new());
            }
            return result;
        };
        if self.has_other_rules() {
            paths.clear();
        }
        // In order, so that a folder comes before what is in it, and is looked at with all of that.
        paths.dedup_by(|path, before| path == before || path.is_in(before));
        let began = Instant::now();
        // Of all the folder only what differs is told: the first time that is all of it.
        let observations = if paths.is_empty() {
            self.host.changes(&[]).map(|observation| vec![observation])
        } else {
            paths.iter().map(|path| self.host.observe(std::slice::from_ref(path))).collect()
        };
        if paths.is_empty() {
            self.look_took = began.elapsed();
            self.full_look = Instant::now();
        }
        self.is_there = observations.is_ok();
        let rules = self.has_other_rules().then(|| {
            let now = self.host.rules();
            self.rules = Arc::clone(now);
            self.watch.set_rules(Arc::clone(now));
            self.rules_out.send_replace(Arc::clone(now));
            Arc::clone(now) as Arc<dyn Ignores>
        });
        WorkResult::Observed { observations, rules }
    }

    /// Whether other paths are ignored than the hub knows.
    fn has_other_rules(&self) -> bool {
        !Arc::ptr_eq(self.host.rules(), &self.rules)
    }

    /// What the index is to be given; the watches follow it.
    fn rows(&mut self) -> Vec<HostChange> {
        let rows = self.host.take_unsaved();
        let is_folder = |row: &HostChange| row.1.as_ref().is_some_and(|row| row.node == Node::Directory);
        let gone: Vec<_> = rows.iter().filter(|row| !is_folder(row)).map(|row| row.0.clone()).collect();
        let there = rows.iter().filter(|row| is_folder(row)).map(|row| row.0.clone()).collect();
        let mut new = self.watch.follow(&gone, there);
        // What happened in them before they were watched is not lost: they are looked at once more, the uppermost with all that is in them.
        new.dedup_by(|path, before| path.is_in(before));
        if new.is_empty() {
            return rows;
        }
        // A folder that was renamed is seen to be so only when both its names are looked at together: so with what is gone beside it, and what was gathered.
        new.extend(self.host.gone_beside(&new));
        match self.watch.take() {
            Some(gathered) if gathered.is_empty() => new.clear(),
            Some(gathered) => new.extend(gathered),
            None => {}
        }
        if new.len() > crate::watch::GATHERED {
            new.clear();
        }
        self.hint(new);
        rows
    }
}
