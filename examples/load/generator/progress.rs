//! How far it is, on a terminal; elsewhere nothing is shown.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::scenario::Scenario;

/// A line that is written over and over.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// On standard error, if that is a terminal.
    pub(crate) fn shown() -> Progress {
        Progress(ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr()))
    }

    /// A part of a run begins, which takes so long if that is known.
    pub(crate) fn begin(&self, scenario: &Scenario, part: &str, span: Option<Duration>) {
        let template = match span {
            Some(_) => "{prefix:10} {bar:24} {wide_msg}",
            None => "{prefix:10} {spinner} {wide_msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style.progress_chars("━╸ "));
        }
        self.0.set_length(span.map_or(0, |span| span.as_millis() as u64));
        self.0.set_position(0);
        self.0.set_prefix(scenario.name);
        self.0.set_message(part.to_owned());
    }

    /// So far.
    pub(crate) fn show(&self, elapsed: Duration, requests: u64, wrong: u64) {
        let part = self.0.message();
        let part = part.split(':').next().unwrap_or_default();
        let each_second = requests as f64 / elapsed.as_secs_f64().max(0.001);
        let wrong = if wrong > 0 { format!(", {wrong} wrong") } else { String::new() };
        self.0.set_message(format!("{part}: {requests} requests, {each_second:.0} a second{wrong}"));
        self.0.set_position(elapsed.as_millis() as u64);
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
