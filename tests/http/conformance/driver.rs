//! Runs a scenario: a cache with a manual clock, the layer, the handler behind it, and one request after the other.

use std::future::poll_fn;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{FragmentCache, ManualClock};
use tower_layer::Layer;
use tower_service::Service;

use super::handler::Handler;
use super::scenario::{Scenario, Setup};
use super::steps::{self, Exchange, Expected, Step, Together};

/// The instant from which a scenario's `@` dates count.
#[derive(Clone, Copy)]
pub(super) struct Dates(SystemTime);

impl Dates {
    /// `@-60`, `@-60/850`, `@-60/asctime`; anything else stays as it is.
    fn text(self, value: &str) -> String {
        let Some(token) = value.strip_prefix('@') else { return value.to_owned() };
        let (seconds, format) = token.split_once('/').unwrap_or((token, ""));
        let seconds: i64 = seconds.parse().expect("a date is @ and seconds");
        let by = Duration::from_secs(seconds.unsigned_abs());
        let date = httpdate::fmt_http_date(if seconds < 0 { self.0 - by } else { self.0 + by });
        let words: Vec<&str> = date.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let [weekday, day, month, year, time, _] = words[..] else { panic!("{date} has six parts") };
        match format {
            "850" => format!("{}, {day}-{month}-{} {time} GMT", long(weekday), &year[2..]),
            "asctime" => format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0')),
            _ => date,
        }
    }
}

fn long(weekday: &str) -> &'static str {
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    days.into_iter().find(|day| day.starts_with(weekday)).expect("a day of the week")
}

/// `name: value`, dates filled in.
pub(super) fn header(line: &str, dates: &Dates) -> (HeaderName, HeaderValue) {
    let (name, value) = line.split_once(':').expect("a header is name: value");
    let value = value.strip_prefix(' ').unwrap_or(value);
    let value = HeaderValue::from_bytes(dates.text(value).as_bytes()).expect("a value for a header");
    (name.parse().expect("a header's name"), value)
}

/// Plays the scenario; panics with everything that was not as expected.
pub(super) fn run(scenario: &Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let problems = runtime.block_on(play(scenario));
    assert!(problems.is_empty(), "{}, {}\n{}", scenario.section(), scenario.sentence(), problems.join("\n"));
}

async fn play(scenario: &Scenario) -> Vec<String> {
    let clock = ManualClock::new();
    let dates = Dates(SystemTime::now());
    let handler = Handler::new(&clock, dates, steps::asked().answer);
    let layer = layer(&FragmentCache::builder().clock(&clock).build().unwrap(), scenario.setup);
    let service = layer.layer(handler.clone());
    let mut problems = Vec::new();
    for (number, step) in (scenario.steps)().into_iter().enumerate() {
        let found = match step {
            Step::Wait(by) => {
                clock.advance(by);
                continue;
            }
            Step::Ask(exchange) => {
                let seen = exchange_with(service.clone(), &handler, &exchange, dates).await;
                seen.differences(&exchange, dates)
            }
            Step::Together(together) => all_at_once(&service, &handler, &together, dates).await,
        };
        problems.extend(found.into_iter().map(|problem| format!("step {}: {problem}", number + 1)));
    }
    problems
}

fn layer(cache: &FragmentCache, setup: Setup) -> CacheLayer {
    let mut layer = CacheLayer::new(cache);
    if setup.honor_reload {
        layer = layer.honor_reload(true);
    }
    if let Some(ttl) = setup.ttl {
        layer = layer.ttl(ttl);
    }
    layer
}

/// What was seen of one exchange.
struct Seen {
    /// Status, headers and the body's text; `None` when the service or the body failed.
    response: Option<(StatusCode, HeaderMap, String)>,
    runs: usize,
    runs_behind: usize,
    handler: Handler,
}

