//! What is made of a handler's response: a stored page, or an answer that is passed on.
//!
//! Either way its body is read within the scope of the request, as far as it is to be read, and the response then says
//! what its fragments say.

use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, COOKIE, DATE};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};
use http_body::Body;

use super::ask::{Asked, Facts};
use super::body::{Collected, LayerBody, collect};
use super::cache_status::{self, Did, Forward, Why};
use super::date;
use super::invalidate::path_tags;
use super::policy::Policy;
use super::service::Shared;
use super::show::{self, Shown};
use super::validate;
use super::vary::{Vary, sorted};
use super::verdict::{Verdict, is_event_stream, is_whole};
use crate::asker::Handler;
use crate::clock::{Nanos, nanos};
use crate::entry::Body as Content;
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
    /// Whether the client has an answer already.
    pub(super) behind: bool,
}

impl Missing {
    pub(super) fn new(asked: Asked) -> Missing {
        Missing { question: asked.question.clone(), known: Vec::new(), forward: Forward::Miss, behind: false, asked }
    }

    /// Looks on where the response is that fits the request.
    pub(super) fn turn(&mut self, question: Question, names: Vec<HeaderName>) {
        self.question = question;
        self.known = names;
        self.forward = Forward::VaryMiss;
    }

    /// Names what is looked up.
    pub(super) fn hash(&self) -> u128 {
        self.question.wanted().identity.hash
    }
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
        verdict(policy, facts, self.response.status(), self.response.headers(), &self.scope.record())
    }

    /// The answer to a request that is none of a reader's: only its holes are filled.
    pub(super) async fn answered(mut self, policy: &Policy, seen: &Parts, did: Did) -> Response<LayerBody<R>> {
        did.tell(policy.status_name.as_deref(), self.response.headers_mut());
        let Told { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        if !has_holes(holes.as_deref()) {
            return Response::from_parts(head, LayerBody::through(body).inside(scope));
        }
        match scope.clone().run_async(collect(body, policy.max_body_bytes, patience(policy))).await {
            Collected::Whole(bytes) => {
                let body = pieces(bytes, holes.as_deref());
                show::fill(policy, head, &body, seen).await
            }
            Collected::Apart(body) => {
                Verdict::report_unfilled(policy);
                Response::from_parts(head, body.inside(scope))
            }
        }
    }

    /// Not stored. A body that is there whole already is validated; others go on as they come.
    pub(super) async fn passed_on(
        self,
        policy: &Policy,
        facts: &Facts,
        seen: &Parts,
        did: Did,
    ) -> Response<LayerBody<R>> {
        let Told { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        // A body that is rendered as it is read may come to have holes.
        let collected = if holes.is_some() && !head.status.is_informational() && !is_event_stream(&head.headers) {
            scope.clone().run_async(collect(body, policy.max_body_bytes, patience(policy))).await
        } else if head.status == StatusCode::OK && body.size_hint().exact().is_some() {
            scope.clone().run_async(collect(body, policy.max_body_bytes, ready(()))).await
        } else {
            Collected::Apart(LayerBody::through(body))
        };
        let judged = Judged::of(policy, facts, head, &scope, seen);
        match collected {
            Collected::Whole(bytes) => {
                let (stored, rest) = judged.page(bytes, holes.as_deref());
                Shown::made(stored, did).answer_with(rest, policy, seen).await
            }
            Collected::Apart(body) => {
                let judged = judged.if_holes_stay(has_holes(holes.as_deref()));
                judged.apart(body.inside(scope), seen, did)
            }
        }
    }

    /// Stored, if its body comes whole and its fragments allow it.
    pub(super) async fn stored(
        self,
        shared: &Shared,
        missing: &Missing,
        mut work: Option<Work>,
        seen: &Parts,
    ) -> Response<LayerBody<R>> {
        let policy = &shared.policy;
        let Told { response, scope, holes } = self;
        let (head, body) = response.into_parts();
        let reading = scope.clone().run_async(collect(body, policy.max_body_bytes, patience(policy)));
        let collected = within(work.as_mut(), reading).await;
        let judged = Judged::of(policy, &missing.asked.facts, head, &scope, seen);
        let did = |stored| Did::Missed(Why { forward: missing.forward, stored });
        let bytes = match collected {
            Collected::Whole(bytes) => bytes,
            Collected::Apart(body) => {
                shared.streams.note(missing.hash(), policy.cache.inner.clock.now());
                shared.not_stored(missing, work);
                let judged = judged.if_holes_stay(has_holes(holes.as_deref()));
                return judged.apart(body.inside(scope), seen, did(false));
            }
        };
        let names = varies(policy, &judged.head.headers);
        let found = holes_are_found(&bytes, holes.as_deref());
        let whole = found && is_whole(&judged.head.headers, bytes.len());
        let judged = judged.if_holes_stay(!found);
        let (page, rest) = judged.page(bytes, holes.as_deref());
        let Judged { mut record, verdict, .. } = judged;
        let Some(lifetime) = verdict.lifetime.filter(|_| whole) else {
            shared.not_stored(missing, work);
            return Shown::made(page, did(false)).answer_with(rest, policy, seen).await;
        };
        record.expires = record.expires.min(record.begin.at.saturating_add(nanos(lifetime)));
        let mut page = page.detached();
        remove_hop_by_hop(&mut page.headers);
        page.stale = page.stale.within(record.grace_ends.saturating_sub(record.expires));
        let page = Arc::new(Page::Response(page));
        let stored = Keeping { policy, missing, record, page: Arc::clone(&page), seen }.keep(names, work);
        if stored {
            shared.unstored.forget(missing.hash());
        }
        Shown::stored(page, did(stored)).answer_with(rest, policy, seen).await
    }
}

/// A response whose body was read as far as it was to be, and what becomes of it.
struct Judged<'a> {
    policy: &'a Policy,
    head: response::Parts,
    record: Record,
    verdict: Verdict,
}

