//! The overlay's script: how a page asks for it, and what it is given.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::Body;

use super::body::DebugBody;
use crate::debug::OVERLAY;
use crate::http::body::LayerBody;

/// The query by which a page asks for the script. Its path is the page's own: whatever leads to the page leads to the
/// script, be it a router, a prefix that a proxy takes off, or a rule for who may come in.
const QUERY: &str = "minijinja-cache-overlay";

/// The script, if this is what is asked for.
pub(super) fn answer<R: Body<Data = Bytes>>(request: &Parts) -> Option<Response<DebugBody<R>>> {
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

/// What a page must say to get it, if its policy allows that. `path` is that of the page, as its visitor sees it.
pub(super) fn tag(headers: &HeaderMap, path: &str, has_base: bool) -> Option<String> {
    let nonce = match allowed(headers) {
        ScriptPermission::Nonce(nonce) => format!(" nonce=\"{nonce}\""),
        ScriptPermission::Plain => String::new(),
        ScriptPermission::Not => return None,
    };
    // Relative to the page, unless that says that it would be relative to something else.
    let path = if has_base { path } else { "" };
    Some(format!("<script defer src=\"{path}?{QUERY}\"{nonce}></script>"))
}

/// Whether the page's policy lets it load the script.
#[derive(Debug, PartialEq, Eq)]
enum ScriptPermission {
    Plain,
    Nonce(String),
    Not,
}

/// All of the policies of a response must allow it (Content Security Policy Level 3).
fn allowed(headers: &HeaderMap) -> ScriptPermission {
    let policies = headers.get_all(CONTENT_SECURITY_POLICY).iter();
    let policies = policies.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut allowed = ScriptPermission::Plain;
    for policy in policies {
        match by_policy(&String::from_utf8_lossy(policy)) {
            ScriptPermission::Plain => {}
            ScriptPermission::Not => return ScriptPermission::Not,
            nonce => allowed = nonce,
        }
    }
    allowed
}

fn by_policy(policy: &str) -> ScriptPermission {
    let directives = policy.split(';').filter_map(|directive| {
        let mut words = directive.split_ascii_whitespace();
        Some((words.next()?.to_ascii_lowercase(), words))
    });
    let directives: Vec<_> = directives.collect();
    let named = |wanted: &&str| directives.iter().find(|(name, _)| name == wanted);
    let Some((_, sources)) = ["script-src-elem", "script-src", "default-src"].iter().find_map(named) else {
        return ScriptPermission::Plain;
    };
    let nonce = sources.clone().find_map(|source| source.strip_prefix("'nonce-")?.strip_suffix('\''));
    let base64 = |nonce: &&str| nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte));
    if let Some(nonce) = nonce.filter(base64) {
        return ScriptPermission::Nonce(nonce.to_owned());
    }
    let has = |wanted: &str| sources.clone().any(|source| source.eq_ignore_ascii_case(wanted));
    let from_here = ["'self'", "*", "http:", "https:"].into_iter().any(has);
    if from_here && !has("'strict-dynamic'") { ScriptPermission::Plain } else { ScriptPermission::Not }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(policies: &[&str]) -> ScriptPermission {
        let mut headers = HeaderMap::new();
        for policy in policies {
            headers.append(CONTENT_SECURITY_POLICY, policy.parse().unwrap());
        }
        allowed(&headers)
    }

    #[test]
    fn a_policy_decides_whether_the_script_may_come_from_here() {
        for plain in [
            "",
            "img-src 'none'",
            "script-src 'self'",
            "default-src 'SELF'; img-src *",
            "Script-Src *",
            "default-src https:",
        ] {
            assert_eq!(by(&[plain]), ScriptPermission::Plain, "{plain}");
        }
        for not in [
            "default-src 'none'",
            "script-src",
            "default-src 'self'; script-src https://cdn.example",
            "script-src 'self'; script-src-elem 'none'",
            "script-src 'self' 'strict-dynamic'",
            "script-src 'nonce-\"><b>'",
        ] {
            assert_eq!(by(&[not]), ScriptPermission::Not, "{not}");
        }
        assert_eq!(by(&["script-src 'self'", "default-src 'none'"]), ScriptPermission::Not);
        assert_eq!(by(&["script-src 'self', default-src 'none'"]), ScriptPermission::Not);
        let nonce = ScriptPermission::Nonce(String::from("r4nd+/_-="));
        assert_eq!(by(&["script-src 'strict-dynamic' 'nonce-r4nd+/_-='; object-src 'none'", "script-src *"]), nonce);
        assert_eq!(by(&[]), ScriptPermission::Plain);
    }

    #[test]
    fn the_tag_is_relative_unless_the_page_says_to_what() {
        let headers = HeaderMap::new();
        let relative = "<script defer src=\"?minijinja-cache-overlay\"></script>";
        assert_eq!(tag(&headers, "/a", false).as_deref(), Some(relative));
        let absolute = "<script defer src=\"/a?minijinja-cache-overlay\"></script>";
        assert_eq!(tag(&headers, "/a", true).as_deref(), Some(absolute));
    }
}
