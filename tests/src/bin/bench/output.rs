//! Output in bulk: a program that prints, and one viewer that reads as fast as it can.

use std::time::{Duration, Instant};

use crate::Result;
use crate::bare::{PipeToTcp, Terminal};
use crate::client::{Protocol, WINDOW};
use crate::program::Role;
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{median, megabytes, rate};

/// Many short ones: what else happens on the machine then spoils some of them, and not the median.
const ROUNDS: usize = 15;
const TERMINAL_BYTES: u64 = 32 << 20;
const PIPE_BYTES: u64 = 256 << 20;

/// What came of one viewer's reading.
struct Through {
    /// Bytes of output per second.
    rate: f64,
    /// Seconds of cpu the runtime itself needed for a gigabyte.
    cpu: f64,
}

/// Output of a program in a terminal.
pub(crate) fn terminal(report: &mut Report) -> Result<()> {
    let runtime = Runtime::start()?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (bytes, time) = Terminal::start(Role::Print(TERMINAL_BYTES))?.read_all()?;
        bare.push(checked_rate(bytes, TERMINAL_BYTES, time)?);
        ours.push(through(&runtime, Protocol::V2, true, TERMINAL_BYTES)?);
    }
    add(report, "terminal output, one viewer, 2.0", &bare, &ours, 0.9, ">= 0.9 x");
    Ok(())
}

/// Output of a program that has pipes.
pub(crate) fn pipe(report: &mut Report) -> Result<()> {
    let runtime = Runtime::start()?;
    let (mut bare, mut v2, mut v1) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (bytes, time) = PipeToTcp::start(Role::Print(PIPE_BYTES))?.join()?;
        bare.push(checked_rate(bytes, PIPE_BYTES, time)?);
        v2.push(through(&runtime, Protocol::V2, false, PIPE_BYTES)?);
        v1.push(through(&runtime, Protocol::V1, false, PIPE_BYTES)?);
    }
    add(report, "pipe output, one viewer, 2.0", &bare, &v2, 0.5, ">= 0.5 x");
    add(report, "pipe output, one viewer, 1.x (JSON)", &bare, &v1, 0.15, ">= 0.15 x");
    Ok(())
}

fn add(report: &mut Report, what: &str, bare: &[f64], ours: &[Through], least: f64, target: &'static str) {
    let bare = median(bare);
    let of_ours = |part: fn(&Through) -> f64| median(&ours.iter().map(part).collect::<Vec<_>>());
    let (rate, cpu) = (of_ours(|through| through.rate), of_ours(|through| through.cpu));
    report.add(Line {
        what: what.into(),
        bare: megabytes(bare),
        ours: format!("{} ({cpu:.2} s of cpu a GB)", megabytes(rate)),
        ratio: Some(rate / bare),
        target,
        met: rate / bare >= least,
    });
}

fn through(runtime: &Runtime, protocol: Protocol, terminal: bool, expected: u64) -> Result<Through> {
    let mut client = runtime.connect(protocol)?;
    client.expect_much();
    let cpu_before = runtime.cpu_seconds()?;
    let pid = client.spawn(Role::Print(expected), terminal, Some(WINDOW))?;
    let (mut bytes, mut began, mut last) = (0, None, Instant::now());
    client.read_output(pid, |length| {
        last = Instant::now();
        began.get_or_insert(last);
        bytes += length as u64;
        true
    })?;
    // What a program prints is longer as JSON. That all of it came is for the tests to show.
    let bytes = if protocol == Protocol::V1 { expected.min(bytes) } else { bytes };
    let rate = checked_rate(bytes, expected, began.map_or(Duration::ZERO, |began| last - began))?;
    Ok(Through { rate, cpu: (runtime.cpu_seconds()? - cpu_before) / (expected as f64 / 1e9) })
}

fn checked_rate(bytes: u64, expected: u64, time: Duration) -> Result<f64> {
    if bytes != expected {
        return Err(format!("{bytes} bytes came where {expected} were printed").into());
    }
    Ok(rate(bytes, time))
}
