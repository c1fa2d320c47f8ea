//! Two-way sync, as connections use it: who a replica belongs to, and the engine's facts in the terms of the wire.
//!
//! A replica's key is made of the page's origin, which the browser vouches for, and the digits the replica chose: so no page can claim, see or
//! settle another's replica, whatever it sends.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use mhnos_protocol::v2::{self, ErrorCode};
use mhnos_protocol::{limits, v2::SkippedFile};
use mhnos_sync::driver::{Driver, Hello, Options, Session, Stopped};
use mhnos_sync::host::OpenError;
use mhnos_sync::hub::status::{self, Phase, ReplicaStatus, Status};
use mhnos_sync::hub::{Control, Keep};
use mhnos_sync::model::RelativePath;
use mhnos_sync::plan::HaltReason;
use mhnos_sync::side::Problem;
use mhnos_sync::versions::Limits;
use tokio::sync::watch;

use crate::gate::Principal;
use crate::runtime::Failure;
use crate::state::StateDirectory;
use crate::workspace::{Workspace, now};

pub(crate) mod wire;

/// What stands for the origin in the keys of local programs' replicas. No origin is written like this.
const LOCAL: &str = "local";

/// See the [module's description](self).
pub struct Sync {
    driver: Driver,
    /// When each replica was equal to the host last, by its key; since the runtime began.
    last_synced: Arc<Mutex<HashMap<Arc<str>, u64>>>,
}

/// What a page, or a local program, asks for when it opens a session; see [`v2::Request::SyncOpen`].
pub(crate) struct Opening {
    pub(crate) replica: String,
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) digest: String,
    pub(crate) window: u64,
}

