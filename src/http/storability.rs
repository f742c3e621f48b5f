//! Storability: whether a response is stored, how long it is fresh, and its `Cache-Control` for downstream caches.
//!
//! The handler's own `Cache-Control` comes first, then the layer's TTL. A response without either is private. The
//! fragments of a page can only make that stricter. The other rules are those of RFC 9111 §3.

use std::time::{Duration, SystemTime};

use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, EXPIRES, SET_COOKIE};
use http::{HeaderMap, StatusCode};

use super::cache_control::CacheControl;
use super::date;
use super::fill_holes::UnfilledHole;
use super::headers::remove_targeted;
use super::policy::Policy;
use super::request::RequestFacts;
use super::vary::{self, Vary};
use crate::error::{Error, ErrorKind};
use crate::http::page::Grace;
use crate::invalidation::dependencies::{Dependencies, FOREVER};
use crate::util::clock::{Nanos, nanos};

/// How long a response may be stored, and the cache headers that it is sent with.
#[derive(Debug)]
pub(super) struct Storability {
    /// The time until the response expires, without the age it came with. `None` if it is not stored.
    pub(super) lifetime: Option<Duration>,
    /// The age of the response when the handler returned it.
    pub(super) age: Duration,
    pub(super) grace: Grace,
    pub(super) allows_authorization: bool,
    /// The `Cache-Control` that replaces the handler's.
    cache_control: Option<CacheControl>,
    /// Whether `Expires` is removed, because it may contradict `cache_control`.
    removes_expires: bool,
    /// Whether targeted headers are removed, because they may permit more than the fragments do.
    removes_targeted: bool,
}

impl Storability {
    /// Evaluates the response to a GET or HEAD with the restrictions of its fragments, as far as they are known.
    pub(super) fn evaluate(
        policy: &Policy,
        request: &RequestFacts,
        status: StatusCode,
        headers: &HeaderMap,
        record: &Dependencies,
    ) -> Storability {
        let latest = policy.cache.inner.clock.latest();
        Storability::without_fragments(policy, request, status, headers).restricted_by(record, latest, headers)
    }

