//! Reading a request: whether the cache is asked at all, and under which identity.
//!
//! The identity is method (GET and HEAD are one), scheme, host, path, query, what proxies say of scheme and host, keyed
//! cookies, and what the policy varies by. What of the request is declared irrelevant is taken out of it before a
//! handler sees it, so that a page made for all holds nothing of the one who happened to ask first.

use std::borrow::Cow;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, COOKIE, RANGE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::cache_control::RequestDirectives;
use super::cache_status::BypassReason;
use super::policy::{CookieRules, Policy, Query};
use super::request_headers::RequestHeaders;
use super::vary;
use crate::identity::Kind;
use crate::options::Options;
use crate::question::Question;
use crate::record::FOREVER;
use crate::scope::Scope;

/// What becomes of a request.
pub(super) enum RequestClass {
    /// It changes something: the handler runs, and what was stored of its target is no longer valid.
    Unsafe,
    /// The cache has no part in it.
    Pass(BypassReason),
    /// It would take no answer but a stored one, and there can be none.
    Refuse,
    Page(CacheableRequest),
}

/// A request that a stored page may answer.
pub(super) struct CacheableRequest {
    pub(super) question: Question,
    pub(super) facts: RequestFacts,
    pub(super) directives: RequestDirectives,
}

/// What there is to know of a request when its response is judged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RequestFacts {
    /// It has credentials that are not part of the identity.
    pub(super) authorization: bool,
    /// The identity holds who asks, so that a private response may be stored under it.
    pub(super) visitor: bool,
    /// The identity holds something that no cache in front can go by.
    pub(super) personal: bool,
    /// What the route declares counts for it.
    pub(super) declared: bool,
    /// A response to it may be stored.
    pub(super) storable: bool,
    /// It has conditions.
    pub(super) conditional: bool,
}

impl RequestClass {
    /// Reads a request; `whole` says that it has no body.
    pub(super) fn read(policy: &Policy, request: &Parts, whole: bool) -> RequestClass {
        let head = request.method == Method::HEAD;
        if !head && request.method != Method::GET {
            return if request.method.is_safe() {
                RequestClass::Pass(BypassReason::Method)
            } else {
                RequestClass::Unsafe
            };
        }
        let noticed = RequestHeaders::of(&request.headers);
        let directives =
            if noticed.directives { RequestDirectives::read(&request.headers) } else { RequestDirectives::default() };
        let only_if_cached = directives.only_if_cached;
        match CacheableRequest::read(policy, request, whole, &noticed, directives) {
            Ok(asked) => RequestClass::Page(asked),
            Err(_) if only_if_cached => RequestClass::Refuse,
            Err(skip) => RequestClass::Pass(skip),
        }
    }
}

impl RequestFacts {
    /// Of a request that passes by, with all that others do not have.
    pub(super) fn passing(policy: &Policy, headers: &HeaderMap) -> RequestFacts {
        let cookies = headers.contains_key(COOKIE) && policy.cookies.are_declared();
        RequestFacts { personal: cookies || !policy.vary_by.is_empty(), ..RequestFacts::default() }
    }
}

impl CacheableRequest {
    fn read(
        policy: &Policy,
        request: &Parts,
        whole: bool,
        noticed: &RequestHeaders<'_>,
        directives: RequestDirectives,
    ) -> Result<CacheableRequest, BypassReason> {
        if !whole {
            return Err(BypassReason::Body);
        }
        if noticed.ambiguous {
            return Err(BypassReason::Ambiguous);
        }
        if policy.bypass_if.iter().any(|bypasses| bypasses(request)) {
            return Err(BypassReason::Policy);
        }
        let keyed_authorization = noticed.authorization && policy.vary.contains(&AUTHORIZATION);
        let mut facts = RequestFacts {
            authorization: noticed.authorization && !keyed_authorization,
            visitor: keyed_authorization,
            personal: keyed_authorization || !policy.vary_by.is_empty(),
            declared: true,
            storable: !directives.no_store && !noticed.partial && request.method == Method::GET,
            conditional: noticed.conditional,
        };
        let mut question = question(policy, request, noticed).ok_or(BypassReason::Ambiguous)?;
        if !noticed.cookies {
            question.qualify(None);
        } else if !ask_cookies(&policy.cookies, &request.headers, &mut question, &mut facts) {
            return Err(BypassReason::Cookie);
        }
        question.lifetime(Some(FOREVER), &policy.cache.inner.settings);
        if policy.honor_reload {
            question.may_be_replaced();
        }
        question.declare(policy.tags_of(request), &policy.cache.namespace);
        Ok(CacheableRequest { question, facts, directives })
    }

