//! SQLite files that can be lost: whatever is wrong with one, it is put aside and a new one begun.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Opens a database, or makes it. True: there was none that could be used.
///
/// # Errors
/// When none can be made either.
pub(crate) fn open(path: &Path, version: i32, schema: &str) -> io::Result<(Connection, bool)> {
    if path.exists() {
        match open_sound(path, version) {
            Ok(connection) => return Ok((connection, false)),
            Err(reason) => {
                let aside = put_aside(path)?;
                tracing::warn!(path = %path.display(), aside = %aside.display(), %reason, "a database cannot be used and was put aside");
            }
        }
    }
    let connection = connect(path).map_err(io::Error::other)?;
    connection.execute_batch(schema).map_err(io::Error::other)?;
    connection.pragma_update(None, "user_version", version).map_err(io::Error::other)?;
    Ok((connection, true))
}

fn open_sound(path: &Path, version: i32) -> Result<Connection, String> {
    let connection = connect(path).map_err(|error| error.to_string())?;
    let found: i32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if found != version {
        return Err(format!("it is of version {found}, not {version}"));
    }
    let check: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if check == "ok" { Ok(connection) } else { Err(check) }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What a transaction says must not come before what it speaks of, and not be lost after somebody was told of it.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    Ok(connection)
}

/// The last one that was put aside is kept; earlier ones are not.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let with = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = with(".unusable");
    std::fs::rename(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        match std::fs::remove_file(with(ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}
