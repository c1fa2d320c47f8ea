//! The runtime's own log: to the terminal for people, to a file a day for machines (JSON lines), and live to whoever
//! subscribed.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;

use mhnos_protocol::limits;
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::workspace::now;

/// Days of which the log is kept.
const DAYS: usize = 7;

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
pub fn begin(level: &str, folder: &Path) -> (LogLines, Option<WorkerGuard>) {
    let lines = LogLines::default();
    // Where this fails, the appender says why.
    let _ = std::fs::create_dir_all(folder);
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("runtime.log")
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
    let subscriber = tracing_subscriber::registry()
        .with(EnvFilter::new(level))
        .with(terminal)
        .with(file)
        .with(Live(lines.clone()));
    if subscriber.try_init().is_err() {
        // Only a program that embeds the runtime can have begun to log before; then its way of logging stands.
        return (lines, guard);
    }
    if let Some(error) = failure {
        tracing::warn!(folder = %folder.display(), %error, "the log is not kept in a file");
    }
    (lines, guard)
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
