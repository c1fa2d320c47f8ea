//! Sessions: how they begin and end, and what a replica says in one.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::hub::host::Pending;
use crate::hub::message::{FromReplica, ToReplica};
use crate::hub::replica::{Dirty, Replica, Session};
use crate::hub::state::{Change, ReplicaHeader};
use crate::hub::{ENTRIES, Effect, Hub, REPLICAS};
use crate::model::BLOCK_BYTES;
use crate::plan::Which;
use crate::side::Observation;
use crate::tree::{ReplicaTrees, changes_of};

/// How a replica opens a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Names the session; never used before.
    pub session: u64,
    /// Who it is, see [`ReplicaHeader::key`].
    pub key: Arc<str>,
    /// How a person knows it.
    pub name: String,
    /// The last sequence it was told; 0: none.
    pub sequence: u64,
    /// The digest of all it told, and all it was told to do and did.
    pub digest: [u8; 32],
    /// Bytes of content that may be on their way to it.
    pub window: u64,
}

impl Hub {
    pub(super) fn open(&mut self, opening: Opening) {
        let Opening { session, key, name, sequence, digest, window } = opening;
        self.end(&key, "was opened again elsewhere");
        self.openings += 1;
        let replica = self.replicas.entry(key.clone()).or_insert_with(|| {
            let header = ReplicaHeader {
                key: key.clone(),
                name: name.clone(),
                epoch: 0,
                sequence: 0,
                acknowledged: 0,
                opened: 0,
                problems: Vec::new(),
            };
            Replica::new(header, ReplicaTrees::unknown(&self.host))
        });
        let header = &mut replica.header;
        // Never told anything: there is nothing it could have lost.
        let known = header.sequence > 0;
        let lost = sequence == 0 && header.acknowledged > 0;
        let union = !known || sequence > header.sequence || sequence < header.acknowledged || lost;
        if union {
            // Either of the two has forgotten something: nothing of what was agreed can be relied on.
            header.epoch += 1;
            header.sequence = header.sequence.max(sequence) + 1;
            header.acknowledged = sequence;
            header.problems.clear();
            replica.problems = Default::default();
            replica.trees.forget(&self.host);
        } else {
            header.acknowledged = header.acknowledged.max(sequence);
        }
        header.name = name;
        header.opened = self.openings;
        replica.header_unsaved = true;
        let full = union || replica.trees.digest().to_bytes() != digest;
        replica.session = Some(Session {
            number: session,
            window: window.max(BLOCK_BYTES),
            expecting: full,
            told: None,
            outgoing: Default::default(),
            incoming: Default::default(),
            questions: 0,
            last_sent: 0,
            committed: VecDeque::new(),
            told_synced: false,
            told_halted: String::new(),
        });
        replica.retry_all();
        let (epoch, sequence) = (replica.header.epoch, replica.header.sequence);
        self.sessions.insert(session, key);
        self.effects.push(Effect::Opened { session, epoch, sequence, full });
        self.forget_oldest();
        self.tell_halts();
    }

    /// Keeps no more replicas than there is room for.
    fn forget_oldest(&mut self) {
        if self.replicas.len() > REPLICAS {
            let away =
                self.replicas.iter().filter(|(_, replica)| replica.session.is_none() && replica.steps == 0);
            let oldest = away.min_by_key(|(_, replica)| replica.header.opened).map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                self.replicas.remove(&key);
                self.saving.changes.push(Change::Forgotten { key });
            }
        }
    }

    pub(super) fn close(&mut self, session: u64) {
        if let Some(key) = self.sessions.get(&session).cloned() {
            self.drop_session(&key);
        }
    }

    /// Ends a replica's session, if there is one.
    pub(super) fn end(&mut self, key: &Arc<str>, reason: &str) {
        if let Some(session) = self.drop_session(key) {
            self.effects.push(Effect::Ended { session, reason: reason.to_owned() });
        }
    }

    fn drop_session(&mut self, key: &Arc<str>) -> Option<u64> {
        let replica = self.replicas.get_mut(key)?;
        let session = replica.session.take()?.number;
        replica.halt = None;
        self.sessions.remove(&session);
        // What the host has been given is carried out; the rest is planned anew when the replica is back.
        let applying = self.pending.values().filter_map(|pending| match pending {
            Pending::Apply(numbers) => Some(numbers.iter()),
            _ => None,
        });
        let given: HashSet<u64> = self.ready.iter().chain(applying.flatten()).copied().collect();
        let own = self.under_way.iter().filter(|(_, under_way)| under_way.key.as_ref() == Some(key));
        let dropped: Vec<u64> = own
            .filter(|(number, under_way)| under_way.side == Which::Replica || !given.contains(number))
            .map(|(number, _)| *number)
            .collect();
        for number in dropped {
            self.over(number, false);
        }
        if let Some(replica) = self.replicas.get_mut(key) {
            replica.dirty = Dirty::Everything;
            replica.deferred.clear();
            replica.held.clear();
        }
        Some(session)
    }

    pub(super) fn hear(&mut self, session: u64, message: FromReplica) {
        // What was on its way when the hub ended the session.
        let Some(key) = self.sessions.get(&session).cloned() else { return };
        match message {
            FromReplica::Observed { observation, more } => self.replica_observed(&key, observation, more),
            FromReplica::Outcome { order, outcome } => self.outcome(&key, order, outcome),
            FromReplica::AskBlocks(ask) => self.asked_blocks(&key, ask),
            FromReplica::Read(read) => self.asked_read(&key, read),
            FromReplica::Blocks { request, blocks } => self.blocks(&key, request, blocks),
            FromReplica::Data(data) => self.data(&key, data),
            FromReplica::Unavailable { request, .. } => self.unavailable(&key, request),
        }
    }

    fn replica_observed(&mut self, key: &Arc<str>, observation: Observation, more: bool) {
        let Some(replica) = self.replicas.get_mut(key) else { return };
        let Some(session) = &mut replica.session else { return };
        let mut told = session.told.take().unwrap_or_default();
        told.add(observation);
        if told.nodes.len() > ENTRIES {
            self.end(key, &format!("has more than {ENTRIES} files and folders"));
            return;
        }
        if more {
            session.told = Some(told);
            return;
        }
        if told.whole.contains(&None) {
            session.expecting = false;
        }
        for path in told.settle_problems(&mut replica.problems) {
            replica.dirty.insert(&path);
            replica.header_unsaved = true;
        }
        if replica.header_unsaved {
            replica.header.problems = replica.problems.list();
        }
        let changes = changes_of(
            &told,
            |path| replica.trees.observed(&self.host, path),
            |folder| replica.trees.observed_in(&self.host, folder),
        );
        for (path, node) in changes {
            replica.trees.set_observed(&self.host, &path, node);
            replica.dirty.insert(&path);
        }
        if !replica.refused.is_empty() {
            // A path told again may be one whose order can be carried out now.
            for path in told
                .nodes
                .keys()
                .filter(|path| replica.refused.contains_key(&(Which::Replica, (*path).clone())))
                .cloned()
                .collect::<Vec<_>>()
            {
                replica.retry(Which::Replica, &path);
                replica.dirty.insert(&path);
            }
        }
    }

    /// What a replica has cannot be told from what it said.
    pub(super) fn rescan(&mut self, key: Option<&Arc<str>>) {
        let replica = key.and_then(|key| self.replicas.get_mut(key));
        if let Some(session) = replica.and_then(|replica| replica.session.as_mut())
            && !session.expecting
        {
            session.expecting = true;
            self.effects.push(Effect::Send { session: session.number, message: ToReplica::Rescan });
        }
    }
}