    fn without_fragments(
        policy: &Policy,
        request: &RequestFacts,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Storability {
        let own = CacheControl::read(headers);
        let layer_ttl = policy.lifetime(status).filter(|_| request.may_take_layer_ttl(&own, headers));
        let cache_control = match layer_ttl {
            Some(ttl) => Some(declared(policy, &own, ttl, request.keyed_privately)),
            None if names_no_lifetime(&own, status, headers) => Some(CacheControl::private().with_no_cache()),
            // Written again, so that every downstream cache can read it.
            None if !CacheControl::is_readable(headers) => Some(own.clone().with_private()),
            None if request.keyed_privately && !own.is_private() && !forbids_storing(&own) => {
                Some(with_expires_as_max_age(headers).with_private())
            }
            None => None,
        };
        let removes_expires = cache_control.is_some();
        let (base, grace) = match layer_ttl {
            Some(ttl) => (Some(ttl), policy.grace()),
            None => (explicit_lifetime(&own, headers), own_grace(&own)),
        };
        let age = age(headers);
        let may_store = request.may_store(&own, status, headers);
        let stored = may_store && (layer_ttl.is_some() || is_storable(&own, request));
        let lifetime = base.filter(|_| stored).and_then(|base| base.checked_sub(age));
        // A response that is stale from the start may still be served during its grace.
        let lifetime = lifetime.filter(|left| !left.is_zero() || grace != Grace::default());
        let allows_authorization = allows_authorization(&own);
        let removes_targeted = request.keyed_privately;
        Storability { lifetime, age, grace, allows_authorization, cache_control, removes_expires, removes_targeted }
    }

    /// Applies the restrictions of the page's fragments. `headers` are those of the handler.
    fn restricted_by(mut self, record: &Dependencies, latest: Nanos, headers: &HeaderMap) -> Storability {
        if record.uncacheable {
            let own = self.cache_control.take().unwrap_or_else(|| CacheControl::read(headers));
            self.forbid(own.tightened_by(&CacheControl::private().with_no_store()));
        } else if record.expires != FOREVER {
            let left = Duration::from_nanos(record.expires.saturating_sub(latest));
            let own = self.cache_control.clone().unwrap_or_else(|| with_expires_as_max_age(headers));
            let capped = own.clone().capped_at(left);
            let lifetime = capped.effective_lifetime().unwrap_or_default();
            let grace_left = Duration::from_nanos(record.grace_ends.saturating_sub(latest));
            let capped = capped.with_windows_within(grace_left.saturating_sub(lifetime));
            if own.effective_lifetime().is_none() && !own.is_private() && !own.says_nothing() {
                // Otherwise a downstream cache may use a heuristic lifetime (RFC 9111 §4.2.2).
                self.cache_control = Some(own.with_no_cache());
            } else if own.effective_lifetime().is_some() && (capped != own || has_unreadable_expires(headers)) {
                self.cache_control = Some(capped);
                self.removes_expires = true;
                self.removes_targeted = true;
            }
            self.lifetime = self.lifetime.filter(|_| !grace_left.is_zero());
        }
        self
    }

    /// Forbids storing if a hole is not filled.
    pub(super) fn unless_unfilled(mut self, unfilled: Option<&UnfilledHole>) -> Storability {
        if unfilled.is_some() {
            self.forbid(CacheControl::private().with_no_store());
        }
        self
    }

    fn forbid(&mut self, cache_control: CacheControl) {
        self.lifetime = None;
        self.cache_control = Some(cache_control);
        self.removes_expires = true;
        self.removes_targeted = true;
    }

    /// Writes `Cache-Control`, `Vary` and the tag header.
    pub(super) fn write_to(&self, headers: &mut HeaderMap, policy: &Policy, record: &Dependencies) {
        if let Some(cache_control) = &self.cache_control {
            headers.insert(CACHE_CONTROL, cache_control.clone().into());
            if self.removes_expires {
                headers.remove(EXPIRES);
            }
        }
        if self.removes_targeted {
            remove_targeted(headers);
        }
        let written = CacheControl::read(headers);
        if forbids_storing(&written) || (written.says_nothing() && !headers.contains_key(EXPIRES)) {
            return;
        }
        // Browsers need `Vary` as well, because several people may use one browser.
        policy.varies().for_each(|name| vary::add(headers, name));
        let Some(header) = policy.tag_header.filter(|_| !written.is_private()) else { return };
        if !header.write(tag_names(record).into_iter(), headers) {
            let message =
                "a page has more tags than the tag header can hold, so the page is private for downstream caches";
            policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
            headers.insert(CACHE_CONTROL, written.with_private().into());
            remove_targeted(headers);
        }
    }
}

/// Reports a `Cache-Control` of a handler that cannot be read.
pub(super) fn report_unreadable(policy: &Policy) {
    let message = "the cache-control of a handler cannot be read and counts as no-store: write directives as name or \
                   name=value, without spaces inside, with commas between them";
    policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
}

/// The names of the page's tags, sorted, each once.
fn tag_names(record: &Dependencies) -> Vec<&str> {
    let mut names: Vec<&str> = record.tags().iter().filter_map(|tag| tag.name.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl RequestFacts {
    /// Whether the layer's TTL applies: the handler names no lifetime, and the response is not for one visitor only.
    fn may_take_layer_ttl(&self, own: &CacheControl, headers: &HeaderMap) -> bool {
        self.takes_layer_ttl
            && !self.has_credentials
            && !headers.contains_key(SET_COOKIE)
            && own.effective_lifetime().is_none()
            && !headers.contains_key(EXPIRES)
            && !(own.is_private() || own.is_no_store() || own.is_no_cache() || own.forbids_stale())
    }

    /// Whether request and response permit storing, whatever the lifetime (RFC 9111 §3).
    fn may_store(&self, own: &CacheControl, status: StatusCode, headers: &HeaderMap) -> bool {
        // `Content-Range` has no meaning with another status (RFC 9110 §14.4).
        let whole =
            !matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational();
        let understood = status.canonical_reason().is_some();
        let permitted = !forbids_storing(own) && (understood || !own.is_must_understand());
        self.storable
            && whole
            && permitted
            && !is_event_stream(headers)
            && (!self.has_credentials || allows_authorization(own))
            && !headers.contains_key(SET_COOKIE)
            && Vary::read(headers) != Vary::Star
    }
}

/// Whether the response may answer requests with `Authorization` (RFC 9111 §3.5).
fn allows_authorization(own: &CacheControl) -> bool {
    own.is_public() || own.shared_lifetime().is_some() || own.is_must_revalidate()
}

/// Whether no cache may store the response, not even one that understands the status code.
fn forbids_storing(own: &CacheControl) -> bool {
    own.is_no_store() && !own.is_must_understand()
}

/// Whether the body is a stream of server-sent events, which may never end.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

fn is_storable(own: &CacheControl, request: &RequestFacts) -> bool {
    !own.is_no_cache() && (!own.is_private() || request.keyed_by_visitor)
}

/// Whether neither `Cache-Control` nor `Expires` is there, in a response that a cache might store.
fn names_no_lifetime(own: &CacheControl, status: StatusCode, headers: &HeaderMap) -> bool {
    own.says_nothing()
        && !headers.contains_key(EXPIRES)
        && !status.is_informational()
        && status != StatusCode::NOT_MODIFIED
}

/// The `Cache-Control` of a response that takes the layer's TTL.
fn declared(policy: &Policy, own: &CacheControl, ttl: Duration, keyed_privately: bool) -> CacheControl {
    if keyed_privately {
        let private = own.clone().with_private().with_windows_within(Duration::ZERO);
        return match policy.browser_ttl {
            Some(browser) if !browser.is_zero() => private.max_age(browser),
            _ => private.with_no_cache(),
        };
    }
    let public = own.clone().with_public();
    if let Some(browser) = policy.browser_ttl {
        // A browser would also serve stale pages (RFC 5861), and show a page from before an edit. Shared caches must
        // not serve stale pages with `s-maxage` (RFC 9111 §5.2.2.10). So both windows are removed.
        return public.max_age(browser).s_maxage(ttl).with_windows_within(Duration::ZERO);
    }
    let mut public = public.max_age(ttl);
    if !policy.stale_while_revalidate.is_zero() {
        public = public.stale_while_revalidate(policy.stale_while_revalidate);
    }
    if !policy.stale_if_error.is_zero() {
        public = public.stale_if_error(policy.stale_if_error);
    }
    public
}

/// The lifetime in the response: `s-maxage`, `max-age`, or `Expires` (RFC 9111 §4.2.1).
fn explicit_lifetime(own: &CacheControl, headers: &HeaderMap) -> Option<Duration> {
    own.effective_lifetime().or_else(|| expires_in(headers))
}

/// Whether `Expires` is no valid date. Another cache may still read one from it.
fn has_unreadable_expires(headers: &HeaderMap) -> bool {
    headers.get(EXPIRES).is_some_and(|expires| date::parse(expires).is_none())
}

/// The `Cache-Control` of the response. If only `Expires` names a lifetime, that becomes `max-age`.
fn with_expires_as_max_age(headers: &HeaderMap) -> CacheControl {
    let own = CacheControl::read(headers);
    match (own.effective_lifetime(), expires_in(headers)) {
        (None, Some(left)) => own.max_age(left),
        _ => own,
    }
}

/// The lifetime that `Expires` names. An invalid date, or more than one, counts as expired.
fn expires_in(headers: &HeaderMap) -> Option<Duration> {
    let expires = headers.get(EXPIRES)?;
    let date = dates(headers).max().unwrap_or_else(SystemTime::now);
    let several = headers.get_all(EXPIRES).iter().count() > 1;
    let until = if several { None } else { date::parse(expires) };
    Some(until.and_then(|until| until.duration_since(date).ok()).unwrap_or_default())
}

fn own_grace(own: &CacheControl) -> Grace {
    if own.forbids_stale() {
        return Grace::default();
    }
    let window = |window: Option<Duration>| nanos(window.unwrap_or_default());
    Grace { while_revalidating: window(own.revalidate_window()), if_error: window(own.error_window()) }
}

/// The age of a response when the handler returned it, from `Age` or `Date` (RFC 9111 §4.2.3).
fn age(headers: &HeaderMap) -> Duration {
    let value = headers.get(AGE).and_then(|age| age.to_str().ok());
    // The first value of a list counts, without parameters. A value that overflows is very old.
    let digits = value.map(|value| value.split([',', ';']).next().unwrap_or_default().trim());
    let digits = digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.map(|digits| digits.parse().unwrap_or(u64::from(u32::MAX)));
    let apparent = dates(headers).min().and_then(|date| SystemTime::now().duration_since(date).ok());
    // `Date` has whole seconds, so a response generated just now appears to be up to one second old.
    let apparent = apparent.unwrap_or_default().as_secs().saturating_sub(1);
    Duration::from_secs(seconds.unwrap_or_default().max(apparent))
}

/// The dates of all `Date` lines.
fn dates(headers: &HeaderMap) -> impl Iterator<Item = SystemTime> {
    headers.get_all(DATE).into_iter().filter_map(date::parse)
}

/// Whether `Content-Length`, if there is one, equals the length of the body.
pub(super) fn has_announced_length(headers: &HeaderMap, length: usize) -> bool {
    let mut announced = headers.get_all(CONTENT_LENGTH).iter();
    announced.all(|announced| announced.to_str().is_ok_and(|it| it == length.to_string()))
}
