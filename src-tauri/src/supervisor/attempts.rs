//! How often and how soon a bridge that ends by itself is started again.

use std::time::{Duration, Instant};

/// Ends in a row after which it has failed.
pub(super) const ATTEMPTS: u32 = 5;

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Who answered for so long has recovered, and what was before is forgotten.
const RECOVERED: Duration = Duration::from_secs(60);

/// The ends in a row, and all there were.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    in_a_row: u32,
    total: u32,
    green_since: Option<Instant>,
}

impl Attempts {
    /// It answers.
    pub(super) fn answered(&mut self, now: Instant) {
        self.green_since.get_or_insert(now);
    }

    /// Whether it answered at all since it was started.
    pub(super) fn was_green(&self) -> bool {
        self.green_since.is_some()
    }

    /// Ends in a row.
    pub(super) fn count(&self) -> u32 {
        self.in_a_row
    }

    /// Ends in all.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// It ended. How long to wait before the next start; `None`: not again.
    pub(super) fn again(&mut self, now: Instant) -> Option<Duration> {
        if self.green_since.take().is_some_and(|since| now.duration_since(since) >= RECOVERED) {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        self.total += 1;
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.in_a_row - 1).min(16));
        (self.in_a_row < ATTEMPTS).then_some(pause.min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_it_has_failed_and_are_short_again_after_it_recovered() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        let pauses: Vec<_> =
            std::iter::from_fn(|| attempts.again(now)).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000]);
        let mut attempts = Attempts::default();
        assert_eq!(attempts.again(now), Some(FIRST_PAUSE));
        attempts.answered(now);
        let soon = now + Duration::from_secs(59);
        assert_eq!(attempts.again(soon), Some(FIRST_PAUSE * 2), "not long enough");
        attempts.answered(soon);
        assert_eq!(attempts.again(soon + RECOVERED), Some(FIRST_PAUSE));
        assert_eq!((attempts.count(), attempts.total()), (1, 3));
    }
}
