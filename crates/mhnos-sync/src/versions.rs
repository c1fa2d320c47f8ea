//! What was displaced or deleted, kept for a while.
//!
//! One file for each version in a folder of its own, named by its number, and a database that says what they were. Before anything is
//! displaced it is written down where it will be for a moment ([`Versions::expect`]), so that also after a crash in the middle
//! nothing of it is lost ([`Versions::recover`]). The store is bounded in bytes, in age, and in versions of one file; what was displaced
//! last is never what is thrown out for it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rusqlite::{Connection, Row, params};

use crate::database;
use crate::model::RelativePath;

/// Of the tables.
const SCHEMA_VERSION: i32 = 1;

/// `staged` is the name where it lies until it is in the store, and NULL from then on.
const SCHEMA: &str = "
    CREATE TABLE versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        kept_at INTEGER NOT NULL,
        replacement INTEGER NOT NULL,
        staged TEXT
    );
    CREATE INDEX by_path ON versions (path, id);
";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all versions together.
    pub bytes: u64,
    /// Of each.
    pub age: Duration,
    /// Of one path.
    pub per_path: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 2 << 30, age: Duration::from_secs(30 * 24 * 3600), per_path: 32 }
    }
}

/// A version that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number: the higher, the later.
    pub id: i64,
    /// Where it was.
    pub path: RelativePath,
    /// Bytes.
    pub size: u64,
    /// When it was displaced; for people.
    pub kept_at: SystemTime,
}

/// Something that is about to be displaced.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) path: RelativePath,
    /// The name in the stage folder that it will have.
    pub(crate) staged: String,
    /// The inode of what has this name until then; 0: nothing.
    pub(crate) replacement: u64,
}

/// See the [module's description](self).
#[derive(Debug)]
pub struct Versions {
    folder: PathBuf,
    database: Connection,
    limits: Limits,
}

