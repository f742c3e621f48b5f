//! A layer that notes all it is told, in order.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A span of the cache, as far as it was told.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub name: &'static str,
    pub fields: HashMap<String, String>,
    /// Its parent, by its place among all spans.
    pub parent: Option<usize>,
    pub entered: u32,
    pub exited: u32,
    pub closed: bool,
}

/// An event of the cache.
#[derive(Debug, Clone)]
pub struct Told {
    pub level: Level,
    pub message: String,
    pub fields: HashMap<String, String>,
    /// The span it was told in.
    pub inside: Option<usize>,
}

#[derive(Debug, Default)]
struct Noted {
    ids: HashMap<Id, usize>,
    spans: Vec<Span>,
    events: Vec<Told>,
}

/// What was captured, and the subscriber that captures.
#[derive(Clone)]
pub struct Capture {
    noted: Arc<Mutex<Noted>>,
    pub dispatch: Dispatch,
}

impl Capture {
    pub fn at(level: LevelFilter) -> Capture {
        let noted = Arc::default();
        let layer = Capturing(Arc::clone(&noted)).with_filter(level);
        Capture { noted, dispatch: Dispatch::new(tracing_subscriber::registry().with(layer)) }
    }

    pub fn all() -> Capture {
        Capture::at(LevelFilter::TRACE)
    }

    /// Runs something on this thread that is listened to.
    pub fn hear<R>(&self, run: impl FnOnce() -> R) -> R {
        tracing::dispatcher::with_default(&self.dispatch, run)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.lock().spans.clone()
    }

    pub fn events(&self) -> Vec<Told> {
        self.lock().events.clone()
    }

    /// The events, each as its level and message and the fields that are named.
    pub fn lines(&self, fields: &[&str]) -> Vec<String> {
        let line = |event: &Told| {
            let values = fields.iter().filter_map(|name| event.fields.get(*name).map(String::as_str));
            let mut words = vec![event.level.as_str(), &event.message];
            words.extend(values);
            words.join(" ")
        };
        self.events().iter().map(line).collect()
    }

    /// Forgets what was captured.
    pub fn clear(&self) {
        *self.lock() = Noted::default();
    }

    /// Everything that was said, to look for what must not be.
    pub fn text(&self) -> String {
        format!("{:?}", self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Capturing(Arc<Mutex<Noted>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capturing {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut span = Span { name: attributes.metadata().name(), ..Span::default() };
        attributes.record(&mut Fields(&mut span.fields));
        let parent = context.span(id).and_then(|span| span.parent()).map(|parent| parent.id());
        let mut noted = self.0.lock().unwrap();
        span.parent = parent.and_then(|parent| noted.ids.get(&parent).copied());
        let at = noted.spans.len();
        noted.spans.push(span);
        noted.ids.insert(id.clone(), at);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |span| values.record(&mut Fields(&mut span.fields)));
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        self.change(id, |span| span.entered += 1);
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        self.change(id, |span| span.exited += 1);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |span| span.closed = true);
        self.0.lock().unwrap().ids.remove(&id);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = HashMap::new();
        event.record(&mut Fields(&mut fields));
        let inside = context.event_span(event).map(|span| span.id());
        let mut noted = self.0.lock().unwrap();
        let inside = inside.and_then(|id| noted.ids.get(&id).copied());
        let message = fields.remove("message").unwrap_or_default();
        noted.events.push(Told { level: *event.metadata().level(), message, fields, inside });
    }
}

impl Capturing {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Span)) {
        let mut noted = self.0.lock().unwrap();
        if let Some(at) = noted.ids.get(id).copied() {
            change(&mut noted.spans[at]);
        }
    }
}

struct Fields<'a>(&'a mut HashMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
