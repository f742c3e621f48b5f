//! What the browser told about a tab without being asked: loads, requests, errors.

use std::collections::BTreeMap;

use serde_json::Value;

/// A request of a page as the network saw it. A redirect is one, and what it leads to is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub url: String,
    /// The server's: 304 where the page sees the 200 of its copy. 0 when there is no answer.
    pub status: u16,
    /// Answered by the cache without asking the server.
    pub from_disk_cache: bool,
    /// Answered by what the page, or the one before, still had in memory.
    pub from_memory_cache: bool,
}

#[derive(Default)]
pub(super) struct Observed {
    /// The documents that have loaded, each with its frame.
    loads: Vec<(String, String)>,
    requests: Vec<Request>,
    /// What came over the network for a request's id. It can come before and after the rest, in the order of redirects.
    wire: BTreeMap<String, Vec<u16>>,
    errors: Vec<String>,
}

struct Request {
    id: String,
    seen: Seen,
    answered: bool,
    /// Whether something about it comes, or came, over the network.
    wire: bool,
}

impl Observed {
    pub(super) fn note(&mut self, event: &str, params: &Value) {
        let id = text(&params["requestId"]);
        match event {
            "Page.lifecycleEvent" if params["name"] == "load" => {
                self.loads.push((text(&params["frameId"]), text(&params["loaderId"])));
            }
            "Network.requestWillBeSent" => {
                if params.get("redirectResponse").is_some() {
                    self.answer(&id, &params["redirectResponse"], &params["redirectHasExtraInfo"]);
                }
                self.request(id, &params["request"]);
            }
            "Network.requestServedFromCache" => self.update(&id, |it| it.seen.from_memory_cache = true),
            "Network.responseReceived" => self.answer(&id, &params["response"], &params["hasExtraInfo"]),
            "Network.responseReceivedExtraInfo" => {
                self.wire.entry(id).or_default().push(status(&params["statusCode"]));
            }
            "Network.loadingFailed" => self.update(&id, |it| it.answered = true),
            "Runtime.exceptionThrown" => self.errors.push(exception(&params["exceptionDetails"])),
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "assert" => {
                let words = params["args"].as_array().into_iter().flatten().map(printed);
                self.errors.push(words.collect::<Vec<_>>().join(" "));
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.errors.push(format!("{} ({})", text(&params["entry"]["text"]), text(&params["entry"]["url"])));
            }
            _ => {}
        }
    }

    /// How many documents have loaded, for [`Observed::loaded_since`].
    pub(super) fn loads(&self) -> usize {
        self.loads.len()
    }

    /// Whether a document that `wanted` takes has loaded in this frame after so many.
    pub(super) fn loaded_since(&self, before: usize, frame: &str, wanted: impl Fn(&str) -> bool) -> bool {
        self.loads[before..].iter().any(|(it, document)| it == frame && wanted(document))
    }

    /// Whether all is known about every request.
    pub(super) fn settled(&self) -> bool {
        self.requests().all(|(request, status)| request.answered && (!request.wire || status.is_some()))
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = self.requests().map(|(request, status)| Seen {
            status: status.unwrap_or(request.seen.status),
            from_disk_cache: request.seen.from_disk_cache && status.is_none(),
            ..request.seen.clone()
        });
        seen.collect()
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.errors.clone()
    }

    /// Forgets requests and errors.
    pub(super) fn forget(&mut self) {
        *self = Observed { loads: std::mem::take(&mut self.loads), ..Observed::default() };
    }

    /// With what came over the network for it.
    fn requests(&self) -> impl Iterator<Item = (&Request, Option<u16>)> {
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        self.requests.iter().map(move |request| {
            let turn = taken.entry(&request.id).or_default();
            let status = self.wire.get(&request.id).and_then(|wire| wire.get(*turn)).copied();
            *turn += usize::from(request.wire);
            (request, status.filter(|_| request.wire))
        })
    }

    fn request(&mut self, id: String, request: &Value) {
        let (method, url) = (text(&request["method"]), text(&request["url"]));
        // Those have no server.
        if url.starts_with("http") {
            let seen = Seen { method, url, status: 0, from_disk_cache: false, from_memory_cache: false };
            self.requests.push(Request { id, seen, answered: false, wire: false });
        }
    }

    fn answer(&mut self, id: &str, response: &Value, wire: &Value) {
        self.update(id, |request| {
            request.answered = true;
            // Of what is shared with the page before the browser announces more, which never comes.
            request.wire = wire == true && !request.seen.from_memory_cache;
            request.seen.status = status(&response["status"]);
            request.seen.from_disk_cache = response["fromDiskCache"] == true;
        });
    }

    /// The last one: those before it with the same id are redirects to it.
    fn update(&mut self, id: &str, change: impl FnOnce(&mut Request)) {
        if let Some(request) = self.requests.iter_mut().rev().find(|it| it.id == id) {
            change(request);
        }
    }
}

/// What an uncaught exception says.
pub(super) fn exception(details: &Value) -> String {
    let description = details["exception"]["description"].as_str();
    description.map_or_else(|| text(&details["text"]), str::to_owned)
}

/// A value as the console shows it.
fn printed(value: &Value) -> String {
    match &value["value"] {
        Value::Null => text(&value["description"]),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn status(value: &Value) -> u16 {
    value.as_u64().and_then(|status| status.try_into().ok()).unwrap_or_default()
}
