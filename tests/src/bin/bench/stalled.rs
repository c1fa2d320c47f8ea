//! A viewer that stops reading, while the program it views prints for ever.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Result;
use crate::client::{Client, Protocol};
use crate::flood::Flood;
use crate::program::Role;
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{mebibytes, median, megabytes, milliseconds, percentile};

/// How long the flood is watched without the stalled viewer, and how long with it, in turns.
const BEFORE: Duration = Duration::from_secs(4);
const STALLED: Duration = Duration::from_secs(10);
const ROUNDS: usize = 2;

/// Between a change and the look at what it did to memory.
const SETTLED: Duration = Duration::from_secs(2);

/// What the stalled viewer was granted, and does not read.
const CREDIT: u64 = 1 << 20;

/// Measures both protocols.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    for (name, protocol) in [("2.0", Protocol::V2), ("1.x", Protocol::V1)] {
        beside_another(report, name, protocol)?;
        alone(report, name, protocol)?;
    }
    Ok(())
}

/// Another viewer reads the same program at full speed.
fn beside_another(report: &mut Report, name: &str, protocol: Protocol) -> Result<()> {
    let runtime = Runtime::start()?;
    let flood = Flood::start(&runtime)?;
    let mut pings = runtime.connect(Protocol::V2)?;
    let (mut rates_before, mut rates) = (Vec::new(), Vec::new());
    let (mut pings_before, mut pings_during) = (Vec::new(), Vec::new());
    let mut memory = None;
    for _ in 0..ROUNDS {
        std::thread::sleep(SETTLED);
        let (rate, times) = flood.rate_during(|| ping_for(&mut pings, BEFORE));
        rates_before.push(rate);
        pings_before.extend(times?);
        let before = runtime.resident()?;

        let mut stalled = runtime.connect(protocol)?;
        stalled.attach(flood.pid, CREDIT)?;
        let (rate, times) = flood.rate_during(|| ping_for(&mut pings, STALLED));
        rates.push(rate);
        pings_during.extend(times?);
        let during = runtime.resident()?;
        drop(stalled);
        std::thread::sleep(SETTLED);
        memory.get_or_insert([before, during, runtime.resident()?]);
    }
    flood.stop(&runtime)?;

    add_memory(report, format!("viewer stops reading, {name}: memory"), memory.unwrap_or_default());
    let (before, during) = (median(&rates_before), median(&rates));
    report.add(Line {
        what: format!("viewer stops reading, {name}: another viewer"),
        bare: format!("{} (before)", megabytes(before)),
        ours: megabytes(during),
        ratio: Some(during / before),
        target: "unaffected (>= 0.9 x)",
        met: during / before >= 0.9,
    });
    let (before, during) = (percentile(&pings_before, 0.99), percentile(&pings_during, 0.99));
    report.add(Line {
        what: format!("viewer stops reading, {name}: pings of another connection, p99"),
        bare: format!("{} (before)", milliseconds(before)),
        ours: milliseconds(during),
        ratio: Some(during / before),
        target: "unaffected (<= 1 ms more)",
        met: during - before <= 1e-3,
    });
    Ok(())
}

/// The program has no other viewer.
fn alone(report: &mut Report, name: &str, protocol: Protocol) -> Result<()> {
    let runtime = Runtime::start()?;
    let mut control = runtime.connect(Protocol::V2)?;
    let pid = control.spawn(Role::Flood, false, None)?;
    std::thread::sleep(SETTLED);
    let before = runtime.resident()?;
    let mut stalled = runtime.connect(protocol)?;
    stalled.attach(pid, CREDIT)?;
    std::thread::sleep(STALLED);
    let during = runtime.resident()?;
    drop(stalled);
    std::thread::sleep(SETTLED);
    let after = runtime.resident()?;
    control.kill(pid)?;
    add_memory(
        report,
        format!("viewer stops reading, {name}, the only one: memory"),
        [before, during, after],
    );
    Ok(())
}

fn add_memory(report: &mut Report, what: String, [before, during, after]: [u64; 3]) {
    let more = |now: u64| (now as f64 - before as f64) / f64::from(1 << 20);
    report.add(Line {
        what,
        bare: format!("{} (before)", mebibytes(before as f64)),
        ours: format!("{:+.1} MiB, {:+.1} MiB when it has left", more(during), more(after)),
        ratio: None,
        target: "<= 2 MiB more, and back",
        met: more(during) <= 2.0 && more(after) <= 1.0,
    });
}

/// Round trips of pings, in seconds.
fn ping_for(client: &mut Client, time: Duration) -> Result<Vec<f64>> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        std::thread::sleep(Duration::from_millis(5));
        let sent = Instant::now();
        client.request(json!({"type": "ping"}))?;
        times.push(sent.elapsed().as_secs_f64());
    }
    Ok(times)
}
