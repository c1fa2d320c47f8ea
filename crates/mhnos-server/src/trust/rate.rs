//! So much in a row, and then so much in a time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mhnos_protocol::limits;

/// Says in the log what was refused, and counts what comes too fast: a flood must not fill the log, nor cost what a line of it costs.
pub struct RefusalLog {
    /// Held for a count, never across an await.
    state: Mutex<(Allowance, u64)>,
}

impl Default for RefusalLog {
    fn default() -> Self {
        let allowance =
            Allowance::new(limits::REFUSALS_LOGGED, Duration::from_secs(1) / limits::REFUSALS_LOGGED);
        Self { state: Mutex::new((allowance, 0)) }
    }
}

impl RefusalLog {
    /// Notes one.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let uncounted = {
            let (allowance, counted) = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !allowance.take() {
                *counted += 1;
                return;
            }
            std::mem::take(counted)
        };
        match uncounted {
            0 => tracing::warn!("refused: {}", what()),
            more => tracing::warn!("refused: {} (and {more} more since the last line)", what()),
        }
    }
}

/// A bucket of permits that fills again with time.
pub(super) struct Allowance {
    most: u32,
    interval: Duration,
    left: u32,
    since: Instant,
}

impl Allowance {
    /// A full one: `most` at once, then one in each `interval`.
    pub(super) fn new(most: u32, interval: Duration) -> Self {
        Self { most, interval, left: most, since: Instant::now() }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self) -> bool {
        self.fill();
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }

    /// Whether nothing was taken of it for a while.
    pub(super) fn is_full(&mut self) -> bool {
        self.fill();
        self.left == self.most
    }

    fn fill(&mut self) {
        let passed = self.since.elapsed().as_nanos() / self.interval.as_nanos();
        let grown = u32::try_from(passed).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(grown).min(self.most);
        // What is left of an interval counts for the next one.
        self.since = if self.left == self.most { Instant::now() } else { self.since + self.interval * grown };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_row_and_then_one_at_a_time() {
        let mut allowance = Allowance::new(3, Duration::from_secs(3600));
        assert!(allowance.is_full());
        assert_eq!([(); 4].map(|()| allowance.take()), [true, true, true, false]);
        assert!(!allowance.is_full());
        allowance.since -= Duration::from_secs(3600);
        assert_eq!([(); 2].map(|()| allowance.take()), [true, false]);
        allowance.since -= Duration::from_secs(3600 * 100);
        assert!(allowance.is_full());
        assert_eq!([(); 4].map(|()| allowance.take()), [true, true, true, false]);
    }
}
