//! A hub, a host and replicas, and what is on its way between them. Nothing moves but by a call, so whoever calls decides what comes when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::fake::Fake;
use crate::hub::message::{FromReplica, ToReplica};
use crate::hub::state::{Change, Saved, SavedReplica};
use crate::hub::status::{Activity, Phase, Status};
use crate::hub::work::{Work, WorkResult};
use crate::hub::{Control, Effect, Hub, Input, Opening, SaveFailed, UNANSWERED_ORDERS};
use crate::model::{BLOCK_BYTES, RelativePath, Tree};
use crate::peer::Peer;
use crate::rules::Rules;
use crate::side::{Action, Order, Side};
use crate::tree::Ignores;

/// What a replica is told.
pub(crate) enum Told {
    Opened { full: bool },
    Message(ToReplica),
}

/// A replica and its line to the hub.
pub(crate) struct Replica {
    pub(crate) key: Arc<str>,
    pub(crate) side: Fake,
    pub(crate) peer: Peer,
    /// What it told, as far as it has written that down. The sequence is always written down at once.
    remembered: Tree,
    pub(crate) session: Option<u64>,
    pub(crate) window: u64,
    pub(crate) to: VecDeque<Told>,
    pub(crate) from: VecDeque<FromReplica>,
    /// Paths people touched of which nobody has told it yet.
    pub(crate) hints: Vec<RelativePath>,
    /// Small content sent and not answered, by order.
    unanswered: BTreeMap<u64, u64>,
    sent: u64,
    /// Nothing is read from its line, and nothing written to it.
    pub(crate) frozen: bool,
    /// Why its sessions were ended by the hub.
    pub(crate) ended: Vec<String>,
}

/// See the [module's description](self).
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) host: Fake,
    pub(crate) replicas: Vec<Replica>,
    /// What is in the index.
    pub(crate) durable: Saved,
    /// Looking and applying, in order; then all else.
    pub(crate) works: [VecDeque<(u64, Work)>; 2],
    pub(crate) results: [VecDeque<(u64, WorkResult)>; 2],
    pub(crate) saves: VecDeque<(u64, Vec<Change>)>,
    pub(crate) saved: VecDeque<(u64, Result<(), SaveFailed>)>,
    pub(crate) hints: Vec<RelativePath>,
    sessions: u64,
    /// Orders given to any side.
    pub(crate) orders: usize,
    pub(crate) activity: Vec<Activity>,
    /// What happened, for whoever looks for a fault, or compares two runs.
    pub(crate) trace: Option<Vec<String>>,
    rules_told: Option<Arc<Rules>>,
}

impl World {
    /// So many replicas that have nothing, and are not there yet.
    pub(crate) fn new(replicas: usize) -> Self {
        let mut world = Self {
            hub: Hub::new(Saved::default(), Arc::new(Rules::default())),
            host: Fake::host(),
            replicas: Vec::new(),
            durable: Saved::default(),
            works: Default::default(),
            results: Default::default(),
            saves: VecDeque::new(),
            saved: VecDeque::new(),
            hints: Vec::new(),
            sessions: 0,
            orders: 0,
            activity: Vec::new(),
            trace: None,
            rules_told: None,
        };
        (0..replicas).for_each(|_| world.add_replica());
        world.handle(Input::HostHint(Vec::new()));
        world
    }

