use proptest::prelude::*;

use super::*;

const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const MID: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
const NEW: &str = "Tue, 08 Nov 1994 08:49:37 GMT";

fn map(fields: &[(HeaderName, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
}

fn evaluated(method: &Method, request: &[(HeaderName, &str)], response: &[(HeaderName, &str)]) -> PreconditionResult {
    evaluate(method, &map(request), &ResponseValidators::of(&map(response)))
}

/// GET of a response with the weak tag `1` that was modified at [`MID`].
fn get(request: &[(HeaderName, &str)]) -> PreconditionResult {
    evaluated(&Method::GET, request, &[(ETAG, "W/\"1\""), (LAST_MODIFIED, MID)])
}

#[test]
fn a_request_without_preconditions_proceeds() {
    assert_eq!(get(&[]), PreconditionResult::Proceed);
}

#[test]
fn if_none_match_is_compared_weakly() {
    assert_eq!(get(&[(IF_NONE_MATCH, "\"0\", \"1\"")]), PreconditionResult::NotModified);
    assert_eq!(get(&[(IF_NONE_MATCH, "*")]), PreconditionResult::NotModified);
    assert_eq!(get(&[(IF_NONE_MATCH, "\"0\"")]), PreconditionResult::Proceed);
    assert_eq!(get(&[(IF_NONE_MATCH, "1")]), PreconditionResult::Proceed);
}

#[test]
fn if_none_match_decides_alone() {
    assert_eq!(get(&[(IF_NONE_MATCH, "\"1\""), (IF_MODIFIED_SINCE, OLD)]), PreconditionResult::NotModified);
    assert_eq!(get(&[(IF_NONE_MATCH, "\"0\""), (IF_MODIFIED_SINCE, MID)]), PreconditionResult::Proceed);
    assert_eq!(get(&[(IF_NONE_MATCH, ""), (IF_MODIFIED_SINCE, MID)]), PreconditionResult::Proceed);
}

#[test]
fn without_a_tag_if_none_match_matches_nothing() {
    for asked in ["\"1\"", "*"] {
        let request = [(IF_NONE_MATCH, asked), (IF_MODIFIED_SINCE, NEW)];
        assert_eq!(evaluated(&Method::GET, &request, &[(LAST_MODIFIED, MID)]), PreconditionResult::Proceed);
    }
}

#[test]
fn if_modified_since_matches_the_same_date_and_later_dates() {
    assert_eq!(get(&[(IF_MODIFIED_SINCE, OLD)]), PreconditionResult::Proceed);
    assert_eq!(get(&[(IF_MODIFIED_SINCE, MID)]), PreconditionResult::NotModified);
    assert_eq!(get(&[(IF_MODIFIED_SINCE, NEW)]), PreconditionResult::NotModified);
    assert_eq!(
        evaluated(&Method::HEAD, &[(IF_MODIFIED_SINCE, MID)], &[(LAST_MODIFIED, MID)]),
        PreconditionResult::NotModified
    );
    assert_eq!(evaluated(&Method::GET, &[(IF_MODIFIED_SINCE, NEW)], &[(ETAG, "\"1\"")]), PreconditionResult::Proceed);
}

#[test]
fn dates_are_read_in_all_three_formats() {
    for date in ["Monday, 07-Nov-94 08:49:37 GMT", "Mon Nov  7 08:49:37 1994"] {
        assert_eq!(get(&[(IF_MODIFIED_SINCE, date)]), PreconditionResult::NotModified, "{date}");
    }
    for date in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(get(&[(IF_MODIFIED_SINCE, date)]), PreconditionResult::Proceed, "{date}");
    }
}

#[test]
fn invalid_and_repeated_dates_are_ignored() {
    for date in ["Mon, 32 Oct 2010 00:00:00 GMT", "", "0", "2030-01-01", "Tue, 08 Nov 1994 08:49:37 +0100", "\u{e9}"] {
        assert_eq!(get(&[(IF_MODIFIED_SINCE, date)]), PreconditionResult::Proceed, "{date}");
        assert_eq!(get(&[(IF_UNMODIFIED_SINCE, date)]), PreconditionResult::Proceed, "{date}");
    }
    assert_eq!(get(&[(IF_MODIFIED_SINCE, NEW), (IF_MODIFIED_SINCE, NEW)]), PreconditionResult::Proceed);
    assert_eq!(
        evaluated(&Method::GET, &[(IF_MODIFIED_SINCE, NEW)], &[(LAST_MODIFIED, "x")]),
        PreconditionResult::Proceed
    );
}

#[test]
fn if_match_is_compared_strongly() {
    let strong = [(ETAG, "\"1\"")];
    assert_eq!(evaluated(&Method::GET, &[(IF_MATCH, "\"0\", \"1\"")], &strong), PreconditionResult::Proceed);
    assert_eq!(evaluated(&Method::PUT, &[(IF_MATCH, "\"0\"")], &strong), PreconditionResult::Failed);
    assert_eq!(get(&[(IF_MATCH, "W/\"1\"")]), PreconditionResult::Failed);
    assert_eq!(get(&[(IF_MATCH, "*")]), PreconditionResult::Proceed);
    assert_eq!(evaluated(&Method::GET, &[(IF_MATCH, "*")], &[]), PreconditionResult::Proceed);
    assert_eq!(evaluated(&Method::GET, &[(IF_MATCH, "\"1\"")], &[]), PreconditionResult::Failed);
}

#[test]
fn if_unmodified_since_is_evaluated_without_if_match() {
    assert_eq!(get(&[(IF_UNMODIFIED_SINCE, OLD)]), PreconditionResult::Failed);
    assert_eq!(get(&[(IF_UNMODIFIED_SINCE, MID)]), PreconditionResult::Proceed);
    assert_eq!(get(&[(IF_UNMODIFIED_SINCE, OLD), (IF_MATCH, "*")]), PreconditionResult::Proceed);
    assert_eq!(evaluated(&Method::GET, &[(IF_UNMODIFIED_SINCE, OLD)], &[]), PreconditionResult::Proceed);
}

#[test]
fn if_match_is_evaluated_before_if_none_match() {
    let strong = [(ETAG, "\"1\"")];
    let both =
        |first: &str, second: &str| evaluated(&Method::GET, &[(IF_MATCH, first), (IF_NONE_MATCH, second)], &strong);
    assert_eq!(both("\"1\"", "\"1\""), PreconditionResult::NotModified);
    assert_eq!(both("\"0\"", "\"1\""), PreconditionResult::Failed);
    assert_eq!(both("\"1\"", "\"0\""), PreconditionResult::Proceed);
    assert_eq!(get(&[(IF_UNMODIFIED_SINCE, OLD), (IF_NONE_MATCH, "\"1\"")]), PreconditionResult::Failed);
}

#[test]
fn other_methods_fail_on_if_none_match_and_ignore_if_modified_since() {
    let response = [(ETAG, "\"1\""), (LAST_MODIFIED, MID)];
    assert_eq!(evaluated(&Method::PUT, &[(IF_NONE_MATCH, "*")], &response), PreconditionResult::Failed);
    assert_eq!(evaluated(&Method::PUT, &[(IF_NONE_MATCH, "\"0\"")], &response), PreconditionResult::Proceed);
    assert_eq!(evaluated(&Method::POST, &[(IF_MODIFIED_SINCE, NEW)], &response), PreconditionResult::Proceed);
}

#[test]
fn a_304_has_no_content_headers() {
    let kept = [
        ("cache-control", "max-age=5"),
        ("content-location", "/x"),
        ("date", NEW),
        ("etag", "\"1\""),
        ("expires", NEW),
        ("last-modified", MID),
        ("vary", "cookie"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("age", "3"),
        ("cache-status", "x; hit"),
        ("content-security-policy", "default-src 'self'"),
        ("x-own", "1"),
    ];
    let dropped = [
        "content-type",
        "content-length",
        "content-encoding",
        "content-language",
        "content-range",
        "transfer-encoding",
        "trailer",
    ];
    let field = |name: &str, value: &str| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let kept: HeaderMap = kept.iter().map(|(name, value)| field(name, value)).collect();
    let mut full = kept.clone();
    full.extend(dropped.iter().map(|name| field(name, "x")));
    assert_eq!(full.len(), kept.len() + dropped.len());
    assert_eq!(not_modified_headers(full), kept);
}

proptest! {
    #[test]
    fn any_date_is_read_or_ignored(text: Vec<u8>) {
        if let Ok(value) = HeaderValue::from_bytes(&text) {
            let request = HeaderMap::from_iter([(IF_MODIFIED_SINCE, value.clone()), (IF_UNMODIFIED_SINCE, value)]);
            let response = map(&[(LAST_MODIFIED, MID)]);
            evaluate(&Method::GET, &request, &ResponseValidators::of(&response));
        }
    }

    #[test]
    fn near_dates_are_read_or_ignored(
        text in "(Mon|Sunday)(, | )[0-9A-Z][0-9][- ](Nov|Feb)[- ][0-9]{2,4} [0-9: ]{8} (GMT|[0-9]{4})",
    ) {
        let request = map(&[(IF_MODIFIED_SINCE, &text)]);
        let response = map(&[(LAST_MODIFIED, MID)]);
        evaluate(&Method::GET, &request, &ResponseValidators::of(&response));
    }

    #[test]
    fn the_headers_crate_compares_dates_alike(asked in 0..4_000_000_000_u64, modified in 0..4_000_000_000_u64) {
        use headers::HeaderMapExt as _;
        let at = |seconds| std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let mut request = HeaderMap::new();
        request.typed_insert(headers::IfModifiedSince::from(at(asked)));
        let mut response = HeaderMap::new();
        response.typed_insert(headers::LastModified::from(at(modified)));
        let changed = headers::IfModifiedSince::from(at(asked)).is_modified(at(modified));
        let result = evaluate(&Method::GET, &request, &ResponseValidators::of(&response));
        prop_assert_eq!(result, if changed { PreconditionResult::Proceed } else { PreconditionResult::NotModified });
    }
}
