//! What a person should hear of without looking: said by the desktop's notifications, where there are any and a person has not switched
//! them off in the settings. Each is news: the same is not said again, and many failures in a row are said together.

use std::sync::Arc;
use std::time::Duration;

use mhnos_protocol::v2::{Event, Exit, Process};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

use crate::desktop::Desktop;
use crate::settings;
use crate::snapshot::{Phase, Snapshot};

/// Programs that fail so soon after one that was told of are only counted, and then told of together.
const QUIET: Duration = Duration::from_secs(5);

/// Shows a notification. Without D-Bus, or without anything that shows them, nothing happens: all they say is in the window, too.
pub(crate) fn tell(desktop: &Desktop, heading: &str, text: &str) {
    if !settings::app(&desktop.state).notifications {
        return;
    }
    let mut notification = notify_rust::Notification::new();
    notification.appname("MHNOS Runtime").icon("mhnos-desktop").summary(heading).body(&escaped(text));
    // It asks the bus and waits for its answer.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = notification.show() {
            tracing::debug!(%error, "no notification");
        }
    });
}

/// Some desktops read markup in the text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Tells of what happens for as long as the app runs.
pub(crate) async fn watch(desktop: Arc<Desktop>) {
    let mut news = desktop.supervisor.news();
    let mut snapshot = desktop.supervisor.snapshot();
    let mut told = Told::default();
    let mut failures = Failures::default();
    loop {
        let (heading, text) = tokio::select! {
            message = news.recv() => match message {
                Ok(Event::ProcessEnded { process }) => match failure(&process) {
                    Some(how) if failures.add() => {
                        let text = format!("{how}. What it printed is under Processes.");
                        (format!("{} ({}) failed", name(&process), process.pid), text)
                    }
                    _ => continue,
                },
                Ok(_) | Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            more = failures.more() => match more {
                0 => continue,
                more => (format!("{} failed", count(more, "more program")), "They are under Processes, with what they printed.".into()),
            },
            changed = snapshot.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = snapshot.borrow_and_update().clone();
                match told.news(&now) {
                    Some(news) => news,
                    None => continue,
                }
            }
        };
        tell(&desktop, &heading, &text);
    }
}

/// The programs that failed since one was told of.
#[derive(Default)]
struct Failures {
    quiet_until: Option<Instant>,
    more: u32,
}

impl Failures {
    /// One more. Whether it is to be told of by itself.
    fn add(&mut self) -> bool {
        if self.quiet_until.is_some() {
            self.more += 1;
            return false;
        }
        self.quiet_until = Some(Instant::now() + QUIET);
        true
    }

    /// Waits for the end of the quiet, and says how many there were in it. Those are news, and what follows is quiet again.
    async fn more(&mut self) -> u32 {
        match self.quiet_until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
        self.quiet_until = (self.more > 0).then(|| Instant::now() + QUIET);
        std::mem::take(&mut self.more)
    }
}

/// How a program failed, as the beginning of a sentence; `None`: it did not.
fn failure(process: &Process) -> Option<String> {
    let exit = process.exit.as_ref()?;
    match (exit.code, &exit.signal, exit.reason.as_deref()) {
        // What a person ended is no failure, nor is what ends with the runtime; what that ended for a limit is.
        (.., Some(Exit::REQUESTED | Exit::SHUTDOWN)) => None,
        (.., Some(reason)) => Some(format!("It was ended: {reason}")),
        (Some(0), ..) | (None, None, None) => None,
        (Some(code), ..) => Some(format!("It ended with code {code}")),
        (None, Some(signal), None) => Some(format!("It was ended by {}", signal.name)),
    }
}

/// What a person was told of the runtime. Only one that runs can have something new to tell, or none that cannot run.
#[derive(Default)]
struct Told {
    conflicts: u32,
    restarts: u32,
    has_failed: bool,
}

impl Told {
    /// What is new: a heading and a text.
    fn news(&mut self, now: &Snapshot) -> Option<(String, String)> {
        let engine = &now.engine;
        let said = |heading: &str, text: String| Some((heading.to_owned(), text));
        match engine.phase {
            Phase::Failed if !std::mem::replace(&mut self.has_failed, true) => {
                let why = engine.reason.as_deref().unwrap_or("the page Doctor says what is missing");
                said("The runtime cannot run", why.to_owned())
            }
            Phase::Running => {
                self.has_failed = false;
                let restarts = std::mem::replace(&mut self.restarts, engine.restarts);
                let conflicts = std::mem::replace(&mut self.conflicts, now.sync.conflicts);
                if engine.restarts > restarts {
                    let text = "It had ended by itself, and programs with it. Its log, under Logs, says why.";
                    return said("The runtime was started again", text.to_owned());
                }
                match now.sync.conflicts {
                    1 if conflicts == 0 => {
                        let text = "Both versions are kept. Choose one under Files.";
                        said("A file was changed on both sides", text.to_owned())
                    }
                    several if several > conflicts => {
                        let text = "All versions are kept. Choose under Files.";
                        said(&format!("{several} files were changed on both sides"), text.to_owned())
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// How people call a process.
pub(crate) fn name(process: &Process) -> String {
    let kind = serde_json::to_value(process.kind).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("program");
    match process.command.rsplit('/').next() {
        Some("") | None => kind.to_owned(),
        Some(command) => format!("{kind} {command}"),
    }
}

/// A number and what it counts.
pub(crate) fn count(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
