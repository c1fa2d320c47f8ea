//! What a person should hear of without looking: said by the desktop's notifications, where there are any.

use std::sync::Arc;

use mhnos_protocol::v2::{Event, Process};
use tokio::sync::broadcast::error::RecvError;

use crate::desktop::Desktop;
use crate::snapshot::{Phase, Snapshot};

/// Shows a notification. Without D-Bus, or without anything that shows them, nothing happens: all they say is in the window, too.
pub(crate) fn tell(heading: &str, text: &str) {
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
    let mut before = snapshot.borrow_and_update().clone();
    loop {
        tokio::select! {
            message = news.recv() => match message {
                Ok(Event::ProcessEnded { process }) => tell_of_end(&process),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            changed = snapshot.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = snapshot.borrow_and_update().clone();
                tell_of_change(&before, &now);
                before = now;
            }
        }
    }
}

fn tell_of_end(process: &Process) {
    let Some(exit) = &process.exit else { return };
    // What a person ended is no failure; what the runtime ended for a limit is.
    let was_ended =
        exit.reason.as_deref().is_some_and(|reason| reason.contains("asked") || reason.contains("shut"));
    let how = match (exit.code, &exit.signal, &exit.reason) {
        _ if was_ended => return,
        (_, _, Some(reason)) => reason.clone(),
        (Some(0), ..) | (None, None, None) => return,
        (Some(code), ..) => format!("it ended with code {code}"),
        (None, Some(signal), None) => format!("it was ended by {}", signal.name),
    };
    tell(&format!("{} {} failed", name(process), process.pid), &how);
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

fn tell_of_change(before: &Snapshot, now: &Snapshot) {
    if now.sync.conflicts > before.sync.conflicts {
        let text = format!("{} wait for you under Files.", count(now.sync.conflicts, "conflict"));
        tell("A file was changed on both sides", &text);
    }
    let (old, new) = (&before.engine, &now.engine);
    if new.phase == Phase::Failed && old.phase != Phase::Failed {
        tell("The runtime cannot run", new.reason.as_deref().unwrap_or("see Doctor"));
    } else if new.phase == Phase::Running && old.phase != Phase::Running && new.restarts > 0 {
        tell("The runtime was started again", "It had ended by itself. Its log says more.");
    }
}

/// A number and what it counts.
pub(crate) fn count(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
