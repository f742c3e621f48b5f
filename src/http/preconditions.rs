//! Conditional requests (RFC 9110 §13): which condition decides, and what a 304 carries.
//!
//! Owns the order of the conditions and the comparison of dates; `etag.rs` compares tags. Leaves to the layer for which
//! responses it asks at all (200, and no handler that has already changed something), and the making of the answer.

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::date;
use super::etag::{Comparison, asks_for_any, matches_any};

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PreconditionResult {
    /// No condition stands in the way: the full answer.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: the resource is not in the state that the client wants to act on.
    Failed,
}

/// What conditions are compared with: two fields of the response.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ResponseValidators<'a> {
    /// `ETag` (RFC 9110 §8.8.3).
    pub(crate) etag: Option<&'a HeaderValue>,
    /// `Last-Modified` (RFC 9110 §8.8.2).
    pub(crate) last_modified: Option<&'a HeaderValue>,
}

impl<'a> ResponseValidators<'a> {
    /// Those of a response.
    pub(crate) fn of(response: &'a HeaderMap) -> ResponseValidators<'a> {
        ResponseValidators { etag: response.get(ETAG), last_modified: response.get(LAST_MODIFIED) }
    }
}

/// Evaluates the conditions of a request for which there is a representation, in the order of RFC 9110 §13.2.2.
///
/// Without an `ETag`, `If-None-Match` matches nothing, `*` included, and `If-Match` only `*`. Dates count in all three
/// formats of RFC 9110 §5.6.7; a condition whose date is invalid or given twice is ignored, as is one for a response
/// without `Last-Modified`.
pub(crate) fn evaluate(
    method: &Method,
    request: &HeaderMap,
    validators: &ResponseValidators<'_>,
) -> PreconditionResult {
    let reads = method == Method::GET || method == Method::HEAD;
    let in_wanted_state = match tag_matches(request, &IF_MATCH, validators, Comparison::Strong) {
        Some(matches) => matches || asks_for_any(request, &IF_MATCH),
        None => unchanged_since(request, &IF_UNMODIFIED_SINCE, validators) != Some(false),
    };
    if !in_wanted_state {
        return PreconditionResult::Failed;
    }
    let known = match tag_matches(request, &IF_NONE_MATCH, validators, Comparison::Weak) {
        Some(matches) => matches,
        None => reads && unchanged_since(request, &IF_MODIFIED_SINCE, validators) == Some(true),
    };
    match (known, reads) {
        (false, _) => PreconditionResult::Proceed,
        (true, true) => PreconditionResult::NotModified,
        (true, false) => PreconditionResult::Failed,
    }
}

/// The fields of a 304 (RFC 9110 §15.4.5), from those of the full answer: all but those that describe content that is
/// not sent. So `Cache-Control`, `Content-Location`, `Date`, `ETag`, `Expires`, `Last-Modified`, `Vary`, cookies and
/// what else the handler set stay.
pub(crate) fn not_modified_headers(mut headers: HeaderMap) -> HeaderMap {
    const OF_THE_CONTENT: [HeaderName; 10] = [
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
    for name in &OF_THE_CONTENT {
        headers.remove(name);
    }
    headers
}

/// Whether a listed tag is the response's; `None` if the request has no such condition.
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

/// Whether the response was last modified at the date in this field or before; `None` if that cannot be said.
fn unchanged_since(request: &HeaderMap, name: &HeaderName, validators: &ResponseValidators<'_>) -> Option<bool> {
    let mut lines = request.get_all(name).iter();
    let (Some(asked), None) = (lines.next(), lines.next()) else {
        return None;
    };
    Some(date::parse(validators.last_modified?)? <= date::parse(asked)?)
}

#[cfg(test)]
mod tests;
