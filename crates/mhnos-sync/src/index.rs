//! What is remembered over restarts, in an SQLite file outside the folder that is synced.
//!
//! It is written in transactions of the hub ([`Effect::Save`](crate::hub::Effect::Save)), and with each of them goes what the host has seen since
//! ([`HostRow`]). It may be lost, or come back from a backup: then replicas join by union, which costs time and nothing a person wrote.
//!
//! Of the host only the rows of [`Host`](crate::host::Host) are kept, and not the hub's own changes to its tree: they say the same, and the
//! fingerprint and the node of one row must come from one look.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rusqlite::{Connection, Row as SqlRow, Transaction, params};

use crate::database;
use crate::host::{Fingerprint, HostRow};
use crate::hub::state::{Change, Conflict, ReplicaHeader, Row, Saved, SavedReplica};
use crate::model::{Content, Node, RelativePath, Tree};
use crate::side::Problem;

/// Of the tables.
const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE folder (only INTEGER PRIMARY KEY CHECK (only = 1), identity TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE host (path TEXT PRIMARY KEY, node BLOB NOT NULL, fingerprint BLOB) WITHOUT ROWID;
    CREATE TABLE replicas (
        key TEXT PRIMARY KEY, name TEXT NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL, opened INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE problems (key TEXT NOT NULL, path TEXT NOT NULL, reason TEXT NOT NULL);
    CREATE INDEX problems_of ON problems (key);
    CREATE TABLE rows (key TEXT NOT NULL, path TEXT NOT NULL, base BLOB, observed BLOB, PRIMARY KEY (key, path)) WITHOUT ROWID;
    CREATE TABLE conflicts (copy TEXT PRIMARY KEY, path TEXT NOT NULL, replica TEXT NOT NULL) WITHOUT ROWID;
";

/// Bytes of a node as it is stored: kind, size, content.
const NODE_BYTES: usize = 41;
/// Bytes of a fingerprint as it is stored.
const FINGERPRINT_BYTES: usize = 36;

/// What the host has seen of a path, to be stored; `None`: nothing is there.
pub type HostChange = (RelativePath, Option<HostRow>);

/// See the [module's description](self).
#[derive(Debug)]
pub struct Index {
    database: Connection,
}

impl Index {
    /// Opens the index, or begins a new one where there is none that can be used.
    ///
    /// # Errors
    /// When none can be made either.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (database, _) = database::open(path, SCHEMA_VERSION, SCHEMA)?;
        Ok(Self { database })
    }

    /// Makes sure that it speaks of this folder, by [`Host::identity`](crate::host::Host::identity): of another one it forgets all.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn claim(&mut self, identity: &str) -> io::Result<bool> {
        self.claim_folder(identity).map_err(io::Error::other)
    }

    fn claim_folder(&mut self, identity: &str) -> rusqlite::Result<bool> {
        let transaction = self.database.transaction()?;
        let known: Option<String> = transaction
            .query_row("SELECT identity FROM folder", [], |row| row.get(0))
            .map(Some)
            .or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(None),
                other => Err(other),
            })?;
        let same = known.as_deref() == Some(identity);
        if !same {
            for table in ["folder", "host", "replicas", "problems", "rows", "conflicts"] {
                transaction.execute(&format!("DELETE FROM {table}"), [])?;
            }
            transaction.execute("INSERT INTO folder VALUES (1, ?1)", [identity])?;
        }
        transaction.commit()?;
        Ok(same)
    }

    /// All rows of the host.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn host_rows(&self) -> io::Result<Vec<HostRow>> {
        let read = || {
            let mut statement = self.database.prepare("SELECT path, node, fingerprint FROM host")?;
            let rows = statement.query_map([], |row| {
                let (path, node) = (path_of(row, 0)?, node_of(row, 1)?);
                let fingerprint: Option<Vec<u8>> = row.get(2)?;
                Ok(path.zip(node).map(|(path, node)| HostRow {
                    path,
                    node,
                    fingerprint: fingerprint.as_deref().and_then(fingerprint_from),
                }))
            })?;
            rows.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(io::Error::other)
    }

    /// All the hub remembers; the host's tree from the rows that [`Self::host_rows`] gave.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(&self, host: Tree) -> io::Result<Saved> {
        self.read(host).map_err(io::Error::other)
    }

    fn read(&self, host: Tree) -> rusqlite::Result<Saved> {
        let mut problems: BTreeMap<String, Vec<Problem>> = BTreeMap::new();
        let mut statement = self.database.prepare("SELECT key, path, reason FROM problems ORDER BY rowid")?;
        let found = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, Problem { path: row.get(1)?, reason: row.get(2)? }))
        })?;
        for entry in found {
            let (key, problem) = entry?;
            problems.entry(key).or_default().push(problem);
        }
        let mut statement = self
            .database
            .prepare("SELECT key, name, epoch, sequence, acknowledged, opened FROM replicas ORDER BY key")?;
        let headers = statement.query_map([], |row| {
            let key: String = row.get(0)?;
            let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
            Ok(ReplicaHeader {
                problems: problems.remove(&key).unwrap_or_default(),
                key: key.into(),
                name: row.get(1)?,
                epoch: number(2)?,
                sequence: number(3)?,
                acknowledged: number(4)?,
                opened: number(5)?,
            })
        })?;
        let mut replicas = Vec::new();
        let mut of_replica =
            self.database.prepare("SELECT path, base, observed FROM rows WHERE key = ?1 ORDER BY path")?;
        for header in headers {
            let header = header?;
            let rows = of_replica.query_map([&*header.key], |row| {
                let (base, observed) = (node_of(row, 1)?, node_of(row, 2)?);
                Ok(path_of(row, 0)?.map(|path| Row { path, base, observed }))
            })?;
            let rows = rows.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
            replicas.push(SavedReplica { header, rows });
        }
        let mut statement =
            self.database.prepare("SELECT path, copy, replica FROM conflicts ORDER BY copy")?;
        let conflicts = statement.query_map([], |row| {
            let (path, copy, replica) = (path_of(row, 0)?, path_of(row, 1)?, row.get(2)?);
            Ok(path.zip(copy).map(|(path, copy)| Conflict { path, copy, replica }))
        })?;
        let conflicts = conflicts.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
        Ok(Saved { host, replicas, conflicts })
    }

    /// Writes all of it, or nothing; durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written: the disk is full, or read-only.
    pub fn save(&mut self, changes: &[Change], host: &[HostChange]) -> io::Result<()> {
        let mut write = || {
            let transaction = self.database.transaction()?;
            for (path, row) in host {
                save_host(&transaction, path, row.as_ref())?;
            }
            for change in changes {
                save_change(&transaction, change)?;
            }
            transaction.commit()
        };
        write().map_err(io::Error::other)
    }
}

