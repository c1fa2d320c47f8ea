//! The runtime's own log: to the terminal for people, to a file a day for machines (JSON lines), and live to whoever
//! subscribed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::path::Path;

use mhnos_protocol::limits;
use serde::Deserialize;
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::workspace::now;

/// Days of which the log is kept.
const DAYS: usize = 7;

/// What the names of the log's files begin with.
const FILE_PREFIX: &str = "runtime.log";

/// Of the files, so much is read back.
const HISTORY_BYTES: u64 = 4 << 20;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Milliseconds since 1970.
    pub time: u64,
    /// The line.
    pub message: String,
}

/// The lines as they come, for those who subscribe.
#[derive(Clone)]
pub struct LogLines(broadcast::Sender<LogLine>);

impl Default for LogLines {
    fn default() -> Self {
        Self(broadcast::Sender::new(limits::LOG_LINES))
    }
}

impl LogLines {
    /// The lines from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.0.subscribe()
    }
}

/// Begins to log. The guard writes out what is left when it is dropped; without one there is no file, because its folder cannot be
/// written, and the terminal says so.
pub fn begin(level: LevelFilter, folder: &Path) -> (LogLines, Option<WorkerGuard>) {
    let lines = LogLines::default();
    // Where this fails, the appender says why.
    let _ = std::fs::create_dir_all(folder);
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(FILE_PREFIX)
        .max_log_files(DAYS)
        .build(folder);
    let (file, guard, failure) = match appender {
        Ok(appender) => {
            let (writer, guard) = tracing_appender::non_blocking(appender);
            (Some(fmt::layer().json().with_writer(writer)), Some(guard), None)
        }
        Err(error) => (None, None, Some(error)),
    };
    let terminal = fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let subscriber =
        tracing_subscriber::registry().with(level).with(terminal).with(file).with(Live(lines.clone()));
    if subscriber.try_init().is_err() {
        // Only a program that embeds the runtime can have begun to log before; then its way of logging stands.
        return (lines, guard);
    }
    if let Some(error) = failure {
        tracing::warn!(folder = %folder.display(), %error, "the log is not kept in a file");
    }
    (lines, guard)
}

/// The last lines of the log's files, oldest first: at most so many, and at most those of the last [`HISTORY_BYTES`].
///
/// # Errors
/// When the folder or a file cannot be read. One that was never written to is empty.
pub fn history(folder: &Path, lines: usize) -> io::Result<Vec<LogLine>> {
    let mut files = Vec::new();
    match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => {
            for entry in entries? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(FILE_PREFIX) {
                    files.push((entry.metadata()?.modified()?, entry.path()));
                }
            }
        }
    }
    files.sort();
    let (mut found, mut bytes) = (Vec::new(), HISTORY_BYTES);
    for (_, path) in files.iter().rev() {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(bytes);
        bytes -= length - from;
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(length - from).read_to_end(&mut text)?;
        // Where it was cut, the first line is no JSON and falls out.
        found.extend(text.split(|byte| *byte == b'\n').rev().filter_map(kept_line));
        if found.len() >= lines || bytes == 0 {
            break;
        }
    }
    found.truncate(lines);
    found.reverse();
    Ok(found)
}

/// A line of a file as it was shown live.
fn kept_line(line: &[u8]) -> Option<LogLine> {
    #[derive(Deserialize)]
    struct Kept {
        timestamp: String,
        level: String,
        fields: serde_json::Map<String, serde_json::Value>,
    }
    let kept: Kept = serde_json::from_slice(line).ok()?;
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut message = kept.fields.get("message").map(text).unwrap_or_default();
    for (name, value) in kept.fields.iter().filter(|(name, _)| *name != "message") {
        let _ = write!(message, " {name}={}", text(value));
    }
    let timestamp: jiff::Timestamp = kept.timestamp.parse().ok()?;
    let time = u64::try_from(timestamp.as_millisecond()).unwrap_or_default();
    Some(LogLine { level: kept.level.to_ascii_lowercase(), time, message })
}

/// Hands lines to subscribers.
struct Live(LogLines);

impl<S: Subscriber> Layer<S> for Live {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if self.0.0.receiver_count() == 0 {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let _ = self.0.0.send(LogLine { level, time: now(), message: text.message + &text.fields });
    }
}

/// An event as one line: the message, then the fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
