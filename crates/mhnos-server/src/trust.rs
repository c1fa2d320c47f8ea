//! Which web pages a person trusts, and with what.
//!
//! A page's *standing* is looked up by its exact origin: the settings allow it, a person has allowed it (always, or once), has denied it, or
//! nobody has said anything yet. Nobody but the control role changes it. Whoever waits for a change watches [`Trust::changes`] and looks again, so
//! that a decision and what follows from it cannot miss each other.
//!
//! What a page could do to be a nuisance is bounded here too: connections, connections that wait, pages that wait, prompts, programs started in a row.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use mhnos_protocol::v2::{Event, KnownOrigin, OriginState};
use mhnos_protocol::{limits, v2};
use tokio::sync::{RwLock, broadcast, watch};

use crate::gate::{Principal, Refusal};
use crate::origin::Origin;
use crate::own_command;
use crate::workspace::now;

pub mod audit;
mod grants;
mod permit;
mod rate;
pub mod tickets;

pub use grants::StoreError;
pub use permit::Permit;
pub use rate::RefusalLog;

use audit::{Audit, Fact};
use grants::GrantStore;
use rate::Allowance;
use tickets::Tickets;

/// What a page may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read and change files of the workspace.
    Files,
    /// Run programs, too.
    Full,
}

/// A page that was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    access: Access,
    /// Milliseconds since 1970.
    since: u64,
}

/// A page that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Denial {
    /// Milliseconds since 1970; then a person may be asked again.
    until: u64,
    /// How often in a row; each doubles the time.
    times: u32,
}

/// Where a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Allowed(Access),
    /// A person said no, not long ago.
    Denied,
    /// Nobody has said anything.
    Unknown,
}

/// What a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may, from now on, or only for as long as it stays connected.
    Allow {
        /// With what.
        access: Access,
        /// Forgotten when it has been away for [`limits::ONCE_TIME`], or the runtime stops.
        once: bool,
    },
    /// It may not, and is not asked about for a while.
    Deny,
    /// Nothing is decided any more.
    Revoke,
}

