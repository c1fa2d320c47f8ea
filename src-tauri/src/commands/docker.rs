//! `mhnos-runtime docker` for the page of that name: the subcommands and options it needs, and no others.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tauri::State;
use tauri::ipc::Channel;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::oneshot;

use super::{Said, Sentence};
use crate::engine::{refusal, runtime_command};

/// What may be asked for.
const SUBCOMMANDS: [&str; 9] =
    ["doctor", "build", "up", "stop", "restart", "down", "status", "logs", "stats"];

/// Options that stand alone.
const FLAGS: [&str; 5] = ["--json", "--follow", "-f", "--build", "--fetch"];

/// Options with a value behind them.
const WITH_VALUE: [&str; 6] = ["--variant", "--port", "--workspace", "--allow-origin", "--tail", "-n"];

/// Commands that go on at once. Beyond that one has to be stopped first.
const STREAMS: usize = 8;

/// The commands that go on, by their number.
#[derive(Default)]
pub(crate) struct Streams {
    running: Arc<Mutex<HashMap<u32, oneshot::Sender<()>>>>,
    last: Mutex<u32>,
}

impl Streams {
    /// Ends all of them: the page that reads them is gone.
    pub(crate) fn stop_all(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Refuses what the page has no business with.
fn check(arguments: &[String]) -> Result<(), Sentence> {
    let mut words = arguments.iter();
    let refused =
        |word: &str| Err(Sentence(format!("docker {word} is not among what the window may ask for")));
    match words.next() {
        Some(subcommand) if SUBCOMMANDS.contains(&subcommand.as_str()) => {}
        other => return refused(other.map_or("", String::as_str)),
    }
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            if words.next().is_none_or(|value| value.starts_with('-')) {
                return Err(Sentence(format!("{word} needs a value")));
            }
        } else if !FLAGS.contains(&word.as_str()) {
            return refused(word);
        }
    }
    Ok(())
}

fn command(arguments: &[String]) -> Result<Command, Sentence> {
    check(arguments)?;
    let mut command = runtime_command()?;
    command.arg("docker").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Carries out a command, and returns the JSON it prints; the last, where it prints several.
#[tauri::command]
pub(crate) async fn docker(args: Vec<String>) -> Said<Value> {
    let mut args = args;
    if !args.iter().any(|word| word == "--json") {
        args.push("--json".into());
    }
    let output = command(&args)?.output().await?;
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let whole = || serde_json::from_str(&printed).ok();
    let last = || printed.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    // A doctor that found something wrong says so in its report, and by its exit code.
    match whole().or_else(last) {
        Some(answer) if output.status.success() || said.is_empty() => Ok(answer),
        _ if said.is_empty() => Err(Sentence(format!("docker {} gave no answer", args.join(" ")))),
        _ => Err(Sentence(refusal(&said))),
    }
}

/// Carries out a command whose lines come over `channel` until it ends, or is stopped by the number that is returned.
#[tauri::command]
pub(crate) async fn docker_stream(
    streams: State<'_, Streams>,
    args: Vec<String>,
    channel: Channel<String>,
) -> Said<u32> {
    let mut command = command(&args)?;
    let (stop, stopped) = oneshot::channel();
    let id = {
        let mut running = streams.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.len() >= STREAMS {
            return Err(Sentence(format!("{STREAMS} commands are running already: stop one first")));
        }
        let mut last = streams.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        running.insert(*last, stop);
        *last
    };
    let running = Arc::clone(&streams.running);
    let forget = move || drop(running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            forget();
            return Err(error.into());
        }
    };
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    tokio::spawn(async move {
        let following = async {
            tokio::join!(follow(output, channel.clone()), follow(errors, channel));
            child.wait().await
        };
        tokio::select! {
            _ = following => {}
            // Dropping the command ends it.
            _ = stopped => {}
        }
        forget();
    });
    Ok(id)
}

async fn follow(from: Option<impl AsyncRead + Unpin>, channel: Channel<String>) {
    let Some(from) = from else { return };
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The window is gone: nobody reads it any more.
        if channel.send(line).is_err() {
            return;
        }
    }
}

#[tauri::command]
pub(crate) async fn docker_stream_stop(streams: State<'_, Streams>, id: u32) -> Said<()> {
    drop(streams.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(line: &str) -> bool {
        check(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn only_what_the_page_needs_can_be_asked_for() {
        for good in [
            "status --json",
            "up --json --port 1 --workspace /w",
            "logs -f --tail 10",
            "down --variant openclaw",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "",
            "token",
            "--state-dir /x up",
            "up --privileged",
            "up --port",
            "up --workspace --build",
            "logs extra",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
