//! The runtime's own log, read from its files: it can be read when the runtime hangs or is gone, which is when one
//! wants it most. Files are followed by looking again; each day has its own.
//! They are written for programs, a JSON document a line; people are shown the same in words.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mhnos_protocol::frame::Kind;
use serde_json::Value;

use super::failure::Failure;
use super::format::plain;
use super::logs::{Stopped, last_lines};
use super::session::streams;

/// How often to look for more.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Read and written at once.
const BLOCK_BYTES: usize = 64 << 10;

pub(crate) async fn show(
    directory: &Path,
    follow: bool,
    tail: Option<usize>,
    as_json: bool,
) -> Result<(), Stopped> {
    let files = files(directory)?;
    if files.is_empty() {
        let message = "the runtime has written no log yet: start one with `mhnos-runtime serve`";
        return Err(Failure::Other(message.into()).into());
    }
    let positions = match tail {
        Some(lines) => tail_positions(&files, lines)?,
        None => files.into_iter().map(|file| (file, 0)).collect(),
    };
    let mut reader = Reader { as_json, ..Reader::default() };
    for (path, position) in positions {
        reader.turn_to(path, position);
        reader.write_new().await?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        reader.write_new().await?;
        let files = self::files(directory)?;
        let newer = match files.iter().position(|path| *path == reader.path) {
            Some(index) => files.get(index + 1),
            None => files.last(),
        };
        if let Some(newer) = newer {
            // What was written to the old file before the new one was begun.
            reader.write_new().await?;
            reader.turn_to(newer.clone(), 0);
        }
    }
}

/// The log's files, newest last.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in directory.read_dir()? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("runtime.log") {
                files.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(|error| cannot_read(directory, &error)),
    }
}

/// Where in which files the last lines begin.
fn tail_positions(files: &[PathBuf], lines: usize) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let mut positions = Vec::new();
    let mut missing = lines;
    for file in files.iter().rev() {
        let text = std::fs::read(file).map_err(|error| cannot_read(file, &error))?;
        let length = last_lines(text.iter().rev().copied(), missing);
        positions.push((file.clone(), (text.len() - length) as u64));
        missing -= text[text.len() - length..].split_inclusive(|byte| *byte == b'\n').count();
        if missing == 0 {
            break;
        }
    }
    positions.reverse();
    Ok(positions)
}

/// Writes what is new in one file after another.
#[derive(Default)]
struct Reader {
    path: PathBuf,
    position: u64,
    /// A line of which the end is not written yet.
    begun: Vec<u8>,
    as_json: bool,
}

impl Reader {
    fn turn_to(&mut self, path: PathBuf, position: u64) {
        (self.path, self.position) = (path, position);
        self.begun.clear();
    }

    async fn write_new(&mut self) -> Result<(), Stopped> {
        let path = self.path.clone();
        let failed = |error: io::Error| cannot_read(&path, &error);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // Old files are removed by the runtime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error).into()),
        };
        file.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            let read = file.read(&mut block).map_err(failed)?;
            if read == 0 {
                return Ok(());
            }
            self.position += read as u64;
            let text = self.lines(&block[..read]);
            streams::write(Kind::Stdout, text).await.map_err(|_| Stopped::Unread)?;
        }
    }

    /// The whole lines there are now, as they are shown.
    fn lines(&mut self, block: &[u8]) -> Vec<u8> {
        if self.as_json {
            return block.to_vec();
        }
        self.begun.extend_from_slice(block);
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.begun.split_off(end + 1);
        let lines = std::mem::replace(&mut self.begun, rest);
        let mut text = String::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            text += &for_people(line);
            text.push('\n');
        }
        text.into_bytes()
    }
}

/// One line of the log, which is kept for programs, as a person reads it.
fn for_people(line: &[u8]) -> String {
    let Ok(Value::Object(entry)) = serde_json::from_slice(line) else {
        return plain(&String::from_utf8_lossy(line));
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let field = |name| entry.get(name).map(text).unwrap_or_default();
    let mut words = vec![field("timestamp"), format!("{:<5}", field("level"))];
    if let Some(Value::Object(fields)) = entry.get("fields") {
        words.extend(fields.get("message").map(text));
        let others = fields.iter().filter(|(name, _)| *name != "message");
        words.extend(others.map(|(name, value)| format!("{name}={}", text(value))));
    }
    plain(&words.join(" "))
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format!("read the log at {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_may_span_files() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("runtime.log.1"), folder.path().join("runtime.log.2"));
        std::fs::write(&old, "a\nbb\n").unwrap();
        std::fs::write(&new, "ccc\ndddd\n").unwrap();
        let files = vec![old.clone(), new.clone()];
        assert_eq!(tail_positions(&files, 1).unwrap(), [(new.clone(), 4)]);
        assert_eq!(tail_positions(&files, 3).unwrap(), [(old.clone(), 2), (new.clone(), 0)]);
        assert_eq!(tail_positions(&files, 9).unwrap(), [(old, 0), (new, 0)]);
    }

    #[test]
    fn people_are_shown_words() {
        let mut reader = Reader::default();
        let line = r#"{"timestamp":"T","level":"INFO","fields":{"message":"connected","by":"a page","port":3},"target":"x"}"#;
        assert_eq!(reader.lines(&line.as_bytes()[..20]), b"");
        let rest = format!("{}\nnot JSON \x1b\n{{", &line[20..]);
        let shown = String::from_utf8(reader.lines(rest.as_bytes())).unwrap();
        assert_eq!(shown, "T INFO  connected by=a page port=3\nnot JSON \\u{1b}\n");
        reader.as_json = true;
        assert_eq!(reader.lines(b"{\n"), b"{\n");
    }

    #[test]
    fn only_the_log_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["runtime.log.2026-01-01", "token", "settings.json"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!(files(folder.path()).unwrap(), [folder.path().join("runtime.log.2026-01-01")]);
        assert!(files(&folder.path().join("missing")).unwrap().is_empty());
    }
}
