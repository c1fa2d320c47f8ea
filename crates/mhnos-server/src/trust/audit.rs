//! The audit log: who was let in, what was started and ended, as the runtime itself knows it. Nothing a client says stands in it as a fact.
//!
//! One JSON object a line, only ever appended. Each line carries its number and the BLAKE3 of the line before, and the hash of the last one stands in
//! a file beside it (`audit.head`): a line that was changed, taken out, or cut off at the end is found by [`verify`]. Whoever can write in the state folder
//! and takes the trouble can forge all of it; it is a record for the person, not a proof against them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mhnos_protocol::limits;
use serde::{Deserialize, Serialize};

use crate::workspace::now;

/// What is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fact {
    /// The runtime began to listen.
    Started {
        /// Its version.
        version: String,
        /// What programs run in.
        sandbox: String,
    },
    /// The runtime stopped in good order.
    Stopped,
    /// Somebody who is allowed was connected. Those who are not leave no line of their own, but for [`Self::Asked`].
    Connected {
        /// Whose.
        by: String,
    },
    /// A page that nobody has decided about is connected, and a person is asked.
    Asked {
        /// The page's origin.
        origin: String,
    },
    /// A person allowed a page.
    Allowed {
        /// The page's origin.
        origin: String,
        /// `full` or `files`.
        access: String,
        /// Whether it holds only for now.
        once: bool,
    },
    /// A person denied a page.
    Denied {
        /// The page's origin.
        origin: String,
    },
    /// What had been decided about a page was taken back.
    Revoked {
        /// The page's origin.
        origin: String,
    },
    /// A program was started.
    Spawned {
        /// Its number.
        pid: u32,
        /// By whom.
        by: String,
        /// Kind of the program, and the command that was asked for. Arguments are left out: people put secrets there.
        program: String,
        /// Its working directory.
        directory: String,
    },
    /// A program was asked to end.
    Killed {
        /// Its number.
        pid: u32,
        /// By whom.
        by: String,
        /// The signal.
        signal: String,
    },
    /// A ticket for a page of our own was given out.
    TicketIssued {
        /// To whom.
        by: String,
    },
    /// The log ended in the middle of a line, by a loss of power, and that part was taken off.
    Mended {
        /// Bytes taken off.
        bytes: u64,
    },
}

/// In words, for people.
impl fmt::Display for Fact {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Started { version, sandbox } => {
                write!(formatter, "runtime {version} started, sandbox: {sandbox}")
            }
            Self::Stopped => formatter.write_str("runtime stopped"),
            Self::Connected { by } => write!(formatter, "connected: {by}"),
            Self::Asked { origin } => write!(formatter, "asked about {origin}"),
            Self::Allowed { origin, access, once } => {
                write!(formatter, "allowed {origin}: {access}{}", if *once { ", once" } else { "" })
            }
            Self::Denied { origin } => write!(formatter, "denied {origin}"),
            Self::Revoked { origin } => write!(formatter, "revoked {origin}"),
            Self::Spawned { pid, by, program, directory } => {
                write!(formatter, "started {pid} for {by}: {program} in {directory}")
            }
            Self::Killed { pid, by, signal } => write!(formatter, "{signal} to {pid} for {by}"),
            Self::TicketIssued { by } => write!(formatter, "ticket for {by}"),
            Self::Mended { bytes } => write!(formatter, "half a line of {bytes} bytes was taken off"),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1, and goes on through rotations and restarts.
    pub number: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    /// BLAKE3 of the line before, hexadecimal; zeros in the very first.
    pub previous: String,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// The last line: its number and its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    number: u64,
    hash: String,
}

/// The log, open for appending.
pub struct Audit {
    folder: PathBuf,
    /// Held while a line is written, never across an await.
    open: Mutex<Open>,
}

struct Open {
    log: File,
    head_file: File,
    length: u64,
    head: Head,
    failed: bool,
}

