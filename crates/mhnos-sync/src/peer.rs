//! A replica's end of a session: what a page's worker does with the browser's disk, for any [`Side`].
//!
//! It does no I/O of its own: messages of the hub go in, messages to the hub come out. What it told is remembered beside the files it tells of, and
//! may be behind them: then it tells the difference. It must never be ahead of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;

use crate::digest::Digest;
use crate::hub::READ_BYTES;
use crate::hub::message::{Ask, Data, FromReplica, Read, ToReplica};
use crate::model::{BLOCK_BYTES, Content, Node, RelativePath, Tree};
use crate::side::{Action, Observation, Order, Outcome, Side};
use crate::tree::{Problems, Told, changes_of, inside};

/// Entries in one part of an observation.
const PART: usize = 2000;
/// Bytes asked for and not staged.
const READING: u64 = 4 << 20;

/// See the [module's description](self).
#[derive(Debug)]
pub struct Peer {
    told: Tree,
    problems: Problems,
    digest: Digest,
    sequence: u64,
    synced: bool,
    halted: String,
    /// Small content whose order is still to come.
    contents: HashMap<Content, Vec<u8>>,
    orders: VecDeque<Given>,
    fetch: Option<Fetch>,
    request: u64,
}

/// An order that is still to be carried out.
#[derive(Debug)]
struct Given {
    number: u64,
    order: Order,
    /// The content it puts, if that is small and came with it.
    bytes: Option<Vec<u8>>,
}

/// Large content on its way, for the first of the orders.
#[derive(Debug)]
struct Fetch {
    content: Content,
    size: u64,
    blocks: Vec<[u8; 32]>,
    asked: u64,
    missing: VecDeque<u32>,
    /// By the number of the read: the first block, and what has come of it.
    reads: BTreeMap<u64, (Read, Vec<u8>)>,
}

impl Peer {
    /// A replica that remembers this: what it told, and the sequence it was told. Of one that has told nothing, nothing.
    pub fn new(told: Tree, sequence: u64) -> Self {
        Self {
            digest: Digest::of(&told),
            told,
            problems: Problems::default(),
            sequence,
            synced: false,
            halted: String::new(),
            contents: HashMap::new(),
            orders: VecDeque::new(),
            fetch: None,
            request: 0,
        }
    }

    /// What it told, to be remembered.
    pub fn told(&self) -> &Tree {
        &self.told
    }

    /// The last sequence it was told, to be remembered.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the hub said that both sides are equal.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Why the hub does nothing; empty: it does what there is to do.
    pub fn halted(&self) -> &str {
        &self.halted
    }

    /// Of what it told.
    pub fn digest(&self) -> [u8; 32] {
        self.digest.to_bytes()
    }

    /// A session was opened: what is said first. What an earlier session left undone is forgotten; the hub plans it anew.
    ///
    /// # Errors
    /// When the side cannot be observed.
    pub fn opened(&mut self, full: bool, side: &mut dyn Side) -> io::Result<Vec<FromReplica>> {
        (self.synced, self.halted, self.fetch) = (false, String::new(), None);
        self.contents.clear();
        self.orders.clear();
        if full { self.everything(side) } else { self.changed(&[], side) }
    }

    /// Something may have changed at these paths; anywhere, if there are none. What is different is told.
    ///
    /// # Errors
    /// When the side cannot be observed.
    pub fn changed(&mut self, paths: &[RelativePath], side: &mut dyn Side) -> io::Result<Vec<FromReplica>> {
        let mut told = Told::default();
        if paths.is_empty() {
            told.add(side.observe(&[])?);
        }
        for path in paths {
            told.add(side.observe(std::slice::from_ref(path))?);
        }
        let known = &self.told;
        let mut changes = changes_of(
            &told,
            |path| known.get(path).copied(),
            |folder| inside(known, folder).map(|(path, _)| path.clone()).collect(),
        );
        // Where a problem is over, the path is named, whatever is there.
        let before: BTreeSet<_> = self.problems.list().into_iter().map(|problem| problem.path).collect();
        told.settle_problems(&mut self.problems);
        let problems = self.problems.list();
        let over = before.iter().filter(|path| !problems.iter().any(|problem| problem.path == **path));
        for path in over.filter_map(|path| RelativePath::new(path).ok()) {
            let now = self.told.get(&path).copied();
            changes.entry(path).or_insert(now);
        }
        let new = problems.into_iter().filter(|problem| !before.contains(&problem.path)).collect::<Vec<_>>();
        if changes.is_empty() && new.is_empty() {
            return Ok(Vec::new());
        }
        changes.iter().for_each(|(path, node)| self.set(path, *node));
        let observation =
            Observation { nodes: changes.into_iter().collect(), problems: new, ..Default::default() };
        Ok(parts(observation))
    }

