//! `ps`: the programs there are.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mhnos_protocol::ProcessCounts;
use mhnos_protocol::v2::{Exit, Process, Reply, Request};
use mhnos_server::state::StateDirectory;
use serde::Serialize;

use super::arguments::PsArguments;
use super::client::{Client, unexpected};
use super::failure::{Failure, SUCCESS};
use super::format::{Align, Column, bytes, duration, plain, table};
use super::{output, terminal};

#[derive(Serialize)]
struct Listing {
    processes: Vec<Process>,
    counts: ProcessCounts,
}

pub(crate) async fn run(
    state: &StateDirectory,
    arguments: &PsArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let client = Client::connect(state).await?;
    let (mut processes, counts) = list(&client).await?;
    client.close().await;
    processes.retain(|process| arguments.all || process.exit.is_none());
    if as_json {
        output::json(&Listing { processes, counts })?;
        return Ok(SUCCESS);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let width = if std::io::stdout().is_terminal() { terminal::size() } else { None };
    output::text(&shown(&processes, arguments.all, now, width.map(|size| size.cols.into())))?;
    Ok(SUCCESS)
}

/// All processes, ended ones that can still be looked at included.
pub(crate) async fn list(client: &Client) -> Result<(Vec<Process>, ProcessCounts), Failure> {
    match client.request(Request::List).await? {
        Reply::Processes { processes, counts, .. } => Ok((processes, counts)),
        other => Err(unexpected(&other)),
    }
}

fn shown(processes: &[Process], with_ended: bool, now: Duration, width: Option<usize>) -> String {
    let mut columns = vec![
        Column { title: "PID", align: Align::Right },
        Column { title: "KIND", align: Align::Left },
        Column { title: "COMMAND", align: Align::Cut },
        Column { title: "FROM", align: Align::Left },
        Column { title: "CPU", align: Align::Right },
        Column { title: "MEM", align: Align::Right },
        Column { title: "PORTS", align: Align::Left },
        Column { title: "UP", align: Align::Right },
    ];
    if with_ended {
        columns.push(Column { title: "ENDED", align: Align::Left });
    }
    let rows: Vec<Vec<String>> = processes
        .iter()
        .map(|process| {
            let mut row = row(process, now);
            if with_ended {
                row.push(process.exit.as_ref().map_or_else(|| "-".into(), ended));
            }
            row
        })
        .collect();
    table(&columns, &rows, width)
}

fn row(process: &Process, now: Duration) -> Vec<String> {
    let words = std::iter::once(&process.command).chain(&process.args).filter(|word| !word.is_empty());
    let command = words.map(|word| plain(word)).collect::<Vec<_>>().join(" ");
    let or_dash = |text: String| if text.is_empty() { "-".into() } else { text };
    let up = match &process.exit {
        Some(exit) => Duration::from_millis(exit.runtime),
        None => now.saturating_sub(Duration::from_millis(process.started)),
    };
    let running = |text: String| if process.exit.is_none() { text } else { "-".into() };
    let ports = process.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    vec![
        process.pid.to_string(),
        process.kind.name().into(),
        or_dash(command),
        process.origin.as_deref().map_or_else(|| "local".into(), plain),
        running(format!("{:.1}%", process.cpu)),
        running(bytes(process.memory)),
        or_dash(ports),
        duration(up),
    ]
}

/// How a process ended, in a few words.
pub(crate) fn ended(exit: &Exit) -> String {
    let how = match (exit.code, &exit.signal) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => plain(&signal.name),
        (None, None) => "unknown".into(),
    };
    match &exit.reason {
        Some(reason) => format!("{how}: {}", plain(reason)),
        None => how,
    }
}

#[cfg(test)]
mod tests {
    use mhnos_protocol::ProcessKind;
    use mhnos_protocol::v2::Signal;

    use super::*;

    #[test]
    fn a_row_says_what_a_person_wants_to_know() {
        let mut process = Process {
            pid: 1000,
            kind: ProcessKind::Node,
            command: "server.js".into(),
            args: vec!["--title".into(), "\x1b[2J".into()],
            cwd: "/w".into(),
            origin: None,
            started: 10_000,
            os_pid: 4242,
            terminal: false,
            output: 0,
            cpu: 12.34,
            memory: 3 << 20,
            members: 1,
            ports: vec![3000, 3001],
            exit: None,
        };
        let text = shown(std::slice::from_ref(&process), false, Duration::from_secs(75), None);
        assert_eq!(
            text,
            " PID  KIND  COMMAND                      FROM     CPU      MEM  PORTS         UP\n\
             1000  node  server.js --title \\u{1b}[2J  local  12.3%  3.0 MiB  3000,3001  1m 5s\n"
        );
        process.exit = Some(Exit {
            code: None,
            signal: Some(Signal { number: 9, name: "SIGKILL".into() }),
            reason: Some("memory limit".into()),
            runtime: 2000,
            drained: true,
            left_behind: Vec::new(),
            survived: Vec::new(),
        });
        let text = shown(&[process], true, Duration::from_secs(75), None);
        assert!(text.ends_with("  2.0s  SIGKILL: memory limit\n"), "{text}");
    }
}
