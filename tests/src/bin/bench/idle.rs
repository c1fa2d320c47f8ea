//! What the runtime costs while nothing happens.

use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Result;
use crate::client::Protocol;
use crate::program::Role;
use crate::report::{Line, Report};
use crate::runtime::{self, Runtime};
use crate::statistics::mebibytes;

const CONNECTIONS: usize = 1000;
const SETTLED: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(10);

/// Threads of the runtime that were needed once end when they were idle for 10 s.
const ALL_QUIET: Duration = Duration::from_secs(11);

/// Measures memory without and with many connections, and cpu.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let runtime = Runtime::start()?;
    std::thread::sleep(SETTLED);
    let (alone, with_guards) = (runtime.resident()?, runtime.resident_with_guards()?);
    report.add(Line {
        what: "idle: memory resident (with its guards, what is shared counted once)".into(),
        bare: format!("{} (a program that only waits)", mebibytes(waiting_program()? as f64)),
        ours: format!("{} ({})", mebibytes(alone as f64), mebibytes(with_guards as f64)),
        ratio: None,
        target: "<= 15 MiB",
        met: alone.max(with_guards) <= 15 << 20,
    });

    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let protocol = if number % 2 == 0 { Protocol::V1 } else { Protocol::V2 };
        connections.push(runtime.connect(protocol)?);
    }
    std::thread::sleep(SETTLED);
    let each = (runtime.resident()?.saturating_sub(alone)) as f64 / CONNECTIONS as f64;
    report.add(Line {
        what: format!("idle: memory of each of {CONNECTIONS} further connections"),
        bare: "-".into(),
        ours: format!("{:.1} KiB", each / 1024.0),
        ratio: None,
        target: "<= 64 KiB",
        met: each <= f64::from(64 << 10),
    });

    std::thread::sleep(ALL_QUIET);
    let before = runtime.cpu_seconds()?;
    std::thread::sleep(WATCHED);
    let used = runtime.cpu_seconds()? - before;
    let percent = used / WATCHED.as_secs_f64() * 100.0;
    report.add(Line {
        what: "idle: cpu, with these connections".into(),
        bare: "-".into(),
        ours: format!("{percent:.3} % of a core"),
        ratio: None,
        target: "about 0 (<= 0.1 %)",
        met: percent <= 0.1,
    });
    Ok(())
}

/// What this very program holds when it does nothing.
fn waiting_program() -> Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args(Role::Sleep.arguments()).stdout(Stdio::null()).spawn()?;
    std::thread::sleep(SETTLED);
    let resident = runtime::memory(child.id(), "Rss:");
    child.kill()?;
    child.wait()?;
    resident
}
