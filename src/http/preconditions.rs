//! Preconditions of conditional requests (RFC 9110 §13), and the headers of a 304.
//!
//! Owns the order in which preconditions are evaluated, and the comparison of dates. `etag.rs` compares entity tags,
//! and `revalidate.rs` decides which responses are evaluated and builds the final response.

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::date;
use super::etag::{Comparison, is_any, matches_any};

/// The result of evaluating the preconditions of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreconditionResult {
    /// The full response is sent.
    Proceed,
    /// 304: the client has the current response.
    NotModified,
    /// 412: the resource has changed since the client saw it.
    Failed,
}

/// The validators in a response, with which preconditions are compared.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ResponseValidators<'a> {
    /// `ETag` (RFC 9110 §8.8.3).
    pub(super) etag: Option<&'a HeaderValue>,
    /// `Last-Modified` (RFC 9110 §8.8.2).
    pub(super) last_modified: Option<&'a HeaderValue>,
}

impl<'a> ResponseValidators<'a> {
    pub(super) fn of(response: &'a HeaderMap) -> ResponseValidators<'a> {
        ResponseValidators { etag: response.get(ETAG), last_modified: response.get(LAST_MODIFIED) }
    }
}

/// Evaluates the preconditions of a request whose target exists, in the order of RFC 9110 §13.2.2.
///
/// If the response has no `ETag`, `If-None-Match` does not match at all, and `If-Match` matches only `*`. A date may
/// have any of the three formats of RFC 9110 §5.6.7. A condition is ignored if its date is invalid or there twice, or
/// if the response has no `Last-Modified`.
pub(super) fn evaluate(
    method: &Method,
    request: &HeaderMap,
    validators: &ResponseValidators<'_>,
) -> PreconditionResult {
    let reads = method == Method::GET || method == Method::HEAD;
    let state_matches = match tag_matches(request, &IF_MATCH, validators, Comparison::Strong) {
        Some(matches) => matches || is_any(request, &IF_MATCH),
        None => unchanged_since(request, &IF_UNMODIFIED_SINCE, validators) != Some(false),
    };
    if !state_matches {
        return PreconditionResult::Failed;
    }
    let is_current = match tag_matches(request, &IF_NONE_MATCH, validators, Comparison::Weak) {
        Some(matches) => matches,
        None => reads && unchanged_since(request, &IF_MODIFIED_SINCE, validators) == Some(true),
    };
    match (is_current, reads) {
        (false, _) => PreconditionResult::Proceed,
        (true, true) => PreconditionResult::NotModified,
        (true, false) => PreconditionResult::Failed,
    }
}

/// The headers of a 304 (RFC 9110 §15.4.5): those of the full response without the ones that describe the content,
/// which is not sent. `Cache-Control`, `Content-Location`, `Date`, `ETag`, `Expires`, `Last-Modified`, `Vary`, cookies
/// and other headers of the handler are kept.
pub(super) fn not_modified_headers(mut headers: HeaderMap) -> HeaderMap {
    const CONTENT_HEADERS: [HeaderName; 10] = [
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        TRAILER,
        TRANSFER_ENCODING,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("digest"),
    ];
    for name in &CONTENT_HEADERS {
        headers.remove(name);
    }
    headers
}

/// Whether a listed tag equals that of the response. `None` if the request does not have this header.
fn tag_matches(
    request: &HeaderMap,
    name: &HeaderName,
    validators: &ResponseValidators<'_>,
    comparison: Comparison,
) -> Option<bool> {
    match validators.etag {
        Some(etag) => matches_any(request, name, etag, comparison),
        None => request.contains_key(name).then_some(false),
    }
}

/// Whether the response was last modified at the date in this header or before. `None` if a date is missing or invalid.
fn unchanged_since(request: &HeaderMap, name: &HeaderName, validators: &ResponseValidators<'_>) -> Option<bool> {
    let mut lines = request.get_all(name).iter();
    let (Some(date), None) = (lines.next(), lines.next()) else {
        return None;
    };
    Some(date::parse(validators.last_modified?)? <= date::parse(date)?)
}

#[cfg(test)]
mod tests;
