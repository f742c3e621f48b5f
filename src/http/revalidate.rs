//! What a response is validated by, and what the conditions of a request make of it.
//!
//! An entity tag is made of the content, of what the content is, and of the templates that made it: on every node the
//! same, and another one after a deployment that changed any of it. Never of a time or a number of this process.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, response};
use http_body::Body;
use xxhash_rust::xxh3::Xxh3;

use super::body::LayerBody;
use super::cache_control::CacheControl;
use super::etag::EntityTag;
use super::preconditions::{PreconditionResult, ResponseValidators, evaluate, not_modified_headers};
use crate::record::{Dependency, Record};

/// The tag of a body in pieces, with what it depended on, where that is known.
pub(super) fn tag_of(body: &[Bytes], headers: &HeaderMap, record: Option<&Record>, weak: bool) -> EntityTag {
    let mut hasher = Xxh3::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
        add(headers.get(name).map_or(&[], |value| value.as_bytes()));
    }
    let mut templates: Vec<(&str, u128)> =
        record.map(Record::dependencies).unwrap_or_default().iter().filter_map(digest).collect();
    templates.sort_unstable();
    templates.dedup();
    for (name, digest) in templates {
        add(name.as_bytes());
        add(&digest.to_le_bytes());
    }
    add(&[]);
    body.iter().for_each(|piece| hasher.update(piece));
    EntityTag::of_hash(hasher.digest128(), weak)
}

/// Gives a successful response an entity tag, if it has none and may be kept by anybody.
pub(super) fn tag(status: StatusCode, headers: &mut HeaderMap, body: &Bytes, record: Option<&Record>, weak: bool) {
    let kept = !CacheControl::read(headers).is_no_store();
    if status == StatusCode::OK && kept && !body.is_empty() && !headers.contains_key(ETAG) {
        let tag = tag_of(std::slice::from_ref(body), headers, record, weak);
        headers.insert(ETAG, tag.to_header_value());
    }
}

/// What the conditions of a request make of a response.
pub(super) fn judge(request: &Parts, status: StatusCode, headers: &HeaderMap) -> PreconditionResult {
    match status {
        StatusCode::OK => evaluate(&request.method, &request.headers, &ResponseValidators::of(headers)),
        _ => PreconditionResult::Proceed,
    }
}

/// The same after the handler was asked: it has acted, so that nothing is refused.
pub(super) fn judge_late(request: &Parts, status: StatusCode, headers: &HeaderMap) -> PreconditionResult {
    match judge(request, status, headers) {
        PreconditionResult::NotModified => PreconditionResult::NotModified,
        _ => PreconditionResult::Proceed,
    }
}

/// Answers a GET or HEAD with a response, or as the verdict on its conditions says. The answer of a handler that was
/// asked is never to be made a 412: that is the caller's to see to.
pub(super) fn conclude<B: Body<Data = Bytes>>(
    method: &Method,
    verdict: PreconditionResult,
    mut head: response::Parts,
    body: LayerBody<B>,
) -> Response<LayerBody<B>> {
    let status = match verdict {
        PreconditionResult::Proceed if *method != Method::HEAD => return Response::from_parts(head, body),
        PreconditionResult::Proceed => {
            // An empty body may be that of a handler of its own, which knows better.
            if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
                head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
            }
            return Response::from_parts(head, LayerBody::empty());
        }
        PreconditionResult::NotModified => StatusCode::NOT_MODIFIED,
        PreconditionResult::Failed => StatusCode::PRECONDITION_FAILED,
    };
    head.status = status;
    head.headers = not_modified_headers(head.headers);
    Response::from_parts(head, LayerBody::empty())
}

fn digest(dependency: &Dependency) -> Option<(&str, u128)> {
    dependency.digest().map(|digest| (dependency.template.name(), digest))
}
