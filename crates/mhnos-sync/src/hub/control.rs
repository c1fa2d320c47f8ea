//! What a person asks for.

use std::sync::Arc;

use crate::hub::replica::Dirty;
use crate::hub::state::{Change, Conflict};
use crate::hub::status::Activity;
use crate::hub::{Effect, Hub};
use crate::model::{Node, RelativePath};
use crate::plan::{Agreed, Step, Which};
use crate::side::{Action, Order};

/// See the [module's description](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Plan and apply nothing. What is under way is carried out, and what changes is noted.
    Pause,
    /// Go on.
    Resume,
    /// Look at everything again on all sides, and try again what could not be done.
    Rescan,
    /// What vanished was deleted on purpose. Of one replica's halt, or of all. Where a disk was full it no longer is.
    Confirm(Option<Arc<str>>),
    /// What vanished is to come back from the other side. Of one replica's halt, or of all.
    Restore(Option<Arc<str>>),
    /// Two people wrote one file by other means than the sync, and both are kept.
    Conflict(Conflict),
    /// A person has looked at a conflict.
    Resolve {
        /// The conflict's copy.
        copy: RelativePath,
        /// What is to be kept.
        keep: Keep,
    },
    /// Sessions of all replicas whose key begins with this are ended, and none of what they sent is begun any more.
    Disconnect(String),
    /// A replica is not to be remembered. It joins by union when it comes again.
    Forget(Arc<str>),
}

/// What is to be kept of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The file that kept its name. The copy is removed, on the host to the versions.
    Original,
    /// The copy takes the name. What had it is kept in the versions.
    Copy,
    /// Both stay as they are.
    Both,
}

impl Hub {
    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::Pause => self.paused = true,
            Control::Resume => self.paused = false,
            Control::Rescan => self.rescan_all(),
            Control::Confirm(key) => self.halted(key.as_ref(), true),
            Control::Restore(key) => self.halted(key.as_ref(), false),
            Control::Conflict(conflict) => {
                self.saving.changes.push(Change::Conflict(conflict.clone()));
                self.effects.push(Effect::Activity(Activity::Conflict(conflict.clone())));
                self.conflicts.insert(conflict.copy.clone(), conflict);
            }
            Control::Resolve { copy, keep } => self.resolve(copy, keep),
            Control::Disconnect(beginning) => {
                let keys: Vec<_> =
                    self.replicas.keys().filter(|key| key.starts_with(&beginning)).cloned().collect();
                keys.iter().for_each(|key| self.end(key, "is no longer allowed"));
            }
            Control::Forget(key) => {
                self.end(&key, "is no longer remembered");
                // Orders the host was given for it are still under way.
                if self.replicas.get(&key).is_some_and(|replica| replica.steps == 0)
                    && self.replicas.remove(&key).is_some()
                {
                    self.saving.changes.push(Change::Forgotten { key });
                }
            }
        }
    }

    fn rescan_all(&mut self) {
        self.host_down = None;
        self.saving.stopped = false;
        self.hint(Vec::new());
        let keys: Vec<_> = self.replicas.keys().cloned().collect();
        for key in keys {
            if let Some(replica) = self.replicas.get_mut(&key) {
                replica.retry_all();
            }
            self.rescan(Some(&key));
        }
        self.tell_halts();
    }

    fn halted(&mut self, key: Option<&Arc<str>>, confirmed: bool) {
        if self.host_down.take().is_some() {
            self.saving.stopped = false;
            self.hint(Vec::new());
        }
        for (own, replica) in &mut self.replicas {
            if key.is_some_and(|key| key != own) {
                continue;
            }
            let Some(halt) = replica.halt.take() else { continue };
            replica.dirty = Dirty::Everything;
            if confirmed {
                replica.confirmed[halt.side as usize] = true;
                continue;
            }
            // The side joins anew where it lacks something: what was agreed there is forgotten, so it gets what the other side has.
            let vanished = |path: &&RelativePath| {
                let triple = replica.trees.triple(&self.host, path);
                triple.base.is_some() && triple.on(halt.side).is_none()
            };
            let paths: Vec<_> = replica.trees.differences().keys().filter(vanished).cloned().collect();
            for path in paths {
                replica.trees.set_base(&self.host, &path, None);
            }
        }
        self.tell_halts();
    }

    fn resolve(&mut self, copy: RelativePath, keep: Keep) {
        let Some(conflict) = self.conflicts.get(&copy) else { return };
        let path = conflict.path.clone();
        let there = self.host.get(&copy).copied();
        match (keep, there) {
            (Keep::Original, Some(_)) => self.as_person(copy, there, Action::Remove),
            (Keep::Copy, Some(Node::File { content, size, executable })) => {
                // A folder has the name, or is it the copy of nothing any more: the copy stays a copy.
                let expect = self.host.get(&path).copied();
                if expect == Some(Node::Directory) {
                    return;
                }
                let action = Action::Put { content, size, executable, copy_from: Some(copy.clone()) };
                self.as_person(path, expect, action);
                self.as_person(copy, there, Action::Remove);
            }
            _ => {
                self.conflicts.remove(&copy);
                self.saving.changes.push(Change::ConflictOver { copy });
            }
        }
    }

    /// An order on the host that is no replica's: all replicas follow it as they follow an edit.
    fn as_person(&mut self, path: RelativePath, expect: Option<Node>, action: Action) {
        let order = Order { path, expect, action };
        self.begin(None, Which::Host, Step { order, agreed: Agreed::Stays });
    }
}
