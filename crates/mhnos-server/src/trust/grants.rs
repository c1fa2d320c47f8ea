//! What a person has decided about web pages, in a file that outlives the runtime (`trust.sqlite` in the state folder).

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};

use super::{Access, Denial, Grant};
use crate::origin::Origin;

/// The file with the decisions.
pub(super) struct GrantStore {
    connection: Connection,
}

/// Why decisions cannot be read or written down; a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used: {error}: check the disk and the file's owner, or move it away")]
pub struct StoreError {
    path: String,
    error: String,
}

impl StoreError {
    /// The same of the audit log in this folder.
    pub(super) fn audit(folder: &Path, error: &std::io::Error) -> Self {
        Self { path: format!("the audit log in {}", folder.display()), error: error.to_string() }
    }
}

/// Decisions, as they were written down.
#[derive(Default)]
pub(super) struct Decisions {
    pub(super) grants: BTreeMap<Origin, Grant>,
    pub(super) denials: BTreeMap<Origin, Denial>,
}

impl GrantStore {
    /// Opens the file, and makes it where it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            let connection = Connection::open(path)?;
            // A decision holds once it is answered for: also after a loss of power.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS grants (origin TEXT PRIMARY KEY, access TEXT NOT NULL, since INTEGER NOT NULL) STRICT;
                 CREATE TABLE IF NOT EXISTS denials (origin TEXT PRIMARY KEY, until INTEGER NOT NULL, times INTEGER NOT NULL) STRICT;",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|error| failed(path, error))?;
        Ok(Self { connection })
    }

    /// All of them.
    pub(super) fn load(&self) -> Result<Decisions, StoreError> {
        let load = || {
            let mut decisions = Decisions::default();
            let mut grants = self.connection.prepare("SELECT origin, access, since FROM grants")?;
            let rows = grants.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            })?;
            for row in rows {
                let (origin, access, since) = row?;
                let access = match access.as_str() {
                    "full" => Access::Full,
                    // What is not understood is not widened.
                    _ => Access::Files,
                };
                if let Some(origin) = Origin::from_header(&origin) {
                    decisions.grants.insert(origin, Grant { access, since: since as u64 });
                }
            }
            let mut denials = self.connection.prepare("SELECT origin, until, times FROM denials")?;
            let rows = denials.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, u32>(2)?))
            })?;
            for row in rows {
                let (origin, until, times) = row?;
                if let Some(origin) = Origin::from_header(&origin) {
                    decisions.denials.insert(origin, Denial { until: until as u64, times });
                }
            }
            Ok(decisions)
        };
        load().map_err(|error| self.failed(error))
    }

    /// Puts one decision in the place of what was decided about this origin before; both `None`: nothing is decided any more.
    pub(super) fn set(
        &mut self,
        origin: &Origin,
        grant: Option<&Grant>,
        denial: Option<&Denial>,
    ) -> Result<(), StoreError> {
        let origin = origin.to_string();
        let set = |connection: &mut Connection| {
            let change = connection.transaction()?;
            change.execute("DELETE FROM grants WHERE origin = ?1", [&origin])?;
            change.execute("DELETE FROM denials WHERE origin = ?1", [&origin])?;
            if let Some(grant) = grant {
                let access = match grant.access {
                    Access::Full => "full",
                    Access::Files => "files",
                };
                change.execute(
                    "INSERT INTO grants VALUES (?1, ?2, ?3)",
                    params![origin, access, grant.since as i64],
                )?;
            }
            if let Some(denial) = denial {
                change.execute(
                    "INSERT INTO denials VALUES (?1, ?2, ?3)",
                    params![origin, denial.until as i64, denial.times],
                )?;
            }
            change.commit()
        };
        set(&mut self.connection).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        failed(Path::new(self.connection.path().unwrap_or_default()), error)
    }
}

fn failed(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = format!("the file with the decisions about web pages, {},", path.display());
    StoreError { path, error: error.to_string() }
}