fn request(exchange: &Exchange, dates: Dates) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(exchange.method).uri(exchange.path);
    request = request.header("host", exchange.host);
    for line in &exchange.headers {
        let (name, value) = header(line, &dates);
        request = request.header(name, value);
    }
    request.body(Full::from(exchange.content)).unwrap()
}

async fn send<S, B>(mut service: S, request: Request<Full<Bytes>>) -> Option<(StatusCode, HeaderMap, String)>
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>>,
    B: Body<Data = Bytes>,
{
    poll_fn(|context| service.poll_ready(context)).await.ok()?;
    let (parts, body) = service.call(request).await.ok()?.into_parts();
    let text = body.collect().await.ok()?.to_bytes();
    Some((parts.status, parts.headers, String::from_utf8(text.to_vec()).unwrap()))
}

async fn exchange_with<S, B>(service: S, handler: &Handler, exchange: &Exchange, dates: Dates) -> Seen
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>>,
    B: Body<Data = Bytes>,
{
    handler.will(&exchange.answer);
    let before = handler.runs();
    let response = send(service, request(exchange, dates)).await;
    let runs = handler.runs() - before;
    let behind = usize::from(exchange.handler == steps::Handler::CalledInBackground);
    settle(|| handler.runs() - before >= behind.max(runs)).await;
    Seen { response, runs, runs_behind: handler.runs() - before - runs, handler: handler.clone() }
}

