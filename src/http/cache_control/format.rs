//! `Cache-Control` of a response from headers and back.
//!
//! Owns what is made of directives that are doubled, unknown or without sense, and the order in which they are
//! written. Leaves the syntax to `parse.rs`.
//!
//! In doubt the stricter reading holds. A directive that restricts counts whatever argument it has; one that permits
//! (`public`, `immutable`, `must-understand`) counts only without one; an element that is no directive counts as
//! `no-store`.

use std::fmt;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};

use super::parse::{Directive, DirectiveArgument, directives};
use super::{Audience, CacheControl, ExtensionDirective, shorter};

impl CacheControl {
    /// Reads all `Cache-Control` lines of a response, as a cache must.
    ///
    /// Names count in any case, times with quotes and without. A time that is no whole number is 0: stale. Of one
    /// directive said several times the shortest counts, and `private` beside `public`: RFC 9111 §4.2.1 lets a cache
    /// take the first or treat the response as stale, and the shortest is never longer than either. `private` and
    /// `no-cache` for some fields count as if for all (§5.2.2.4, §5.2.2.7). Directives of others are kept and written
    /// as they came. An element that is no directive by the grammar (`no store`, `max-age =0`, `public; max-age=9`) may
    /// stand for any restriction, and counts as `no-store`, which no `must-understand` lifts.
    pub fn read(headers: &HeaderMap) -> CacheControl {
        let mut said = CacheControl::new();
        for directive in directives(headers, CACHE_CONTROL) {
            said.hear(&directive);
        }
        if !CacheControl::is_readable(headers) {
            said.no_store = true;
            said.must_understand = false;
        }
        said
    }

    /// Whether each element of these lines is a directive by the grammar (§5.2).
    pub(crate) fn is_readable(headers: &HeaderMap) -> bool {
        directives(headers, CACHE_CONTROL).all(|directive| directive.is_readable())
    }

    fn hear(&mut self, directive: &Directive<'_>) {
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
                    self.keep(extension);
                }
            }
        }
    }
}

/// `None` for what has no sense, or cannot be written again.
fn extension(name: &[u8], directive: &Directive<'_>) -> Option<ExtensionDirective> {
    let writable = directive.text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let name = std::str::from_utf8(name).ok().filter(|_| directive.is_readable() && writable)?;
    let text = std::str::from_utf8(directive.text).ok()?;
    Some(ExtensionDirective { name: name.to_owned(), text: text.to_owned() })
}

impl fmt::Display for CacheControl {
    /// A legal value with each directive once, in an order that does not depend on the order they were said in. Beside
    /// `no-store` nothing that permits is written, unless `must-understand` gives it a sense.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = DirectiveWriter { f, first: true };
        let kept = !self.no_store || self.must_understand;
        list.flag(kept && self.is_public(), "public")?;
        list.flag(self.is_private(), "private")?;
        list.flag(self.no_store, "no-store")?;
        list.flag(self.no_cache, "no-cache")?;
        if kept {
            list.time(self.max_age, "max-age")?;
            list.time(self.s_maxage, "s-maxage")?;
        }
        list.flag(self.must_revalidate, "must-revalidate")?;
        list.flag(self.proxy_revalidate, "proxy-revalidate")?;
        list.flag(self.must_understand, "must-understand")?;
        list.flag(self.no_transform, "no-transform")?;
        if kept {
            list.flag(self.immutable, "immutable")?;
            list.time(self.stale_while_revalidate, "stale-while-revalidate")?;
            list.time(self.stale_if_error, "stale-if-error")?;
        }
        self.extensions.iter().try_for_each(|extension| list.flag(true, &extension.text))
    }
}

impl From<CacheControl> for HeaderValue {
    /// The value to send. It is empty if [`CacheControl::says_nothing`]: then send no header.
    fn from(said: CacheControl) -> HeaderValue {
        // All parts are visible ASCII. Were one not, the strictest value is the one that harms nobody.
        HeaderValue::try_from(said.to_string()).unwrap_or(HeaderValue::from_static("no-store"))
    }
}

struct DirectiveWriter<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    first: bool,
}

impl DirectiveWriter<'_, '_> {
    fn flag(&mut self, said: bool, text: &str) -> fmt::Result {
        if said {
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