impl Audit {
    /// Opens the log of a folder and goes on where it ended.
    ///
    /// # Errors
    /// When the files cannot be made or read.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        let (path, head_path) = (folder.join(LOG), folder.join(HEAD));
        let mut log = private().append(true).open(&path)?;
        let mut text = Vec::new();
        File::open(&path)?.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            log.set_len(whole as u64)?;
            log.seek(SeekFrom::End(0))?;
        }
        // After a rotation the newest line is in the file before.
        let last = match text[..whole].split(|&byte| byte == b'\n').rfind(|line| !line.is_empty()) {
            Some(line) => Some(line.to_vec()),
            None => fs::read(folder.join(rotated(1))).ok().and_then(|text| {
                text.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty()).map(<[u8]>::to_vec)
            }),
        };
        let head = match last {
            Some(line) => {
                // A line that was tampered with still counts; `verify` says so.
                let number = serde_json::from_slice::<Entry>(&line).map_or(0, |entry| entry.number);
                Head { number, hash: blake3::hash(&line).to_string() }
            }
            None => Head { number: 0, hash: blake3::Hash::from_bytes([0; 32]).to_string() },
        };
        let head_file = private().truncate(false).open(&head_path)?;
        let audit = Self {
            folder: folder.to_owned(),
            open: Mutex::new(Open { log, head_file, length: whole as u64, head, failed: false }),
        };
        if whole < text.len() {
            audit.write(Fact::Mended { bytes: (text.len() - whole) as u64 });
        }
        Ok(audit)
    }

    /// Appends a fact. A disk that takes no more is said once, in the runtime's own log; what is audited goes on.
    pub fn write(&self, fact: Fact) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.append(&self.folder, fact) {
            Ok(()) => open.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut open.failed, true) {
                    tracing::error!(%error, "the audit log cannot be written: check the disk of the state folder");
                }
            }
        }
    }
}

impl Open {
    fn append(&mut self, folder: &Path, fact: Fact) -> std::io::Result<()> {
        if self.length >= limits::AUDIT_FILE_BYTES {
            self.rotate(folder)?;
        }
        let number = self.head.number + 1;
        let entry = Entry { number, time: now(), previous: self.head.hash.clone(), fact };
        let mut line = serde_json::to_vec(&entry)?;
        let head = Head { number, hash: blake3::hash(&line).to_string() };
        line.push(b'\n');
        self.log.write_all(&line)?;
        self.length += line.len() as u64;
        // One write at the same place and of the same length: never torn by a kill, and nothing to cut off.
        let text = format!("{:<HEAD_BYTES$}\n", serde_json::to_string(&head)?);
        self.head_file.write_all_at(text.as_bytes(), 0)?;
        self.head = head;
        Ok(())
    }

    fn rotate(&mut self, folder: &Path) -> std::io::Result<()> {
        for age in (0..limits::AUDIT_FILES - 1).rev() {
            let from = if age == 0 { folder.join(LOG) } else { folder.join(rotated(age)) };
            match fs::rename(from, folder.join(rotated(age + 1))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.log = private().append(true).open(folder.join(LOG))?;
        self.length = 0;
        Ok(())
    }
}

const LOG: &str = "audit.log";
const HEAD: &str = "audit.head";

/// Room for a number of 20 digits and a hash of 64.
const HEAD_BYTES: usize = 128;

fn rotated(age: usize) -> String {
    format!("audit.{age}.log")
}

/// Files for us alone, which no link is followed to.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options
}

/// The log of a folder, oldest line first. A line that is none of ours is passed over.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn entries(folder: &Path) -> std::io::Result<Vec<Entry>> {
    let lines = lines(folder)?;
    Ok(lines.iter().filter_map(|(_, _, line)| serde_json::from_slice(line).ok()).collect())
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Lines that were looked at.
    pub entries: u64,
    /// Number of the first of them. Above 1, older ones were rotated away.
    pub first: u64,
    /// What is wrong, a sentence each; nothing if the log is whole.
    pub faults: Vec<String>,
}

/// Looks whether every line is as it was written, and none is missing.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn verify(folder: &Path) -> std::io::Result<Verified> {
    let lines = lines(folder)?;
    let mut found = Verified { entries: lines.len() as u64, first: 0, faults: Vec::new() };
    let mut expected: Option<(u64, String)> = None;
    for (file, position, line) in &lines {
        let place = format!("line {position} of {file}");
        match serde_json::from_slice::<Entry>(line) {
            Err(_) => found.faults.push(format!("{place} is not an entry")),
            Ok(entry) => {
                match &expected {
                    None => {
                        found.first = entry.number;
                        if entry.number == 1 && entry.previous.bytes().any(|digit| digit != b'0') {
                            found.faults.push(format!("{place} is not the beginning it says it is"));
                        }
                        // Only a full row of files has lost its oldest.
                        if entry.number > 1 && !folder.join(rotated(limits::AUDIT_FILES - 1)).exists() {
                            found
                                .faults
                                .push(format!("the lines before number {} are missing", entry.number));
                        }
                    }
                    Some((number, _)) if entry.number != *number => {
                        found.faults.push(format!(
                            "{place} has the number {}, where {number} is expected: lines are missing or out of place",
                            entry.number
                        ));
                    }
                    Some((number, hash)) if entry.previous != *hash => found.faults.push(format!(
                        "the line before {place} (number {}) was changed after it was written",
                        number - 1
                    )),
                    Some(_) => {}
                }
                expected = Some((entry.number + 1, blake3::hash(line).to_string()));
            }
        }
    }
    let head: Option<Head> =
        fs::read(folder.join(HEAD)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    match (head, expected) {
        (Some(head), Some((next, hash))) if head.number + 1 == next && head.hash == hash => {}
        (None, None) => {}
        (Some(head), Some((next, _))) if head.number + 1 != next => found.faults.push(format!(
            "the last line has the number {}, where {} was written last: lines were cut off, or {HEAD} is older",
            next - 1,
            head.number
        )),
        (Some(_), Some(_)) => found.faults.push("the last line was changed after it was written".into()),
        (Some(_), None) => found.faults.push("all lines are gone".into()),
        (None, Some(_)) => found.faults.push(format!("{HEAD} is missing, which names the last line")),
    }
    Ok(found)
}

