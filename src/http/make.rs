//! What is made of a handler's response: a stored page, or an answer that is passed on.
//!
//! Either way its body is read within the scope of the request, as far as it is to be read, and the response then says
//! what its fragments say.

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, DATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};
use http_body::Body;

use super::ask::{Asked, Facts};
use super::body::{Collected, LayerBody, collect};
use super::cache_status::{self, Did, Forward, Why};
use super::invalidate::path_tag;
use super::policy::Policy;
use super::service::Shared;
use super::show::Shown;
use super::validate;
use super::vary::Vary;
use super::verdict::{Verdict, is_whole};
use crate::asker::Handler;
use crate::clock::nanos;
use crate::entry::Body as Content;
use crate::error::{Error, ErrorKind};
use crate::handler::Inside;
use crate::hole::Holes;
use crate::page::{Page, Piece, Stored};
use crate::question::Question;
use crate::record::Record;
use crate::scope::Scope;
use crate::work::Work;

/// A page that the handler is to make for the cache.
pub(super) struct Missing {
    pub(super) asked: Asked,
    /// What it was looked up as.
    pub(super) question: Question,
    /// The headers that its address is known to vary by.
    pub(super) known: Vec<HeaderName>,
    pub(super) forward: Forward,
}

/// What the handler said.
pub(super) struct Told<R> {
    pub(super) response: Response<R>,
    pub(super) scope: Scope,
    pub(super) holes: Option<Arc<Holes>>,
}

/// Runs something inside the work, if there is any.
pub(super) async fn within<F: Future>(work: Option<&mut Work>, future: F) -> F::Output {
    let future = pin!(future);
    match work {
        Some(work) => Inside { work, future }.await,
        None => future.await,
    }
}

impl<R: Body<Data = Bytes>> Told<R> {
    /// What becomes of it as far as its head tells.
    pub(super) fn verdict(&self, policy: &Policy, facts: &Facts) -> Verdict {
        let (status, headers) = (self.response.status(), self.response.headers());
        let latest = policy.cache.inner.clock.latest();
        Verdict::of(policy, facts, status, headers).tightened(&self.scope.record(), latest, headers)
    }

    /// A response that is none to a reader.
    pub(super) fn untouched(self, did: Did, shared: &Shared) -> Response<LayerBody<R>> {
        let mut response = self.response;
        did.tell(shared.policy.status_name.as_deref(), response.headers_mut());
        response.map(LayerBody::through)
    }

