//! Reports to the application the failures that fail no page.
//!
//! Without `on_error` and without a `tracing` subscriber they are printed to stderr: see `report/console.rs`. The error
//! type is in `error.rs`.

mod console;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self::console::Console;
use crate::error::Error;
use crate::telemetry::stats::{Counter, Counters};
use crate::telemetry::trace;
use crate::telemetry::{Happened, Interest, Subscribers};
use crate::util::clock::Clock;

/// The application's callback for failures.
pub(crate) type OnError = Arc<dyn Fn(&Error) + Send + Sync>;

/// Counts and reports failures.
pub(crate) struct Reporter {
    name: Arc<str>,
    counters: Arc<Counters>,
    subscribers: Arc<Subscribers>,
    on_error: Option<OnError>,
    console: Console,
}

impl Reporter {
    pub(crate) fn new(
        counters: &Arc<Counters>,
        name: &Arc<str>,
        subscribers: &Arc<Subscribers>,
        on_error: Option<OnError>,
        clock: Clock,
    ) -> Reporter {
        Reporter {
            name: Arc::clone(name),
            counters: Arc::clone(counters),
            subscribers: Arc::clone(subscribers),
            on_error,
            console: Console::new(Arc::clone(name), clock),
        }
    }

    pub(crate) fn report(&self, error: &Error) {
        self.counters.count(Counter::errors);
        trace::error(&self.name, error);
        if self.subscribers.any() {
            let told = Happened::Error { kind: error.kind(), message: error.to_string() };
            self.subscribers.publish(Interest::Changes, told);
        }
        match &self.on_error {
            // A panic of the callback must not fail the page that reports; it is counted as a second error.
            Some(on_error) => {
                if catch_unwind(AssertUnwindSafe(|| on_error(error))).is_err() {
                    self.counters.count(Counter::errors);
                }
            }
            None if trace::is_heard() => {}
            None => self.console.print(error),
        }
    }
}
