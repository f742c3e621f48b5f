//! The classification of a request: whether the cache may answer it, and under which primary key.
//!
//! The key holds method (GET and HEAD are one), scheme, host, path, query, the forwarding headers of proxies, keyed
//! cookies, and the headers and values that the policy varies by. Cookies and query parameters that are declared
//! irrelevant are removed from the request before the handler sees it. Otherwise a page that is stored for everybody
//! could contain data of the visitor who requested it first.
//!
//! `request_headers.rs` finds the headers, and `cache_control/request.rs` reads `Cache-Control` of the request.

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
use crate::cache::options::Options;
use crate::cache::scope::Scope;
#[cfg(feature = "shared")]
use crate::http::page::Page;
use crate::invalidation::dependencies::FOREVER;
use crate::key::identity::Kind;
use crate::store::request::RequestBuilder;

/// How the layer handles a request.
pub(super) enum RequestClass {
    /// The method is unsafe: the handler runs, and stored pages of the target are invalidated (RFC 9111 §4.4).
    Unsafe,
    /// The handler answers, and nothing is stored.
    Bypass(BypassReason),
    /// The request says `only-if-cached`, and a response to it is never stored.
    Unsatisfiable,
    Cacheable(CacheableRequest),
}

/// A request that a stored page may answer.
pub(super) struct CacheableRequest {
    pub(super) primary_key: RequestBuilder,
    pub(super) facts: RequestFacts,
    pub(super) directives: RequestDirectives,
}

/// The properties of a request that decide whether its response is storable.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RequestFacts {
    /// The request has credentials that are not part of the key.
    pub(super) has_credentials: bool,
    /// The key names the visitor, so a private response may be stored under it.
    pub(super) keyed_by_visitor: bool,
    /// The key holds a value that downstream caches do not have in their keys.
    pub(super) keyed_privately: bool,
    /// The layer's TTL applies to a response that names no lifetime.
    pub(super) takes_layer_ttl: bool,
    pub(super) storable: bool,
    pub(super) conditional: bool,
}

impl RequestClass {
    pub(super) fn of(policy: &Policy, request: &Parts, has_body: bool) -> RequestClass {
        let head = request.method == Method::HEAD;
        if !head && request.method != Method::GET {
            let safe = request.method.is_safe();
            return if safe { RequestClass::Bypass(BypassReason::Method) } else { RequestClass::Unsafe };
        }
        let headers = RequestHeaders::collect(&request.headers);
        let directives = match headers.has_directives {
            true => RequestDirectives::read(&request.headers),
            false => RequestDirectives::default(),
        };
        let only_if_cached = directives.only_if_cached;
        match CacheableRequest::read(policy, request, has_body, &headers, directives) {
            Ok(cacheable) => RequestClass::Cacheable(cacheable),
            Err(_) if only_if_cached => RequestClass::Unsatisfiable,
            Err(reason) => RequestClass::Bypass(reason),
        }
    }
}

impl RequestFacts {
    /// The facts of a bypassed request, which has no key. If its response may depend on cookies or on the values of
    /// `vary_by`, it counts as privately keyed.
    pub(super) fn bypassed(policy: &Policy, headers: &HeaderMap) -> RequestFacts {
        let cookies = headers.contains_key(COOKIE) && policy.cookies.are_declared();
        RequestFacts { keyed_privately: cookies || !policy.vary_by.is_empty(), ..RequestFacts::default() }
    }
}

impl CacheableRequest {
    fn read(
        policy: &Policy,
        request: &Parts,
        has_body: bool,
        headers: &RequestHeaders<'_>,
        directives: RequestDirectives,
    ) -> Result<CacheableRequest, BypassReason> {
        if has_body {
            return Err(BypassReason::Body);
        }
        if headers.is_ambiguous {
            return Err(BypassReason::Ambiguous);
        }
        if policy.bypass_if.iter().any(|bypasses| bypasses(request)) {
            return Err(BypassReason::Policy);
        }
        let keyed_authorization = headers.has_authorization && policy.vary.contains(&AUTHORIZATION);
        let mut facts = RequestFacts {
            has_credentials: headers.has_authorization && !keyed_authorization,
            keyed_by_visitor: keyed_authorization,
            keyed_privately: keyed_authorization || !policy.vary_by.is_empty(),
            takes_layer_ttl: true,
            storable: !directives.no_store && !headers.is_partial && request.method == Method::GET,
            conditional: headers.is_conditional,
        };
        let mut key = key_without_cookies(policy, request, headers).ok_or(BypassReason::Ambiguous)?;
        if !headers.has_cookies {
            key.qualify(None);
        } else if !add_cookies(&policy.cookies, &request.headers, &mut key, &mut facts) {
            return Err(BypassReason::Cookie);
        }
        key.lifetime(Some(FOREVER), FOREVER);
        if policy.honor_reload {
            key.may_be_replaced();
        }
        key.declare(policy.tags_of(request), &policy.cache.namespace);
        Ok(CacheableRequest { primary_key: key, facts, directives })
    }