fn save_host(to: &Transaction<'_>, path: &RelativePath, row: Option<&HostRow>) -> rusqlite::Result<()> {
    match row {
        Some(row) => to.prepare_cached("INSERT OR REPLACE INTO host VALUES (?1, ?2, ?3)")?.execute(params![
            path.as_str(),
            node_bytes(&row.node),
            row.fingerprint.map(fingerprint_bytes)
        ]),
        None => to.prepare_cached("DELETE FROM host WHERE path = ?1")?.execute([path.as_str()]),
    }
    .map(drop)
}

fn save_change(to: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    let done = match change {
        // See the module's description.
        Change::Host { .. } => return Ok(()),
        Change::Row { key, row: Row { path, base: None, observed: None } } => {
            let mut delete = to.prepare_cached("DELETE FROM rows WHERE key = ?1 AND path = ?2")?;
            delete.execute(params![&**key, path.as_str()])
        }
        Change::Row { key, row } => {
            let mut insert = to.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3, ?4)")?;
            let (base, observed) = (row.base.as_ref().map(node_bytes), row.observed.as_ref().map(node_bytes));
            insert.execute(params![&**key, row.path.as_str(), base, observed])
        }
        Change::Replica(header) => {
            let ReplicaHeader { key, name, epoch, sequence, acknowledged, opened, problems } = header;
            to.prepare_cached("DELETE FROM problems WHERE key = ?1")?.execute([&**key])?;
            for problem in problems {
                let mut insert = to.prepare_cached("INSERT INTO problems VALUES (?1, ?2, ?3)")?;
                insert.execute(params![&**key, problem.path, problem.reason])?;
            }
            let mut insert =
                to.prepare_cached("INSERT OR REPLACE INTO replicas VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            let number = |number: &u64| *number as i64;
            let (epoch, sequence, acknowledged, opened) =
                (number(epoch), number(sequence), number(acknowledged), number(opened));
            insert.execute(params![&**key, name, epoch, sequence, acknowledged, opened])
        }
        Change::Forgotten { key } => {
            to.execute("DELETE FROM rows WHERE key = ?1", [&**key])?;
            to.execute("DELETE FROM problems WHERE key = ?1", [&**key])?;
            to.execute("DELETE FROM replicas WHERE key = ?1", [&**key])
        }
        Change::Conflict(Conflict { path, copy, replica }) => to
            .prepare_cached("INSERT OR REPLACE INTO conflicts VALUES (?1, ?2, ?3)")?
            .execute(params![copy.as_str(), path.as_str(), replica]),
        Change::ConflictOver { copy } => {
            to.prepare_cached("DELETE FROM conflicts WHERE copy = ?1")?.execute([copy.as_str()])
        }
    };
    done.map(drop)
}

