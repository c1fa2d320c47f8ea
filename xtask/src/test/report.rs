//! Steps, how each ended, and the table of them.

use crate::failure::Result;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Instant;

/// The result of earlier steps, or why there is none.
pub(super) type Step<T> = std::result::Result<T, &'static str>;

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Row {
    name: String,
    outcome: Outcome,
    seconds: f64,
}

#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Performs a step and returns its result, or nothing when it failed.
    pub(super) fn step<T>(&mut self, name: &'static str, perform: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n=== {name}");
        let started = Instant::now();
        let result = perform();
        let seconds = started.elapsed().as_secs_f64();
        let (outcome, result) = match result {
            Ok(result) => (Outcome::Passed, Some(result)),
            Err(failure) => {
                println!("failed: {failure}");
                (Outcome::Failed(failure.to_string()), None)
            }
        };
        self.rows.push(Row { name: name.to_owned(), outcome, seconds });
        result
    }

    /// Performs a step that needs what earlier steps brought, or skips it.
    pub(super) fn step_needing<N>(
        &mut self,
        name: &'static str,
        needed: &Step<N>,
        perform: impl FnOnce(&N) -> Result<()>,
    ) {
        match needed {
            Ok(needed) => drop(self.step(name, || perform(needed))),
            Err(reason) => self.skip(name, reason),
        }
    }

    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        self.rows.push(Row {
            name: name.to_owned(),
            outcome: Outcome::Skipped(reason.to_owned()),
            seconds: 0.0,
        });
    }

    /// A step that did not come to its end.
    pub(super) fn broke_off(&mut self, name: &str, reason: String) {
        self.rows.push(Row { name: name.to_owned(), outcome: Outcome::Failed(reason), seconds: 0.0 });
    }

    /// Every row, for another process to [`Report::take`].
    pub(super) fn rows(&self) -> Value {
        let rows = self.rows.iter().map(|Row { name, outcome, seconds }| {
            let (word, reason) = outcome.words();
            json!({ "name": name, "outcome": word, "reason": reason, "seconds": seconds })
        });
        rows.collect()
    }

    /// Adds what another process gave as its [`Report::rows`]. False if it is something else.
    pub(super) fn take(&mut self, rows: &Value) -> bool {
        let row = |row: &Value| {
            let reason = row["reason"].as_str()?.to_owned();
            let outcome = match row["outcome"].as_str()? {
                "passed" => Outcome::Passed,
                "failed" => Outcome::Failed(reason),
                "skipped" => Outcome::Skipped(reason),
                _ => return None,
            };
            Some(Row { name: row["name"].as_str()?.to_owned(), outcome, seconds: row["seconds"].as_f64()? })
        };
        let rows = rows.as_array().and_then(|rows| rows.iter().map(row).collect::<Option<Vec<_>>>());
        let is_report = rows.is_some();
        self.rows.extend(rows.into_iter().flatten());
        is_report
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    pub(super) fn print(&self) {
        println!();
        for row in &self.rows {
            println!("{row}");
        }
        println!("\n{}", self.totals());
    }

    fn totals(&self) -> String {
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        match self.rows.len() - passed - failed {
            0 => format!("{passed} passed, {failed} failed"),
            skipped => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }

    fn count(&self, matches: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| matches(&row.outcome)).count()
    }
}

impl Outcome {
    /// What it is called, and why it is so.
    fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Passed => ("passed", ""),
            Self::Failed(reason) => ("failed", reason),
            Self::Skipped(reason) => ("skipped", reason),
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, reason) = self.outcome.words();
        // One line a step, however many sentences the reason has.
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = format!("{:<16} {word:<7} {:>7.1} s  {reason}", self.name, self.seconds);
        formatter.write_str(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn a_failed_step_is_counted_and_what_needs_it_is_skipped() {
        let mut report = Report::default();
        let first = report.step("first", || Ok(1));
        let second: Option<()> = report.step("second", || Err(Failure::Explained("it\n  broke".into())));
        report.step_needing("third", &first.ok_or("first failed"), |_| Ok(()));
        report.step_needing("fourth", &second.ok_or("second failed"), |()| Ok(()));
        assert_eq!(report.totals(), "2 passed, 1 failed, 1 skipped");
        assert_eq!(report.exit_code(), ExitCode::FAILURE);
        let lines: Vec<String> = report.rows.iter().map(ToString::to_string).collect();
        assert_eq!(lines[1], "second           failed      0.0 s  it broke");
        assert_eq!(lines[3], "fourth           skipped     0.0 s  second failed");
    }

    #[test]
    fn rows_are_the_same_in_another_process() {
        let mut report = Report::default();
        report.step("first", || Ok(()));
        let _: Option<()> = report.step("second", || Err(Failure::Explained("it broke".into())));
        report.skip("third", "it cannot be");
        let mut other = Report::default();
        assert!(other.take(&report.rows()));
        let lines = |report: &Report| report.rows.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(lines(&other), lines(&report));
        assert_eq!(other.exit_code(), ExitCode::FAILURE);
        assert!(!other.take(&json!({ "no": "rows" })) && !other.take(&json!([{ "name": "nothing else" }])));
    }

    #[test]
    fn without_skipped_steps_none_are_mentioned() {
        let mut report = Report::default();
        report.step("only", || Ok(()));
        assert_eq!(report.totals(), "1 passed, 0 failed");
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
    }
}
