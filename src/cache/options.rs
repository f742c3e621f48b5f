//! `Options`: how one result of a handler is cached.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::invalidation::dependencies::FOREVER;
use crate::key::{self, KeyError};
use crate::store::request::RequestBuilder;
use crate::telemetry::Bypass;
use crate::util::clock::{Nanos, nanos};

/// How one result is cached: lifetime, tags, variants. By default only the default lifetime of the cache applies.
///
/// ```
/// use std::time::Duration;
/// use minijinja_cache::Options;
///
/// let options = Options::ttl(Duration::from_secs(60)).tag("films").vary("de").markup();
/// # let _ = options;
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Options {
    pub(crate) ttl: Option<Nanos>,
    pub(crate) stale: Nanos,
    pub(crate) markup: bool,
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) vary: Vec<u8>,
    pub(crate) version: Option<u128>,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) lease: Option<Duration>,
    pub(crate) refused: Option<KeyError>,
}

impl Options {
    /// Default options with a lifetime, counted from the start of the computation. [`Duration::ZERO`] bypasses the
    /// cache.
    pub fn ttl(ttl: Duration) -> Options {
        Options { ttl: Some(nanos(ttl)), ..Options::default() }
    }

    /// Default options without expiry by time.
    pub fn forever() -> Options {
        Options { ttl: Some(FOREVER), ..Options::default() }
    }

    /// Declares that the text is markup: a template prints it without escaping.
    pub fn markup(mut self) -> Options {
        self.markup = true;
        self
    }

    /// Adds a tag: [`FragmentCache::invalidate_tag`](crate::FragmentCache::invalidate_tag) of it invalidates the
    /// result. The tag applies to this caller even if the entry was stored without it.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Options {
        self.tags.push(tag.into());
        self
    }

    /// Adds several tags.
    pub fn tags<T: Into<Arc<str>>>(mut self, tags: impl IntoIterator<Item = T>) -> Options {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Distinguishes variants of one key, such as language, currency or role. Several calls add up. Invalidating the
    /// key invalidates all variants.
    pub fn vary(mut self, value: impl Serialize) -> Options {
        let encoded = key::encode_handler_qualifier(&value, &mut self.vary);
        self.refuse(encoded);
        self
    }

    /// The version of the result. An entry of another version is a miss, and is replaced.
    pub fn version(mut self, version: impl Serialize) -> Options {
        let mut bytes = Vec::new();
        let encoded = key::encode_handler_qualifier(&version, &mut bytes);
        self.version = Some(xxh3_128(&bytes));
        self.refuse(encoded);
        self
    }

    /// The grace in which an expired entry may still be served; none by default. While one caller computes the result
    /// again, the callers that would wait get the expired entry. An invalidated entry is not served, and a result that
    /// contains an expired entry is not stored.
    pub fn stale(mut self, grace: Duration) -> Options {
        self.stale = nanos(grace);
        self
    }

    /// Lets only one of the nodes that share a store compute this result. The others wait for it, at most for this
    /// time; see [`SharedTier::lease`](crate::SharedTier::lease).
    #[cfg(feature = "shared")]
    pub fn lease(mut self, span: Duration) -> Options {
        self.lease = (!span.is_zero()).then_some(span.min(crate::store::tier::LONGEST_LEASE));
        self
    }

    /// A name for statistics and reports, instead of the place of the call. Use one name for all keys: at most
    /// 512 names are counted.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Options {
        self.label = Some(label.into());
        self
    }

    /// Whether the call bypasses the cache.
    pub(crate) fn bypass(&self) -> Option<Bypass> {
        (self.ttl == Some(0)).then_some(Bypass::Lifetime)
    }

    fn refuse(&mut self, encoded: Result<(), KeyError>) {
        if let Err(reason) = encoded {
            self.refused.get_or_insert(reason);
        }
    }
}

impl fmt::Debug for Options {
    /// Leaves out the variants and the version, because they may be as private as a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("ttl", &self.ttl.map(Duration::from_nanos))
            .field("stale", &Duration::from_nanos(self.stale))
            .field("markup", &self.markup)
            .field("tags", &self.tags)
            .field("varies", &!self.vary.is_empty())
            .field("versioned", &self.version.is_some())
            .field("lease", &self.lease)
            .field("label", &self.label)
            .finish()
    }
}

impl RequestBuilder {
    /// Adds the key of a handler, and the parts of the identity that the options give.
    pub(crate) fn handler_key<K: Serialize>(&mut self, key: &K, options: &Options) -> Result<(), KeyError> {
        self.encode_key(|bytes| key::encode_handler(key, bytes).map(|()| bytes.len()))?;
        if let Some(reason) = &options.refused {
            return Err(reason.clone());
        }
        self.encode_qualifier(|bytes| {
            bytes.extend_from_slice(&options.vary);
            Ok(())
        })?;
        self.set_version(options.version);
        self.set_lease(options.lease);
        Ok(())
    }
}
