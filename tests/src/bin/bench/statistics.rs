//! Medians and percentiles, and how numbers are written.

use std::time::Duration;

/// The value below which so much of the samples lie.
pub(crate) fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// Bytes per second.
pub(crate) fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64()
}

/// A rate, for people.
pub(crate) fn megabytes(rate: f64) -> String {
    format!("{:.0} MB/s", rate / 1e6)
}

/// A size, for people.
pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// A time in seconds, for people.
pub(crate) fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds.abs() < 10.0 { format!("{milliseconds:.3} ms") } else { format!("{milliseconds:.1} ms") }
}
