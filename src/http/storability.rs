//! Judging a response: whether it is stored, for how long, and what it says to caches in front.
//!
//! A handler's own word counts; where it is silent the route's does; where both are, the page is its visitor's alone.
//! What the fragments of a page say only ever tightens that (RFC 9111 §3 is the rest of the rules).

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
use crate::clock::{Nanos, nanos};
use crate::error::{Error, ErrorKind};
use crate::page::Grace;
use crate::record::{FOREVER, Record};

/// What becomes of a response.
#[derive(Debug)]
pub(super) struct Storability {
    /// How long it may be served from the cache, its age before it came here taken off; `None`: not at all.
    pub(super) lifetime: Option<Duration>,
    /// How old it was when it came.
    pub(super) age: Duration,
    pub(super) stale: Grace,
    pub(super) authorized: bool,
    /// What it says from here on, where that is not what it says already.
    told: Option<CacheControl>,
    /// Whether `Expires` would say something else.
    recast: bool,
    /// Whether a fragment made it say less than was declared, so that what is said to caches of one kind is too much.
    cut: bool,
}

impl Storability {
    /// Judges the response to a GET or HEAD, without its fragments.
    pub(super) fn of(policy: &Policy, facts: &RequestFacts, status: StatusCode, headers: &HeaderMap) -> Storability {
        let said = CacheControl::read(headers);
        let route = policy.lifetime(status).filter(|_| facts.declarable(&said, headers));
        let told = match route {
            Some(ttl) => Some(declared(policy, &said, ttl, facts.personal)),
            None if is_silent(&said, status, headers) => Some(CacheControl::private().with_no_cache()),
            // In words that caches in front can read.
            None if !CacheControl::is_readable(headers) => Some(said.clone().with_private()),
            None if facts.personal && !said.is_private() && !forbids_storing(&said) => {
                Some(in_seconds(headers).with_private())
            }
            None => None,
        };
        let recast = told.is_some();
        let (base, stale) = match route {
            Some(ttl) => (Some(ttl), policy.grace()),
            None => (explicit(&said, headers), grace(&said)),
        };
        let age = age(headers);
        let stored = facts.may_store(&said, status, headers) && (route.is_some() || is_storable(&said, facts));
        let lifetime = base.filter(|_| stored).and_then(|base| base.checked_sub(age));
        // Without a lifetime of its own it may still be of use for its grace.
        let lifetime = lifetime.filter(|left| !left.is_zero() || stale != Grace::default());
        let authorized = said.is_public() || said.shared_lifetime().is_some() || said.is_must_revalidate();
        Storability { lifetime, age, stale, authorized, told, recast, cut: facts.personal }
    }

    /// The same with what the fragments of the page say.
    pub(super) fn tightened(mut self, record: &Record, latest: Nanos, said: &HeaderMap) -> Storability {
        if record.uncacheable {
            self.lifetime = None;
            let told = self.told.take().unwrap_or_else(|| CacheControl::read(said));
            self.told = Some(told.tightened_by(&CacheControl::private().with_no_store()));
            self.recast = true;
            self.cut = true;
        } else if record.expires != FOREVER {
            let left = Duration::from_nanos(record.expires.saturating_sub(latest));
            let told = self.told.clone().unwrap_or_else(|| in_seconds(said));
            let capped = told.clone().capped_at(left);
            let life = capped.effective_lifetime().unwrap_or_default();
            let graces_end = Duration::from_nanos(record.grace_ends.saturating_sub(latest));
            let capped = capped.with_windows_within(graces_end.saturating_sub(life));
            if told.effective_lifetime().is_none() && !told.is_private() && !told.says_nothing() {
                // Or a cache in front makes up a lifetime of its own.
                self.told = Some(told.with_no_cache());
            } else if told.effective_lifetime().is_some() && (capped != told || is_no_date(said)) {
                self.told = Some(capped);
                self.recast = true;
                self.cut = true;
            }
            self.lifetime = self.lifetime.filter(|_| !graces_end.is_zero());
        }
        self
    }