impl Judged<'_> {
    fn of<'a>(policy: &'a Policy, facts: &Facts, head: response::Parts, scope: &Scope, seen: &Parts) -> Judged<'a> {
        let mut record = scope.record().clone();
        depend(policy, &mut record, seen);
        let verdict = verdict(policy, facts, head.status, &head.headers, &record);
        Judged { policy, head, record, verdict }
    }

    /// Its holes are not filled.
    fn if_holes_stay(mut self, open: bool) -> Self {
        self.verdict = self.verdict.if_holes_stay(open, self.policy);
        self
    }

    /// The whole response as it is stored and shown, and what of its head is this answer's alone.
    fn page(&self, bytes: Bytes, holes: Option<&Holes>) -> (Stored, Extensions) {
        let Judged { policy, head, record, verdict } = self;
        let mut headers = head.headers.clone();
        verdict.tell(policy, record, &mut headers);
        let body = pieces(bytes, holes);
        if let [Piece::Text(bytes)] = body.as_slice() {
            if !bytes.is_empty() {
                // Whoever sends it would look for it, and add it where it is missing.
                headers.entry(CONTENT_LENGTH).or_insert_with(|| bytes.len().into());
            }
            validate::tag(head.status, &mut headers, bytes, Some(record), !policy.strong_etags);
        } else {
            show::make_personal(&mut headers);
        }
        if !headers.contains_key(DATE)
            && let Some(date) = date::write(SystemTime::now())
        {
            headers.insert(DATE, date);
        }
        headers.insert(AGE, HeaderValue::from_static("0"));
        cache_status::reserve(policy.status_name.as_deref(), &mut headers);
        let Verdict { age, stale, authorized, .. } = *verdict;
        let stored = Stored { status: head.status, headers, body, age: nanos(age), stale, authorized };
        (stored, head.extensions.clone())
    }

    /// An answer whose body is not to be had whole.
    fn apart<R: Body<Data = Bytes>>(self, body: LayerBody<R>, seen: &Parts, did: Did) -> Response<LayerBody<R>> {
        let Judged { policy, mut head, record, verdict } = self;
        verdict.tell(policy, &record, &mut head.headers);
        did.tell(policy.status_name.as_deref(), &mut head.headers);
        let conditions = validate::judge_late(seen, head.status, &head.headers);
        validate::conclude(&seen.method, conditions, head, body)
    }
}

fn verdict(policy: &Policy, facts: &Facts, status: StatusCode, headers: &HeaderMap, record: &Record) -> Verdict {
    let latest = policy.cache.inner.clock.latest();
    Verdict::of(policy, facts, status, headers).tightened(record, latest, headers)
}

fn has_holes(holes: Option<&Holes>) -> bool {
    holes.is_some_and(Holes::any)
}

