//! Reading and writing `Cache-Control` of a response.
//!
//! Owns the handling of repeated, unknown and invalid directives, and the order of the written ones. `parse.rs` owns
//! the syntax.
//!
//! In doubt the stricter reading applies. A restricting directive counts with any argument. A permitting one (`public`,
//! `immutable`, `must-understand`) counts without an argument only. An element that does not follow the grammar counts
//! as `no-store`.

use std::fmt;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};

use super::parse::{Directive, DirectiveArgument, directives};
use super::{Audience, CacheControl, ExtensionDirective, shorter};

impl CacheControl {
    /// Reads all `Cache-Control` lines of a response, as a cache must.
    ///
    /// Names are compared without case, and times may be quoted. A time that is no whole number is 0, so the response
    /// is stale. Of a repeated time the shortest one counts, and `private` counts before `public`: RFC 9111 §4.2.1
    /// permits to use the first one or to treat the response as stale, and the shortest one is never longer than
    /// either. `private` and `no-cache` for some headers count for the whole response (§5.2.2.4, §5.2.2.7). Unknown
    /// directives are kept. An element that does not follow the grammar (`no store`, `max-age =0`, `public; max-age=9`)
    /// may be meant as any restriction. It counts as `no-store`, and `must-understand` does not lift that.
    pub fn read(headers: &HeaderMap) -> CacheControl {
        let mut value = CacheControl::new();
        for directive in directives(headers, CACHE_CONTROL) {
            value.add(&directive);
        }
        if !CacheControl::is_readable(headers) {
            value.no_store = true;
            value.must_understand = false;
        }
        value
    }

    /// Whether all elements of the header follow the grammar (§5.2).
    pub(in crate::http) fn is_readable(headers: &HeaderMap) -> bool {
        directives(headers, CACHE_CONTROL).all(|directive| directive.is_readable())
    }

    fn add(&mut self, directive: &Directive<'_>) {
        let bare = directive.argument == DirectiveArgument::Absent;
        let shortest = |time: Option<u32>| shorter(time, Some(directive.seconds().unwrap_or(0)));
        match directive.name.to_ascii_lowercase().as_slice() {
            b"private" => self.audience = Some(Audience::Private),
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"no-transform" => self.no_transform = true,
            b"public" if bare => self.audience = self.audience.or(Some(Audience::Public)),
            b"immutable" if bare => self.immutable = true,
            b"must-understand" if bare => self.must_understand = true,
            b"public" | b"immutable" | b"must-understand" => {}
            b"max-age" => self.max_age = shortest(self.max_age),
            b"s-maxage" => self.s_maxage = shortest(self.s_maxage),
            b"stale-while-revalidate" => self.stale_while_revalidate = shortest(self.stale_while_revalidate),
            b"stale-if-error" => self.stale_if_error = shortest(self.stale_if_error),
            name => {
                if let Some(extension) = extension(name, directive) {
                    self.add_extension(extension);
                }
            }
        }
    }
}

/// `None` if the directive is unreadable or cannot be written.
fn extension(name: &[u8], directive: &Directive<'_>) -> Option<ExtensionDirective> {
    let writable = directive.text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let name = std::str::from_utf8(name).ok().filter(|_| directive.is_readable() && writable)?;
    let text = std::str::from_utf8(directive.text).ok()?;
    Some(ExtensionDirective { name: name.to_owned(), text: text.to_owned() })
}

impl fmt::Display for CacheControl {
    /// A valid value with each directive once, in a fixed order. With `no-store`, permitting directives are written
    /// only if there is a `must-understand`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = DirectiveWriter { f, first: true };
        let permits = !self.no_store || self.must_understand;
        list.flag(permits && self.is_public(), "public")?;
        list.flag(self.is_private(), "private")?;
        list.flag(self.no_store, "no-store")?;
        list.flag(self.no_cache, "no-cache")?;
        if permits {
            list.time(self.max_age, "max-age")?;
            list.time(self.s_maxage, "s-maxage")?;
        }
        list.flag(self.must_revalidate, "must-revalidate")?;
        list.flag(self.proxy_revalidate, "proxy-revalidate")?;
        list.flag(self.must_understand, "must-understand")?;
        list.flag(self.no_transform, "no-transform")?;
        if permits {
            list.flag(self.immutable, "immutable")?;
            list.time(self.stale_while_revalidate, "stale-while-revalidate")?;
            list.time(self.stale_if_error, "stale-if-error")?;
        }
        self.extensions.iter().try_for_each(|extension| list.flag(true, &extension.text))
    }
}

impl From<CacheControl> for HeaderValue {
    /// The header value. It is empty if [`CacheControl::says_nothing`]; then send no header.
    fn from(value: CacheControl) -> HeaderValue {
        // All parts are visible ASCII. `no-store` would be the safe value.
        HeaderValue::try_from(value.to_string()).unwrap_or(HeaderValue::from_static("no-store"))
    }
}

struct DirectiveWriter<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    first: bool,
}

impl DirectiveWriter<'_, '_> {
    fn flag(&mut self, is_set: bool, text: &str) -> fmt::Result {
        if is_set {
            self.separate()?;
            self.f.write_str(text)?;
        }
        Ok(())
    }

    fn time(&mut self, seconds: Option<u32>, name: &str) -> fmt::Result {
        if let Some(seconds) = seconds {
            self.separate()?;
            write!(self.f, "{name}={seconds}")?;
        }
        Ok(())
    }

    fn separate(&mut self) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.f.write_str(", ")?;
        }
        Ok(())
    }
}
