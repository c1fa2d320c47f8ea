//! The bar on standard error, when a person looks at it.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const BAR: &str = "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";

#[derive(Default)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn begin(&mut self, bytes: u64, as_json: bool) {
        if as_json || !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        self.0 = Some(bar);
    }

    pub(super) fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    /// Takes the bar away, so that what is said next stands on a clean line.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