    /// The same of a page with a hole that is not filled: no cache may keep it.
    pub(super) fn unless_filled(mut self, unfilled: Option<&UnfilledHole>, policy: &Policy) -> Storability {
        if let Some(unfilled) = unfilled {
            unfilled.report(policy);
            self.lifetime = None;
            self.told = Some(CacheControl::private().with_no_store());
            self.recast = true;
            self.cut = true;
        }
        self
    }

    pub(super) fn report_unreadable(policy: &Policy) {
        let message = "the cache-control of a handler cannot be read and counts as no-store: write directives as name \
                       or name=value, without spaces inside, with commas between them";
        policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
    }

    /// Writes what the response says from here on; what it says then.
    pub(super) fn tell(&self, policy: &Policy, record: &Record, headers: &mut HeaderMap) {
        if let Some(told) = &self.told {
            headers.insert(CACHE_CONTROL, told.clone().into());
            if self.recast {
                headers.remove(EXPIRES);
            }
        }
        if self.cut {
            remove_targeted(headers);
        }
        let says = CacheControl::read(headers);
        if forbids_storing(&says) || (says.says_nothing() && !headers.contains_key(EXPIRES)) {
            return;
        }
        // For browsers too: the next one to use them may be somebody else.
        policy.varies().for_each(|name| vary::add(headers, name));
        let Some(header) = policy.tag_header.filter(|_| !says.is_private()) else { return };
        if !header.write(tag_names(record).into_iter(), headers) {
            let message = "a page has more tags than the header for them holds, so caches in front may not keep it";
            policy.cache.inner.report(&Error::new(ErrorKind::Config, message));
            headers.insert(CACHE_CONTROL, says.with_private().into());
            remove_targeted(headers);
        }
    }
}

