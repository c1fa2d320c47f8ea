//! Folders into the workspace (`push`) and out of it (`pull`).
//!
//! Both directions copy what is in a folder to what is in another, leave out what [`rules`] name, carry several files at
//! once, and go on when a single file fails. Nothing is deleted anywhere. Ctrl-C stops between bytes: the runtime and
//! [`landing`] both keep a file that did not come whole from being seen.

mod landing;
mod progress;
pub(crate) mod pull;
pub(crate) mod push;
mod rules;
mod walk;

use std::cell::RefCell;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde::Serialize;

use self::progress::Progress;
use super::failure::Failure;
use super::format::{bytes, count, duration, plain};
use super::session::signals;
use super::terminal::say;
use super::{arguments, output};

/// Files carried at once: enough to hide the way there and back, few enough to leave the runtime's bounds to others.
const AT_ONCE: usize = 16;

/// Lines about single files; the JSON answer has them all.
const LINES: usize = 20;

/// What was done so far.
#[derive(Default, Serialize)]
struct Tally {
    files: usize,
    directories: usize,
    bytes: u64,
    skipped: Vec<Remark>,
    failed: Vec<Remark>,
}

/// A file that was not copied, and why.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Remark {
    path: String,
    reason: String,
}

impl Remark {
    fn new(path: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { path: path.into(), reason: reason.to_string() }
    }
}

/// A copy under way.
struct Copying {
    tally: RefCell<Tally>,
    progress: RefCell<Progress>,
    begun: Instant,
}

#[derive(Serialize)]
struct Report<'copying> {
    operation: &'static str,
    folder: &'copying str,
    path: &'copying str,
    #[serde(flatten)]
    tally: &'copying Tally,
    milliseconds: u64,
    /// Whether it was stopped before its end.
    stopped: bool,
}

impl Copying {
    fn new() -> Self {
        Self { tally: RefCell::default(), progress: RefCell::default(), begun: Instant::now() }
    }

    /// Does `step` for every item, several at once. A step that fails is remarked on, unless nothing can go on.
    async fn each<Item, Step>(
        &self,
        items: impl IntoIterator<Item = Item>,
        path: impl Fn(&Item) -> String,
        step: impl Fn(Item) -> Step,
    ) -> Result<(), Failure>
    where
        Step: Future<Output = Result<(), Failure>>,
    {
        let steps = items.into_iter().map(|item| {
            let path = path(&item);
            let step = step(item);
            async move { (path, step.await) }
        });
        let mut steps = stream::iter(steps).buffer_unordered(AT_ONCE);
        while let Some((path, result)) = steps.next().await {
            match result {
                Ok(()) => {}
                Err(failure @ Failure::Disconnected) => return Err(failure),
                Err(failure) => self.tally.borrow_mut().failed.push(Remark::new(path, failure)),
            }
        }
        Ok(())
    }

    /// Runs the copy until it is done or somebody stops it, and says what became of it.
    async fn carry_out(
        &self,
        copy: impl Future<Output = Result<(), Failure>>,
        operation: &'static str,
        folder: &str,
        path: &str,
        as_json: bool,
    ) -> Result<i32, Failure> {
        let signal = tokio::select! {
            result = copy => {
                result?;
                None
            }
            signal = signals::end() => Some(signal),
        };
        self.progress.borrow_mut().clear();
        let tally = &*self.tally.borrow();
        let time = self.begun.elapsed();
        if as_json {
            let (milliseconds, stopped) = (arguments::milliseconds(time), signal.is_some());
            output::json(&Report { operation, folder, path, tally, milliseconds, stopped })?;
        } else {
            for line in remarks(tally) {
                say(line);
            }
            output::text(&summary(operation, tally, time, signal.is_some()))?;
        }
        Ok(match signal {
            Some(signal) => output::signal_code(signal as i32),
            None => output::code(tally.failed.is_empty()),
        })
    }
}

fn remarks(tally: &Tally) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, remarks) in [("left out", &tally.skipped), ("failed", &tally.failed)] {
        let line = |remark: &Remark| format!("{what} {}: {}", plain(&remark.path), plain(&remark.reason));
        lines.extend(remarks.iter().take(LINES).map(line));
        if let Some(more @ 1..) = remarks.len().checked_sub(LINES) {
            lines.push(format!("{what} {more} more: --json names them all"));
        }
    }
    lines
}

fn summary(operation: &str, tally: &Tally, time: Duration, stopped: bool) -> String {
    let begin = if stopped { "stopped: " } else { "" };
    let mut text = format!(
        "{begin}{operation}ed {} ({}) in {}",
        count(tally.files, "file", "files"),
        bytes(tally.bytes),
        duration(time)
    );
    for (number, what) in [(tally.skipped.len(), "left out"), (tally.failed.len(), "failed")] {
        if number > 0 {
            text += &format!(", {number} {what}");
        }
    }
    text.push('\n');
    text
}

/// A path of the workspace as the runtime names it: from its root, nothing in front. The host's and the container's
/// programs know the workspace as `/workspace`, so that may stand in front too.
fn workspace_path(text: &str) -> Result<String, Failure> {
    let mut names: Vec<&str> = text.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if text.starts_with('/') && names.first() == Some(&"workspace") {
        names.remove(0);
    }
    if names.contains(&"..") {
        return Err(Failure::Usage(format!(
            "{text} leads out of the workspace: write the path from its root"
        )));
    }
    Ok(names.join("/"))
}

/// The path of something in a folder of the workspace.
fn below(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_paths_have_one_form() {
        for (text, path) in [
            ("", ""),
            ("/", ""),
            (".", ""),
            ("/workspace", ""),
            ("/workspace/app/", "app"),
            ("./a//b", "a/b"),
            ("workspace/a", "workspace/a"),
        ] {
            assert_eq!(workspace_path(text).unwrap(), path, "{text}");
        }
        assert!(workspace_path("../other").is_err());
        assert_eq!(below("", "a"), "a");
        assert_eq!(below("app", "a/b"), "app/a/b");
    }

    #[test]
    fn the_summary_is_one_line() {
        let mut tally = Tally { files: 1, bytes: 2048, ..Tally::default() };
        assert_eq!(
            summary("push", &tally, Duration::from_millis(349), false),
            "pushed 1 file (2.0 KiB) in 0.3s\n"
        );
        tally.skipped = (0..25).map(|number| Remark::new(number.to_string(), "a link")).collect();
        assert_eq!(
            summary("pull", &tally, Duration::from_secs(20), true),
            "stopped: pulled 1 file (2.0 KiB) in 20s, 25 left out\n"
        );
        assert_eq!(remarks(&tally).len(), LINES + 1);
    }
}
