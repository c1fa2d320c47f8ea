//! Measures what runs: cpu, memory and members of each tree, and the ports it listens on.
//!
//! Nothing is measured while nothing runs. Ports are looked for when a process has printed something (that is when servers
//! say that they listen), and otherwise now and then: the look costs a system call per open file.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::process::{EndReason, Measured, Process, State};
use crate::system;
use crate::table::{ProcessEvent, Shared};

/// Between two measurements.
const INTERVAL: Duration = Duration::from_secs(1);

/// Between two measurements while some process is young, and may be about to listen, or holds a good part of the memory it
/// may, and could soon be beyond.
const INTERVAL_SHORT: Duration = Duration::from_millis(150);

/// The part of its memory limit, one in so many, from which a process is watched closely.
const CLOSE_TO_LIMIT: u64 = 4;

/// How long a process is young.
const YOUNG: Duration = Duration::from_secs(5);

/// Between two looks for ports of a process that prints nothing.
const PORTS_INTERVAL: Duration = Duration::from_secs(5);

/// The same while it is young: workerd prints nothing when it begins to listen.
const PORTS_INTERVAL_YOUNG: Duration = Duration::from_millis(500);

/// Changes of cpu (percent) and memory (bytes) that are not worth an event.
const SAME_CPU: f32 = 0.5;
const SAME_MEMORY: u64 = 256 << 10;

struct Before {
    ticks: u64,
    at: Instant,
    head: u64,
    ports_at: Instant,
    born: Instant,
}

/// Runs as long as the table exists.
pub(crate) async fn run<Tag: Send + Sync + 'static>(table: Weak<Shared<Tag>>) {
    let mut before: HashMap<u32, Before> = HashMap::new();
    loop {
        let Some(shared) = table.upgrade() else { return };
        let running: Vec<_> =
            shared.processes().into_iter().filter(|process| process.exit().is_none()).collect();
        before.retain(|pid, _| running.iter().any(|process| process.pid == *pid));
        // Held weakly across waits: the last user of the table ends it, and with it this task.
        let activity = Arc::clone(&shared.activity);
        if running.is_empty() {
            drop((shared, running));
            activity.notified().await;
            continue;
        }
        // Not on a thread that serves sockets and programs: with many processes, reading all this takes a while.
        let measuring = tokio::task::spawn_blocking(move || {
            let mut sockets = None;
            let mut watch_closely = false;
            for process in &running {
                let now = Instant::now();
                let first = !before.contains_key(&process.pid);
                let before = before.entry(process.pid).or_insert_with(|| Before {
                    ticks: 0,
                    at: now,
                    head: 0,
                    ports_at: now,
                    born: now,
                });
                measure(&shared, process, before, first, &mut sockets);
                let close_to_limit = process.measured().memory > shared.limits.memory / CLOSE_TO_LIMIT;
                watch_closely |=
                    before.born.elapsed() < YOUNG || (shared.limits.memory > 0 && close_to_limit);
            }
            (before, watch_closely)
        });
        let Ok((measured, watch_closely)) = measuring.await else { return };
        before = measured;
        let interval = if watch_closely { INTERVAL_SHORT } else { INTERVAL };
        // A new process is looked at soon, whatever the pace of the others.
        let _ = tokio::time::timeout(interval, activity.notified()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn measure<Tag>(
    shared: &Shared<Tag>,
    process: &Arc<Process<Tag>>,
    before: &mut Before,
    first: bool,
    sockets: &mut Option<HashMap<u64, u16>>,
) {
    let now = Instant::now();
    let members = system::descendants(process.guard_pid);
    let (mut ticks, mut private, mut shared_memory) = (0, 0, 0);
    for usage in members.iter().filter_map(|&os_pid| system::usage(os_pid)) {
        ticks += usage.ticks;
        private += usage.private;
        shared_memory = usage.shared.max(shared_memory);
    }
    let memory = private + shared_memory;
    let seconds = now.duration_since(before.at).as_secs_f32();
    let used = ticks.saturating_sub(before.ticks) as f32 / system::ticks_per_second() as f32;
    let cpu = if first || seconds < 0.01 { 0.0 } else { used / seconds * 100.0 };
    (before.ticks, before.at) = (ticks, now);

    let head = process.log.head();
    let known = process.measured();
    let ports_interval = if before.born.elapsed() < YOUNG { PORTS_INTERVAL_YOUNG } else { PORTS_INTERVAL };
    let ports = if first || head != before.head || now.duration_since(before.ports_at) >= ports_interval {
        (before.head, before.ports_at) = (head, now);
        system::ports_of(&members, sockets.get_or_insert_with(system::listening_sockets))
    } else {
        known.ports.clone()
    };
    let measured = Measured { cpu, memory, members: members.len() as u32, ports };
    {
        let mut facts = process.facts();
        // It may have ended while it was looked at: then there is nothing more to tell of it.
        if matches!(facts.state, State::Ended(_)) {
            return;
        }
        facts.measured = measured.clone();
    }

    let changed = (known.cpu - cpu).abs() > SAME_CPU
        || known.memory.abs_diff(memory) > SAME_MEMORY
        || known.members != measured.members;
    if changed {
        let _ = shared.events.send(ProcessEvent::Measured(Arc::clone(process)));
    }
    for &port in measured.ports.iter().filter(|port| !known.ports.contains(port)) {
        let _ = shared.events.send(ProcessEvent::PortOpened(Arc::clone(process), port));
    }
    for &port in known.ports.iter().filter(|port| !measured.ports.contains(port)) {
        let _ = shared.events.send(ProcessEvent::PortClosed(Arc::clone(process), port));
    }
    if shared.limits.memory > 0 && memory > shared.limits.memory {
        process.end_for(EndReason::MemoryLimit);
    } else if measured.members > shared.limits.members {
        process.end_for(EndReason::MemberLimit);
    }
}
