//! The browser's disk: a real Chromium, driven by `tests/e2e/bench/sync.mjs`.

use serde::Deserialize;

use crate::Result;
use crate::browser;
use crate::report::{Line, Report};
use crate::statistics::{median, milliseconds, percentile};

/// What the script prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    /// Files a second, written by a loop in a worker.
    bare: Vec<f64>,
    /// Files a second, from the host to the browser's disk.
    synced: Vec<f64>,
    /// Seconds from a save on the host until the page reads it.
    from_host: Vec<f64>,
    /// Seconds from a save of the page until it is on the host.
    to_host: Vec<f64>,
}

/// How fast files get to the browser's disk, and how soon a save is on the other side.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let measured: Measured = browser::run("sync.mjs")?;
    let (bare, synced) = (median(&measured.bare), median(&measured.synced));
    report.add(Line {
        what: "sync: 10,000 files of 4 KiB, from the host to Chromium's disk".into(),
        bare: format!("{bare:.0} files/s (a loop that writes and flushes them there)"),
        ours: format!("{synced:.0} files/s"),
        ratio: Some(synced / bare),
        target: ">= 0.8 x",
        met: synced >= bare * 0.8,
    });
    for (what, times) in
        [("host, read by a page", measured.from_host), ("page, read on the host", measured.to_host)]
    {
        let p95 = percentile(&times, 0.95);
        report.add(Line {
            what: format!("sync: saved on the {what}, p95 (p50 {})", milliseconds(median(&times))),
            bare: "-".into(),
            ours: milliseconds(p95),
            ratio: None,
            target: "<= 150 ms",
            met: p95 <= 0.15,
        });
    }
    Ok(())
}
