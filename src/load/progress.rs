//! A progress bar on standard error when that is a terminal; nothing otherwise, so that logs stay readable.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) struct ProgressLine(Option<ProgressBar>);

impl ProgressLine {
    /// A bar up to `length` (milliseconds of a timed run, bytes of a file).
    pub(crate) fn new(wanted: bool, length: u64) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}").expect("the template is valid");
        bar.set_style(style);
        Self(Some(bar))
    }

    /// Where the run is and how many events are safe.
    pub(crate) fn update(&self, position: u64, safe: u64, elapsed: Duration) {
        if let Self(Some(bar)) = self {
            bar.set_position(position);
            let rate = safe as f64 / elapsed.as_secs_f64().max(0.001);
            bar.set_message(format!("{safe} events, {rate:.0}/s"));
        }
    }
}

impl Drop for ProgressLine {
    /// Clears the line: the report follows on it.
    fn drop(&mut self) {
        if let Self(Some(bar)) = self {
            bar.finish_and_clear();
        }
    }
}