    fn everything(&mut self, side: &mut dyn Side) -> io::Result<Vec<FromReplica>> {
        let observation = side.observe(&[])?;
        let mut told = Told::default();
        told.add(observation.clone());
        self.problems = Problems::default();
        told.settle_problems(&mut self.problems);
        let known = &self.told;
        let changes = changes_of(
            &told,
            |path| known.get(path).copied(),
            |folder| inside(known, folder).map(|(path, _)| path.clone()).collect(),
        );
        changes.iter().for_each(|(path, node)| self.set(path, *node));
        Ok(parts(observation))
    }

    /// The hub said something.
    ///
    /// # Errors
    /// When the side cannot be observed, or the hub says what it must not.
    pub fn hear(&mut self, message: ToReplica, side: &mut dyn Side) -> io::Result<Vec<FromReplica>> {
        self.hear_all([message], side)
    }

    /// The hub said several things. Orders among them that can be carried out at once are, and are synced to disk together.
    ///
    /// # Errors
    /// As [`Peer::hear`].
    pub fn hear_all(
        &mut self,
        messages: impl IntoIterator<Item = ToReplica>,
        side: &mut dyn Side,
    ) -> io::Result<Vec<FromReplica>> {
        let mut answers = Vec::new();
        for message in messages {
            self.take(message, side, &mut answers)?;
        }
        self.carry_out(side, &mut answers);
        Ok(answers)
    }

    fn take(
        &mut self,
        message: ToReplica,
        side: &mut dyn Side,
        answers: &mut Vec<FromReplica>,
    ) -> io::Result<()> {
        match message {
            ToReplica::Content { content, bytes } => {
                self.contents.insert(content, bytes);
            }
            ToReplica::Order { number, order } => {
                // Two orders may put the same content: each has its own from the moment it comes.
                let bytes = match &order.action {
                    Action::Put { content, .. } => self.contents.remove(content),
                    _ => None,
                };
                self.orders.push_back(Given { number, order, bytes });
            }
            ToReplica::AskBlocks(Ask { request, path, content, .. }) => {
                let answer = match side.block_hashes(&path, content) {
                    Ok(blocks) => FromReplica::Blocks { request, blocks },
                    Err(error) => FromReplica::Unavailable { request, reason: error.to_string() },
                };
                answers.push(answer);
            }
            ToReplica::Read(Read { request, path, content, offset, length }) => {
                let answer = match side.read(&path, content, offset, length.min(READ_BYTES)) {
                    Ok(bytes) if bytes.len() == length as usize => {
                        FromReplica::Data(Data { request, offset, bytes })
                    }
                    Ok(_) => FromReplica::Unavailable { request, reason: "is shorter now".to_owned() },
                    Err(error) => FromReplica::Unavailable { request, reason: error.to_string() },
                };
                answers.push(answer);
            }
            ToReplica::Blocks { request, blocks } => self.blocks(request, blocks, side, answers),
            ToReplica::Data(data) => self.data(data, side, answers),
            ToReplica::Unavailable { request, .. } => {
                let mine = |fetch: &Fetch| fetch.asked == request || fetch.reads.contains_key(&request);
                if self.fetch.as_ref().is_some_and(mine) {
                    self.give_up(None, side, answers);
                }
            }
            ToReplica::Committed { sequence, synced } => {
                self.sequence = sequence;
                self.synced = synced;
            }
            ToReplica::Halted { reason } => self.halted = reason,
            ToReplica::Rescan => {
                // What was ordered before is answered before.
                self.carry_out(side, answers);
                answers.append(&mut self.everything(side)?);
            }
        }
        Ok(())
    }

