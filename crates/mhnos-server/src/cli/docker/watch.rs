//! `docker logs` and `docker stats`: what goes on, for as long as it is looked at.

use std::io::Write;

use futures_util::StreamExt;
use mhnos_docker::{DockerError, Engine, Usage};

use super::arguments::{LogsArguments, StatsArguments};
use crate::cli::failure::{Failure, SUCCESS};
use crate::cli::format::{bytes, plain};
use crate::cli::output;

pub(super) async fn logs(engine: &Engine, arguments: &LogsArguments, as_json: bool) -> Result<i32, Failure> {
    let variant = arguments.which.variant();
    let mut pieces = engine.logs(variant, arguments.tail, arguments.follow);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        // The engine keeps lines: a piece is one, or part of a very long one.
        let text = String::from_utf8_lossy(&piece.bytes);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let line = line.strip_suffix('\r').unwrap_or(line);
        if as_json {
            let stream = if piece.is_error { "stderr" } else { "stdout" };
            output::json_line(&serde_json::json!({ "stream": stream, "line": line }))?;
        } else if piece.is_error {
            // Standard error may be closed while what is printed on standard output is still read.
            let _ = write!(std::io::stderr(), "{}{end}", plain(line));
        } else {
            output::text(&format!("{}{end}", plain(line)))?;
        }
    }
    if arguments.follow {
        // It ends with the container, or with the engine; which of them is to be said.
        let running = engine.container(variant).await?.is_some_and(|container| container.running);
        if running {
            return Err(
                DockerError::Lost { doing: format!("read the log of {}", variant.container()) }.into()
            );
        }
    }
    Ok(SUCCESS)
}

pub(super) async fn stats(
    engine: &Engine,
    arguments: &StatsArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let variant = arguments.which.variant();
    let container = engine.container(variant).await?;
    let running = container.is_some_and(|container| container.running);
    if !running {
        return Err(DockerError::NoContainer { name: format!("{} that runs", variant.container()) }.into());
    }
    let mut samples = engine.usage(variant);
    // How busy it is shows from the second on.
    let mut first = true;
    while let Some(usage) = samples.next().await {
        let usage = usage?;
        if std::mem::take(&mut first) {
            continue;
        }
        show(&usage, as_json)?;
        if !arguments.follow {
            return Ok(SUCCESS);
        }
    }
    Err(DockerError::Lost { doing: format!("measure {}", variant.container()) }.into())
}

fn show(usage: &Usage, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json_line(&serde_json::json!({
            "processor": usage.processor,
            "memory": usage.memory,
            "memoryLimit": usage.memory_limit,
            "processes": usage.processes,
            "received": usage.received,
            "sent": usage.sent,
        }));
    }
    output::text(&format!(
        "cpu {:.0} %   memory {} of {}   {} threads   received {}   sent {}\n",
        usage.processor,
        bytes(usage.memory),
        bytes(usage.memory_limit),
        usage.processes,
        bytes(usage.received),
        bytes(usage.sent)
    ))
}
