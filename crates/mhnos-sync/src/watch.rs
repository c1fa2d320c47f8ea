//! Watching a folder: hints where something may have changed, and nothing more. What has changed is told by looking.
//!
//! Each folder that is synced has a watch of its own, so that what is ignored (`node_modules`) costs none. Events are gathered until none came
//! for [`QUIET`], at most for [`LONGEST`]. A lost event, an overflow or a folder that could not be watched only makes a change seen later: then
//! everything is looked at ([`Watch::limited`], [`crate::driver`]).
//!
//! A watch belongs to a folder and not to its name: of a folder that was deleted and made again, or moved away and back, nothing is told any more although
//! it looks as before. So where a folder came or went, the watches there are begun anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::model::RelativePath;
use crate::rules::Rules;

/// Gathered events are told when none came for so long.
pub const QUIET: Duration = Duration::from_millis(50);
/// They are told after so long in any case.
pub const LONGEST: Duration = Duration::from_millis(500);
/// Paths gathered at most. Beyond it everything is looked at, which is quicker by then.
pub const GATHERED: usize = 2000;

/// What was gathered.
#[derive(Debug, Default)]
struct Gathered {
    paths: BTreeSet<RelativePath>,
    everything: bool,
    /// Where a folder came or went.
    folders: BTreeSet<RelativePath>,
    /// It may have come or gone anywhere.
    folders_anywhere: bool,
    /// When the first and the last of them came.
    span: Option<(Instant, Instant)>,
}

/// What the watcher's own thread and ours share.
struct Shared {
    root: PathBuf,
    /// Guards nothing else, and is held for a few steps only.
    gathered: Mutex<Gathered>,
    rules: Mutex<Arc<Rules>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// See the [module's description](self).
pub(crate) struct Watch {
    shared: Arc<Shared>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<RelativePath>,
    limited: Option<String>,
}

impl Watch {
    /// Watches a folder, but none of those in it yet. `wake` is called, on another thread, when there is a first event.
    pub(crate) fn new(root: &Path, rules: Arc<Rules>, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            gathered: Mutex::default(),
            rules: Mutex::new(rules),
            wake: Box::new(wake),
        });
        let own = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| own.take(event));
        let mut watch = Self { shared, watcher: None, watched: BTreeSet::new(), limited: None };
        match watcher {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.limit(&error),
        }
        watch.begin(root);
        watch
    }

    /// Other paths are ignored now.
    pub(crate) fn set_rules(&self, rules: Arc<Rules>) {
        *lock(&self.shared.rules) = rules;
    }

    /// Follows what was seen: `gone` are no folders any more, `there` are. True for each that is new: what is in it may have changed before
    /// it was watched.
    pub(crate) fn follow(&mut self, gone: &[RelativePath], there: Vec<RelativePath>) -> Vec<RelativePath> {
        // First what is gone: a folder that was renamed is the same one to the system, and its watch ends with its old name.
        for path in gone {
            if self.watched.remove(path)
                && let Some(watcher) = &mut self.watcher
            {
                // Of a folder that was removed the system ended the watch itself.
                let _ = watcher.unwatch(&self.shared.root.join(path.as_str()));
            }
        }
        let mut new = Vec::new();
        for path in there {
            if !self.watched.contains(&path) {
                self.begin(&self.shared.root.join(path.as_str()));
                self.watched.insert(path.clone());
                new.push(path);
            }
        }
        new
    }

    /// Why not everything is watched, if so: the end of a sentence that begins with the folder.
    pub(crate) fn limited(&self) -> Option<&str> {
        self.limited.as_deref()
    }

    /// When what was gathered is to be taken; `None`: nothing was.
    pub(crate) fn due(&self) -> Option<Instant> {
        lock(&self.shared.gathered).span.map(|(first, last)| (last + QUIET).min(first + LONGEST))
    }

    /// What was gathered; no paths: everything.
    pub(crate) fn take(&mut self) -> Option<Vec<RelativePath>> {
        let gathered = std::mem::take(&mut *lock(&self.shared.gathered));
        gathered.span?;
        if gathered.folders_anywhere {
            let all: Vec<_> = self.watched.iter().cloned().collect();
            for path in &all {
                self.begin_anew(path);
            }
            let root = self.shared.root.clone();
            self.begin(&root);
        } else {
            gathered.folders.iter().for_each(|path| self.renew(path));
        }
        Some(if gathered.everything { Vec::new() } else { gathered.paths.into_iter().collect() })
    }

    /// Begins the watches at a path and in it anew. While no folder is there, those in it are left: they are begun anew when one comes.
    fn renew(&mut self, path: &RelativePath) {
        let at_or_in = |other: &&RelativePath| *other == path || other.is_in(path);
        let watched: Vec<_> = self.watched.range(path..).take_while(at_or_in).cloned().collect();
        for path in watched {
            if !self.begin_anew(&path) {
                return;
            }
        }
    }

    fn begin_anew(&mut self, path: &RelativePath) -> bool {
        let folder = self.shared.root.join(path.as_str());
        if let Some(watcher) = &mut self.watcher {
            // The system may have ended it already.
            let _ = watcher.unwatch(&folder);
        }
        self.begin(&folder)
    }

    /// False when there is no such folder: it is seen to be gone.
    fn begin(&mut self, folder: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else { return true };
        let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) else { return true };
        let is_gone = match &error.kind {
            ErrorKind::PathNotFound => true,
            ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        };
        if !is_gone {
            self.limit(&error);
        }
        !is_gone
    }

    fn limit(&mut self, error: &notify::Error) {
        if self.limited.is_some() {
            return;
        }
        let reason = match error.kind {
            ErrorKind::MaxFilesWatch => {
                "has more folders than the system watches, so changes are found by looking now and then: raise \
                 fs.inotify.max_user_watches"
                    .to_owned()
            }
            _ => format!("cannot be watched, so changes are found by looking now and then: {error}"),
        };
        tracing::warn!(folder = %self.shared.root.display(), "{reason}");
        self.limited = Some(reason);
    }
}