    pub(crate) fn add_replica(&mut self) {
        let key = format!("replica {}", self.replicas.len() + 1).into();
        self.replicas.push(Replica {
            key,
            side: Fake::default(),
            peer: Peer::new(Tree::new(), 0),
            remembered: Tree::new(),
            session: None,
            window: 4 << 20,
            to: VecDeque::new(),
            from: VecDeque::new(),
            hints: Vec::new(),
            unanswered: BTreeMap::new(),
            sent: 0,
            frozen: false,
            ended: Vec::new(),
        });
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(text());
        }
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let effects = self.hub.handle(input);
        effects.into_iter().for_each(|effect| self.effect(effect));
    }

    pub(crate) fn control(&mut self, control: Control) {
        self.note(|| format!("control {control:?}"));
        self.handle(Input::Control(control));
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Work { ticket, work } => {
                if let Work::Apply(orders) = &work {
                    self.orders += orders.len();
                }
                let line = usize::from(!matches!(work, Work::Observe(_) | Work::Apply(_)));
                self.works[line].push_back((ticket, work));
            }
            Effect::Opened { session, full, .. } => self.tell(session, Told::Opened { full }),
            Effect::Send { session, message } => {
                if let ToReplica::Order { .. } = &message {
                    self.orders += 1;
                }
                self.tell(session, Told::Message(message));
            }
            Effect::Ended { session, reason } => {
                self.note(|| format!("session {session} ended: {reason}"));
                if let Some(replica) = self.replicas.iter_mut().find(|it| it.session == Some(session)) {
                    replica.ended.push(reason);
                    replica.lose_line();
                }
            }
            Effect::Save { ticket, changes } => self.saves.push_back((ticket, changes)),
            Effect::Activity(activity) => self.activity.push(activity),
        }
    }

    fn tell(&mut self, session: u64, told: Told) {
        let Some(replica) = self.replicas.iter_mut().find(|it| it.session == Some(session)) else { return };
        if let Told::Message(ToReplica::Order { number, order }) = &told {
            let bytes = match order.action {
                Action::Put { size, copy_from: None, .. } if size <= BLOCK_BYTES => size,
                _ => 0,
            };
            replica.unanswered.insert(*number, bytes);
            replica.sent += bytes;
            assert!(
                replica.sent <= replica.window.max(BLOCK_BYTES),
                "more content was sent than the replica has room for"
            );
            assert!(replica.unanswered.len() <= UNANSWERED_ORDERS, "more orders than may be unanswered");
        }
        replica.to.push_back(told);
    }

    /// A replica opens a session.
    pub(crate) fn open(&mut self, at: usize) {
        self.sessions += 1;
        let session = self.sessions;
        let replica = &mut self.replicas[at];
        replica.lose_line();
        replica.session = Some(session);
        let opening = Opening {
            session,
            key: replica.key.clone(),
            name: replica.key.to_string(),
            sequence: replica.peer.sequence(),
            digest: replica.peer.digest(),
            window: replica.window,
        };
        self.note(|| format!("{} opens session {session} at {}", opening.key, opening.sequence));
        self.handle(Input::Opened(opening));
    }

    /// The line is cut; what is on it is lost. A frozen line is one whose end the hub has not noticed.
    pub(crate) fn cut(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        let session = replica.session;
        replica.lose_line();
        if let Some(session) = session {
            self.note(|| format!("session {session} is cut"));
            self.handle(Input::Closed { session });
        }
    }

    /// The runtime ends and begins anew, with what is in the index.
    pub(crate) fn restart(&mut self) {
        self.note(|| "the runtime begins anew".to_owned());
        self.host.crashed = false;
        self.host.crash_after = None;
        let rules = self.host.rules.clone().unwrap_or_default();
        self.rules_told = Some(rules.clone());
        self.hub = Hub::new(self.durable.clone(), rules as Arc<dyn Ignores>);
        self.works = Default::default();
        self.results = Default::default();
        self.saves.clear();
        self.saved.clear();
        self.replicas.iter_mut().for_each(Replica::lose_line);
        self.handle(Input::HostHint(Vec::new()));
    }

    /// The replica's worker ends and begins anew, with what it has written down.
    pub(crate) fn restart_replica(&mut self, at: usize) {
        self.cut(at);
        let replica = &mut self.replicas[at];
        replica.side.crashed = false;
        replica.side.crash_after = None;
        replica.peer = Peer::new(replica.remembered.clone(), replica.peer.sequence());
    }

    /// The browser's storage is cleared: the next time it is a replica nobody knows.
    pub(crate) fn clear_replica(&mut self, at: usize) {
        self.cut(at);
        self.sessions += 1;
        let replica = &mut self.replicas[at];
        replica.side.clear();
        replica.key = format!("replica {}, session {}", at + 1, self.sessions).into();
        replica.remembered = Tree::new();
        replica.peer = Peer::new(Tree::new(), 0);
    }

    /// A replica writes down what it told.
    pub(crate) fn remember(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        replica.remembered = replica.peer.told().clone();
    }

    /// A replica reads what comes next.
    pub(crate) fn replica_hears(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        let Some(told) = replica.to.pop_front() else { return };
        let text = self.trace.is_some().then(|| told.text());
        let answers = match told {
            Told::Opened { full } => replica.peer.opened(full, &mut replica.side),
            Told::Message(message) => replica.peer.hear(message, &mut replica.side),
        };
        if let Some(text) = text {
            self.note(|| format!("{} hears {text}", at + 1));
        }
        self.answered(at, answers);
    }

    /// A replica is told by its file system that something may have changed.
    pub(crate) fn replica_hint(&mut self, at: usize, paths: &[RelativePath]) {
        let replica = &mut self.replicas[at];
        // Before the session is opened it has told nothing, and will look at everything.
        if replica.session.is_none() || matches!(replica.to.front(), Some(Told::Opened { .. })) {
            return;
        }
        let answers = replica.peer.changed(paths, &mut replica.side);
        self.answered(at, answers);
    }

    fn answered(&mut self, at: usize, answers: std::io::Result<Vec<FromReplica>>) {
        let replica = &mut self.replicas[at];
        match answers {
            Ok(answers) => replica.from.extend(answers),
            Err(_) => self.cut(at),
        }
        if self.replicas[at].side.crashed {
            self.restart_replica(at);
        }
    }

    /// The hub reads what comes next from a replica.
    pub(crate) fn hub_hears(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        let (Some(session), Some(message)) = (replica.session, replica.from.pop_front()) else { return };
        if let FromReplica::Outcome { order, .. } = &message {
            replica.sent -= replica.unanswered.remove(order).unwrap_or(0);
        }
        self.note(|| format!("{} says {}", at + 1, said(&message)));
        self.handle(Input::Message { session, message });
    }

    /// The host does what comes next in a line.
    pub(crate) fn work(&mut self, line: usize) {
        let Some((ticket, work)) = self.works[line].pop_front() else { return };
        if self.trace.is_some() {
            let text = match &work {
                Work::Apply(orders) => orders.iter().map(order_text).collect::<Vec<_>>().join("; "),
                Work::Observe(paths) => format!("looks at {paths:?}"),
                _ => String::new(),
            };
            self.note(|| format!("host {text}"));
        }
        let mut result = work.carry_out(&mut self.host as &mut dyn Side);
        if self.host.crashed {
            self.restart();
            return;
        }
        if let WorkResult::Observed { rules, .. } = &mut result
            && self.rules_told != self.host.rules
        {
            self.rules_told.clone_from(&self.host.rules);
            *rules = self.host.rules.clone().map(|rules| rules as Arc<dyn Ignores>);
        }
        self.results[line].push_back((ticket, result));
    }

    /// The hub is told what became of work.
    pub(crate) fn result(&mut self, line: usize) {
        if let Some((ticket, result)) = self.results[line].pop_front() {
            self.handle(Input::WorkDone { ticket, result });
        }
    }

    /// The index is written, or not.
    pub(crate) fn save(&mut self, failed: bool) {
        let Some((ticket, changes)) = self.saves.pop_front() else { return };
        if failed {
            self.saved.push_back((ticket, Err(SaveFailed("no space is left".to_owned()))));
            return;
        }
        changes.into_iter().for_each(|change| write_down(&mut self.durable, change));
        self.saved.push_back((ticket, Ok(())));
    }

    pub(crate) fn tell_saved(&mut self) {
        if let Some((ticket, result)) = self.saved.pop_front() {
            self.handle(Input::Saved { ticket, result });
        }
    }

    pub(crate) fn host_hint(&mut self, paths: Vec<RelativePath>) {
        self.note(|| format!("host hint {paths:?}"));
        self.handle(Input::HostHint(paths));
    }

    /// All that can move, by how to move it.
    pub(crate) fn movable(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for line in 0..2 {
            moves.extend((!self.works[line].is_empty()).then_some(Move::Work(line)));
            moves.extend((!self.results[line].is_empty()).then_some(Move::Result(line)));
        }
        moves.extend((!self.saves.is_empty()).then_some(Move::Save));
        moves.extend((!self.saved.is_empty()).then_some(Move::Saved));
        for (at, replica) in self.replicas.iter().enumerate().filter(|(_, replica)| !replica.frozen) {
            moves.extend((!replica.to.is_empty()).then_some(Move::To(at)));
            moves.extend((!replica.from.is_empty()).then_some(Move::From(at)));
        }
        moves
    }

    pub(crate) fn go(&mut self, step: Move) {
        match step {
            Move::Work(line) => self.work(line),
            Move::Result(line) => self.result(line),
            Move::Save => self.save(false),
            Move::Saved => self.tell_saved(),
            Move::To(at) => self.replica_hears(at),
            Move::From(at) => self.hub_hears(at),
        }
    }

    /// Everything moves until nothing does, always the first that can.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let Some(step) = self.movable().into_iter().next() else { return };
            self.go(step);
        }
        panic!("it never comes to rest");
    }

    /// All are there and look at everything, and everything moves until nothing does.
    pub(crate) fn sync(&mut self) {
        self.host_hint(Vec::new());
        for at in 0..self.replicas.len() {
            if self.replicas[at].frozen {
                continue;
            }
            if self.replicas[at].session.is_none() {
                self.open(at);
                self.settle();
            }
            self.replica_hint(at, &[]);
        }
        self.settle();
    }

    /// The same without one that is away.
    pub(crate) fn sync_but(&mut self, away: usize) {
        self.replicas[away].frozen = true;
        self.sync();
        self.replicas[away].frozen = false;
    }

    pub(crate) fn status(&self) -> Status {
        self.hub.status()
    }

    pub(crate) fn phase(&self, at: usize) -> Phase {
        let key = &self.replicas[at].key;
        self.status().replicas.iter().find(|status| status.key == *key).map_or(Phase::Away, |it| it.phase)
    }
}