    /// The key of the response that is selected by the request's values of these headers (RFC 9111 §4.1).
    pub(super) fn variant_key(&self, names: &[HeaderName], headers: &HeaderMap) -> RequestBuilder {
        let mut values = Vec::with_capacity(64);
        vary::encode_values(names, headers, &mut values);
        let mut key = self.primary_key.clone();
        key.qualify(Some(&values));
        key
    }
}

/// The primary key up to the cookies; `None` if the host is ambiguous. Host and path come first, because pages are
/// invalidated by them.
fn key_without_cookies(policy: &Policy, request: &Parts, headers: &RequestHeaders<'_>) -> Option<RequestBuilder> {
    let mut key = RequestBuilder::new(Kind::Page, &policy.cache.namespace);
    #[cfg(feature = "shared")]
    key.decode_by(Page::decode_payload);
    let uri = original_uri(request);
    key.handler_key(&(host(uri, headers.host)?, path(policy, request)), &Options::default()).ok()?;
    key.query(keyed_query(&policy.query, uri.query()).as_deref());
    key.qualify(rewritten(uri, &request.uri));
    // A layer inside of another layer has keys of its own: a service between the two may change responses.
    key.qualify(request.extensions.get::<Scope>().map(|_| &b"inside"[..]));
    key.qualify(policy.version.as_deref().map(str::as_bytes));
    // HTTP/2 requests have the scheme `http` where HTTP/1 requests have none.
    key.qualify(uri.scheme_str().filter(|scheme| *scheme != "http").map(str::as_bytes));
    // Handlers use these headers in links.
    for value in [headers.forwarded_proto, headers.forwarded_host, headers.forwarded_prefix] {
        key.qualify(value.map(HeaderValue::as_bytes));
    }
    key.qualify(headers.forwarded.map(keyed_forwarded).as_deref());
    let mut values = Vec::new();
    if !policy.vary.is_empty() {
        vary::encode_values(&policy.vary, &request.headers, &mut values);
    }
    key.qualify((!values.is_empty()).then_some(&values));
    let mut computed = Vec::new();
    for (name, value) in &policy.vary_by {
        for part in [name, &value(request)] {
            computed.extend_from_slice(&(part.len() as u64).to_le_bytes());
            computed.extend_from_slice(part.as_bytes());
        }
    }
    key.qualify((!computed.is_empty()).then_some(&computed));
    Some(key)
}

/// The URI as the client sent it. axum removes the prefix of a nested router from the request's URI, and pages of two
/// nested routers can have the same remaining path.
pub(super) fn original_uri(request: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = request.extensions.get() {
        return uri;
    }
    &request.uri
}

/// The path of the page, with the prefixes that routers removed.
pub(super) fn path<'a>(policy: &Policy, request: &'a Parts) -> Cow<'a, str> {
    match &policy.path {
        Some(path) => Cow::Owned(path(request)),
        None => Cow::Borrowed(original_uri(request).path()),
    }
}

/// Path and query after a service rewrote the URI. `None` if at most the prefix of a router was removed.
fn rewritten<'a>(original: &Uri, uri: &'a Uri) -> Option<&'a [u8]> {
    let target = uri.path_and_query()?.as_str();
    let kept = original.path_and_query().is_some_and(|whole| whole.as_str().ends_with(target));
    (!kept).then_some(target.as_bytes())
}

/// The host in lower case, empty if the request has none. `None` if URI and `Host` differ, or if `Host` is not text.
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

