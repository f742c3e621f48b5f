//! Checks that a form was sent by a page of the dashboard, by the headers `Sec-Fetch-Site` and `Origin`. Browsers set
//! them; pages of other sites cannot change them.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The relation between the sender of a form and its target (Fetch Metadata Request Headers, W3C).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Allows a request that changes state, or says why it is refused.
///
/// A request without both headers does not come from a current browser, so no page can have forged it. It still needs a
/// token.
pub(super) fn check(parts: &Parts) -> Result<(), &'static str> {
    if let Some(site) = only(&parts.headers, &SEC_FETCH_SITE)? {
        return match site.as_bytes() {
            b"same-origin" => Ok(()),
            _ => Err("This form was sent by a page of another site."),
        };
    }
    let Some(origin) = only(&parts.headers, &ORIGIN)? else { return Ok(()) };
    let host = match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => only(&parts.headers, &HOST)?.and_then(|host| host.to_str().ok()),
    };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((scheme, origin)), Some(host)) if bare(scheme, origin).eq_ignore_ascii_case(bare(scheme, host)) => Ok(()),
        _ => Err("This form was sent by a page of another site, or a proxy in front changes the Host header."),
    }
}

/// The value of a header; an error if there are several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err("This request says two things of where it comes from.") } else { Ok(first) }
}

/// An authority without the default port of the scheme.
fn bare<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().uri("/invalidate");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn a_form_of_the_dashboard_is_accepted() {
        for headers in [
            &[("sec-fetch-site", "same-origin")][..],
            // A proxy changes `Host`; `Sec-Fetch-Site` has precedence.
            &[("sec-fetch-site", "same-origin"), ("origin", "https://a.example"), ("host", "127.0.0.1:3000")],
            &[("origin", "http://a.example"), ("host", "a.example")],
            &[("origin", "http://A.example:8080"), ("host", "a.Example:8080")],
            &[("origin", "https://a.example"), ("host", "a.example:443")],
            &[("host", "a.example")],
        ] {
            assert!(allowed(headers), "{headers:?}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("origin", "http://a.example"), ("host", "a.example")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("origin", "http://evil.example"), ("host", "a.example")],
            &[("origin", "http://a.example.evil.example"), ("host", "a.example")],
            &[("origin", "http://a.example:8080"), ("host", "a.example")],
            &[("origin", "null"), ("host", "a.example")],
            &[("origin", ""), ("host", "a.example")],
            &[("origin", "http://a.example")],
            &[("origin", "http://a.example"), ("origin", "http://evil.example"), ("host", "a.example")],
            &[("origin", "http://a.example"), ("host", "a.example"), ("host", "evil.example")],
        ] {
            assert!(!allowed(headers), "{headers:?}");
        }
    }
}
