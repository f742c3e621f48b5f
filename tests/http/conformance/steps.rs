//! The steps of a scenario: requests, responses of the handler, and expectations.
//!
//! A header is written `name: value`. A value `@+60` is the HTTP-date a minute after the scenario's start, `@-60/850`
//! and `@-60/asctime` are the same in the two old formats.

use std::time::Duration;

/// What happens next.
pub(super) enum Step {
    Ask(Box<Exchange>),
    Wait(Duration),
    Together(Together),
}

impl From<Exchange> for Step {
    fn from(exchange: Exchange) -> Step {
        Step::Ask(Box::new(exchange))
    }
}

impl From<Together> for Step {
    fn from(together: Together) -> Step {
        Step::Together(together)
    }
}

/// The handler's reaction to a call.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<&'static str>,
    /// `answer 1`, `answer 2` … by default.
    pub(super) body: Option<&'static str>,
    pub(super) takes: Duration,
    pub(super) outcome: Outcome,
}

/// How far the handler gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Whole,
    /// The service fails instead of answering.
    Fails,
    /// The body breaks off halfway.
    BreaksOff,
}

/// What is expected of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handler {
    Called,
    NotCalled,
    /// Once, after the response was sent.
    CalledInBackground,
    /// Called or not.
    Either,
}

/// What is expected of the response.
pub(super) enum Expected {
    Status(u16),
    Has(&'static str),
    Lacks(&'static str),
    /// Present, with any value.
    Bears(&'static str),
    /// `Vary` names it, perhaps among others.
    Varies(&'static str),
    Text(&'static str),
    NotText(&'static str),
    /// In seconds; one more is allowed, as `Date` has whole seconds.
    Age(u64),
    /// One of these parameters stands in the last member of `Cache-Status`.
    Reports(&'static [&'static str]),
    Fails,
    HandlerSaw(&'static str),
    HandlerSawNo(&'static str),
    HandlerGot(&'static str),
}

/// A request, the handler's response if it is called, and expectations.
pub(super) struct Exchange {
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    pub(super) path: &'static str,
    pub(super) headers: Vec<&'static str>,
    pub(super) content: &'static str,
    pub(super) answer: Answer,
    pub(super) handler: Handler,
    pub(super) expected: Vec<Expected>,
}

/// Several equal requests at the same time.
pub(super) struct Together {
    pub(super) requests: usize,
    pub(super) answer: Answer,
    /// The number of calls of the handler for all of them.
    pub(super) calls: usize,
}

fn plain() -> Answer {
    Answer { status: 200, headers: Vec::new(), body: None, takes: Duration::ZERO, outcome: Outcome::Whole }
}

fn page(handler: Handler) -> Exchange {
    let (method, host, path) = ("GET", "shop.example", "/page");
    let (headers, expected) = (Vec::new(), Vec::new());
    Exchange { method, host, path, headers, content: "", answer: plain(), handler, expected }
}

/// A request for the page that calls the handler.
pub(super) fn asked() -> Exchange {
    page(Handler::Called)
}

/// The handler runs and gives a page with these headers, which may be stored or not.
pub(super) fn given(headers: &[&'static str]) -> Exchange {
    asked().answers(200, headers)
}

/// The page comes from the cache.
pub(super) fn served() -> Exchange {
    page(Handler::NotCalled)
}

/// The page comes from the cache, and the handler runs behind the client's back.
pub(super) fn refreshed() -> Exchange {
    page(Handler::CalledInBackground)
}

/// From the cache or from the handler, as the layer likes.
pub(super) fn either() -> Exchange {
    page(Handler::Either)
}

/// Neither cache nor handler: the layer refuses.
pub(super) fn refused(status: u16) -> Exchange {
    page(Handler::NotCalled).status(status)
}

/// The handler runs for an unsafe or another method.
pub(super) fn sent(method: &'static str) -> Exchange {
    Exchange { method, ..asked() }
}

/// Time passes on the cache's clock.
pub(super) fn wait(seconds: u64) -> Step {
    Step::Wait(Duration::from_secs(seconds))
}

/// `requests` equal requests at the same time, for which the handler is called `calls` times.
pub(super) fn together(requests: usize, calls: usize, headers: &[&'static str]) -> Together {
    Together { requests, calls, answer: Answer { headers: headers.to_vec(), ..plain() } }
}

impl Exchange {
    pub(super) fn head(self) -> Exchange {
        Exchange { method: "HEAD", ..self }
    }

    pub(super) fn at(self, path: &'static str) -> Exchange {
        Exchange { path, ..self }
    }

    pub(super) fn on(self, host: &'static str) -> Exchange {
        Exchange { host, ..self }
    }

    pub(super) fn with(mut self, header: &'static str) -> Exchange {
        self.headers.push(header);
        self
    }

    /// Content of the request itself.
    pub(super) fn carrying(self, content: &'static str) -> Exchange {
        Exchange { content, ..self }
    }

    pub(super) fn answers(mut self, status: u16, headers: &[&'static str]) -> Exchange {
        self.answer = Answer { status, headers: headers.to_vec(), ..self.answer };
        self
    }

    pub(super) fn body(mut self, body: &'static str) -> Exchange {
        self.answer.body = Some(body);
        self
    }

    /// On the cache's clock.
    pub(super) fn takes(mut self, seconds: u64) -> Exchange {
        self.answer.takes = Duration::from_secs(seconds);
        self
    }

    pub(super) fn fails(mut self) -> Exchange {
        self.answer.outcome = Outcome::Fails;
        self
    }

    pub(super) fn breaks_off(mut self) -> Exchange {
        self.answer.outcome = Outcome::BreaksOff;
        self
    }

    fn expect(mut self, expected: Expected) -> Exchange {
        self.expected.push(expected);
        self
    }

    pub(super) fn status(self, status: u16) -> Exchange {
        self.expect(Expected::Status(status))
    }

    pub(super) fn has(self, header: &'static str) -> Exchange {
        self.expect(Expected::Has(header))
    }

    /// A name, or a whole header when only that value must not be there.
    pub(super) fn lacks(self, header: &'static str) -> Exchange {
        self.expect(Expected::Lacks(header))
    }

    pub(super) fn bears(self, name: &'static str) -> Exchange {
        self.expect(Expected::Bears(name))
    }

    pub(super) fn varies(self, name: &'static str) -> Exchange {
        self.expect(Expected::Varies(name))
    }

    pub(super) fn text(self, text: &'static str) -> Exchange {
        self.expect(Expected::Text(text))
    }

    pub(super) fn not_text(self, text: &'static str) -> Exchange {
        self.expect(Expected::NotText(text))
    }

    pub(super) fn age(self, seconds: u64) -> Exchange {
        self.expect(Expected::Age(seconds))
    }

    pub(super) fn reports(self, any: &'static [&'static str]) -> Exchange {
        self.expect(Expected::Reports(any))
    }

    /// The client learns that the handler failed.
    pub(super) fn failing(self) -> Exchange {
        self.expect(Expected::Fails)
    }

    pub(super) fn handler_saw(self, header: &'static str) -> Exchange {
        self.expect(Expected::HandlerSaw(header))
    }

    pub(super) fn handler_saw_no(self, name: &'static str) -> Exchange {
        self.expect(Expected::HandlerSawNo(name))
    }

    pub(super) fn handler_got(self, method: &'static str) -> Exchange {
        self.expect(Expected::HandlerGot(method))
    }
}
