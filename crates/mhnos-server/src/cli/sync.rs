//! `sync`: how the workspace and the browsers' disks stand to each other, and what a person decides about them.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mhnos_protocol::v2::{
    Event, HaltAnswer, Keep, Reply, Request, SyncPhase, SyncReplica, SyncStatus, Topic,
};
use mhnos_server::state::StateDirectory;

use super::arguments::{KeepArgument, SyncCommand};
use super::client::{Client, unexpected};
use super::failure::{Failure, SUCCESS};
use super::format::{Align, Column, bytes, count, moment, plain, table};
use super::output;

pub(crate) async fn run(state: &StateDirectory, command: SyncCommand, as_json: bool) -> Result<i32, Failure> {
    let client = Client::connect(state).await?;
    let (request, said) = match command {
        SyncCommand::Status { follow: true } => return follow(&client, as_json).await,
        SyncCommand::Status { follow: false } => (Request::SyncStatus, ""),
        SyncCommand::Conflicts => (Request::SyncConflicts, ""),
        SyncCommand::Resolve { path, keep } => {
            let keep = match keep {
                KeepArgument::Name => Keep::Name,
                KeepArgument::Copy => Keep::Copy,
                KeepArgument::Both => Keep::Both,
            };
            (
                Request::SyncResolve { path, keep },
                "settled; what was not kept is in `mhnos-runtime sync versions`\n",
            )
        }
        SyncCommand::Versions { path } => (Request::SyncVersions { path }, ""),
        SyncCommand::Restore { version, to } => (
            Request::SyncRestore { version, path: to },
            "restored; what was in its place became a version itself\n",
        ),
        SyncCommand::Pause => (Request::SyncPause, "paused until `mhnos-runtime sync resume`\n"),
        SyncCommand::Resume => (Request::SyncResume, "sync goes on\n"),
        SyncCommand::Rescan => (Request::SyncRescan, "all sides look at everything again\n"),
        SyncCommand::Confirm { replica } => {
            (Request::SyncConfirm { halt: HaltAnswer::Confirm, replica }, "the deletions are carried out\n")
        }
        SyncCommand::Undelete { replica } => {
            (Request::SyncConfirm { halt: HaltAnswer::Restore, replica }, "what was missing is given back\n")
        }
    };
    let reply = client.request(request).await?;
    client.close().await;
    match reply {
        Reply::SyncStatus { status, .. } if as_json => output::json(&status)?,
        Reply::SyncStatus { status, .. } => output::text(&report(&status))?,
        Reply::SyncConflicts { conflicts, .. } if as_json => output::json(&conflicts)?,
        Reply::SyncConflicts { conflicts, .. } if conflicts.is_empty() => output::text("no conflicts\n")?,
        Reply::SyncConflicts { conflicts, .. } => {
            let rows: Vec<_> = conflicts
                .iter()
                .map(|conflict| {
                    vec![
                        plain(&conflict.path),
                        plain(&conflict.copy),
                        plain(&conflict.replica),
                        moment(conflict.time),
                    ]
                })
                .collect();
            output::text(&table(
                &[left("FILE"), left("OTHER VERSION"), left("WRITTEN BY"), left("SEEN")],
                &rows,
                None,
            ))?;
            output::text(
                "settle one with: mhnos-runtime sync resolve <OTHER VERSION> --keep name|copy|both\n",
            )?;
        }
        Reply::SyncVersions { versions, .. } if as_json => output::json(&versions)?,
        Reply::SyncVersions { versions, .. } if versions.is_empty() => output::text("no earlier versions\n")?,
        Reply::SyncVersions { versions, .. } => {
            let rows: Vec<_> = versions
                .iter()
                .map(|version| {
                    vec![
                        version.id.to_string(),
                        plain(&version.path),
                        bytes(version.size),
                        moment(version.time),
                        plain(&version.reason),
                    ]
                })
                .collect();
            let columns = [right("VERSION"), left("FILE"), right("SIZE"), left("UNTIL"), left("WHY")];
            output::text(&table(&columns, &rows, None))?;
        }
        Reply::Done { .. } if as_json => output::json(&serde_json::json!({ "ok": true }))?,
        Reply::Done { .. } => output::text(said)?,
        other => return Err(unexpected(&other)),
    }
    Ok(SUCCESS)
}

fn left(title: &'static str) -> Column {
    Column { title, align: Align::Left }
}