/// The parts of `Forwarded` (RFC 7239) that belong to the key: all but `for` and `by`.
fn keyed_forwarded(line: &HeaderValue) -> Vec<u8> {
    let line = line.as_bytes().to_ascii_lowercase();
    let parts = line.split(|byte| matches!(byte, b';' | b',')).map(<[u8]>::trim_ascii);
    let kept: Vec<&[u8]> = parts.filter(|part| !part.starts_with(b"for=") && !part.starts_with(b"by=")).collect();
    kept.join(&b';')
}

/// The part of a query that belongs to the key.
fn keyed_query<'a>(policy: &Query, query: Option<&'a str>) -> Option<Cow<'a, str>> {
    let query = query?;
    let kept = |keep: &dyn Fn(&str) -> bool| {
        let pairs: Vec<&str> = query.split('&').filter(|pair| keep(parameter_name(pair))).collect();
        (!pairs.is_empty()).then(|| Cow::Owned(pairs.join("&")))
    };
    match policy {
        Query::All => Some(Cow::Borrowed(query)),
        // Two names may be equal once they are decoded, and equal names must keep their order.
        Query::Sorted if query.bytes().any(|byte| matches!(byte, b'%' | b'+')) => Some(Cow::Borrowed(query)),
        Query::Sorted => {
            let mut pairs: Vec<&str> = query.split('&').collect();
            pairs.sort_by_key(|pair| parameter_name(pair));
            Some(Cow::Owned(pairs.join("&")))
        }
        Query::Only(names) => kept(&|name| names.iter().any(|only| only == name)),
        Query::Ignore(names) => kept(&|name| !names.iter().any(|ignored| ignored == name)),
    }
}

fn parameter_name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii).filter(|p| !p.is_empty())
}

fn cookie_name(pair: &[u8]) -> &str {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    std::str::from_utf8(name).unwrap_or_default().trim()
}

/// Adds keyed cookies to the key. Returns whether all other cookies are ignored ones.
fn add_cookies(cookies: &CookieRules, headers: &HeaderMap, key: &mut RequestBuilder, facts: &mut RequestFacts) -> bool {
    let mut keyed: Vec<&[u8]> = Vec::new();
    for pair in cookie_pairs(headers) {
        let name = cookie_name(pair);
        if cookies.is_keyed(name) {
            let has_value = pair.iter().skip_while(|byte| **byte != b'=').nth(1).is_some();
            facts.keyed_by_visitor |= has_value && cookies.is_session(name);
            keyed.push(pair);
        } else if !cookies.is_ignored(name) {
            return false;
        }
    }
    facts.keyed_privately |= !keyed.is_empty();
    // In the order of the request, which matters for two cookies of one name. No pair contains a semicolon.
    key.qualify((!keyed.is_empty()).then(|| keyed.join(&b';')).as_deref());
    true
}

/// Has the handler send the full response: removes preconditions and `Range`, and turns HEAD into GET.
pub(super) fn ask_for_full_response(request: &mut Parts) {
    use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
    for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE] {
        request.headers.remove(name);
    }
    request.method = Method::GET;
}

/// Removes cookies and query parameters that are not part of the key. Holes are filled with the original request.
pub(super) fn remove_unkeyed(policy: &Policy, request: &mut Parts) {
    if !policy.holes.is_empty() {
        // The holes of a compressed page cannot be found.
        request.headers.remove(ACCEPT_ENCODING);
    }
    remove_unkeyed_cookies(&policy.cookies, &mut request.headers);
    if matches!(policy.query, Query::Only(_) | Query::Ignore(_)) {
        remove_unkeyed_parameters(&policy.query, &mut request.uri);
        #[cfg(feature = "axum")]
        if let Some(axum::extract::OriginalUri(uri)) = request.extensions.get_mut() {
            remove_unkeyed_parameters(&policy.query, uri);
        }
    }
}

fn remove_unkeyed_parameters(policy: &Query, uri: &mut Uri) {
    let kept = keyed_query(policy, uri.query());
    if kept.as_deref() != uri.query()
        && let Some(reduced) = with_query(uri, kept.as_deref())
    {
        *uri = reduced;
    }
}

fn remove_unkeyed_cookies(cookies: &CookieRules, headers: &mut HeaderMap) {
    let one_line = headers.get_all(COOKIE).iter().nth(1).is_none();
    if one_line && cookie_pairs(headers).all(|pair| cookies.is_keyed(cookie_name(pair))) {
        return;
    }
    let keyed: Vec<&[u8]> = cookie_pairs(headers).filter(|pair| cookies.is_keyed(cookie_name(pair))).collect();
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