/// Lets work in the background come to its end.
async fn settle(done: impl Fn() -> bool) {
    for _ in 0..2000 {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        if done() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

async fn all_at_once<S, B>(service: &S, handler: &Handler, together: &Together, dates: Dates) -> Vec<String>
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>> + Clone,
    B: Body<Data = Bytes>,
{
    handler.will(&together.answer);
    let before = handler.runs();
    let exchange = steps::asked();
    let sent = (0..together.requests).map(|_| Box::pin(send(service.clone(), request(&exchange, dates))));
    let mut waiting: Vec<_> = sent.map(Some).collect();
    let mut texts = Vec::new();
    poll_fn(|context| {
        for slot in &mut waiting {
            let Some(future) = slot else { continue };
            if let std::task::Poll::Ready(response) = future.as_mut().poll(context) {
                texts.push(response.map(|(_, _, text)| text));
                *slot = None;
            }
        }
        if waiting.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    let calls = handler.runs() - before;
    texts.sort();
    let answers = texts.len();
    texts.dedup();
    let mut problems = Vec::new();
    if calls != together.calls {
        problems.push(format!("the handler was expected to run {} times and ran {calls} times", together.calls));
    }
    if texts.iter().any(Option::is_none) || texts.len() != together.calls {
        problems.push(format!("{answers} answers with {} different texts: {texts:?}", texts.len()));
    }
    problems
}

impl Seen {
    fn differences(&self, exchange: &Exchange, dates: Dates) -> Vec<String> {
        let mut problems: Vec<String> = self.wrong_handler(exchange.handler).into_iter().collect();
        let failure = exchange.expected.iter().any(|expected| matches!(expected, Expected::Fails));
        match &self.response {
            None if !failure => problems.push("the request failed".to_owned()),
            Some((status, ..)) if failure => problems.push(format!("expected a failure, saw {status}")),
            _ => {}
        }
        problems.extend(exchange.expected.iter().filter_map(|expected| self.wrong(expected, dates)));
        if matches!(exchange.handler, steps::Handler::NotCalled | steps::Handler::CalledInBackground) {
            problems.extend(self.no_age());
        }
        let what = format!("{} {}", exchange.method, exchange.path);
        problems.into_iter().map(|problem| format!("{what}: {problem}")).collect()
    }

    fn wrong_handler(&self, expected: steps::Handler) -> Option<String> {
        let right = match expected {
            steps::Handler::Called => (self.runs, self.runs_behind) == (1, 0),
            steps::Handler::NotCalled => (self.runs, self.runs_behind) == (0, 0),
            // A refresh may begin before the client has its answer: there is one, and the answer is the old page.
            steps::Handler::CalledInBackground => self.runs + self.runs_behind == 1,
            steps::Handler::Either => true,
        };
        let seen = format!("ran {} times and {} behind", self.runs, self.runs_behind);
        (!right).then(|| format!("handler expected {expected:?}, {seen}"))
    }

    /// RFC 9111 §4: a cache that uses a stored response without validation sends its age.
    fn no_age(&self) -> Option<String> {
        let (status, headers, _) = self.response.as_ref()?;
        let own = matches!(status.as_u16(), 304 | 504);
        (!own && !headers.contains_key("age")).then(|| "a stored page without Age".to_owned())
    }

    fn wrong(&self, expected: &Expected, dates: Dates) -> Option<String> {
        match *expected {
            Expected::HandlerSaw(line) => {
                let (name, value) = header(line, &dates);
                let last = self.handler.last().and_then(|(_, headers)| headers.get(&name).cloned());
                (last.as_ref() != Some(&value)).then(|| format!("handler expected to see {line}, saw {last:?}"))
            }
            Expected::HandlerSawNo(name) => {
                let last = self.handler.last().and_then(|(_, headers)| headers.get(name).cloned());
                last.map(|value| format!("handler expected to see no {name}, saw {value:?}"))
            }
            Expected::HandlerGot(method) => {
                let last = self.handler.last().map(|(method, _)| method.to_string());
                (last.as_deref() != Some(method)).then(|| format!("handler expected {method}, got {last:?}"))
            }
            Expected::Fails => None,
            _ => self.wrong_response(expected, dates),
        }
    }

    fn wrong_response(&self, expected: &Expected, dates: Dates) -> Option<String> {
        let (status, headers, text) = self.response.as_ref()?;
        match *expected {
            Expected::Status(code) => (status.as_u16() != code).then(|| format!("expected {code}, saw {status}")),
            Expected::Bears(name) => (!headers.contains_key(name)).then(|| format!("expected {name}")),
            Expected::Varies(name) => {
                let lines = headers.get_all("vary").iter().filter_map(|line| line.to_str().ok());
                let mut names = lines.flat_map(|line| line.split(','));
                let named = names.any(|field| field.trim().eq_ignore_ascii_case(name));
                (!named).then(|| format!("expected Vary to name {name}, saw {:?}", headers.get("vary")))
            }
            Expected::NotText(text_then) => (text == text_then).then(|| format!("expected another text than {text:?}")),
            Expected::Text(wanted) => (text != wanted).then(|| format!("expected the text {wanted:?}, saw {text:?}")),
            Expected::Has(line) => {
                let (name, value) = header(line, &dates);
                let seen: Vec<_> = headers.get_all(&name).iter().collect();
                (!seen.contains(&&value)).then(|| format!("expected {name}: {value:?}, saw {seen:?}"))
            }
            Expected::Lacks(line) => {
                let seen: Vec<_> = headers.get_all(line.split(':').next().unwrap()).iter().collect();
                let wrong = match line.contains(':') {
                    true => seen.contains(&&header(line, &dates).1),
                    false => !seen.is_empty(),
                };
                wrong.then(|| format!("expected no {line}, saw {seen:?}"))
            }
            Expected::Age(seconds) => {
                let seen = headers.get("age").and_then(|age| age.to_str().ok()?.parse::<u64>().ok());
                let right = seen.is_some_and(|age| age == seconds || age == seconds + 1);
                (!right).then(|| format!("expected an age of {seconds} s, saw {seen:?}"))
            }
            Expected::Reports(any) => {
                let seen: Vec<_> =
                    headers.get_all("cache-status").iter().filter_map(|line| line.to_str().ok()).collect();
                let ours = seen.join(", ").rsplit(',').next().unwrap_or_default().to_owned();
                let right = ours.split(';').skip(1).any(|parameter| any.contains(&parameter.trim()));
                (!right).then(|| format!("expected Cache-Status with one of {any:?}, saw {seen:?}"))
            }
            _ => None,
        }
    }
}
