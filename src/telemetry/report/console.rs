//! Prints failures to stderr, at most one line a minute for each kind of failure.
//!
//! A failure that lasts is repeated each minute and does not fill the log. `telemetry/report.rs` decides when to print.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind};
use crate::util::clock::{Clock, Nanos};
use crate::util::sync::lock;

const MINUTE: Nanos = 60_000_000_000;

/// Kinds of failures remembered. Beyond this number the one that was printed longest ago is dropped.
const KINDS: usize = 64;

/// Appended to the first line of each cache.
const INSTEAD: &str = " (`Builder::on_error`, or the feature `tracing` and a subscriber, take these reports instead)";

pub(super) struct Console {
    name: Arc<str>,
    clock: Clock,
    printed: Mutex<Vec<PrintedLine>>,
}

/// A kind of failure that was printed. The list is in order of printing, with the last one at the end.
struct PrintedLine {
    kind: ErrorKind,
    message: String,
    at: Nanos,
    /// Failures of this kind that were not printed since.
    unsaid: u64,
}

impl PrintedLine {
    /// True if the failure is of this kind. Each message of a configuration error is a kind of its own, because such an
    /// error is reported once. Other failures are repeated, and their messages differ in details.
    fn is_like(&self, error: &Error, message: &str) -> bool {
        self.kind == error.kind() && (self.kind != ErrorKind::Config || self.message == message)
    }
}

impl Console {
    pub(super) fn new(name: Arc<str>, clock: Clock) -> Console {
        Console { name, clock, printed: Mutex::default() }
    }

    pub(super) fn print(&self, error: &Error) {
        if let Some(line) = self.line(error) {
            // An error of stderr is ignored, because the failure was counted.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }

    /// The line to print; `None` if this kind was printed less than a minute ago.
    fn line(&self, error: &Error) -> Option<String> {
        let (message, now) = (error.to_string(), self.clock.now());
        let mut printed = lock(&self.printed);
        let first = printed.is_empty();
        let mut unsaid = 0;
        if let Some(at) = printed.iter().position(|known| known.is_like(error, &message)) {
            if now.saturating_sub(printed[at].at) < MINUTE {
                printed[at].unsaid += 1;
                return None;
            }
            unsaid = printed.remove(at).unsaid;
        } else if printed.len() == KINDS {
            printed.remove(0);
        }
        let line = format!(
            "minijinja-cache{}: {}{}{}{}\n",
            if &*self.name == "default" { String::new() } else { format!(" {:?}", self.name) },
            // Control characters would break or hide the line.
            message.replace(char::is_control, " "),
            advice(error.kind()),
            if unsaid > 0 { format!(" ({unsaid} more since the last line)") } else { String::new() },
            if first { INSTEAD } else { "" },
        );
        printed.push(PrintedLine { kind: error.kind(), message, at: now, unsaid: 0 });
        Some(line)
    }
}

/// Advice for the operator, for kinds whose messages contain none.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Store => {
            "; pages are computed meanwhile: check that the server runs, and the address, the login and the secret that the \
             cache was given"
        }
        _ => "",
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ManualClock;

    fn console(name: &str) -> (Console, ManualClock) {
        let clock = ManualClock::new();
        (Console::new(name.into(), Clock::Manual(clock.clone())), clock)
    }

    fn store(message: &str) -> Error {
        Error::new(ErrorKind::Store, message)
    }

    #[test]
    fn the_first_failure_of_a_kind_in_a_minute_is_a_line() {
        let (console, clock) = console("default");
        let line = console.line(&store("shared store: connection refused")).unwrap();
        assert!(line.starts_with("minijinja-cache: shared store: connection refused; pages are computed"), "{line}");
        assert!(line.ends_with(")\n") && line.contains("Builder::on_error"), "{line}");
        assert_eq!(console.line(&store("shared store: timed out")), None);
        // Another kind is another line. The alternatives to stderr are printed once.
        let line = console.line(&Error::new(ErrorKind::Templates, "gone")).unwrap();
        assert_eq!(line, "minijinja-cache: gone\n");
        clock.advance(Duration::from_millis(59_999));
        assert_eq!(console.line(&store("shared store: timed out")), None);
        clock.advance(Duration::from_millis(1));
        let line = console.line(&store("shared store: timed out")).unwrap();
        assert!(line.contains("timed out") && line.contains("(2 more since the last line)"), "{line}");
        clock.advance(Duration::from_secs(3600));
        assert!(!console.line(&store("again")).unwrap().contains("more since"));
    }

    #[test]
    fn each_fault_of_the_configuration_is_told() {
        let (console, _) = console("films");
        let config = |message: &str| Error::new(ErrorKind::Config, message);
        let line = console.line(&config("one")).unwrap();
        assert!(line.starts_with("minijinja-cache \"films\": one"), "{line}");
        assert_eq!(console.line(&config("other")).unwrap(), "minijinja-cache \"films\": other\n");
        assert_eq!((console.line(&config("one")), console.line(&config("other"))), (None, None));
    }

    #[test]
    fn a_line_is_one_line_and_what_is_remembered_is_bounded() {
        let (console, _) = console("default");
        for n in 0..10 * KINDS {
            let line = console.line(&Error::new(ErrorKind::Config, format!("a\nb\r\x1b[31m{n}"))).unwrap();
            assert_eq!(line.matches(|c: char| c.is_control()).count(), 1, "{line:?}");
        }
        assert_eq!(console.printed.lock().unwrap().len(), KINDS);
    }
}