fn right(title: &'static str) -> Column {
    Column { title, align: Align::Right }
}

/// Shows how it stands until interrupted: a bar for people, a document for each change for programs.
async fn follow(client: &Client, as_json: bool) -> Result<i32, Failure> {
    let mut events = client.events();
    client.request(Request::Subscribe { topics: vec![Topic::Sync] }).await?;
    let mut status = match client.request(Request::SyncStatus).await? {
        Reply::SyncStatus { status, .. } => status,
        other => return Err(unexpected(&other)),
    };
    let bar = if as_json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    loop {
        if as_json {
            output::json(&status)?;
        }
        bar.set_message(line(&status));
        status = loop {
            match events.recv().await {
                Some(Event::SyncChanged { status }) => break status,
                Some(_) => {}
                None => return Err(Failure::Disconnected),
            }
        };
    }
}

/// One line for all.
fn line(status: &SyncStatus) -> String {
    let (files, size) = status
        .replicas
        .iter()
        .fold((0, 0), |(files, size), replica| (files + replica.files_to_go, size + replica.bytes_to_go));
    let connected = status.replicas.iter().filter(|replica| replica.connected).count();
    let what = match (status.paused, &status.halted, files) {
        (true, ..) => "paused".to_owned(),
        (_, Some(reason), _) => plain(reason),
        (_, _, 0) => "all is equal".into(),
        _ => format!("{} to go, {}", count(files as usize, "file", "files"), bytes(size)),
    };
    format!(
        "{what} · {} connected · {}",
        count(connected, "disk", "disks"),
        count(status.conflicts as usize, "conflict", "conflicts")
    )
}

fn report(status: &SyncStatus) -> String {
    let mut report = format!("{}\n", line(status));
    if !status.replicas.is_empty() {
        let rows: Vec<_> = status.replicas.iter().map(row).collect();
        let columns = [left("DISK"), left("PAGE"), left("STATE"), right("TO GO"), left("EQUAL LAST")];
        report.push('\n');
        report.push_str(&table(&columns, &rows, None));
    }
    for replica in &status.replicas {
        if let Some(reason) = &replica.halted {
            report.push_str(&format!(
                "\n{} is halted: {}\n  they were meant:     mhnos-runtime sync confirm {}\n  give the files back: mhnos-runtime sync undelete {2}\n",
                plain(&replica.name),
                plain(reason),
                plain(&replica.key)
            ));
        }
    }
    let problems = status.problems.iter().chain(status.replicas.iter().flat_map(|replica| &replica.problems));
    for problem in problems {
        report.push_str(&format!("\n{} {}", plain(&problem.path), plain(&problem.reason)));
    }
    if status.problem_count > 0 || status.replicas.iter().any(|replica| replica.problem_count > 0) {
        report.push('\n');
    }
    report
}

fn row(replica: &SyncReplica) -> Vec<String> {
    let state = match replica.phase {
        SyncPhase::Away => "away",
        SyncPhase::Observing => "looks at its files",
        SyncPhase::Syncing => "syncs",
        SyncPhase::Synced => "equal",
        SyncPhase::Paused => "paused",
        SyncPhase::Halted => "halted",
    };
    let to_go = match replica.files_to_go {
        0 => "nothing".into(),
        files => format!("{}, {}", count(files as usize, "file", "files"), bytes(replica.bytes_to_go)),
    };
    vec![
        plain(&replica.name),
        plain(replica.origin.as_deref().unwrap_or("a local program")),
        state.into(),
        to_go,
        replica.last_synced.map_or_else(|| "never".into(), moment),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_a_person_can_do_about_a_halt() {
        let replica = SyncReplica {
            key: "ab".into(),
            name: "Chromium\u{1b}[2J".into(),
            origin: Some("http://localhost:8000".into()),
            connected: true,
            phase: SyncPhase::Halted,
            halted: Some("all 12 files are gone".into()),
            files_to_go: 1,
            bytes_to_go: 2048,
            last_synced: None,
            problems: Vec::new(),
            problem_count: 0,
        };
        let status = SyncStatus { replicas: vec![replica], ..SyncStatus::default() };
        let report = report(&status);
        assert!(report.contains("1 file to go, 2.0 KiB · 1 disk connected · 0 conflicts"), "{report}");
        assert!(report.contains("sync confirm ab") && report.contains("sync undelete ab"), "{report}");
        assert!(!report.contains('\u{1b}'));
    }
}
