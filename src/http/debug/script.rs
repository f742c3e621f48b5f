//! The script of the overlay: its response, and its tag in a page.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::Body;

use super::body::DebugBody;
use crate::http::body::LayerBody;
use crate::http::debug::OVERLAY;

/// The query of the script's URL. Its path is that of the page, so that routers, prefixes of proxies and access rules
/// apply to the script as they do to the page.
const QUERY: &str = "minijinja-cache-overlay";

/// The response with the script, if the request is for it.
pub(super) fn respond<R: Body<Data = Bytes>>(request: &Parts) -> Option<Response<DebugBody<R>>> {
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    if !reads || request.uri.query() != Some(QUERY) {
        return None;
    }
    let script = match request.method == Method::HEAD {
        true => LayerBody::empty(),
        false => LayerBody::whole(Bytes::from_static(OVERLAY.as_bytes())),
    };
    let mut response = Response::new(DebugBody::new(script));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// The script tag for a page, if the `Content-Security-Policy` in its headers allows it. `path` is that of the page, as
/// the client sees it.
pub(super) fn tag(headers: &HeaderMap, path: &str, has_base: bool) -> Option<String> {
    let nonce = match permission(headers) {
        ScriptPermission::AllowedWithNonce(nonce) => format!(" nonce=\"{nonce}\""),
        ScriptPermission::Allowed => String::new(),
        ScriptPermission::Denied => return None,
    };
    // Relative to the page. A `base` element would change that, so the path is added then.
    let path = if has_base { path } else { "" };
    Some(format!("<script defer src=\"{path}?{QUERY}\"{nonce}></script>"))
}

/// Whether the Content Security Policy allows the script.
#[derive(Debug, PartialEq, Eq)]
enum ScriptPermission {
    Allowed,
    AllowedWithNonce(String),
    Denied,
}

/// The permission by all policies of a response (Content Security Policy Level 3).
fn permission(headers: &HeaderMap) -> ScriptPermission {
    let policies = headers.get_all(CONTENT_SECURITY_POLICY).iter();
    let policies = policies.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut allowed = ScriptPermission::Allowed;
    for policy in policies {
        match permission_by(&String::from_utf8_lossy(policy)) {
            ScriptPermission::Allowed => {}
            ScriptPermission::Denied => return ScriptPermission::Denied,
            nonce => allowed = nonce,
        }
    }
    allowed
}

fn permission_by(policy: &str) -> ScriptPermission {
    let directives = policy.split(';').filter_map(|directive| {
        let mut words = directive.split_ascii_whitespace();
        Some((words.next()?.to_ascii_lowercase(), words))
    });
    let directives: Vec<_> = directives.collect();
    let named = |wanted: &&str| directives.iter().find(|(name, _)| name == wanted);
    let Some((_, sources)) = ["script-src-elem", "script-src", "default-src"].iter().find_map(named) else {
        return ScriptPermission::Allowed;
    };
    let nonce = sources.clone().find_map(|source| source.strip_prefix("'nonce-")?.strip_suffix('\''));
    let base64 = |nonce: &&str| nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte));
    if let Some(nonce) = nonce.filter(base64) {
        return ScriptPermission::AllowedWithNonce(nonce.to_owned());
    }
    let has = |wanted: &str| sources.clone().any(|source| source.eq_ignore_ascii_case(wanted));
    let from_here = ["'self'", "*", "http:", "https:"].into_iter().any(has);
    if from_here && !has("'strict-dynamic'") { ScriptPermission::Allowed } else { ScriptPermission::Denied }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(policies: &[&str]) -> ScriptPermission {
        let mut headers = HeaderMap::new();
        for policy in policies {
            headers.append(CONTENT_SECURITY_POLICY, policy.parse().unwrap());
        }
        permission(&headers)
    }

    #[test]
    fn a_script_of_the_same_origin_needs_a_policy_that_allows_it() {
        for plain in [
            "",
            "img-src 'none'",
            "script-src 'self'",
            "default-src 'SELF'; img-src *",
            "Script-Src *",
            "default-src https:",
        ] {
            assert_eq!(by(&[plain]), ScriptPermission::Allowed, "{plain}");
        }
        for not in [
            "default-src 'none'",
            "script-src",
            "default-src 'self'; script-src https://cdn.example",
            "script-src 'self'; script-src-elem 'none'",
            "script-src 'self' 'strict-dynamic'",
            "script-src 'nonce-\"><b>'",
        ] {
            assert_eq!(by(&[not]), ScriptPermission::Denied, "{not}");
        }
        assert_eq!(by(&["script-src 'self'", "default-src 'none'"]), ScriptPermission::Denied);
        assert_eq!(by(&["script-src 'self', default-src 'none'"]), ScriptPermission::Denied);
        let nonce = ScriptPermission::AllowedWithNonce(String::from("r4nd+/_-="));
        assert_eq!(by(&["script-src 'strict-dynamic' 'nonce-r4nd+/_-='; object-src 'none'", "script-src *"]), nonce);
        assert_eq!(by(&[]), ScriptPermission::Allowed);
    }

    #[test]
    fn the_tag_has_a_path_if_the_page_has_a_base_element() {
        let headers = HeaderMap::new();
        let relative = "<script defer src=\"?minijinja-cache-overlay\"></script>";
        assert_eq!(tag(&headers, "/a", false).as_deref(), Some(relative));
        let absolute = "<script defer src=\"/a?minijinja-cache-overlay\"></script>";
        assert_eq!(tag(&headers, "/a", true).as_deref(), Some(absolute));
    }
}
