//! What the headers of a request say that a cache goes by, read in one pass: a hit has little time for looking up each.

use http::{HeaderMap, HeaderValue};

#[derive(Debug, Default)]
pub(super) struct RequestHeaders<'a> {
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) cookies: bool,
    pub(super) authorization: bool,
    /// `Cache-Control` or `Pragma`.
    pub(super) directives: bool,
    /// It asks for a part, or for another protocol: a whole page will do where there is one, but none is made for it.
    pub(super) partial: bool,
    /// Any of the conditions (RFC 9110 §13.1).
    pub(super) conditional: bool,
    /// What proxies say about the address a browser asked for.
    pub(super) forwarded: Option<&'a HeaderValue>,
    pub(super) forwarded_host: Option<&'a HeaderValue>,
    pub(super) forwarded_proto: Option<&'a HeaderValue>,
    pub(super) forwarded_prefix: Option<&'a HeaderValue>,
    /// One of these was said twice: which of them a handler goes by nobody knows.
    pub(super) ambiguous: bool,
}

impl<'a> RequestHeaders<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> RequestHeaders<'a> {
        let mut noticed = RequestHeaders::default();
        for (name, value) in headers {
            match name.as_str() {
                "host" => noticed.once(value, |noticed| &mut noticed.host),
                "cookie" => noticed.cookies = true,
                "authorization" => noticed.authorization = true,
                "cache-control" | "pragma" => noticed.directives = true,
                "upgrade" | "range" => noticed.partial = true,
                "if-none-match" | "if-modified-since" | "if-match" | "if-unmodified-since" => {
                    noticed.conditional = true;
                }
                "forwarded" => noticed.once(value, |noticed| &mut noticed.forwarded),
                "x-forwarded-host" => noticed.once(value, |noticed| &mut noticed.forwarded_host),
                "x-forwarded-proto" => noticed.once(value, |noticed| &mut noticed.forwarded_proto),
                "x-forwarded-prefix" => noticed.once(value, |noticed| &mut noticed.forwarded_prefix),
                _ => {}
            }
        }
        noticed
    }

    fn once(&mut self, value: &'a HeaderValue, place: impl FnOnce(&mut Self) -> &mut Option<&'a HeaderValue>) {
        self.ambiguous |= place(self).replace(value).is_some();
    }
}