    /// The identity of the response that fits this request, of an address whose responses vary by these headers.
    pub(super) fn varied(&self, names: &[HeaderName], headers: &HeaderMap) -> Question {
        let mut values = Vec::with_capacity(64);
        vary::encode_values(names, headers, &mut values);
        let mut question = self.question.clone();
        question.qualify(Some(&values));
        question
    }
}

/// Host and path are the key, by which a page is invalidated; the rest qualifies it.
fn question(policy: &Policy, request: &Parts, noticed: &RequestHeaders<'_>) -> Option<Question> {
    let mut question = Question::new(Kind::Page, &policy.cache.namespace);
    let uri = original_uri(request);
    question.handler_key(&(host(uri, noticed.host)?, path(policy, request)), &Options::default()).ok()?;
    question.query(keyed_query(&policy.query, uri.query()).as_deref());
    question.qualify(rewritten(uri, &request.uri));
    // What a layer stores that lies inside of another one is not for that to show: something may stand between them.
    question.qualify(request.extensions.get::<Scope>().map(|_| &b"inside"[..]));
    question.qualify(policy.version.as_deref().map(str::as_bytes));
    // HTTP/2 says `http` where HTTP/1 says nothing.
    question.qualify(uri.scheme_str().filter(|scheme| *scheme != "http").map(str::as_bytes));
    // A handler may print what proxies say, so it tells pages apart.
    for said in [noticed.forwarded_proto, noticed.forwarded_host, noticed.forwarded_prefix] {
        question.qualify(said.map(HeaderValue::as_bytes));
    }
    question.qualify(noticed.forwarded.map(forwarded).as_deref());
    let mut values = Vec::new();
    if !policy.vary.is_empty() {
        vary::encode_values(&policy.vary, &request.headers, &mut values);
    }
    question.qualify((!values.is_empty()).then_some(&values));
    let mut told = Vec::new();
    for (name, about) in &policy.vary_by {
        for part in [name, &about(request)] {
            told.extend_from_slice(&(part.len() as u64).to_le_bytes());
            told.extend_from_slice(part.as_bytes());
        }
    }
    question.qualify((!told.is_empty()).then_some(&told));
    Some(question)
}

/// The address as the client wrote it: axum takes the prefix of a nested router off it, and two nested routers have
/// pages of the same remaining path.
pub(super) fn original_uri(request: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = request.extensions.get() {
        return uri;
    }
    &request.uri
}

/// The whole path, without what a router took off it.
pub(super) fn path<'a>(policy: &Policy, request: &'a Parts) -> Cow<'a, str> {
    match &policy.path {
        Some(path) => Cow::Owned(path(request)),
        None => Cow::Borrowed(original_uri(request).path()),
    }
}

/// The address that something on the way made of the original, if it did more than take the prefix of a router off it.
fn rewritten<'a>(original: &Uri, uri: &'a Uri) -> Option<&'a [u8]> {
    let target = uri.path_and_query()?.as_str();
    let kept = original.path_and_query().is_some_and(|whole| whole.as_str().ends_with(target));
    (!kept).then_some(target.as_bytes())
}

/// In lower case; empty if the request names none, `None` if it names two or what is no text.
pub(super) fn host<'a>(uri: &'a Uri, header: Option<&'a HeaderValue>) -> Option<Cow<'a, str>> {
    let header = header.map(HeaderValue::to_str).transpose().ok()?;
    let authority = uri.authority().map(Authority::as_str);
    if let (Some(header), Some(authority)) = (header, authority)
        && !header.eq_ignore_ascii_case(authority)
    {
        return None;
    }
    let host = authority.or(header).unwrap_or_default();
    let lower = host.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if lower { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) })
}

/// What a `Forwarded` line says beside whom it is for and by, which tell no pages apart (RFC 7239).
fn forwarded(line: &HeaderValue) -> Vec<u8> {
    let line = line.as_bytes().to_ascii_lowercase();
    let parts = line.split(|byte| matches!(byte, b';' | b',')).map(<[u8]>::trim_ascii);
    let told: Vec<&[u8]> = parts.filter(|part| !part.starts_with(b"for=") && !part.starts_with(b"by=")).collect();
    told.join(&b';')
}

