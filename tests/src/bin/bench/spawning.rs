//! From the request to start a program to the answer that it runs, one after the other.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::Result;
use crate::bare::{Terminal, fork_and_exec};
use crate::client::{Client, Message, Protocol};
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{median, milliseconds, percentile};

pub(crate) const PROGRAM: &str = "/bin/true";
const ROUNDS: usize = 10;
const SPAWNS_A_ROUND: usize = 30;

/// Measures programs with pipes and in terminals.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let runtime = Runtime::start()?;
    let mut client = runtime.connect(Protocol::V2)?;
    // `python3` is a link to the same program, see `runtime`.
    let with_pipes = json!({"type": "spawn", "kind": "python", "command": "-c", "credit": 65536});
    let in_terminal = json!({"type": "spawn", "kind": "shell", "command": PROGRAM, "credit": 65536});
    spawn(&mut client, &with_pipes)?;

    let (mut bare_pipes, mut pipes) = (Vec::new(), Vec::new());
    let (mut bare_terminals, mut terminals) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..SPAWNS_A_ROUND {
            bare_pipes.push(fork_and_exec(PROGRAM)?.as_secs_f64());
        }
        for _ in 0..SPAWNS_A_ROUND {
            pipes.push(spawn(&mut client, &with_pipes)?);
        }
        for _ in 0..SPAWNS_A_ROUND {
            let began = Instant::now();
            let terminal = Terminal::run(Command::new(PROGRAM))?;
            bare_terminals.push(began.elapsed().as_secs_f64());
            terminal.read_all()?;
        }
        for _ in 0..SPAWNS_A_ROUND {
            terminals.push(spawn(&mut client, &in_terminal)?);
        }
    }
    add(report, "spawn to `spawned`, pipes", &bare_pipes, &pipes);
    add(report, "spawn to `spawned`, terminal", &bare_terminals, &terminals);
    Ok(())
}

fn add(report: &mut Report, what: &str, bare: &[f64], ours: &[f64]) {
    // The fastest tenth is what it takes when nobody else has the cores.
    let shown = |times| {
        format!("{} (fastest tenth {})", milliseconds(median(times)), milliseconds(percentile(times, 0.1)))
    };
    let ratio = median(ours) / median(bare);
    report.add(Line {
        what: what.into(),
        bare: shown(bare),
        ours: shown(ours),
        ratio: Some(ratio),
        target: "<= 2.5 x",
        met: ratio <= 2.5,
    });
}

/// Seconds until the program runs. Waits for its end, so that one runs at a time.
fn spawn(client: &mut Client, request: &Value) -> Result<f64> {
    let began = Instant::now();
    client.request(request.clone())?;
    let time = began.elapsed().as_secs_f64();
    loop {
        if let Message::Text(text) = client.next()?
            && text.starts_with(br#"{"type":"exit""#)
        {
            return Ok(time);
        }
    }
}
