//! Revalidation: entity tags for responses, and responses to conditional requests.
//!
//! The entity tag hashes the content, the headers that describe it, and the templates that it was rendered from. So it
//! is the same on every node, and differs after a deployment that changed a template. It must not depend on a time or
//! on a number of this process.
//!
//! The rules of preconditions are in `preconditions.rs`.

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
use crate::invalidation::dependencies::{Dependencies, Dependency};

/// The entity tag of a body and of the templates in `record`.
pub(super) fn compute_etag(
    body: &[Bytes],
    headers: &HeaderMap,
    record: Option<&Dependencies>,
    weak: bool,
) -> EntityTag {
    let mut hasher = Xxh3::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
        add(headers.get(name).map_or(&[], |value| value.as_bytes()));
    }
    let mut templates: Vec<(&str, u128)> =
        record.map(Dependencies::dependencies).unwrap_or_default().iter().filter_map(digest).collect();
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

/// Adds an entity tag to a response with status 200 that has none. An empty body and a response with `no-store` get no
/// tag.
pub(super) fn add_etag(
    status: StatusCode,
    headers: &mut HeaderMap,
    body: &Bytes,
    record: Option<&Dependencies>,
    weak: bool,
) {
    let storable = !CacheControl::read(headers).is_no_store();
    if status == StatusCode::OK && storable && !body.is_empty() && !headers.contains_key(ETAG) {
        let tag = compute_etag(std::slice::from_ref(body), headers, record, weak);
        headers.insert(ETAG, tag.to_header_value());
    }
}

/// Evaluates the preconditions of a request that the handler has not seen.
pub(super) fn evaluate_before_handler(request: &Parts, status: StatusCode, headers: &HeaderMap) -> PreconditionResult {
    match status {
        StatusCode::OK => evaluate(&request.method, &request.headers, &ResponseValidators::of(headers)),
        _ => PreconditionResult::Proceed,
    }
}

/// Evaluates the preconditions of a request that the handler has answered. The result is never `Failed`, because the
/// handler has already acted.
pub(super) fn evaluate_after_handler(request: &Parts, status: StatusCode, headers: &HeaderMap) -> PreconditionResult {
    match evaluate_before_handler(request, status, headers) {
        PreconditionResult::NotModified => PreconditionResult::NotModified,
        _ => PreconditionResult::Proceed,
    }
}

/// Turns the full response to a GET or HEAD into the one that its preconditions lead to. HEAD gets no body.
pub(super) fn apply_preconditions<B: Body<Data = Bytes>>(
    method: &Method,
    result: PreconditionResult,
    mut head: response::Parts,
    body: LayerBody<B>,
) -> Response<LayerBody<B>> {
    let status = match result {
        PreconditionResult::Proceed if *method != Method::HEAD => return Response::from_parts(head, body),
        PreconditionResult::Proceed => {
            // A handler may answer HEAD itself with an empty body, whose length is not that of the GET response.
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