/// `None`: somebody wrote into the file what is no path, and it is passed over.
fn path_of(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<RelativePath>> {
    Ok(RelativePath::new(row.get_ref(column)?.as_str().unwrap_or_default()).ok())
}

fn node_of(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<Option<Node>> {
    Ok(row.get_ref(column)?.as_blob_or_null()?.and_then(node_from))
}

/// Kind (1 folder, 2 file, 3 executable file), size, content.
fn node_bytes(node: &Node) -> Vec<u8> {
    match node {
        Node::Directory => vec![1],
        Node::File { content, size, executable } => {
            let mut bytes = Vec::with_capacity(NODE_BYTES);
            bytes.push(if *executable { 3 } else { 2 });
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&content.0);
            bytes
        }
    }
}

fn node_from(bytes: &[u8]) -> Option<Node> {
    match bytes {
        [1] => Some(Node::Directory),
        [kind @ (2 | 3), rest @ ..] if bytes.len() == NODE_BYTES => {
            let (size, content) = rest.split_at(8);
            let size = u64::from_le_bytes(size.try_into().ok()?);
            Some(Node::File { content: Content(content.try_into().ok()?), size, executable: *kind == 3 })
        }
        _ => None,
    }
}

fn fingerprint_bytes(fingerprint: Fingerprint) -> Vec<u8> {
    let Fingerprint { inode, size, mtime, ctime, mode } = fingerprint;
    let mut bytes = Vec::with_capacity(FINGERPRINT_BYTES);
    bytes.extend_from_slice(&inode.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&mtime.to_le_bytes());
    bytes.extend_from_slice(&ctime.to_le_bytes());
    bytes.extend_from_slice(&mode.to_le_bytes());
    bytes
}

fn fingerprint_from(bytes: &[u8]) -> Option<Fingerprint> {
    if bytes.len() != FINGERPRINT_BYTES {
        return None;
    }
    let eight = |at: usize| bytes[at..at + 8].try_into().ok();
    Some(Fingerprint {
        inode: u64::from_le_bytes(eight(0)?),
        size: u64::from_le_bytes(eight(8)?),
        mtime: i64::from_le_bytes(eight(16)?),
        ctime: i64::from_le_bytes(eight(24)?),
        mode: u32::from_le_bytes(bytes[32..].try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::new(text).unwrap()
    }

    fn file(text: &str, executable: bool) -> Node {
        Node::File { content: Content::of(text.as_bytes()), size: text.len() as u64, executable }
    }

    fn header(key: &str) -> ReplicaHeader {
        ReplicaHeader {
            key: Arc::from(key),
            name: "Chromium".into(),
            epoch: 1,
            sequence: u64::MAX,
            acknowledged: 2,
            opened: 4,
            problems: vec![Problem { path: "a\u{fffd}".into(), reason: "is no name".into() }],
        }
    }

    #[test]
    fn what_was_saved_is_read_again_and_of_another_folder_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("sync.sqlite");
        let seen = Fingerprint { inode: u64::MAX, size: 3, mtime: -1, ctime: i64::MAX, mode: 0o644 };
        let row = HostRow { path: path("a/b"), node: file("abc", true), fingerprint: Some(seen) };
        let parent = HostRow { path: path("a"), node: Node::Directory, fingerprint: None };
        let rows = vec![
            Row { path: path("a"), base: Some(Node::Directory), observed: None },
            Row { path: path("a/b"), base: None, observed: Some(file("", false)) },
        ];
        let conflict = Conflict { path: path("a/b"), copy: path("a/b.conflict"), replica: "one".into() };
        {
            let mut index = Index::open(&place).unwrap();
            assert!(!index.claim("folder one").unwrap());
            let mut changes = vec![
                Change::Replica(header("one")),
                Change::Replica(header("two")),
                Change::Conflict(conflict.clone()),
            ];
            changes.extend(rows.iter().map(|row| Change::Row { key: "one".into(), row: row.clone() }));
            changes.push(Change::Row { key: "two".into(), row: rows[0].clone() });
            let host = [(parent.path.clone(), Some(parent.clone())), (row.path.clone(), Some(row.clone()))];
            index.save(&changes, &host).unwrap();
            let gone = Row { path: path("a"), base: None, observed: None };
            index.save(&[Change::Row { key: "two".into(), row: gone }], &[(path("x"), None)]).unwrap();
        }
        let mut index = Index::open(&place).unwrap();
        assert!(index.claim("folder one").unwrap());
        assert_eq!(index.host_rows().unwrap(), [parent, row]);
        let saved = index.load(Tree::new()).unwrap();
        let one = SavedReplica { header: header("one"), rows };
        assert_eq!(saved.replicas, [one, SavedReplica { header: header("two"), rows: Vec::new() }]);
        assert_eq!(saved.conflicts, std::slice::from_ref(&conflict));

        let over = [Change::Forgotten { key: "one".into() }, Change::ConflictOver { copy: conflict.copy }];
        index.save(&over, &[(path("a/b"), None)]).unwrap();
        let saved = index.load(Tree::new()).unwrap();
        assert_eq!((saved.replicas.len(), saved.conflicts.len()), (1, 0));
        assert_eq!(index.host_rows().unwrap().len(), 1);

        assert!(!index.claim("folder two").unwrap());
        assert_eq!(index.load(Tree::new()).unwrap(), Saved::default());
        assert!(index.host_rows().unwrap().is_empty());
    }

    #[test]
    fn an_index_that_is_no_database_is_put_aside_and_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("sync.sqlite");
        std::fs::write(&place, "certainly no database, but long enough to be looked at by somebody").unwrap();
        let mut index = Index::open(&place).unwrap();
        assert!(!index.claim("folder").unwrap());
        assert!(index.host_rows().unwrap().is_empty());
        assert!(folder.path().join("sync.sqlite.unusable").exists());
    }
}
