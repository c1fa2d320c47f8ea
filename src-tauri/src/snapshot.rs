//! What is the case: the engine's state, and what the bridge last told of programs, pages and files.

use mhnos_protocol::v2::{Event, KnownOrigin, OriginState, Process, Reply, SyncStatus};
use serde::Serialize;

use crate::engine::Kind;

/// Where the bridge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// It does not run, and is not meant to.
    Stopped,
    /// It is to run, and does not answer (yet).
    Starting,
    /// It answered a moment ago.
    Running,
    /// It is on its way out.
    Stopping,
    /// It cannot be had; a person has to do something.
    Failed,
}

/// Who has the port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Holder {
    /// Its name.
    pub(crate) name: String,
    /// Its process.
    pub(crate) pid: i32,
}

/// The engine's state, as pages are told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EngineState {
    /// What runs it.
    pub(crate) kind: Kind,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// Since when it runs, in milliseconds since 1970.
    pub(crate) since: Option<u64>,
    /// Why it is as it is, where that is not as wished.
    pub(crate) reason: Option<String>,
    /// The last lines it printed, when it failed.
    pub(crate) lines: Vec<String>,
    /// Its address.
    pub(crate) url: Option<String>,
    /// Its port, or the one it is to have.
    pub(crate) port: u16,
    /// Who has that port, when that is why it does not start.
    pub(crate) port_holder: Option<Holder>,
    /// How often it was started anew after it had ended by itself.
    pub(crate) restarts: u32,
    /// How many things wait for the person.
    pub(crate) needs_you: u32,
}

/// All that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The engine.
    pub(crate) engine: EngineState,
    /// Whether it ends with the app.
    pub(crate) is_ours: bool,
    /// Programs that run.
    pub(crate) processes: Vec<Process>,
    /// Pages that wait for an answer, in order of their names.
    pub(crate) waiting: Vec<String>,
    /// How sync stands.
    pub(crate) sync: SyncStatus,
}

impl Snapshot {
    /// Of an engine that does not run.
    pub(crate) fn new(kind: Kind, port: u16) -> Self {
        Self {
            engine: EngineState {
                kind,
                phase: Phase::Stopped,
                since: None,
                reason: None,
                lines: Vec::new(),
                url: None,
                port,
                port_holder: None,
                restarts: 0,
                needs_you: 0,
            },
            is_ours: false,
            processes: Vec::new(),
            waiting: Vec::new(),
            sync: SyncStatus::default(),
        }
    }

    /// Forgets what only a running bridge can know.
    pub(crate) fn forget(&mut self) {
        self.processes.clear();
        self.waiting.clear();
        self.sync = SyncStatus::default();
        self.engine.needs_you = 0;
        self.engine.since = None;
    }

    /// Takes in what the bridge says. False when events are missing and it has to be asked anew.
    #[must_use]
    pub(crate) fn apply(&mut self, reply: &Reply) -> bool {
        match reply {
            Reply::Processes { processes, .. } => {
                self.processes = processes.iter().filter(|it| it.exit.is_none()).cloned().collect();
            }
            Reply::Origins { origins, .. } => {
                self.waiting.clear();
                origins.iter().for_each(|origin| self.apply_origin(origin));
            }
            Reply::SyncStatus { status, .. } => self.sync = status.clone(),
            Reply::Event { event } => match event {
                Event::ProcessStarted { process } => self.processes.push(process.clone()),
                Event::ProcessEnded { process } => self.processes.retain(|it| it.pid != process.pid),
                Event::OriginAsked { origin } | Event::OriginChanged { origin } => self.apply_origin(origin),
                Event::SyncChanged { status } => self.sync = status.clone(),
                Event::Missed { .. } => return false,
                _ => {}
            },
            _ => {}
        }
        let halted = self.sync.replicas.iter().filter(|it| it.halted.is_some()).count() as u32;
        let halted = halted + u32::from(self.sync.halted.is_some());
        self.engine.needs_you = self.waiting.len() as u32 + self.sync.conflicts + halted;
        true
    }

    fn apply_origin(&mut self, origin: &KnownOrigin) {
        self.waiting.retain(|waiting| *waiting != origin.origin);
        if origin.state == OriginState::Waiting {
            self.waiting.push(origin.origin.clone());
            self.waiting.sort();
        }
    }
}
