//! What the app costs while nobody looks at it.

use std::time::Duration;

use mhnos_tests::system;

use crate::panel::Panel;
use crate::session::Session;

/// Bytes of its own that everything but the runtime may hold. Its code and that of the libraries comes on top: how much of it is resident
/// depends on what else uses them, and on how the app was compiled.
const MEMORY: u64 = 60 << 20;

/// How long its work is measured.
const WHILE: Duration = Duration::from_secs(5);

/// Its proportional share of what is resident and of this kind, in bytes.
fn memory(pid: i32, kind: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let share = text.lines().find_map(|line| line.strip_prefix(kind));
    share.and_then(|share| share.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Hundredths of a second in which it ran.
fn work(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn hidden_it_holds_little_memory_and_does_next_to_nothing_serial() {
    let session = Session::new();
    session.app_settings(r#"{"startHidden": true}"#);
    let panel = Panel::open(&session).await;
    let app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let runtime = session.runtime_pid();
    let runtimes = [vec![runtime], system::descendants(runtime)].concat();
    let ours: Vec<_> = app.processes().into_iter().filter(|pid| !runtimes.contains(pid)).collect();
    let memory = |kind| ours.iter().map(|pid| memory(*pid, kind)).sum::<u64>();
    let (held, all) = (memory("Pss_Anon:"), memory("Pss:"));
    let worked = || ours.iter().map(|pid| work(*pid)).sum::<u64>();
    let before = worked();
    tokio::time::sleep(WHILE).await;
    let worked = worked() - before;
    let mebibytes = |bytes: u64| bytes as f64 / 1048576.0;
    let (own, whole) = (mebibytes(held), mebibytes(all));
    println!(
        "{own:.1} MiB of its own, {whole:.1} MiB with code; {worked} hundredths of a second of cpu in {WHILE:?}"
    );
    assert!(held > 0 && held <= MEMORY, "{held} bytes of {ours:?}");
    // It asks the runtime once a second whether it answers.
    assert!(worked <= 10, "{worked} hundredths of a second in {WHILE:?}");
}