/// All lines: file, position from 1, bytes.
fn lines(folder: &Path) -> std::io::Result<Vec<(String, usize, Vec<u8>)>> {
    let mut lines = Vec::new();
    let names = (1..limits::AUDIT_FILES).rev().map(rotated).chain([LOG.to_owned()]);
    for name in names {
        let file = match File::open(folder.join(&name)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for (position, line) in BufReader::new(file).split(b'\n').enumerate() {
            lines.push((name.clone(), position + 1, line?));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(count: u32) -> (tempfile::TempDir, Audit) {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        for pid in 0..count {
            audit.write(Fact::Killed { pid, by: "x".repeat(100), signal: "SIGTERM".into() });
        }
        (folder, audit)
    }

    fn faults(folder: &Path) -> Vec<String> {
        verify(folder).unwrap().faults
    }

    fn change(folder: &Path, change: impl FnOnce(&mut Vec<String>)) {
        let path = folder.join(LOG);
        let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }

    #[test]
    fn a_log_that_nobody_touched_is_whole_also_after_a_restart() {
        let (folder, audit) = written(3);
        drop(audit);
        let audit = Audit::open(folder.path()).unwrap();
        audit.write(Fact::Stopped);
        assert_eq!(verify(folder.path()).unwrap(), Verified { entries: 4, first: 1, faults: vec![] });
        let entries = entries(folder.path()).unwrap();
        assert_eq!((entries[3].number, &entries[3].fact), (4, &Fact::Stopped));
        assert_eq!(faults(tempfile::tempdir().unwrap().path()), Vec::<String>::new());
    }

    #[test]
    fn every_way_of_tampering_is_found() {
        type Change = fn(&mut Vec<String>);
        let changes: [(&str, Change); 6] = [
            ("a changed line", |lines| lines[1] = lines[1].replace("SIGTERM", "SIGKILL")),
            ("a line taken out", |lines| drop(lines.remove(1))),
            ("the first taken out", |lines| drop(lines.remove(0))),
            ("the last cut off", |lines| drop(lines.pop())),
            ("the last changed", |lines| lines[3] = lines[3].replace("SIGTERM", "SIGKILL")),
            ("all gone", Vec::clear),
        ];
        for (what, tamper) in changes {
            let (folder, _audit) = written(4);
            change(folder.path(), tamper);
            assert!(!faults(folder.path()).is_empty(), "{what}");
        }
    }

    #[test]
    fn it_is_rotated_and_the_chain_goes_on() {
        // The first line is the shortest, for the numbers in them grow: so many are one file more than are kept.
        let (one, _audit) = written(1);
        let line = fs::metadata(one.path().join(LOG)).unwrap().len();
        let count = limits::AUDIT_FILE_BYTES / line * (limits::AUDIT_FILES as u64 + 1);
        let (folder, _audit) = written(count as u32);
        let found = verify(folder.path()).unwrap();
        assert_eq!(found.faults, Vec::<String>::new());
        assert!(found.first > 1 && found.entries < count);
        let size: u64 =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size < (limits::AUDIT_FILE_BYTES + 4096) * limits::AUDIT_FILES as u64);
        fs::remove_file(folder.path().join(rotated(2))).unwrap();
        assert!(!faults(folder.path()).is_empty());
    }

    #[test]
    fn half_a_line_is_taken_off_and_said() {
        let (folder, audit) = written(2);
        drop(audit);
        let mut log = OpenOptions::new().append(true).open(folder.path().join(LOG)).unwrap();
        log.write_all(b"{\"number\":3,").unwrap();
        drop(Audit::open(folder.path()).unwrap());
        assert_eq!(faults(folder.path()), Vec::<String>::new());
        assert_eq!(entries(folder.path()).unwrap()[2].fact, Fact::Mended { bytes: 12 });
    }
}
