//! What the app costs while nobody looks at it.

use std::time::Duration;

use mhnos_tests::{eventually, system};

use crate::panel::Panel;
use crate::session::{App, Session, desktop_program};

/// Bytes that everything but the runtime may hold, its code and that of the libraries included.
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

/// The app's processes but those of the runtime.
fn ours(session: &Session, app: &App) -> Vec<i32> {
    let runtime = session.runtime_pid();
    let runtimes = [vec![runtime], system::descendants(runtime)].concat();
    app.processes().into_iter().filter(|pid| !runtimes.contains(pid)).collect()
}

/// Waits until the hidden app holds no more than it may, looks whether it works, and says what both are.
async fn is_frugal(session: &Session, app: &App) {
    let memory = |kind| ours(session, app).into_iter().map(|pid| memory(pid, kind)).sum::<u64>();
    eventually("the hidden app holds no more than it may", || memory("Pss:") <= MEMORY).await;
    let worked = || ours(session, app).into_iter().map(work).sum::<u64>();
    let before = worked();
    tokio::time::sleep(WHILE).await;
    let worked = worked() - before;
    // After its work, which takes back what it needs.
    let (whole, own) = (memory("Pss:"), memory("Pss_Anon:"));
    let mebibytes = |bytes: u64| bytes as f64 / 1048576.0;
    println!(
        "{:.1} MiB, {:.1} of them its own; {worked} hundredths of a second of cpu in {WHILE:?}",
        mebibytes(whole),
        mebibytes(own)
    );
    assert!(own > 0 && whole <= MEMORY, "{whole} bytes of {:?}", ours(session, app));
    // It asks the runtime once a second whether it answers.
    assert!(worked <= 10, "{worked} hundredths of a second in {WHILE:?}");
}

#[tokio::test]
async fn hidden_it_holds_little_memory_and_does_next_to_nothing_serial() {
    let session = Session::new();
    session.app_settings(r#"{"startHidden": true}"#);
    let panel = Panel::open(&session).await;
    let app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    is_frugal(&session, &app).await;
}

#[tokio::test]
async fn the_same_when_its_window_was_open_and_is_closed_serial() {
    let session = Session::new();
    session.app_settings(r#"{"firstRunDone": true}"#);
    let panel = Panel::open(&session).await;
    let app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let window = || session.windows("MHNOS Runtime").pop();
    eventually("the window is there", || window().is_some()).await;
    let open = ours(&session, &app).into_iter().map(|pid| memory(pid, "Pss:")).sum::<u64>();
    session.close(&window().expect("it is there"));
    eventually("the window is gone", || window().is_none()).await;
    is_frugal(&session, &app).await;
    println!("{} MiB while the window was open", open >> 20);
    // And it can be opened again, with all that was given back: it loads its page, which connects and shows what runs.
    assert!(session.run(desktop_program(), &[]).status.success());
    eventually("the window is there again", || window().is_some()).await;
    let window = window().expect("it is there");
    session.until_shown(&window).await;
}