/// Whether what a template left open is to be found; not so in a page that was compressed, say.
fn holes_are_found(page: &[u8], holes: Option<&Holes>) -> bool {
    holes.is_none_or(|holes| !holes.any() || !holes.find(page).is_empty())
}

/// How long a body may take to come.
fn patience(policy: &Policy) -> impl Future<Output = ()> + '_ {
    let inner = &policy.cache.inner;
    inner.sleep_until(inner.deadline())
}

/// What a future gives, unless the other one is ready before.
pub(super) async fn in_time<F: Future>(future: F, late: impl Future<Output = ()>) -> Option<F::Output> {
    let (mut future, mut late) = (pin!(future), pin!(late));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => late.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// What a page depends on beside its fragments: what the policy says, and its path.
fn depend(policy: &Policy, record: &mut Record, seen: &Parts) {
    let cache = &policy.cache;
    policy.tags.iter().for_each(|tag| record.tag(cache.tag(Arc::clone(tag))));
    let tags = policy.tags_of.iter().flat_map(|tags| tags(seen));
    tags.for_each(|tag| record.tag(cache.tag(tag.into())));
    path_tags(policy, seen).for_each(|tag| record.tag(tag));
}

/// The headers that a response varies by, beyond those its identity holds anyway.
fn varies(policy: &Policy, headers: &HeaderMap) -> Vec<HeaderName> {
    match Vary::read(headers) {
        Vary::Names(names) => names.into_iter().filter(|name| *name != COOKIE && !policy.vary.contains(name)).collect(),
        Vary::Star => Vec::new(),
    }
}

/// A page on its way into the cache.
struct Keeping<'a> {
    policy: &'a Policy,
    missing: &'a Missing,
    record: Record,
    page: Arc<Page>,
    seen: &'a Parts,
}

impl Keeping<'_> {
    /// Puts the page where it is found: under its address, or under what its address varies by, and there where to look.
    /// Returns whether it was stored.
    fn keep(self, names: Vec<HeaderName>, work: Option<Work>) -> bool {
        let Missing { asked, question, known, .. } = self.missing;
        if names.is_empty() {
            // It is the same for all: whatever was known of its address.
            return match work {
                Some(work) if known.is_empty() => self.finish(work),
                work => {
                    let there = self.take_over(&asked.question, work.as_ref());
                    work.into_iter().for_each(Work::release);
                    self.finish(there)
                }
            };
        }
        if names.iter().all(|name| known.contains(name)) {
            let work = work.unwrap_or_else(|| self.take_over(question, None));
            return self.finish(work);
        }
        let all = sorted([names, known.clone()].concat());
        let there = self.take_over(&asked.varied(&all, &self.seen.headers), work.as_ref());
        let stored = self.finish(there);
        let here = match work {
            Some(work) if known.is_empty() => work,
            // It varies by more than was known.
            work => {
                let here = self.take_over(&asked.question, work.as_ref());
                work.into_iter().for_each(Work::release);
                here
            }
        };
        self.direct(here, all);
        stored
    }

    fn take_over(&self, question: &Question, from: Option<&Work>) -> Work {
        let cache = &self.policy.cache;
        let mut work = cache.take_over(&question.wanted(), &mut Handler(&cache.inner), true);
        if let Some(from) = from {
            work.began_with(from);
        }
        work
    }

    fn finish(&self, mut work: Work) -> bool {
        if let Some(stored) = self.page.stored() {
            work.set_grace(stored.stale.while_revalidating, stored.stale.longest());
        }
        work.note(|gathered| gathered.enclose(&self.record));
        work.finish(Content::Page(Arc::clone(&self.page)))
    }

    /// Says at the address what it varies by. That is known for a while longer than the page, which may be the first of
    /// many.
    fn direct(&self, work: Work, names: Vec<HeaderName>) {
        const LONGER: Nanos = 3600 * 1_000_000_000;
        let cache = &self.policy.cache;
        let grace = self.page.stored().map_or(0, |stored| stored.stale.longest());
        let until = self.record.expires.saturating_add(grace).saturating_add(LONGER);
        let address = self.missing.asked.question.wanted();
        let key = cache.namespace.tags.iter().copied().chain([cache.key_tag(address.key)]);
        work.finish_with_direction(Content::Page(Arc::new(Page::Varies(names))), key, until);
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
    const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
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
        PROXY_AUTHENTICATION_INFO,
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
