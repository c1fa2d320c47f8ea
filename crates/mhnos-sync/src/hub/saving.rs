//! What is written down, and what replicas are told of it.
//!
//! One save at a time; what changes meanwhile is in the next one. A replica is told a sequence only after the save with it is durable: so
//! a replica that knows more than the index proves that the index is from a backup.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::hub::message::ToReplica;
use crate::hub::state::{Change, Row};
use crate::hub::{Effect, Hub};
use crate::model::RelativePath;
use crate::plan::HaltReason;

/// The index could not be written: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveFailed(pub String);

/// See the [module's description](self).
#[derive(Default)]
pub(super) struct Saving {
    /// Changes other than rows and headers, which are looked up when they are saved.
    pub(super) changes: Vec<Change>,
    under_way: Option<UnderWay>,
    /// The last save failed: nothing is saved, and nothing is done, until a person says that it can be.
    pub(super) stopped: bool,
}

/// The save under way.
struct UnderWay {
    ticket: u64,
    /// The replicas whose base is in it, each with its sequence.
    sequences: Vec<(Arc<str>, u64)>,
    /// What is in it, to be saved again if it fails.
    host: BTreeSet<RelativePath>,
    rows: Vec<(Arc<str>, BTreeSet<RelativePath>)>,
    others: Vec<Change>,
}

impl Hub {
    /// Has written down what changed.
    pub(super) fn save(&mut self) {
        if self.saving.under_way.is_some() || self.saving.stopped {
            return;
        }
        let host = std::mem::take(&mut self.host_unsaved);
        let change =
            |path: &RelativePath| Change::Host { path: path.clone(), node: self.host.get(path).copied() };
        let mut changes: Vec<_> = host.iter().map(change).collect();
        let (mut sequences, mut all_rows) = (Vec::new(), Vec::new());
        for (key, replica) in &mut self.replicas {
            let (rows, base_changed) = replica.trees.take_unsaved();
            if base_changed {
                replica.header.sequence += 1;
                sequences.push((key.clone(), replica.header.sequence));
            }
            if base_changed || std::mem::take(&mut replica.header_unsaved) {
                changes.push(Change::Replica(replica.header.clone()));
            }
            for path in &rows {
                let triple = replica.trees.triple(&self.host, path);
                let row = Row { path: path.clone(), base: triple.base, observed: triple.replica };
                changes.push(Change::Row { key: key.clone(), row });
            }
            all_rows.push((key.clone(), rows));
        }
        let others = std::mem::take(&mut self.saving.changes);
        changes.extend(others.iter().cloned());
        if !changes.is_empty() {
            let ticket = self.number();
            self.saving.under_way = Some(UnderWay { ticket, sequences, host, rows: all_rows, others });
            self.effects.push(Effect::Save { ticket, changes });
        }
    }

    pub(super) fn saved(&mut self, ticket: u64, result: Result<(), SaveFailed>) {
        let Some(save) = self.saving.under_way.take_if(|save| save.ticket == ticket) else { return };
        if let Err(SaveFailed(reason)) = result {
            // What cannot be remembered must not be done. It is saved when a person says that there is room again.
            self.save_again(save);
            self.saving.stopped = true;
            self.host_is_down(HaltReason::DiskFull(format!(
                "the index of the sync cannot be written: {reason}"
            )));
            self.tell_halts();
            return;
        }
        for (key, sequence) in save.sequences {
            let Some(replica) = self.replicas.get_mut(&key) else { continue };
            let synced = replica.rests() && replica.held.is_empty();
            if let Some(session) = &mut replica.session {
                session.committed.push_back((session.last_sent, sequence));
                session.told_synced = synced;
                let message = ToReplica::Committed { sequence, synced };
                self.effects.push(Effect::Send { session: session.number, message });
            }
        }
    }

    fn save_again(&mut self, save: UnderWay) {
        let UnderWay { sequences, host, rows, mut others, .. } = save;
        self.host_unsaved.extend(host);
        for (key, rows) in rows {
            if let Some(replica) = self.replicas.get_mut(&key) {
                let base_changed = sequences.iter().any(|(own, _)| *own == key);
                replica.trees.save_again(rows, base_changed);
                replica.header_unsaved = true;
            }
        }
        others.append(&mut self.saving.changes);
        self.saving.changes = others;
    }

    /// Tells replicas that both sides are equal, or no longer, where no save did.
    pub(super) fn tell_rest(&mut self) {
        if self.saving.under_way.is_some() {
            return;
        }
        for replica in self.replicas.values_mut() {
            let synced = self.host_seen && replica.rests() && replica.held.is_empty();
            if let Some(session) = &mut replica.session
                && session.told_synced != synced
            {
                session.told_synced = synced;
                let message = ToReplica::Committed { sequence: replica.header.sequence, synced };
                self.effects.push(Effect::Send { session: session.number, message });
            }
        }
    }
}