impl Versions {
    /// Opens the store in a folder, and makes it where it is not there.
    ///
    /// # Errors
    /// When neither is possible.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (database, is_fresh) = database::open(&folder.join("versions.sqlite"), SCHEMA_VERSION, SCHEMA)?;
        let mut versions = Self { folder: folder.to_owned(), database, limits };
        versions.account_for_files(is_fresh).map_err(io::Error::other)?;
        Ok(versions)
    }

    /// What is kept, the latest first: of this file, or of the files in this folder; or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, path: Option<&RelativePath>) -> io::Result<Vec<Version>> {
        let list = || -> rusqlite::Result<Vec<Version>> {
            let mut statement = self.database.prepare_cached(
                "SELECT id, path, size, kept_at FROM versions WHERE staged IS NULL AND (?1 IS NULL OR path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/') ORDER BY id DESC",
            )?;
            let rows = statement.query_map([path.map(RelativePath::as_str)], version)?;
            rows.filter_map(Result::transpose).collect()
        };
        list().map_err(io::Error::other)
    }

    /// One version, and its content.
    ///
    /// # Errors
    /// When it is not kept any more.
    pub fn open_version(&self, id: i64) -> io::Result<(Version, File)> {
        let find = || {
            let mut statement = self.database.prepare_cached(
                "SELECT id, path, size, kept_at FROM versions WHERE staged IS NULL AND id = ?1",
            )?;
            statement.query_row([id], version)
        };
        match find() {
            Ok(Some(version)) => Ok((version, File::open(self.place(id))?)),
            Ok(None) | Err(rusqlite::Error::QueryReturnedNoRows) => {
                Err(io::Error::new(io::ErrorKind::NotFound, "this version is not kept any more"))
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Writes down what is about to be displaced; durable when it returns. Its numbers, in the same order.
    pub(crate) fn expect(&mut self, expected: &[Expected]) -> io::Result<Vec<i64>> {
        if expected.is_empty() {
            return Ok(Vec::new());
        }
        let now = milliseconds(SystemTime::now());
        let mut write = || -> rusqlite::Result<Vec<i64>> {
            let transaction = self.database.transaction()?;
            let mut ids = Vec::with_capacity(expected.len());
            for one in expected {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO versions (path, size, kept_at, replacement, staged) VALUES (?1, 0, ?2, ?3, ?4)",
                )?;
                ids.push(insert.insert(params![
                    one.path.as_str(),
                    now,
                    one.replacement as i64,
                    one.staged
                ])?);
            }
            transaction.commit()?;
            Ok(ids)
        };
        write().map_err(io::Error::other)
    }

    /// Takes what was displaced of that which was expected out of the stage folder, and forgets the rest. What cannot be taken
    /// now is taken by [`Self::recover`].
    pub(crate) fn settle(
        &mut self,
        stage: BorrowedFd<'_>,
        all: &[(i64, Expected)],
        displaced: &BTreeSet<i64>,
    ) -> io::Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        let mut write = || -> io::Result<Vec<i64>> {
            let transaction = self.database.transaction().map_err(io::Error::other)?;
            let mut kept = Vec::new();
            for (id, expected) in all {
                let size = if displaced.contains(id) {
                    take(stage, &expected.staged, &self.folder.join(id.to_string()))?
                } else {
                    None
                };
                match size {
                    Some(size) => {
                        kept.push(*id);
                        mark_kept(&transaction, *id, size)
                    }
                    None => forget(&transaction, *id),
                }
                .map_err(io::Error::other)?;
            }
            if !kept.is_empty() {
                // What the rows say must be so before they say it.
                File::open(&self.folder)?.sync_all()?;
            }
            transaction.commit().map_err(io::Error::other)?;
            Ok(kept)
        };
        let kept = write()?;
        if kept.is_empty() {
            return Ok(());
        }
        let paths: BTreeSet<_> =
            all.iter().filter(|(id, _)| displaced.contains(id)).map(|(_, one)| one.path.as_str()).collect();
        self.prune(&paths, kept.iter().copied().min().unwrap_or(i64::MAX)).map_err(io::Error::other)
    }

    /// After a crash: what was displaced and not yet taken is taken. What was to replace it is left to the stage folder.
    pub(crate) fn recover(&mut self, stage: BorrowedFd<'_>) -> io::Result<()> {
        let open = || -> rusqlite::Result<Vec<(i64, Expected)>> {
            let mut statement = self
                .database
                .prepare("SELECT id, path, staged, replacement FROM versions WHERE staged IS NOT NULL")?;
            let rows = statement.query_map([], |row| {
                let (id, path, staged, replacement): (i64, String, String, i64) =
                    (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                let path = RelativePath::new(&path).ok();
                Ok(path.map(|path| (id, Expected { path, staged, replacement: replacement as u64 })))
            })?;
            rows.filter_map(Result::transpose).collect()
        };
        let open = open().map_err(io::Error::other)?;
        let is_displaced = |(id, expected): &&(i64, Expected)| {
            self.place(*id).exists()
                || fstatat(stage, expected.staged.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| stat.st_ino != expected.replacement)
        };
        let displaced = open.iter().filter(is_displaced).map(|(id, _)| *id).collect();
        self.settle(stage, &open, &displaced)
    }

    /// Throws out what is too old, too many of one path, or too much; of what has a number from `latest` on, nothing.
    fn prune(&mut self, paths: &BTreeSet<&str>, latest: i64) -> rusqlite::Result<()> {
        let oldest =
            milliseconds(SystemTime::now()) - i64::try_from(self.limits.age.as_millis()).unwrap_or(i64::MAX);
        let mut out: Vec<i64> = Vec::new();
        {
            let mut old = self.database.prepare_cached(
                "SELECT id FROM versions WHERE kept_at < ?1 AND id < ?2 AND staged IS NULL",
            )?;
            out.extend(old.query_map([oldest, latest], |row| row.get::<_, i64>(0))?.filter_map(Result::ok));
            let mut many = self.database.prepare_cached(
                "SELECT id FROM versions WHERE path = ?1 AND staged IS NULL ORDER BY id DESC LIMIT -1 OFFSET ?2",
            )?;
            for path in paths {
                let found =
                    many.query_map(params![path, self.limits.per_path], |row| row.get::<_, i64>(0))?;
                out.extend(found.filter_map(Result::ok).filter(|id| *id < latest));
            }
        }
        self.throw_out(&out)?;
        let mut bytes: u64 = self.database.query_row(
            "SELECT coalesce(sum(size), 0) FROM versions WHERE staged IS NULL",
            [],
            |row| row.get::<_, i64>(0).map(|bytes| bytes as u64),
        )?;
        let mut out = Vec::new();
        if bytes > self.limits.bytes {
            let mut all = self
                .database
                .prepare("SELECT id, size FROM versions WHERE staged IS NULL AND id < ?1 ORDER BY id")?;
            let mut rows = all.query([latest])?;
            while let Some(row) = rows.next()?.filter(|_| bytes > self.limits.bytes) {
                out.push(row.get(0)?);
                bytes = bytes.saturating_sub(row.get::<_, i64>(1)? as u64);
            }
        }
        self.throw_out(&out)
    }

    /// First the files: a row without one is found at the next start, a file without a row would be taken for a find.
    fn throw_out(&mut self, ids: &[i64]) -> rusqlite::Result<()> {
        let transaction = self.database.transaction()?;
        for id in ids {
            let place = self.folder.join(id.to_string());
            if let Err(error) = fs::remove_file(&place)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(place = %place.display(), %error, "a version cannot be thrown out");
                continue;
            }
            forget(&transaction, *id)?;
        }
        transaction.commit()
    }

    /// Forgets versions whose files are gone. If the database is new, takes in the files of the one before, as nobody knows what they were.
    fn account_for_files(&mut self, is_fresh: bool) -> rusqlite::Result<()> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let files: BTreeSet<i64> =
            files.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        let transaction = self.database.transaction()?;
        if is_fresh {
            for id in &files {
                let size =
                    fs::metadata(self.folder.join(id.to_string())).map_or(0, |metadata| metadata.len());
                transaction.execute(
                    "INSERT INTO versions (id, path, size, kept_at, replacement) VALUES (?1, ?2, ?3, ?4, 0)",
                    params![id, format!("recovered-{id}"), size as i64, milliseconds(SystemTime::now())],
                )?;
            }
        }
        let rows: Vec<i64> = {
            let mut all = transaction.prepare("SELECT id FROM versions WHERE staged IS NULL")?;
            all.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
        };
        for id in rows.iter().filter(|id| !files.contains(id)) {
            forget(&transaction, *id)?;
        }
        transaction.commit()
    }

    fn place(&self, id: i64) -> PathBuf {
        self.folder.join(id.to_string())
    }
}

