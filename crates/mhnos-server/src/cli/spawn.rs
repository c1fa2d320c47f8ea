//! `spawn`: starts a program and stays with it, or only says its number.

use mhnos_protocol::ProcessKind;
use mhnos_protocol::limits::{TERMINAL_COLUMNS, TERMINAL_ROWS};
use mhnos_protocol::v2::{Exit, Reply, Request, Spawn, TerminalSize};
use mhnos_server::state::StateDirectory;

use super::arguments::{SpawnArguments, milliseconds};
use super::client::{Client, unexpected};
use super::failure::{FAILURE, Failure, SUCCESS};
use super::session::link::Link;
use super::session::{self, Outcome, Plan};
use super::terminal::say;
use super::{format, output, terminal};

pub(crate) async fn run(
    state: &StateDirectory,
    arguments: SpawnArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let (detach, detach_key) = (arguments.detach, arguments.detach_key);
    let spawn = asked_for(arguments);
    let client = Client::connect(state).await?;
    if detach {
        let pid = match client.request(Request::Spawn(spawn)).await? {
            Reply::Spawned { pid, .. } => pid,
            other => return Err(unexpected(&other)),
        };
        client.close().await;
        if as_json {
            output::json(&serde_json::json!({ "pid": pid }))?;
        } else {
            output::text(&format!("{pid}\n"))?;
        }
        return Ok(SUCCESS);
    }
    let terminal = spawn.terminal.is_some();
    let link = Link::spawn(client, spawn).await?;
    let pid = link.pid;
    let plan = Plan { terminal, own: true, detach_key, input: true, replayed_to: 0, from: 0 };
    let outcome = session::run(state, link, plan).await?;
    Ok(code(pid, &outcome))
}

/// The command line as the runtime wants to hear it.
fn asked_for(arguments: SpawnArguments) -> Spawn {
    let SpawnArguments { kind, mut command, mut args, cwd, env, timeout, terminal, .. } = arguments;
    let has_option = command.as_deref().is_some_and(|command| command.starts_with('-'));
    if has_option && matches!(kind, ProcessKind::Shell | ProcessKind::Openclaw) {
        // These run without a command of their own: what looks like one is an argument.
        args.splice(0..0, command.take());
    }
    let default_size = TerminalSize { cols: TERMINAL_COLUMNS, rows: TERMINAL_ROWS };
    let terminal = terminal || kind == ProcessKind::Shell;
    Spawn {
        kind,
        command,
        args,
        cwd,
        env: env.into_iter().collect(),
        timeout: timeout.map(milliseconds),
        terminal: terminal.then(|| terminal::size().unwrap_or(default_size)),
        credit: None,
    }
}

/// The code a session ends this command with, and what to tell the person.
pub(crate) fn code(pid: u32, outcome: &Outcome) -> i32 {
    match outcome {
        Outcome::Exited(exit) => {
            if let Some(line) = unusual(exit) {
                say(line);
            }
            match (exit.code, &exit.signal) {
                (Some(code), _) => code,
                (None, Some(signal)) => output::signal_code(signal.number),
                (None, None) => FAILURE,
            }
        }
        Outcome::Left => {
            say(left_running(pid));
            SUCCESS
        }
        Outcome::Signalled(signal) => {
            say(left_running(pid));
            output::signal_code(*signal as i32)
        }
        Outcome::Ended(signal) => output::signal_code(*signal as i32),
        Outcome::Unread => output::signal_code(nix::libc::SIGPIPE),
    }
}

fn left_running(pid: u32) -> String {
    format!("{pid} runs on: `mhnos-runtime attach {pid}` returns to it, `mhnos-runtime kill {pid}` ends it")
}

/// What a person would not guess from the exit code.
fn unusual(exit: &Exit) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(reason) = &exit.reason {
        parts.push(format!("the runtime ended it: {}", format::plain(reason)));
    }
    for (what, members) in
        [("left running and ended", &exit.left_behind), ("could not be ended", &exit.survived)]
    {
        if !members.is_empty() {
            let name = |member: &mhnos_protocol::v2::Member| {
                format!("{} ({})", format::plain(&member.name), member.os_pid)
            };
            parts.push(format!("{what}: {}", members.iter().map(name).collect::<Vec<_>>().join(", ")));
        }
    }
    if !exit.drained {
        parts.push("something holds its output open, the end of it may be missing".into());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Arguments, Command, Question};

    fn spawn(line: &[&str]) -> Spawn {
        match Arguments::try_parse_from(["mhnos-runtime", "spawn"].iter().chain(line)).unwrap().command {
            Command::Ask(Question::Spawn(arguments)) => asked_for(arguments),
            _ => panic!("not a spawn"),
        }
    }

    #[test]
    fn a_shell_has_a_terminal_and_needs_no_command() {
        let shell = spawn(&["shell", "--", "-c", "ls"]);
        assert!(shell.terminal.is_some());
        assert_eq!((shell.command, shell.args), (None, vec!["-c".to_owned(), "ls".into()]));
        let shell = spawn(&["shell", "bash", "--", "-c", "ls"]);
        assert_eq!((shell.command.as_deref(), shell.args.len()), (Some("bash"), 2));
    }

    #[test]
    fn a_script_has_pipes_unless_asked_otherwise() {
        let node = spawn(&["node", "-e", "A=1", "--timeout", "2m", "--", "-e", "1"]);
        assert!(node.terminal.is_none());
        assert_eq!((node.command.as_deref(), node.timeout), (Some("-e"), Some(120_000)));
        assert_eq!(node.env.get("A").map(String::as_str), Some("1"));
        assert!(spawn(&["node", "-t", "a.js"]).terminal.is_some());
    }
}