    /// Not stored. A body that is there whole already is validated; others go on as they come.
    pub(super) async fn passed_on(
        self,
        policy: &Policy,
        facts: &Facts,
        seen: &Parts,
        did: Did,
    ) -> Response<LayerBody<R>> {
        let verdict = self.verdict(policy, facts);
        let Told { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        let has_holes = holes.as_ref().is_some_and(|holes| holes.any());
        let collected = if has_holes {
            scope.clone().run_async(collect(body, policy.max_body_bytes, patience(policy))).await
        } else if head.status == StatusCode::OK && body.size_hint().exact().is_some() {
            scope.clone().run_async(collect(body, policy.max_body_bytes, ready(()))).await
        } else {
            Collected::Apart(LayerBody::through(body))
        };
        let record = scope.record().clone();
        match collected {
            Collected::Whole(bytes) => {
                let stored = page(policy, head, bytes, holes.as_deref(), &verdict, &record);
                Shown::made(stored, did).answer(policy, seen).await
            }
            Collected::Apart(body) => {
                if has_holes {
                    let message =
                        "a page with holes is too large or too slow to fill them; max_body_bytes is the limit";
                    policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
                }
                apart(policy, head, body, &verdict, &record, seen, did)
            }
        }
    }

    /// Stored, if its body comes whole and its fragments allow it.
    pub(super) async fn stored(
        self,
        policy: &Policy,
        missing: &Missing,
        mut work: Work,
        seen: &Parts,
    ) -> Response<LayerBody<R>> {
        let Told { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        let reading = scope.clone().run_async(collect(body, policy.max_body_bytes, patience(policy)));
        let collected = within(Some(&mut work), reading).await;
        let mut record = scope.record().clone();
        let verdict = Verdict::of(policy, &missing.asked.facts, head.status, &head.headers);
        let verdict = verdict.tightened(&record, policy.cache.inner.clock.latest(), &head.headers);
        let did = |stored| Did::Missed(Why { forward: missing.forward, stored });
        let bytes = match collected {
            Collected::Whole(bytes) => bytes,
            Collected::Apart(body) => {
                work.release();
                return apart(policy, head, body, &verdict, &record, seen, did(false));
            }
        };
        let lifetime = verdict.lifetime.filter(|_| is_whole(&head.headers, bytes.len()));
        let names = varies(policy, &head.headers);
        depend(policy, &mut record, seen);
        let page = page(policy, head, bytes, holes.as_deref(), &verdict, &record);
        let Some(lifetime) = lifetime else {
            work.release();
            return Shown::made(page, did(false)).answer(policy, seen).await;
        };
        record.expires = record.expires.min(record.begin.at.saturating_add(nanos(lifetime)));
        let page = Arc::new(Page::Response(page));
        keep(policy, missing, names, work, record, &page, seen);
        Shown::stored(page, did(true)).answer(policy, seen).await
    }
}

/// How long a body may take to come.
fn patience(policy: &Policy) -> impl Future<Output = ()> + '_ {
    let inner = &policy.cache.inner;
    let until = Instant::now() + inner.settings.wait_timeout;
    async move {
        if let Some(janitor) = inner.janitor() {
            janitor.sleep_until(until).await;
        }
    }
}

/// What a page depends on beside its fragments: what the policy says, and its path.
fn depend(policy: &Policy, record: &mut Record, seen: &Parts) {
    let cache = &policy.cache;
    policy.tags.iter().for_each(|tag| record.tag(cache.tag(Arc::clone(tag))));
    let tags = policy.tags_of.iter().flat_map(|tags| tags(seen));
    tags.for_each(|tag| record.tag(cache.tag(tag.into())));
    record.tag(path_tag(cache, seen));
}

/// The headers that a response varies by, beyond those its identity holds anyway.
fn varies(policy: &Policy, headers: &HeaderMap) -> Vec<HeaderName> {
    match Vary::read(headers) {
        Vary::Names(names) => names.into_iter().filter(|name| !policy.varies().any(|known| known == name)).collect(),
        Vary::Star => Vec::new(),
    }
}

/// Puts a page where it is found: under its address, or under what its address varies by, and there where to look.
fn keep(
    policy: &Policy,
    missing: &Missing,
    names: Vec<HeaderName>,
    mut work: Work,
    record: Record,
    page: &Arc<Page>,
    seen: &Parts,
) {
    let cache = &policy.cache;
    let body = Content::Page(Arc::clone(page));
    if names.iter().all(|name| missing.known.contains(name)) {
        settle(&mut work, page, &record);
        work.finish(body);
        return;
    }
    let Vary::Names(names) = Vary::Names(missing.known.clone()).union(Vary::Names(names)) else { return };
    let varied = missing.asked.varied(&names, &seen.headers);
    let mut there = cache.replace(&varied.wanted(), &mut Handler(&cache.inner), true);
    settle(&mut there, page, &record);
    there.finish(body);
    let address = missing.asked.question.wanted();
    let key = cache.namespace.tags.iter().copied().chain([cache.key_tag(address.key)]);
    let direction = Content::Page(Arc::new(Page::Varies(names)));
    if missing.known.is_empty() {
        work.finish_with_key_alone(direction, key);
    } else {
        // It varies by more than was known.
        work.release();
        cache.replace(&address, &mut Handler(&cache.inner), true).finish_with_key_alone(direction, key);
    }
}

fn settle(work: &mut Work, page: &Page, record: &Record) {
    if let Page::Response(stored) = page {
        let stale = stored.stale;
        work.set_grace(stale.while_revalidating, stale.if_error);
    }
    work.note(|gathered| gathered.enclose(record));
}

/// A whole response as it is stored and shown.
fn page(
    policy: &Policy,
    mut head: response::Parts,
    bytes: Bytes,
    holes: Option<&Holes>,
    verdict: &Verdict,
    record: &Record,
) -> Stored {
    verdict.tell(policy, record, &mut head.headers);
    let body = pieces(bytes, holes);
    if let [Piece::Text(bytes)] = body.as_slice() {
        if !bytes.is_empty() {
            // Whoever sends it would look for it, and add it where it is missing.
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| bytes.len().into());
        }
        validate::tag(head.status, &mut head.headers, bytes, Some(record), !policy.strong_etags);
    } else if !body.is_empty() {
        // What a visitor gets is his own, whatever the page around it is.
        super::show::make_personal(&mut head.headers);
    }
    if !head.headers.contains_key(DATE)
        && let Some(date) = validate::http_date(SystemTime::now())
    {
        head.headers.insert(DATE, date);
    }
    remove_hop_by_hop(&mut head.headers);
    head.headers.insert(AGE, HeaderValue::from_static("0"));
    cache_status::reserve(policy.status_name.as_deref(), &mut head.headers);
    Stored {
        status: head.status,
        headers: head.headers,
        body,
        age: nanos(verdict.age),
        stale: verdict.stale,
        authorized: verdict.authorized,
    }
}

fn pieces(bytes: Bytes, holes: Option<&Holes>) -> Vec<Piece> {
    let found = holes.filter(|holes| holes.any()).map(|holes| holes.find(&bytes)).unwrap_or_default();
    let mut pieces = Vec::with_capacity(2 * found.len() + 1);
    let mut from = 0;
    for (mark, call) in found {
        pieces.push(Piece::Text(bytes.slice(from..mark.start)));
        pieces.push(Piece::Hole(call));
        from = mark.end;
    }
    pieces.push(Piece::Text(bytes.slice(from..)));
    pieces
}

/// Fields about one connection (RFC 9110 §7.6.1).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    use http::header::{CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in listed.into_iter().chain(fixed) {
        headers.remove(name);
    }
}

/// A response whose body is not to be had whole.
fn apart<R: Body<Data = Bytes>>(
    policy: &Policy,
    mut head: response::Parts,
    body: LayerBody<R>,
    verdict: &Verdict,
    record: &Record,
    seen: &Parts,
    did: Did,
) -> Response<LayerBody<R>> {
    verdict.tell(policy, record, &mut head.headers);
    did.tell(policy.status_name.as_deref(), &mut head.headers);
    let verdict = validate::judge_late(seen, head.status, &head.headers);
    validate::conclude(&seen.method, verdict, head.status, head.headers, body)
}