/// The part of a query that tells pages apart.
fn keyed_query<'a>(policy: &Query, query: Option<&'a str>) -> Option<Cow<'a, str>> {
    let query = query?;
    let kept = |keep: &dyn Fn(&str) -> bool| {
        let pairs: Vec<&str> = query.split('&').filter(|pair| keep(name_of(pair))).collect();
        (!pairs.is_empty()).then(|| Cow::Owned(pairs.join("&")))
    };
    match policy {
        Query::All => Some(Cow::Borrowed(query)),
        // Two spellings of one name keep their order, which only the handler can tell.
        Query::Sorted if query.bytes().any(|byte| matches!(byte, b'%' | b'+')) => Some(Cow::Borrowed(query)),
        Query::Sorted => {
            let mut pairs: Vec<&str> = query.split('&').collect();
            pairs.sort_by_key(|pair| name_of(pair));
            Some(Cow::Owned(pairs.join("&")))
        }
        Query::Only(names) => kept(&|name| names.iter().any(|only| only == name)),
        Query::Ignore(names) => kept(&|name| !names.iter().any(|ignored| ignored == name)),
    }
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn pairs_of(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii).filter(|p| !p.is_empty())
}

fn cookie_name(pair: &[u8]) -> &str {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    std::str::from_utf8(name).unwrap_or_default().trim()
}

/// Adds keyed cookies to the question; whether all others are irrelevant.
fn ask_cookies(cookies: &CookieRules, headers: &HeaderMap, question: &mut Question, facts: &mut RequestFacts) -> bool {
    let mut keyed: Vec<&[u8]> = Vec::new();
    for pair in pairs_of(headers) {
        let name = cookie_name(pair);
        if cookies.is_keyed(name) {
            let has_value = pair.iter().skip_while(|byte| **byte != b'=').nth(1).is_some();
            facts.visitor |= has_value && cookies.is_session(name);
            keyed.push(pair);
        } else if !cookies.is_ignored(name) {
            return false;
        }
    }
    facts.personal |= !keyed.is_empty();
    // In their order, which decides between two of one name. None of them holds a semicolon.
    question.qualify((!keyed.is_empty()).then(|| keyed.join(&b';')).as_deref());
    true
}

/// Has the handler answer with a whole page, whatever part of it or in which case the client wants it.
pub(super) fn make_whole(request: &mut Parts) {
    use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
    for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE] {
        request.headers.remove(name);
    }
    request.method = Method::GET;
}

/// Takes out of a request what does not tell pages apart. It is put back by nobody: holes see the request as it was.
pub(super) fn reduce(policy: &Policy, request: &mut Parts) {
    if !policy.holes.is_empty() {
        // The holes of a compressed page could not be found.
        request.headers.remove(ACCEPT_ENCODING);
    }
    reduce_cookies(&policy.cookies, &mut request.headers);
    if matches!(policy.query, Query::Only(_) | Query::Ignore(_)) {
        reduce_query(&policy.query, &mut request.uri);
        #[cfg(feature = "axum")]
        if let Some(axum::extract::OriginalUri(uri)) = request.extensions.get_mut() {
            reduce_query(&policy.query, uri);
        }
    }
}

fn reduce_query(policy: &Query, uri: &mut Uri) {
    let kept = keyed_query(policy, uri.query());
    if kept.as_deref() != uri.query()
        && let Some(reduced) = with_query(uri, kept.as_deref())
    {
        *uri = reduced;
    }
}

fn reduce_cookies(cookies: &CookieRules, headers: &mut HeaderMap) {
    let one_line = headers.get_all(COOKIE).iter().nth(1).is_none();
    if one_line && pairs_of(headers).all(|pair| cookies.is_keyed(cookie_name(pair))) {
        return;
    }
    let keyed: Vec<&[u8]> = pairs_of(headers).filter(|pair| cookies.is_keyed(cookie_name(pair))).collect();
    match HeaderValue::from_bytes(&keyed.join(&b"; "[..])) {
        Ok(line) if !keyed.is_empty() => headers.insert(COOKIE, line),
        _ => headers.remove(COOKIE),
    };
}

fn with_query(uri: &Uri, query: Option<&str>) -> Option<Uri> {
    let path = uri.path();
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}