impl Sync {
    /// Begins to sync the workspace. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When another runtime syncs it, or the index cannot be opened.
    pub fn start(workspace: &Workspace, state: &StateDirectory) -> Result<Self, OpenError> {
        let now_here = jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::system());
        let started = now_here.strftime("%Y-%m-%d %H:%M").to_string();
        let driver = Driver::start(Options {
            folder: workspace.root().to_owned(),
            index: state.sync_index(),
            versions: (state.versions_directory(), Limits::default()),
            holder: format!(
                "mhnos-runtime, process {0}, since {started}: `kill {0}` stops it",
                std::process::id()
            ),
        })?;
        let last_synced: Arc<Mutex<HashMap<Arc<str>, u64>>> = Arc::default();
        let (mut changes, noted) = (driver.changes(), Arc::clone(&last_synced));
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let status = Arc::clone(&changes.borrow_and_update());
                let synced = status.replicas.iter().filter(|replica| replica.phase == Phase::Synced);
                let keys: Vec<_> = synced.map(|replica| Arc::clone(&replica.key)).collect();
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.extend(keys.into_iter().map(|key| (key, now())));
            }
        });
        Ok(Self { driver, last_synced })
    }

    /// The engine, for those who write into the workspace by other means.
    pub(crate) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Opens a session for a replica of `principal`.
    pub(crate) async fn open(&self, principal: &Principal, opening: Opening) -> Result<Session, Failure> {
        let Opening { replica, name, sequence, digest, window } = opening;
        if replica.len() != 32 || !is_hexadecimal(&replica) {
            return Err(malformed("replica must be 32 hexadecimal digits, chosen at random once"));
        }
        let digest = hexadecimal_32(&digest)
            .ok_or_else(|| malformed("digest must be 64 hexadecimal digits; all zero at first"))?;
        let is_name = |name: &str| {
            !name.trim().is_empty()
                && name.chars().count() <= limits::SYNC_NAME_CHARACTERS
                && !name.chars().any(char::is_control)
        };
        if !is_name(&name) {
            let most = limits::SYNC_NAME_CHARACTERS;
            return Err(malformed(format!(
                "name must have 1 to {most} characters, none of them control characters"
            )));
        }
        if !limits::SYNC_WINDOW_BYTES.contains(&window) {
            let (least, most) =
                (limits::SYNC_WINDOW_BYTES.start() >> 20, limits::SYNC_WINDOW_BYTES.end() >> 20);
            return Err(malformed(format!("window must be between {least} and {most} MiB")));
        }
        let key = format!("{}/{}", owner(principal), replica.to_ascii_lowercase()).into();
        Ok(self.driver.open(Hello { key, name, sequence, digest, window }).await?)
    }

    /// How it stands, as far as `principal` may see it: a page sees its own replicas.
    pub(crate) async fn status(&self, principal: &Principal) -> Result<v2::SyncStatus, Failure> {
        Ok(self.shown(principal, &*self.driver.status().await?))
    }

    /// That it changed.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Status>> {
        self.driver.changes()
    }

    pub(crate) fn shown(&self, principal: &Principal, status: &Status) -> v2::SyncStatus {
        let synced = self.last_synced.lock().unwrap_or_else(PoisonError::into_inner);
        let visible = status.replicas.iter().filter(|replica| may_see(principal, &replica.key));
        v2::SyncStatus {
            paused: status.paused,
            halted: status.down.as_ref().map(|reason| match reason {
                HaltReason::Missing(reason) | HaltReason::DiskFull(reason) => reason.clone(),
                HaltReason::Empty | HaltReason::MostDeleted => "the folder on the host lost its files".into(),
            }),
            replicas: visible
                .map(|replica| shown_replica(replica, synced.get(&replica.key).copied()))
                .collect(),
            conflicts: status.conflicts.len() as u32,
            problems: skipped(&status.problems),
            problem_count: status.problems.len() as u32,
        }
    }

    /// The conflicts that wait for a person.
    pub(crate) async fn conflicts(&self, workspace: &Workspace) -> Result<Vec<v2::Conflict>, Failure> {
        let status = self.driver.status().await?;
        let shown = status.conflicts.iter().map(|conflict| v2::Conflict {
            path: conflict.path.to_string(),
            copy: conflict.copy.to_string(),
            replica: conflict.replica.clone(),
            // The copy was written when the conflict was seen.
            time: workspace.read(Path::new(conflict.copy.as_str())).map_or(0, |(_, facts)| facts.mtime),
        });
        Ok(shown.collect())
    }

    /// Settles a conflict.
    pub(crate) async fn resolve(&self, copy: &str, keep: v2::Keep) -> Result<(), Failure> {
        let named = path(copy)?;
        let status = self.driver.status().await?;
        if !status.conflicts.iter().any(|conflict| conflict.copy == named) {
            let error = format!(
                "there is no conflict with the other version {copy}: `syncConflicts` names those there are"
            );
            return Err(Failure::new(ErrorCode::NotFound, error));
        }
        let keep = match keep {
            v2::Keep::Name => Keep::Original,
            v2::Keep::Copy => Keep::Copy,
            v2::Keep::Both => Keep::Both,
        };
        Ok(self.driver.control(Control::Resolve { copy: named, keep }).await?)
    }

    /// Earlier contents that are kept.
    pub(crate) async fn versions(&self, of: Option<&str>) -> Result<Vec<v2::Version>, Failure> {
        let versions = self.driver.versions(of.map(path).transpose()?).await.map_err(failed)?;
        let shown = versions.into_iter().map(|version| v2::Version {
            id: version.id as u64,
            path: version.path.to_string(),
            size: version.size,
            time: version.kept_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            reason: "replaced or removed".into(),
        });
        Ok(shown.collect())
    }

    /// Puts an earlier content in its place again.
    pub(crate) async fn restore(&self, version: u64, to: Option<&str>) -> Result<(), Failure> {
        let id = i64::try_from(version).unwrap_or(i64::MAX);
        self.driver.restore(id, to.map(path).transpose()?).await.map(drop).map_err(failed)
    }

    /// Stops, goes on, or looks again.
    pub(crate) async fn control(&self, control: Control) -> Result<(), Failure> {
        Ok(self.driver.control(control).await?)
    }

    /// Decides about a halt: of one replica, named by its digits, or of all that `principal` may see.
    pub(crate) async fn confirm(
        &self,
        principal: &Principal,
        answer: v2::HaltAnswer,
        replica: Option<&str>,
    ) -> Result<(), Failure> {
        let status = self.driver.status().await?;
        let is_meant = |key: &str| replica.is_none_or(|digits| digits_of(key).eq_ignore_ascii_case(digits));
        let own = status.replicas.iter().filter(|one| may_see(principal, &one.key) && is_meant(&one.key));
        let keys: Vec<_> = own.map(|one| Arc::clone(&one.key)).collect();
        if keys.is_empty() && replica.is_some() {
            return Err(Failure::new(
                ErrorCode::NotFound,
                "there is no such replica: `syncStatus` names those there are",
            ));
        }
        let decide = |key| match answer {
            v2::HaltAnswer::Confirm => Control::Confirm(key),
            v2::HaltAnswer::Restore => Control::Restore(key),
        };
        if *principal == Principal::Control && replica.is_none() {
            return self.control(decide(None)).await;
        }
        for key in keys {
            self.control(decide(Some(key))).await?;
        }
        Ok(())
    }

    /// Ends what a page does, and waits until nothing it sent is being written any more.
    pub(crate) async fn disconnect(&self, page: &Principal) {
        let beginning = format!("{}/", owner(page));
        if self.driver.control(Control::Disconnect(beginning)).await.is_ok() {
            let _ = self.driver.settled().await;
        }
    }

    /// Stops, and writes down what is to be remembered.
    pub(crate) async fn stop(self: &Arc<Self>) {
        let own = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || own.driver.stop_blocking()).await;
    }
}