/// Something that can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Work(usize),
    Result(usize),
    Save,
    Saved,
    To(usize),
    From(usize),
}

impl Replica {
    fn lose_line(&mut self) {
        self.session = None;
        self.to.clear();
        self.from.clear();
        self.unanswered.clear();
        self.sent = 0;
    }
}

impl Told {
    fn text(&self) -> String {
        match self {
            Self::Opened { full } => format!("opened, full: {full}"),
            Self::Message(ToReplica::Order { number, order }) => format!("{number}: {}", order_text(order)),
            Self::Message(ToReplica::Content { content, .. }) => format!("content {content:?}"),
            Self::Message(ToReplica::Data(data)) => format!("data of {}", data.request),
            Self::Message(ToReplica::Blocks { request, .. }) => format!("blocks of {request}"),
            Self::Message(message) => format!("{message:?}"),
        }
    }
}

fn said(message: &FromReplica) -> String {
    match message {
        FromReplica::Data(data) => format!("data of {}", data.request),
        FromReplica::Blocks { request, .. } => format!("blocks of {request}"),
        message => format!("{message:?}"),
    }
}

fn order_text(order: &Order) -> String {
    format!("at {} where is {:?}: {:?}", order.path, order.expect, order.action)
}

/// What the index does with a change.
fn write_down(saved: &mut Saved, change: Change) {
    match change {
        Change::Host { path, node: Some(node) } => drop(saved.host.insert(path, node)),
        Change::Host { path, node: None } => drop(saved.host.remove(&path)),
        Change::Row { key, row } => {
            if let Some(replica) = saved.replicas.iter_mut().find(|it| it.header.key == key) {
                let is_empty = row.base.is_none() && row.observed.is_none();
                match replica.rows.binary_search_by(|old| old.path.cmp(&row.path)) {
                    Ok(at) if is_empty => drop(replica.rows.remove(at)),
                    Ok(at) => replica.rows[at] = row,
                    Err(_) if is_empty => {}
                    Err(at) => replica.rows.insert(at, row),
                }
            }
        }
        Change::Replica(header) => match saved.replicas.iter_mut().find(|it| it.header.key == header.key) {
            Some(replica) => replica.header = header,
            None => saved.replicas.push(SavedReplica { header, rows: Vec::new() }),
        },
        Change::Forgotten { key } => saved.replicas.retain(|it| it.header.key != key),
        Change::Conflict(conflict) => {
            saved.conflicts.retain(|old| old.copy != conflict.copy);
            saved.conflicts.push(conflict);
        }
        Change::ConflictOver { copy } => saved.conflicts.retain(|old| old.copy != copy),
    }
}
