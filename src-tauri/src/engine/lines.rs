//! The last lines something printed, for when it fails.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are kept. Beyond that the oldest goes.
const LINES: usize = 50;

/// Bytes of one line that are kept; what is longer is cut.
const LINE_BYTES: u64 = 4096;

/// Lines, oldest first. Clones are the same lines.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    /// Adds one.
    pub(super) fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Adds what is read, on a thread of its own, until the end.
    pub(super) fn collect(&self, from: impl Read + Send + 'static) -> std::io::Result<()> {
        let lines = self.clone();
        std::thread::Builder::new()
            .name("engine output".into())
            .spawn(move || {
                let mut from = BufReader::new(from);
                let mut line = Vec::new();
                while matches!((&mut from).take(LINE_BYTES).read_until(b'\n', &mut line), Ok(1..)) {
                    lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                    line.clear();
                }
            })
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_are_kept() {
        let lines = Lines::default();
        (0..60).for_each(|number| lines.push(number.to_string()));
        let all = lines.all();
        assert_eq!((all.len(), all[0].as_str(), all[49].as_str()), (50, "10", "59"));
    }
}