    /// Carries out what can be carried out, in order; what follows one another without waiting for content, together.
    fn carry_out(&mut self, side: &mut dyn Side, answers: &mut Vec<FromReplica>) {
        let mut ready = Vec::new();
        while self.fetch.is_none()
            && let Some(Given { number, order, bytes }) = self.orders.pop_front()
        {
            if let Action::Put { content, size, copy_from: None, .. } = order.action {
                match &bytes {
                    Some(bytes) => {
                        if let Err(error) = side.stage(content, size, 0, bytes) {
                            let outcome = Outcome::Failed(format!("cannot be written: {error}"));
                            answers.push(FromReplica::Outcome { order: number, outcome });
                            continue;
                        }
                    }
                    None if size > BLOCK_BYTES => {
                        let (request, path) = (self.next(), order.path.clone());
                        answers.push(FromReplica::AskBlocks(Ask { request, path, content, size }));
                        let (blocks, missing, reads) = (Vec::new(), VecDeque::new(), BTreeMap::new());
                        self.fetch = Some(Fetch { content, size, blocks, asked: request, missing, reads });
                        self.orders.push_front(Given { number, order, bytes });
                        break;
                    }
                    None => {}
                }
            }
            ready.push((number, order));
        }
        self.apply(ready, side, answers);
    }

    fn apply(&mut self, orders: Vec<(u64, Order)>, side: &mut dyn Side, answers: &mut Vec<FromReplica>) {
        let (numbers, orders): (Vec<_>, Vec<_>) = orders.into_iter().unzip();
        if orders.is_empty() {
            return;
        }
        for ((number, order), outcome) in numbers.into_iter().zip(&orders).zip(side.apply(&orders)) {
            self.note(order, &outcome);
            answers.push(FromReplica::Outcome { order: number, outcome });
        }
    }

    /// What the first order needs cannot be had.
    fn give_up(&mut self, error: Option<io::Error>, side: &mut dyn Side, answers: &mut Vec<FromReplica>) {
        self.fetch = None;
        if let Some(Given { number, order, .. }) = self.orders.pop_front() {
            let outcome = match error {
                Some(error) => Outcome::Failed(format!("cannot be written: {error}")),
                None => Outcome::Changed(self.told.get(&order.path).copied()),
            };
            answers.push(FromReplica::Outcome { order: number, outcome });
        }
        self.carry_out(side, answers);
    }

