//! The response to a debugged request: comments, the overlay's script and `Server-Timing` are added, marks are removed.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, HeaderName,
    LAST_MODIFIED,
};
use http::{HeaderMap, Response, StatusCode, response};
use http_body::Body;

use super::body::DebugBody;
use super::options::DebugOptions;
use super::{facts, script, timing};
use crate::cache::explain::Collecting;
use crate::http::body::{CollectedBody, LayerBody, collect};
use crate::http::cache_control::CacheControl;
use crate::http::debug::{AnnotatedFragments, Annotations, annotate};
use crate::http::headers::remove_targeted;
use crate::http::storability::is_event_stream;
use crate::http::tag_header::TagHeader;
use crate::telemetry::{Explained, Explanation, MARKS};

/// The properties of a request that its response needs.
pub(super) struct DebuggedRequest {
    pub(super) is_head: bool,
    /// The path in the client's URL, escaped for an attribute.
    pub(super) path: String,
}

/// How a body is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DebuggedBody {
    /// HTML gets comments.
    Page,
    /// Other text may contain marks.
    Text,
    /// Binary or compressed.
    Other,
}

impl DebuggedBody {
    fn of(headers: &HeaderMap) -> DebuggedBody {
        let encoded =
            headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if encoded {
            return DebuggedBody::Other;
        }
        let Some(kind) = headers.get(CONTENT_TYPE) else { return DebuggedBody::Text };
        let essence = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"text/html") {
            return DebuggedBody::Page;
        }
        let texts: [&[u8]; 5] = [b"text/", b"json", b"xml", b"javascript", b"x-www-form-urlencoded"];
        if texts.iter().any(|text| contains(essence, text)) { DebuggedBody::Text } else { DebuggedBody::Other }
    }
}

/// Whether a text contains a word, without case.
pub(super) fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

pub(super) async fn debug_response<R: Body<Data = Bytes>>(
    options: &DebugOptions,
    request: &DebuggedRequest,
    collecting: Collecting,
    response: Response<R>,
) -> Response<DebugBody<R>> {
    let (mut head, body) = response.into_parts();
    let kind = DebuggedBody::of(&head.headers);
    let has_no_body = request.is_head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    if has_no_body || head.status.is_informational() || kind == DebuggedBody::Other {
        timing::append_to(&mut head.headers, &collecting.end());
        let body = LayerBody::through(body);
        if request.is_head && kind == DebuggedBody::Page {
            // GET would have a body of another length.
            replace_content_headers(&mut head.headers, None);
            return Response::from_parts(head, DebugBody::filtered(body));
        }
        return Response::from_parts(head, DebugBody::new(body));
    }
    let inner = &options.cache.inner;
    let waits = kind == DebuggedBody::Page || body.size_hint().exact().is_some();
    let collected = match waits && !is_event_stream(&head.headers) {
        true => {
            let reading = collect(body, options.max_body_bytes, inner.sleep_until(inner.end_of_patience()));
            collecting.scope().run_async(reading).await
        }
        false => CollectedBody::Streaming(LayerBody::through(body)),
    };
    let explanation = collecting.end();
    match collected {
        CollectedBody::Whole(bytes) => {
            let changed = match kind {
                // Before `Server-Timing` is added: the overlay shows the handler's headers.
                DebuggedBody::Page => Some(annotated_page(options, request, &head.headers, &explanation, &bytes)),
                _ => MARKS.strip(&bytes),
            };
            timing::append_to(&mut head.headers, &explanation);
            whole(head, bytes, changed)
        }
        CollectedBody::Streaming(body) => {
            if kind == DebuggedBody::Page {
                replace_content_headers(&mut head.headers, None);
            }
            timing::append_to(&mut head.headers, &explanation);
            // The body may become shorter without its marks.
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, DebugBody::filtered(body))
        }
    }
}

/// The response with a whole body: the changed one, if it differs.
fn whole<R: Body<Data = Bytes>>(
    mut head: response::Parts,
    bytes: Bytes,
    changed: Option<Vec<u8>>,
) -> Response<DebugBody<R>> {
    let changed = changed.filter(|changed| *changed != bytes);
    if let Some(changed) = &changed {
        replace_content_headers(&mut head.headers, Some(changed.len()));
    }
    let bytes = changed.map_or(bytes, Bytes::from);
    Response::from_parts(head, DebugBody::new(LayerBody::whole(bytes)))
}

/// A page with comments in place of marks, and with the overlay's script.
fn annotated_page(
    options: &DebugOptions,
    request: &DebuggedRequest,
    headers: &HeaderMap,
    explanation: &Explanation,
    bytes: &[u8],
) -> Vec<u8> {
    let fragments: BTreeMap<u64, &Explained> = explanation.fragments.iter().map(|it| (it.mark(), it)).collect();
    let describe = |id| Some(facts::describe(fragments.get(&id)?, options.show_keys).finish());
    let head = |annotated: &AnnotatedFragments| {
        let script = options.overlay.then(|| script::tag(headers, &request.path, annotated.has_base()));
        script.flatten().unwrap_or_default()
    };
    let end = |annotated: &AnnotatedFragments| facts::summary(explanation, annotated, headers, options.show_keys);
    annotate(bytes, &MARKS, &Annotations { describe: &describe, head: &head, end: &end })
}

/// Sets the length of a changed body, removes the validators and digests of the original one, and forbids storing the
/// response.
fn replace_content_headers(headers: &mut HeaderMap, length: Option<usize>) {
    const DIGESTS: [HeaderName; 4] = [
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("digest"),
        HeaderName::from_static("repr-digest"),
    ];
    for name in [ACCEPT_RANGES, CONTENT_LENGTH, ETAG, EXPIRES, LAST_MODIFIED].iter().chain(&DIGESTS) {
        headers.remove(name);
    }
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    TagHeader::remove_all(headers);
    remove_targeted(headers);
    headers.insert(CACHE_CONTROL, CacheControl::no_store().into());
}