/// The declared tags of a page by name, each once.
fn tag_names(record: &Record) -> Vec<&str> {
    let mut names: Vec<&str> = record.tags().iter().filter_map(|tag| tag.name.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl RequestFacts {
    /// Whether the route's word counts for this response: the handler says nothing of a lifetime, and nothing about it
    /// is one visitor's.
    fn declarable(&self, said: &CacheControl, headers: &HeaderMap) -> bool {
        self.declared
            && !self.authorization
            && !headers.contains_key(SET_COOKIE)
            && said.effective_lifetime().is_none()
            && !headers.contains_key(EXPIRES)
            && !(said.is_private() || said.is_no_store() || said.is_no_cache() || said.forbids_stale())
    }

    /// Whether anything about request and response forbids storing it, whatever its lifetime (RFC 9111 §3).
    fn may_store(&self, said: &CacheControl, status: StatusCode, headers: &HeaderMap) -> bool {
        // `Content-Range` has no meaning with another status (RFC 9110 §14.4).
        let whole =
            !matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) && !status.is_informational();
        let understood = status.canonical_reason().is_some();
        let kept = !forbids_storing(said) && (understood || !said.is_must_understand());
        let credentials =
            !self.authorization || said.is_public() || said.shared_lifetime().is_some() || said.is_must_revalidate();
        self.storable
            && whole
            && kept
            && !is_event_stream(headers)
            && credentials
            && !headers.contains_key(SET_COOKIE)
            && Vary::read(headers) != Vary::Star
    }
}

/// Whether no cache may keep it, those that know the status code neither.
fn forbids_storing(said: &CacheControl) -> bool {
    said.is_no_store() && !said.is_must_understand()
}

/// A stream that is not to end (HTML, server-sent events).
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

fn is_storable(said: &CacheControl, facts: &RequestFacts) -> bool {
    !said.is_no_cache() && (!said.is_private() || facts.visitor)
}

/// Whether a response that caches might keep says nothing of how.
fn is_silent(said: &CacheControl, status: StatusCode, headers: &HeaderMap) -> bool {
    said.says_nothing()
        && !headers.contains_key(EXPIRES)
        && !status.is_informational()
        && status != StatusCode::NOT_MODIFIED
}

/// What a route's lifetime makes of a response that names none.
fn declared(policy: &Policy, said: &CacheControl, ttl: Duration, personal: bool) -> CacheControl {
    if personal {
        let told = said.clone().with_private().with_windows_within(Duration::ZERO);
        return match policy.browser_ttl {
            Some(browser) if !browser.is_zero() => told.max_age(browser),
            _ => told.with_no_cache(),
        };
    }
    let told = said.clone().with_public();
    if let Some(browser) = policy.browser_ttl {
        // Browsers may use a window as shared caches may (RFC 5861), and would show a page from before an edit. Shared
        // caches may not use it beside `s-maxage` (RFC 9111 §5.2.2.10).
        return told.max_age(browser).s_maxage(ttl).with_windows_within(Duration::ZERO);
    }
    let mut told = told.max_age(ttl);
    if !policy.stale_while_revalidate.is_zero() {
        told = told.stale_while_revalidate(policy.stale_while_revalidate);
    }
    if !policy.stale_if_error.is_zero() {
        told = told.stale_if_error(policy.stale_if_error);
    }
    told
}

/// The lifetime a response names itself: for caches that serve several, for all, or until a date (RFC 9111 §4.2.1).
fn explicit(said: &CacheControl, headers: &HeaderMap) -> Option<Duration> {
    said.effective_lifetime().or_else(|| expires_in(headers))
}

/// Whether `Expires` is no date here, and might be one to others.
fn is_no_date(headers: &HeaderMap) -> bool {
    headers.get(EXPIRES).is_some_and(|expires| date::parse(expires).is_none())
}

/// What a response says, its `Expires` in seconds where that is all there is.
fn in_seconds(headers: &HeaderMap) -> CacheControl {
    let said = CacheControl::read(headers);
    match (said.effective_lifetime(), expires_in(headers)) {
        (None, Some(left)) => said.max_age(left),
        _ => said,
    }
}

/// The lifetime that `Expires` names; none at all if that is no date.
fn expires_in(headers: &HeaderMap) -> Option<Duration> {
    let expires = headers.get(EXPIRES)?;
    let date = dates(headers).max().unwrap_or_else(SystemTime::now);
    let several = headers.get_all(EXPIRES).iter().count() > 1;
    let until = if several { None } else { date::parse(expires) };
    Some(until.and_then(|until| until.duration_since(date).ok()).unwrap_or_default())
}

fn grace(said: &CacheControl) -> Grace {
    if said.forbids_stale() {
        return Grace::default();
    }
    let window = |window: Option<Duration>| nanos(window.unwrap_or_default());
    Grace { while_revalidating: window(said.revalidate_window()), if_error: window(said.error_window()) }
}

/// How old a response is that came from somewhere else: what it says itself, or by its date (RFC 9111 §4.2.3).
fn age(headers: &HeaderMap) -> Duration {
    let said = headers.get(AGE).and_then(|age| age.to_str().ok());
    // Of a list the first counts, without its parameters. What is more than a number can hold is very old.
    let digits = said.map(|said| said.split([',', ';']).next().unwrap_or_default().trim());
    let digits = digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let said = digits.map(|digits| digits.parse().unwrap_or(u64::from(u32::MAX)));
    let apparent = dates(headers).min().and_then(|date| SystemTime::now().duration_since(date).ok());
    // A date has whole seconds: one that was made just now seems to be up to a second old.
    let apparent = apparent.unwrap_or_default().as_secs().saturating_sub(1);
    Duration::from_secs(said.unwrap_or_default().max(apparent))
}

/// When it was made, by each line that says so.
fn dates(headers: &HeaderMap) -> impl Iterator<Item = SystemTime> {
    headers.get_all(DATE).into_iter().filter_map(date::parse)
}

/// Whether a body of so many bytes is all that the response announces.
pub(super) fn is_whole(headers: &HeaderMap, length: usize) -> bool {
    let mut announced = headers.get_all(CONTENT_LENGTH).iter();
    announced.all(|announced| announced.to_str().is_ok_and(|it| it == length.to_string()))
}