    fn blocks(
        &mut self,
        request: u64,
        mut blocks: Vec<[u8; 32]>,
        side: &mut dyn Side,
        answers: &mut Vec<FromReplica>,
    ) {
        let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.asked == request) else { return };
        fetch.blocks.append(&mut blocks);
        if (fetch.blocks.len() as u64) < fetch.size.div_ceil(BLOCK_BYTES) {
            return;
        }
        let Some(path) = order_path(&self.orders) else { return };
        let (content, size) = (fetch.content, fetch.size);
        if Content::of_blocks(&fetch.blocks) != content {
            self.give_up(None, side, answers);
            return;
        }
        match side.missing(content, size, &fetch.blocks, &path) {
            Ok(missing) => {
                fetch.missing = missing.into();
                self.read_on(side, answers);
            }
            Err(error) => self.give_up(Some(error), side, answers),
        }
    }

    /// Asks for what there is room for; carries the order out when nothing is missing.
    fn read_on(&mut self, side: &mut dyn Side, answers: &mut Vec<FromReplica>) {
        let Some(path) = order_path(&self.orders) else { return };
        loop {
            let request = self.next();
            let Some(fetch) = &mut self.fetch else { return };
            let reading: u64 = fetch.reads.values().map(|(read, _)| u64::from(read.length)).sum();
            if reading >= READING {
                return;
            }
            let Some(block) = fetch.missing.pop_front() else { break };
            let offset = u64::from(block) * BLOCK_BYTES;
            let length = BLOCK_BYTES.min(fetch.size - offset) as u32;
            let read = Read { request, path: path.clone(), content: fetch.content, offset, length };
            fetch.reads.insert(request, (read.clone(), Vec::with_capacity(length as usize)));
            answers.push(FromReplica::Read(read));
        }
        if self.fetch.as_ref().is_some_and(|fetch| fetch.reads.is_empty()) {
            self.fetch = None;
            let first = self.orders.pop_front().map(|Given { number, order, .. }| (number, order));
            self.apply(first.into_iter().collect(), side, answers);
            self.carry_out(side, answers);
        }
    }

    fn data(&mut self, data: Data, side: &mut dyn Side, answers: &mut Vec<FromReplica>) {
        let Some(fetch) = &mut self.fetch else { return };
        let Some((read, bytes)) = fetch.reads.get_mut(&data.request) else { return };
        bytes.extend_from_slice(&data.bytes);
        if bytes.len() < read.length as usize {
            return;
        }
        let Some((read, bytes)) = fetch.reads.remove(&data.request) else { return };
        let (content, size) = (fetch.content, fetch.size);
        match side.stage(content, size, (read.offset / BLOCK_BYTES) as u32, &bytes) {
            Ok(()) => self.read_on(side, answers),
            // The host's file is another one now.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => self.give_up(None, side, answers),
            Err(error) => self.give_up(Some(error), side, answers),
        }
    }

    /// An outcome tells the hub what is there, as an observation does.
    fn note(&mut self, order: &Order, outcome: &Outcome) {
        let path = &order.path;
        match outcome {
            Outcome::Failed(_) => {}
            Outcome::Changed(node) => {
                if self.told.get(path).copied() != *node {
                    self.set(path, *node);
                    if *node != Some(Node::Directory) {
                        let gone: Vec<_> =
                            inside(&self.told, Some(path)).map(|(path, _)| path.clone()).collect();
                        gone.iter().for_each(|path| self.set(path, None));
                    }
                }
            }
            Outcome::Done => match &order.action {
                Action::MakeDirectory => self.set(path, Some(Node::Directory)),
                Action::Put { content, size, executable, .. } => {
                    let node = Node::File { content: *content, size: *size, executable: *executable };
                    self.set(path, Some(node));
                }
                Action::Remove => self.set(path, None),
                Action::Move { from, moved } => {
                    let inner: Vec<_> =
                        inside(&self.told, Some(from)).map(|(path, node)| (path.clone(), *node)).collect();
                    for (old, node) in inner.into_iter().chain(std::iter::once((from.clone(), *moved))) {
                        self.set(&old, None);
                        let new = format!("{path}{}", &old.as_str()[from.as_str().len()..]);
                        if let Ok(new) = RelativePath::new(&new) {
                            self.set(&new, Some(node));
                        }
                    }
                }
            },
        }
    }

    fn set(&mut self, path: &RelativePath, node: Option<Node>) {
        let before = match node {
            Some(node) => self.told.insert(path.clone(), node),
            None => self.told.remove(path),
        };
        if let Some(before) = before {
            self.digest.subtract(path, &before);
        }
        if let Some(node) = node {
            self.digest.add(path, &node);
        }
    }

    fn next(&mut self) -> u64 {
        self.request += 1;
        self.request
    }
}

fn order_path(orders: &VecDeque<Given>) -> Option<RelativePath> {
    orders.front().map(|given| given.order.path.clone())
}

/// An observation in parts of which each fits into a message; the last says what the whole is.
fn parts(observation: Observation) -> Vec<FromReplica> {
    let Observation { mut nodes, problems, complete, within } = observation;
    let mut parts = Vec::new();
    while nodes.len() > PART {
        let rest = nodes.split_off(PART);
        let observation = Observation { nodes, ..Default::default() };
        parts.push(FromReplica::Observed { observation, more: true });
        nodes = rest;
    }
    let observation = Observation { nodes, problems, complete, within };
    parts.push(FromReplica::Observed { observation, more: false });
    parts
}