/// Why a decision was not carried out; a sentence.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The settings say otherwise.
    #[error(
        "{0} is allowed by the settings: take it out of --allow-origin or MHNOS_ALLOWED_ORIGINS and start anew"
    )]
    Settled(Origin),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the [module's description](self).
pub struct Trust {
    /// Origins the settings name.
    settled: BTreeSet<Origin>,
    /// Whether they name all pages of this machine.
    allow_loopback: bool,
    /// Held for a look or a change of memory, never across an await nor while a file is written.
    pages: Mutex<Pages>,
    /// Held while a decision is made and written, so that they are written in the order they hold.
    store: Mutex<GrantStore>,
    changes: watch::Sender<u64>,
    events: broadcast::Sender<Event>,
    /// Held for reading by whoever changes something right now, see [`permit`].
    acting: RwLock<()>,
    /// What was let in, started and ended.
    pub audit: Audit,
    /// For pages of our own.
    pub tickets: Tickets,
}

#[derive(Default)]
struct Pages {
    grants: BTreeMap<Origin, Grant>,
    once: BTreeMap<Origin, Once>,
    denials: BTreeMap<Origin, Denial>,
    /// Pages with a connection, those that wait included.
    present: BTreeMap<Origin, Presence>,
    /// When a person was last asked about a page, so that one that comes and goes does not ask each time.
    asked: BTreeMap<Origin, Instant>,
    spawning: BTreeMap<Origin, Allowance>,
}

struct Once {
    grant: Grant,
    /// When its last connection went; `None` while it has one.
    away: Option<Instant>,
}

#[derive(Default)]
struct Presence {
    connections: u32,
    waiting: u32,
    /// Milliseconds since 1970.
    waiting_since: u64,
}

/// A connection of a page, or a request that waits for a decision, for as long as this is held.
pub struct Entered {
    trust: Arc<Trust>,
    origin: Origin,
    waiting: bool,
}

impl Trust {
    /// What the settings (the origins they name, and whether they name every page of this machine) and the files of the state folder say.
    ///
    /// # Errors
    /// When the decisions or the audit log cannot be read. They are a person's word, and are never replaced by nothing.
    pub fn open(settled: BTreeSet<Origin>, allow_loopback: bool, folder: &Path) -> Result<Self, StoreError> {
        let store = GrantStore::open(&folder.join("trust.sqlite"))?;
        let grants::Decisions { grants, denials } = store.load()?;
        let audit = Audit::open(folder).map_err(|error| StoreError::audit(folder, &error))?;
        Ok(Self {
            settled,
            allow_loopback,
            pages: Mutex::new(Pages { grants, denials, ..Pages::default() }),
            store: Mutex::new(store),
            changes: watch::Sender::new(0),
            events: broadcast::Sender::new(limits::EVENTS_WAITING),
            acting: RwLock::default(),
            audit,
            tickets: Tickets::default(),
        })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a page stands now.
    pub fn standing(&self, origin: &Origin) -> Standing {
        if self.is_settled(origin) { Standing::Allowed(Access::Full) } else { self.pages().standing(origin) }
    }

    /// Whether the settings allow an origin, whatever a person says meanwhile.
    fn is_settled(&self, origin: &Origin) -> bool {
        self.settled.contains(origin) || (self.allow_loopback && origin.is_loopback())
    }

    /// What whoever has a connection may do; `None`: nothing yet, or no more.
    pub fn access(&self, principal: &Principal) -> Option<Access> {
        match principal {
            Principal::Control => Some(Access::Full),
            Principal::Page(origin) => match self.standing(origin) {
                Standing::Allowed(access) => Some(access),
                Standing::Denied | Standing::Unknown => None,
            },
        }
    }

    /// Whether a person said no, not long ago.
    pub fn is_denied(&self, origin: &Origin) -> bool {
        self.standing(origin) == Standing::Denied
    }

    /// Changes whenever a standing does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What happens to pages, for those who may decide.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Counts a connection of a page, and asks a person about it if nobody has decided. To be held while it lasts.
    ///
    /// # Errors
    /// 429 when this page has too many connections, or too many pages wait for an answer.
    pub fn enter(self: &Arc<Self>, origin: &Origin) -> Result<Entered, Refusal> {
        let mut pages = self.pages();
        let waiting = !self.is_settled(origin) && pages.standing(origin) == Standing::Unknown;
        let (connections, waits) =
            pages.present.get(origin).map_or((0, 0), |presence| (presence.connections, presence.waiting));
        let too_many = |reason: String| Refusal { status: StatusCode::TOO_MANY_REQUESTS, reason };
        if connections >= limits::CONNECTIONS_PER_ORIGIN {
            return Err(too_many(format!(
                "{origin} has {connections} connections already: close some of its tabs"
            )));
        }
        if waiting {
            let others =
                pages.present.iter().filter(|(other, presence)| presence.waiting > 0 && *other != origin);
            if waits >= limits::WAITING_CONNECTIONS_PER_ORIGIN || others.count() >= limits::WAITING_ORIGINS {
                return Err(too_many(
                    "too many pages wait for an answer: allow or deny some with `mhnos-runtime origins`"
                        .into(),
                ));
            }
        }
        let presence = pages.present.entry(origin.clone()).or_default();
        presence.connections += 1;
        if waiting {
            if presence.waiting == 0 {
                presence.waiting_since = now();
            }
            presence.waiting += 1;
        }
        if let Some(once) = pages.once.get_mut(origin) {
            once.away = None;
        }
        if waiting && pages.is_to_be_asked(origin) {
            let known = self.describe(&pages, origin);
            drop(pages);
            tracing::warn!("{}", sentence(origin));
            self.audit.write(Fact::Asked { origin: origin.to_string() });
            let _ = self.events.send(Event::OriginAsked { origin: known });
        }
        Ok(Entered { trust: Arc::clone(self), origin: origin.clone(), waiting })
    }

    /// Carries out what a person decided. Blocks while it is written down.
    ///
    /// # Errors
    /// When the settings say otherwise, or it cannot be written down: an allowance does not hold then; the opposite does until the runtime stops.
    pub fn decide(&self, origin: &Origin, decision: Decision) -> Result<(), DecideError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_settled(origin) && !matches!(decision, Decision::Allow { .. }) {
            return Err(DecideError::Settled(origin.clone()));
        }
        let before = self.standing(origin);
        let name = origin.to_string();
        let written = match decision {
            Decision::Allow { access, once } => {
                let grant = Grant { access, since: now() };
                // Written first: nobody is let in on a word that is forgotten.
                store.set(origin, (!once).then_some(&grant), None)?;
                // Before it holds: what the page does with it comes later in the log.
                self.audit.write(Fact::Allowed { origin: name, access: access.name().into(), once });
                let mut pages = self.pages();
                pages.forget(origin);
                if once {
                    let away = (!pages.present.contains_key(origin)).then(Instant::now);
                    pages.once.insert(origin.clone(), Once { grant, away });
                } else {
                    pages.grants.insert(origin.clone(), grant);
                }
                Ok(())
            }
            Decision::Deny => {
                self.audit.write(Fact::Denied { origin: name });
                let denial = {
                    let mut pages = self.pages();
                    let times = pages.denials.get(origin).map_or(0, |denial| denial.times).saturating_add(1);
                    pages.forget(origin);
                    let denial = Denial { until: now() + denial_time(times).as_millis() as u64, times };
                    pages.denials.insert(origin.clone(), denial.clone());
                    denial
                };
                store.set(origin, None, Some(&denial))
            }
            Decision::Revoke => {
                self.audit.write(Fact::Revoked { origin: name });
                self.pages().forget(origin);
                store.set(origin, None, None)
            }
        };
        drop(store);
        // Who waits is let in by this, and what follows from it is to stand behind it in the audit log.
        self.changes.send_modify(|version| *version += 1);
        tracing::info!(%origin, ?decision, ?before, "decided");
        let known = self.describe(&self.pages(), origin);
        let _ = self.events.send(Event::OriginChanged { origin: known });
        Ok(written?)
    }

    /// Every page that is named in the settings, was decided about, or waits, in order of their names.
    pub fn known(&self) -> Vec<KnownOrigin> {
        let pages = self.pages();
        let waiting =
            pages.present.iter().filter(|(_, presence)| presence.waiting > 0).map(|(origin, _)| origin);
        let denied = pages.denials.keys().filter(|origin| pages.standing(origin) == Standing::Denied);
        let all: BTreeSet<&Origin> = waiting
            .chain(pages.grants.keys())
            .chain(pages.once.keys().filter(|origin| pages.standing(origin) != Standing::Unknown))
            .chain(denied)
            .chain(&self.settled)
            .chain(pages.present.keys())
            .collect();
        all.into_iter().map(|origin| self.describe(&pages, origin)).collect()
    }

    fn describe(&self, pages: &Pages, origin: &Origin) -> KnownOrigin {
        let presence = pages.present.get(origin);
        let (state, since, until) = if self.is_settled(origin) {
            (OriginState::AllowedBySettings, None, None)
        } else if let Some(grant) = pages.grants.get(origin) {
            (OriginState::Allowed, Some(grant.since), None)
        } else {
            match pages.standing(origin) {
                Standing::Allowed(_) => {
                    (OriginState::AllowedOnce, pages.once.get(origin).map(|once| once.grant.since), None)
                }
                Standing::Denied => {
                    (OriginState::Denied, None, pages.denials.get(origin).map(|denial| denial.until))
                }
                Standing::Unknown => match presence.filter(|presence| presence.waiting > 0) {
                    Some(presence) => (OriginState::Waiting, Some(presence.waiting_since), None),
                    None => (OriginState::Unknown, None, None),
                },
            }
        };
        let access = match self.is_settled(origin) {
            true => Some(Access::Full),
            false => pages.granted(origin).map(|grant| grant.access),
        };
        KnownOrigin {
            origin: origin.to_string(),
            state,
            access: access.map(Access::on_the_wire),
            since,
            until,
            connections: presence.map_or(0, |presence| presence.connections),
        }
    }

    /// Whether whoever it is may start one more program now.
    pub fn may_spawn_now(&self, principal: &Principal) -> bool {
        let Principal::Page(origin) = principal else { return true };
        let mut pages = self.pages();
        if pages.spawning.len() >= limits::WAITING_ORIGINS * 8 {
            pages.spawning.retain(|_, allowance| !allowance.is_full());
        }
        pages
            .spawning
            .entry(origin.clone())
            .or_insert_with(|| Allowance::new(limits::SPAWNS_IN_A_ROW, limits::SPAWN_INTERVAL))
            .take()
    }
}

impl Pages {
    fn granted(&self, origin: &Origin) -> Option<&Grant> {
        self.grants.get(origin).or_else(|| {
            let once = self.once.get(origin)?;
            once.away.is_none_or(|since| since.elapsed() < limits::ONCE_TIME).then_some(&once.grant)
        })
    }

    fn standing(&self, origin: &Origin) -> Standing {
        match (self.granted(origin), self.denials.get(origin)) {
            (Some(grant), _) => Standing::Allowed(grant.access),
            (None, Some(denial)) if denial.until > now() => Standing::Denied,
            _ => Standing::Unknown,
        }
    }

    /// Forgets what was decided.
    fn forget(&mut self, origin: &Origin) {
        self.grants.remove(origin);
        self.once.remove(origin);
        self.denials.remove(origin);
        self.asked.remove(origin);
    }

    /// Whether a person was not asked about this page just now; notes that they are.
    fn is_to_be_asked(&mut self, origin: &Origin) -> bool {
        self.asked.retain(|_, since| since.elapsed() < limits::ASK_AGAIN_TIME);
        if self.asked.contains_key(origin) || self.asked.len() >= limits::PROMPTS {
            return false;
        }
        self.asked.insert(origin.clone(), Instant::now());
        true
    }
}

impl Entered {
    /// It waits no longer: it was decided.
    pub fn admitted(&mut self) {
        if std::mem::take(&mut self.waiting)
            && let Some(presence) = self.trust.pages().present.get_mut(&self.origin)
        {
            presence.waiting = presence.waiting.saturating_sub(1);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.admitted();
        let gone = {
            let mut pages = self.trust.pages();
            let left = pages.present.get_mut(&self.origin).map_or(0, |presence| {
                presence.connections -= 1;
                presence.connections
            });
            if left == 0 {
                pages.present.remove(&self.origin);
                if let Some(once) = pages.once.get_mut(&self.origin) {
                    once.away = Some(Instant::now());
                }
            }
            (left == 0).then(|| self.trust.describe(&pages, &self.origin))
        };
        if let Some(origin) = gone {
            let _ = self.trust.events.send(Event::OriginChanged { origin });
        }
    }
}

impl Access {
    /// Its name in logs.
    fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Full => "full",
        }
    }

    fn on_the_wire(self) -> v2::Access {
        match self {
            Self::Files => v2::Access::Files,
            Self::Full => v2::Access::Full,
        }
    }
}

impl From<v2::Access> for Access {
    fn from(access: v2::Access) -> Self {
        match access {
            v2::Access::Files => Self::Files,
            v2::Access::Full => Self::Full,
        }
    }
}

/// How long a denial holds: doubled each time, to a bound.
fn denial_time(times: u32) -> Duration {
    limits::DENIAL_TIME.saturating_mul(1 << (times - 1).min(16)).min(limits::DENIAL_TIME_LONGEST)
}

/// What a page that waits is told, and the log too.
pub fn sentence(origin: &Origin) -> String {
    format!(
        "{origin} is not allowed yet: approve it in MHNOS Desktop, or run: {} origins allow {origin}",
        own_command::name()
    )
}

#[cfg(test)]
mod tests;
