//! What the tray's menu says: status first, then actions, then places, and Quit last.

use mhnos_protocol::v2::{Process, Request};

use crate::desktop::Desktop;
use crate::engine::Kind;
use crate::link::LinkError;
use crate::notifications::{count, name};
use crate::snapshot::{Phase, Snapshot};
use crate::window::Page;

/// Programs that have an entry. The window has the others.
const PROGRAMS: usize = 20;

/// Characters of a status line, which panels do not wrap.
const STATUS_CHARACTERS: usize = 90;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    /// Between groups.
    Line,
    /// Only says something.
    Text(String),
    /// Does something.
    Do { label: String, action: Action, enabled: bool },
    /// Has entries of its own.
    More { label: String, entries: Vec<Entry> },
    /// Which engine runs the bridge.
    Engines { chosen: Kind },
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Start,
    Stop,
    Restart,
    OtherPort,
    Switch(Kind),
    Kill(u32),
    Show(Page),
    OpenMhnos,
    OpenWorkspace,
    Quit,
}

fn act(label: impl Into<String>, action: Action) -> Entry {
    Entry::Do { label: label.into(), action, enabled: true }
}

/// One line on how it is.
pub(super) fn title(snapshot: &Snapshot) -> String {
    let engine = &snapshot.engine;
    let how = match engine.kind {
        Kind::Native => "natively",
        Kind::Docker => "in Docker",
        Kind::Existing => "(started elsewhere)",
    };
    let line = match (&engine.phase, &engine.reason) {
        (Phase::Running, _) if engine.needs_you > 0 => format!("Running {how}, needs you"),
        (Phase::Running, _) => format!("Running {how} on port {}", engine.port),
        (Phase::Starting, None) => "Starting…".into(),
        (Phase::Starting, Some(why)) => format!("Starting: {why}"),
        (Phase::Stopping, _) => "Stopping…".into(),
        (Phase::Stopped, None) => "Stopped".into(),
        (Phase::Stopped, Some(why)) => format!("Stopped: {why}"),
        (Phase::Failed, why) => format!("Failed: {}", why.as_deref().unwrap_or("see Doctor")),
    };
    match line.char_indices().nth(STATUS_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The whole menu.
pub(super) fn entries(snapshot: &Snapshot, chosen: Kind) -> Vec<Entry> {
    let engine = &snapshot.engine;
    let mut entries = vec![Entry::Text(title(snapshot))];
    if engine.needs_you > 0 {
        let label = match snapshot.waiting.as_slice() {
            [origin] => format!("{origin} wants to run programs…"),
            [] => "Files need you…".into(),
            several => format!("{} want to run programs…", count(several.len() as u32, "page")),
        };
        entries.push(act(label, Action::Show(Page::First)));
    }
    if engine.port_holder.is_some() {
        entries.push(act("Use another port", Action::OtherPort));
    }
    let can_start = matches!(engine.phase, Phase::Stopped | Phase::Failed);
    let can_stop = matches!(engine.phase, Phase::Running | Phase::Starting);
    entries.extend([
        Entry::Line,
        Entry::Do { label: "Start".into(), action: Action::Start, enabled: can_start },
        Entry::Do { label: "Stop".into(), action: Action::Stop, enabled: can_stop },
        Entry::Do { label: "Restart".into(), action: Action::Restart, enabled: can_stop },
        Entry::More { label: "Engine".into(), entries: vec![Entry::Engines { chosen }] },
        programs(&snapshot.processes),
        Entry::Line,
        act("Open window", Action::Show(Page::First)),
        act("Open MHNOS", Action::OpenMhnos),
        act("Open workspace", Action::OpenWorkspace),
        act("Doctor", Action::Show(Page::Doctor)),
        Entry::Line,
        act(quit_label(snapshot), Action::Quit),
    ]);
    entries
}

fn programs(processes: &[Process]) -> Entry {
    let label = match processes.len() {
        0 => "No program runs".into(),
        number => format!("{} running", count(number as u32, "program")),
    };
    if processes.is_empty() {
        return Entry::Text(label);
    }
    let mut entries: Vec<_> = processes.iter().take(PROGRAMS).map(program).collect();
    if processes.len() > PROGRAMS {
        entries.push(act(format!("{} more…", processes.len() - PROGRAMS), Action::Show(Page::First)));
    }
    Entry::More { label, entries }
}

/// A level of its own for the kill, so that no slip of the hand does it.
fn program(process: &Process) -> Entry {
    let from = process.origin.as_deref().map_or_else(String::new, |origin| format!(", from {origin}"));
    let label = format!("{} ({}{from})", name(process), process.pid);
    Entry::More { label, entries: vec![act("Kill", Action::Kill(process.pid))] }
}

fn quit_label(snapshot: &Snapshot) -> String {
    let runs = matches!(snapshot.engine.phase, Phase::Running | Phase::Starting | Phase::Stopping);
    match (runs, snapshot.is_ours, snapshot.processes.len()) {
        (false, ..) => "Quit".into(),
        (true, false, _) => "Quit (the runtime goes on)".into(),
        (true, true, 0) => "Quit (stops the runtime)".into(),
        (true, true, number) => {
            format!("Quit (stops the runtime and {})", count(number as u32, "program"))
        }
    }
}

/// Ends a program and all it started.
pub(super) async fn kill(desktop: &Desktop, pid: u32) -> Result<(), LinkError> {
    desktop.supervisor.line()?.ask(Request::Kill { pid, signal: None, grace: None }).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(entries: &[Entry]) -> Vec<String> {
        let label = |entry: &Entry| match entry {
            Entry::Line => "-".into(),
            Entry::Text(label) | Entry::More { label, .. } => label.clone(),
            Entry::Do { label, enabled: true, .. } => label.clone(),
            Entry::Do { label, enabled: false, .. } => format!("({label})"),
            Entry::Engines { .. } => "engines".into(),
        };
        entries.iter().map(label).collect()
    }

    #[test]
    fn status_comes_first_and_quit_last_and_says_what_ends() {
        let mut snapshot = Snapshot::new(Kind::Native, 18790);
        let stopped = labels(&entries(&snapshot, Kind::Native));
        assert_eq!(stopped[0], "Stopped");
        assert!(stopped.contains(&"Start".into()) && stopped.contains(&"(Stop)".into()));
        assert_eq!(stopped.last().unwrap(), "Quit");
        snapshot.engine.phase = Phase::Running;
        snapshot.is_ours = true;
        let running = labels(&entries(&snapshot, Kind::Native));
        assert_eq!(running[0], "Running natively on port 18790");
        assert!(running.contains(&"(Start)".into()) && running.contains(&"Stop".into()));
        assert_eq!(running.last().unwrap(), "Quit (stops the runtime)");
        snapshot.is_ours = false;
        assert_eq!(labels(&entries(&snapshot, Kind::Native)).last().unwrap(), "Quit (the runtime goes on)");
        snapshot.waiting.push("http://localhost:8000".into());
        snapshot.engine.needs_you = 1;
        assert_eq!(
            labels(&entries(&snapshot, Kind::Native))[1],
            "http://localhost:8000 wants to run programs…"
        );
    }
}