fn version(row: &Row<'_>) -> rusqlite::Result<Option<Version>> {
    let (id, path, size, kept_at): (i64, String, i64, i64) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let kept_at = UNIX_EPOCH + Duration::from_millis(u64::try_from(kept_at).unwrap_or_default());
    // Whoever wrote into the database what is no path gets no say in where something is restored to.
    Ok(RelativePath::new(&path).ok().map(|path| Version { id, path, size: size as u64, kept_at }))
}

fn mark_kept(database: &Connection, id: i64, size: u64) -> rusqlite::Result<()> {
    let mut update = database.prepare_cached("UPDATE versions SET staged = NULL, size = ?2 WHERE id = ?1")?;
    update.execute(params![id, size as i64]).map(drop)
}

fn forget(database: &Connection, id: i64) -> rusqlite::Result<()> {
    database.prepare_cached("DELETE FROM versions WHERE id = ?1")?.execute([id]).map(drop)
}

/// Brings a file from the stage folder to its place in the store, and says its size; `None`: there is none. Renamed if possible. Copied if the store is on
/// another file system, or if the file has other names under which it may still be written.
fn take(stage: BorrowedFd<'_>, staged: &str, place: &Path) -> io::Result<Option<u64>> {
    let stat = match fstatat(stage, staged, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::ENOENT) => return Ok(fs::metadata(place).ok().map(|metadata| metadata.len())),
        Err(error) => return Err(error.into()),
    };
    let renamed =
        if stat.st_nlink == 1 { renameat(stage, staged, AT_FDCWD, place) } else { Err(Errno::EXDEV) };
    match renamed {
        Ok(()) => {}
        Err(Errno::EXDEV) => {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut from = File::from(openat(stage, staged, flags, Mode::empty())?);
            let unfinished = place.with_extension("unfinished");
            let mut to = File::create(&unfinished)?;
            io::copy(&mut from, &mut to)?;
            to.sync_all()?;
            fs::rename(&unfinished, place)?;
            unlinkat(stage.as_fd(), staged, UnlinkatFlags::NoRemoveDir)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Some(u64::try_from(stat.st_size).unwrap_or_default()))
}

fn milliseconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
