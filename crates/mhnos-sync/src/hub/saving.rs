//! What is written down, and what replicas are told of it.
//!
//! One save at a time; what changes meanwhile is in the next one. A replica is told a sequence only after the save with it is durable: so
//! a replica that knows more than the index proves that the index is from a backup.

use std::sync::Arc;

use crate::hub::message::ToReplica;
use crate::hub::state::{Change, Row};
use crate::hub::{Effect, Hub};
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
}

/// The save under way.
struct UnderWay {
    ticket: u64,
    /// The replicas whose base is in it, each with its sequence.
    sequences: Vec<(Arc<str>, u64)>,
}

impl Hub {
    /// Has written down what changed.
    pub(super) fn save(&mut self) {
        if self.saving.under_way.is_some() {
            return;
        }
        let mut changes = Vec::new();
        for path in std::mem::take(&mut self.host_unsaved) {
            let node = self.host.get(&path).copied();
            changes.push(Change::Host { path, node });
        }
        let mut sequences = Vec::new();
        for (key, replica) in &mut self.replicas {
            let (rows, base_changed) = replica.trees.take_unsaved();
            if base_changed {
                replica.header.sequence += 1;
                sequences.push((key.clone(), replica.header.sequence));
            }
            if base_changed || std::mem::take(&mut replica.header_unsaved) {
                changes.push(Change::Replica(replica.header.clone()));
            }
            for path in rows {
                let triple = replica.trees.triple(&self.host, &path);
                let row = Row { path, base: triple.base, observed: triple.replica };
                changes.push(Change::Row { key: key.clone(), row });
            }
        }
        changes.append(&mut self.saving.changes);
        if !changes.is_empty() {
            let ticket = self.number();
            self.saving.under_way = Some(UnderWay { ticket, sequences });
            self.effects.push(Effect::Save { ticket, changes });
        }
    }

    pub(super) fn saved(&mut self, ticket: u64, result: Result<(), SaveFailed>) {
        let Some(UnderWay { sequences, .. }) = self.saving.under_way.take_if(|save| save.ticket == ticket)
        else {
            return;
        };
        if let Err(SaveFailed(reason)) = result {
            // What cannot be remembered must not be done. The index is read again when the runtime starts again.
            self.host_is_down(HaltReason::DiskFull(format!(
                "the index of the sync cannot be written: {reason}"
            )));
            self.tell_halts();
            return;
        }
        for (key, sequence) in sequences {
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
