//! Changes to the headers of a response that several files make.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName};

use super::cache_control::CacheControl;
use super::tag_header::TagHeader;

/// Makes a page with holes private, because the filled page belongs to one visitor. Validators, lifetime and length of
/// the page without its holes are removed.
pub(super) fn make_private(headers: &mut HeaderMap) {
    for name in [ETAG, LAST_MODIFIED, EXPIRES, CONTENT_LENGTH] {
        headers.remove(name);
    }
    TagHeader::remove_all(headers);
    remove_targeted(headers);
    let personal = match CacheControl::read(headers).is_no_store() {
        true => CacheControl::private().with_no_store(),
        false => CacheControl::private().with_no_cache(),
    };
    headers.insert(CACHE_CONTROL, personal.into());
}

/// Removes targeted cache control headers (RFC 9213). A cache that is their target ignores `Cache-Control`.
pub(super) fn remove_targeted(headers: &mut HeaderMap) {
    let targeted =
        |name: &&HeaderName| name.as_str().ends_with("cdn-cache-control") || name.as_str() == "surrogate-control";
    let names: Vec<HeaderName> = headers.keys().filter(targeted).cloned().collect();
    names.into_iter().for_each(|name| drop(headers.remove(name)));
}

/// Removes headers that concern one connection only (RFC 9110 §7.6.1).
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    use http::header::{CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    let fixed = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHENTICATION_INFO,
        PROXY_AUTHORIZATION,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in listed.into_iter().chain(fixed) {
        headers.remove(name);
    }
}
