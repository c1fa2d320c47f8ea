//! What the sandbox adds to a spawn: a runtime that has it beside one that does not, in turns.
//!
//! Two things are added, and both are counted: what comes before `spawned` (rules are prepared and entered), and what the program itself
//! pays until its end (each file it opens is looked up in the rules). A spawn after a pause costs more than one that follows another
//! soon, because the rules are prepared anew: so both are measured.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::client::{Client, Message, Protocol};
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::spawning::PROGRAM;
use crate::statistics::{median, milliseconds};

const ROUNDS: usize = 10;
const SPAWNS_A_ROUND: usize = 30;
const SPAWNS_AFTER_A_PAUSE: usize = 8;

/// Longer than prepared rules are good for.
const PAUSE: Duration = Duration::from_millis(2100);

/// Measures spawns with pipes, with and without.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (open, closed) = (Runtime::start_with(&["--sandbox", "none"])?, Runtime::start()?);
    let mut clients = [open.connect(Protocol::V2)?, closed.connect(Protocol::V2)?];
    // `python3` is a link to the same program, see `runtime`.
    let request = json!({"type": "spawn", "kind": "python", "command": PROGRAM, "credit": 65536});
    for client in &mut clients {
        run(client, &request)?;
    }
    let (mut spawned, mut whole, mut paused) =
        (<[Vec<f64>; 2]>::default(), <[Vec<f64>; 2]>::default(), <[Vec<f64>; 2]>::default());
    for _ in 0..ROUNDS {
        for (which, client) in clients.iter_mut().enumerate() {
            for _ in 0..SPAWNS_A_ROUND {
                let (until_spawned, until_exit) = run(client, &request)?;
                spawned[which].push(until_spawned);
                whole[which].push(until_exit);
            }
        }
    }
    for _ in 0..SPAWNS_AFTER_A_PAUSE {
        std::thread::sleep(PAUSE);
        for (which, client) in clients.iter_mut().enumerate() {
            paused[which].push(run(client, &request)?.0);
        }
    }
    add(report, "sandbox: spawn to `spawned`, one after the other", &spawned);
    add(report, "sandbox: spawn to the program's end, one after the other", &whole);
    add(report, "sandbox: spawn to `spawned`, after a pause", &paused);
    Ok(())
}

fn add(report: &mut Report, what: &str, [open, closed]: &[Vec<f64>; 2]) {
    let (open, closed) = (median(open), median(closed));
    let added = closed - open;
    report.add(Line {
        what: what.into(),
        bare: format!("{} (sandbox none)", milliseconds(open)),
        ours: format!("{} (strict: {} more)", milliseconds(closed), milliseconds(added)),
        ratio: None,
        target: "<= 3 ms more",
        met: added <= 0.003,
    });
}

/// Seconds until the program runs, and until its end was told.
fn run(client: &mut Client, request: &Value) -> Result<(f64, f64)> {
    let began = Instant::now();
    client.request(request.clone())?;
    let spawned = began.elapsed().as_secs_f64();
    loop {
        if let Message::Text(text) = client.next()?
            && text.starts_with(br#"{"type":"exit""#)
        {
            return Ok((spawned, began.elapsed().as_secs_f64()));
        }
    }
}