impl From<Stopped> for Failure {
    fn from(error: Stopped) -> Self {
        Self::new(ErrorCode::Failed, error.to_string())
    }
}

fn failed(error: std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorCode::NotFound,
        _ => ErrorCode::Failed,
    };
    Failure::new(code, error.to_string())
}

fn malformed(error: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::Malformed, error)
}

fn path(text: &str) -> Result<RelativePath, Failure> {
    let inner = text.strip_prefix("/workspace/").unwrap_or(text).trim_start_matches('/');
    RelativePath::new(inner)
        .map_err(|error| malformed(format!("{text:?} {error}: name a file of the workspace")))
}

/// Whom a replica belongs to, as its key begins.
fn owner(principal: &Principal) -> String {
    match principal {
        Principal::Control => LOCAL.into(),
        Principal::Page(origin) => origin.to_string(),
    }
}

fn may_see(principal: &Principal, key: &str) -> bool {
    match principal {
        Principal::Control => true,
        page @ Principal::Page(_) => {
            key.rsplit_once('/').is_some_and(|(beginning, _)| beginning == owner(page))
        }
    }
}

fn digits_of(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, digits)| digits)
}

fn shown_replica(replica: &ReplicaStatus, last_synced: Option<u64>) -> v2::SyncReplica {
    let origin = replica.key.rsplit_once('/').map(|(origin, _)| origin).filter(|origin| *origin != LOCAL);
    v2::SyncReplica {
        key: digits_of(&replica.key).to_owned(),
        name: replica.name.clone(),
        origin: origin.map(str::to_owned),
        connected: replica.phase != Phase::Away,
        phase: match replica.phase {
            Phase::Away => v2::SyncPhase::Away,
            Phase::Observing => v2::SyncPhase::Observing,
            Phase::Syncing => v2::SyncPhase::Syncing,
            Phase::Synced => v2::SyncPhase::Synced,
            Phase::Halted => v2::SyncPhase::Halted,
            Phase::Paused => v2::SyncPhase::Paused,
        },
        halted: replica.halt.as_ref().map(status::sentence),
        files_to_go: replica.differences as u64,
        bytes_to_go: replica.bytes,
        last_synced,
        problems: skipped(&replica.problems),
        problem_count: replica.problems.len() as u32,
    }
}

fn skipped(problems: &[Problem]) -> Vec<SkippedFile> {
    let shown = problems.iter().take(limits::SYNC_PROBLEMS_SHOWN);
    shown.map(|problem| SkippedFile { path: problem.path.clone(), reason: problem.reason.clone() }).collect()
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hexadecimal_32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !is_hexadecimal(text) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;

    #[test]
    fn a_page_sees_its_own_replicas_and_no_other_page_has_its_beginning() {
        let page = |text: &str| Principal::Page(Origin::from_setting(text).unwrap());
        let key = format!("{}/{}", owner(&page("http://localhost:80")), "0".repeat(32));
        assert!(may_see(&page("http://localhost:80"), &key) && may_see(&Principal::Control, &key));
        for other in ["http://localhost:8000", "https://localhost:80", "http://localhost"] {
            let same = owner(&page(other)) == owner(&page("http://localhost:80"));
            assert_eq!(may_see(&page(other), &key), same, "{other}");
        }
        assert_eq!(digits_of(&key), "0".repeat(32));
    }

    #[test]
    fn a_digest_is_64_digits_and_nothing_else() {
        assert_eq!(hexadecimal_32(&"0f".repeat(32)), Some([15; 32]));
        assert_eq!(hexadecimal_32(&"0f".repeat(31)), None);
        assert_eq!(hexadecimal_32(&"+f".repeat(32)), None);
        assert_eq!(hexadecimal_32(&"\u{e9}".repeat(32)), None);
    }
}