impl Shared {
    /// On the watcher's thread.
    fn take(&self, event: notify::Result<Event>) {
        let of_folder = event.as_ref().is_ok_and(|event| may_be_of_a_folder(&event.kind));
        let paths = match event {
            Ok(event) if event.need_rescan() => None,
            Ok(event) if is_a_change(&event.kind) => {
                let rules = Arc::clone(&lock(&self.rules));
                event.paths.iter().map(|path| self.within(path, &rules)).collect()
            }
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "watching: something was missed, everything is looked at");
                None
            }
        };
        if paths.as_ref().is_some_and(|paths: &Vec<_>| paths.iter().all(Option::is_none)) {
            return;
        }
        let now = Instant::now();
        let first = {
            let mut gathered = lock(&self.gathered);
            match paths {
                Some(paths) => {
                    if of_folder && !gathered.folders_anywhere {
                        gathered.folders.extend(paths.iter().flatten().cloned());
                    }
                    gathered.paths.extend(paths.into_iter().flatten());
                }
                None => {
                    gathered.everything = true;
                    gathered.folders_anywhere = true;
                }
            }
            gathered.folders_anywhere |= gathered.folders.len() > GATHERED;
            if gathered.folders_anywhere {
                gathered.folders.clear();
            }
            gathered.everything |= gathered.paths.len() > GATHERED;
            if gathered.everything {
                gathered.paths.clear();
            }
            let first = gathered.span.is_none();
            gathered.span = Some((gathered.span.map_or(now, |(first, _)| first), now));
            first
        };
        if first {
            (self.wake)();
        }
    }

    /// Outer `None`: the root itself, or a name that is none of ours, so that everything is to be looked at. Inner `None`: it is ignored.
    fn within(&self, path: &Path, rules: &Rules) -> Option<Option<RelativePath>> {
        let inner = path.strip_prefix(&self.root).ok()?;
        if inner.as_os_str().is_empty() {
            return None;
        }
        let Some(path) = inner.to_str().and_then(|text| RelativePath::new(text).ok()) else {
            // Its name cannot be synced, which is told of the folder it is in.
            let parent = inner.parent().and_then(Path::to_str);
            return parent.and_then(|text| RelativePath::new(text).ok()).map(Some);
        };
        Some((!rules.ignores(&path, false) || !rules.ignores(&path, true)).then_some(path))
    }
}

fn is_a_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Whether a folder may have come, gone or moved.
fn may_be_of_a_folder(kind: &EventKind) -> bool {
    match kind {
        EventKind::Create(kind) => *kind != CreateKind::File,
        EventKind::Remove(kind) => *kind != RemoveKind::File,
        EventKind::Modify(kind) => matches!(kind, ModifyKind::Name(_)),
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
