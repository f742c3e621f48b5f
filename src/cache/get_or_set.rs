//! The API for handlers: cached texts, synchronous and asynchronous, and prefetching.
//!
//! All calls build a request with the same `RequestBuilder`. They differ only in how the body runs and in the type of
//! its result. Values are in `get_or_set/value.rs`, the verification of hits in `get_or_set/verify.rs`, the handler as
//! a caller in `get_or_set/caller.rs`, futures in `get_or_set/inside.rs`. Look-ups are in `lookup.rs`.

mod caller;
mod inside;
mod value;
mod verify;

use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;

use minijinja::Value;
use serde::Serialize;

pub(crate) use self::caller::{CallSite, HandlerCaller};
pub(crate) use self::inside::Inside;
pub(crate) use self::verify::verify_text;
use self::verify::verify_text_async;
use crate::cache::FragmentCache;
use crate::cache::lookup::Lookup;
use crate::cache::options::Options;
use crate::error::{Error, ErrorKind};
use crate::invalidation::declared_tags::DeclaredTags;
#[cfg(feature = "shared")]
use crate::invalidation::dependencies::FOREVER;
use crate::invalidation::stack;
use crate::key::KeyError;
use crate::key::identity::Kind;
#[cfg(feature = "shared")]
use crate::key::identity::is_of;
use crate::store::caller::Caller;
use crate::store::entry::{Body, Fragment};
#[cfg(feature = "shared")]
use crate::store::request::Request;
use crate::store::request::RequestBuilder;
#[cfg(feature = "shared")]
use crate::telemetry::LookupSubject;
use crate::telemetry::stats::Counter;
use crate::telemetry::{Bypass, FragmentKind};

impl FragmentCache {
    /// Returns a cached text, or computes it with a closure and stores it.
    ///
    /// An error of the closure is returned unchanged, and nothing is stored. Concurrent callers of one key wait for the
    /// first. With an empty key the text is computed without caching, and the key is reported to
    /// [`Builder::on_error`](crate::Builder::on_error).
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use std::time::Duration;
    /// use minijinja_cache::{Fragment, FragmentCache, Options};
    ///
    /// let cache = FragmentCache::builder().build()?;
    /// let ttl = Options::ttl(Duration::from_secs(300));
    /// let bio: Fragment = cache.get_or_set("bio_alice", ttl, || Ok::<_, Infallible>("Likes caches."))?;
    /// assert_eq!(bio, "Likes caches.");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn get_or_set<K, T, E>(
        &self,
        key: K,
        options: Options,
        load: impl FnOnce() -> Result<T, E>,
    ) -> Result<Fragment, E>
    where
        K: Serialize,
        T: Into<String>,
    {
        let markup = options.markup;
        let mut handler = self.handler(FragmentKind::Text, &options, Location::caller());
        let Some(builder) = self.question_or_bypass(&key, &options, text_kind(markup), &mut handler) else {
            return Ok(Fragment::new(text_value(load()?.into(), markup)));
        };
        let request = builder.request_with(self.declared(&options.tags));
        match self.lookup(&request, &mut handler) {
            Lookup::Hit(found) => Ok(match self.verify(&request, &mut handler, found.began) {
                None => text_of(found.body),
                Some(verifying) => {
                    let load = || load().map(|text| text_value(text.into(), markup));
                    Fragment::new(verify_text(text_of(found.body).into_value(), verifying, load))
                }
            }),
            Lookup::Compute(mut work) => {
                work.set_grace(options.stale, options.stale);
                work.enter();
                let text = load()?;
                Ok(work.finish_text(text_value(text.into(), markup)))
            }
        }
    }

    /// [`get_or_set`](FragmentCache::get_or_set) with a future. The future is polled only if there is something to
    /// compute. Both calls share entries and flights. If the future is dropped before it is ready, the next caller
    /// computes.
    ///
    /// # Errors
    ///
    /// The error of the future.
    #[track_caller]
    pub fn get_or_set_async<K, T, E, F>(
        &self,
        key: K,
        options: Options,
        load: F,
    ) -> impl Future<Output = Result<Fragment, E>>
    where
        K: Serialize,
        T: Into<String>,
        F: Future<Output = Result<T, E>>,
    {
        let (here, markup) = (Location::caller(), options.markup);
        async move {
            let mut handler = self.handler(FragmentKind::Text, &options, here);
            let Some(builder) = self.question_or_bypass(&key, &options, text_kind(markup), &mut handler) else {
                return Ok(Fragment::new(text_value(load.await?.into(), markup)));
            };
            let request = builder.request_with(self.declared(&options.tags));
            match self.lookup_async(&request, &mut handler).await {
                Lookup::Hit(found) => {
                    let cached = text_of(found.body);
                    let Some(verifying) = self.verify(&request, &mut handler, found.began) else { return Ok(cached) };
                    let load = async { load.await.map(|text| text_value(text.into(), markup)) };
                    Ok(Fragment::new(verify_text_async(cached.into_value(), verifying, load).await))
                }
                Lookup::Compute(mut work) => {
                    work.set_grace(options.stale, options.stale);
                    let text = Inside { work: &mut work, future: pin!(load) }.await?;
                    Ok(work.finish_text(text_value(text.into(), markup)))
                }
            }
        }
    }

    /// Reads the results that handlers cached under these keys from the shared tier into memory, in one round trip:
    /// texts, markup and values, without `vary` and `version`. A later [`get_or_set`](FragmentCache::get_or_set) of one
    /// of these keys does not wait for the network, whether the store has a result or not. Returns the number of
    /// results found; 0 without a shared tier.
    ///
    /// ```
    /// # async fn page() -> Result<(), Box<dyn std::error::Error>> {
    /// use minijinja_cache::{FragmentCache, LocalStore};
    ///
    /// let cache = FragmentCache::builder().shared(LocalStore::new()).build()?;
    /// cache.prefetch([("film", 1), ("film", 2)]).await;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "shared")]
    pub async fn prefetch<K: Serialize>(&self, keys: impl IntoIterator<Item = K>) -> usize {
        let Some(shared) = self.inner.shared.as_ref().filter(|_| self.inner.settings.enabled) else { return 0 };
        let mut builders = Vec::new();
        for key in keys {
            for kind in [Kind::Text, Kind::Markup, Kind::Value] {
                let mut builder = RequestBuilder::new(kind, &self.namespace);
                // Skip an invalid key: the call that caches under it reports it.
                if builder.handler_key(&key, &Options::default()).is_ok() {
                    builder.lifetime(Some(FOREVER), self.inner.settings.default_ttl);
                    builders.push(builder);
                }
            }
        }
        let request: Vec<Request<'_>> = builders.iter().map(RequestBuilder::request).collect();
        let handler = |request: &Request<'_>| HandlerCaller {
            cache: &self.inner,
            kind: if is_of(Kind::Value, request.identity.bytes) { FragmentKind::Value } else { FragmentKind::Text },
            called: CallSite::Name("(prefetched)"),
        };
        let found = shared.prefetch(&self.inner, &request, handler).await;
        for (at, entry) in &found {
            // Not counted as a hit: a later look-up counts a hit in memory.
            let request = &request[*at];
            let subject = LookupSubject::new(handler(request).label(), request.named, request.base());
            self.inner.keep_shared(&subject, request.identity.hash, entry);
        }
        found.len()
    }

    /// Whether to bypass the cache: for the caller's reason, or because caching is switched off.
    #[inline]
    pub(crate) fn bypassed(&self, refused: Option<Bypass>, key: &[u8], caller: &mut impl Caller) -> bool {
        let bypass = refused.or((!self.inner.settings.enabled).then_some(Bypass::Off));
        bypass.inspect(|bypass| self.bypass(*bypass, refused.is_some(), key, caller)).is_some()
    }

    #[cold]
    fn bypass(&self, bypass: Bypass, refused: bool, key: &[u8], caller: &mut impl Caller) {
        self.inner.counters.count(Counter::bypasses);
        if refused {
            stack::gather(|record| record.uncacheable = true);
        }
        self.inner.telemetry.record_bypass(caller.label(), bypass, key);
    }

    /// Tags of this namespace, declared by a caller.
    #[inline]
    pub(crate) fn declared<'a>(&self, tags: &'a [Arc<str>]) -> DeclaredTags<'a> {
        DeclaredTags::given(tags, self.namespace.id)
    }

    fn handler<'a>(
        &'a self,
        kind: FragmentKind,
        options: &'a Options,
        here: &'static Location<'static>,
    ) -> HandlerCaller<'a> {
        HandlerCaller { cache: &self.inner, kind, called: CallSite::new(options.label.as_deref(), here) }
    }

    /// The builder of a handler's request; `None` if the call bypasses the cache.
    fn question_or_bypass<K: Serialize>(
        &self,
        key: &K,
        options: &Options,
        kind: Kind,
        handler: &mut HandlerCaller<'_>,
    ) -> Option<RequestBuilder> {
        let mut builder = RequestBuilder::new(kind, &self.namespace);
        if let Err(reason) = builder.handler_key(key, options) {
            self.report_key(&reason, options);
            self.bypassed(Some(Bypass::Key), &[], handler);
            return None;
        }
        if self.bypassed(options.bypass(), builder.key(), handler) {
            return None;
        }
        builder.lifetime(options.ttl, self.inner.settings.default_ttl);
        Some(builder)
    }

    fn report_key(&self, reason: &KeyError, options: &Options) {
        let label = options.label.as_deref().unwrap_or("get_or_set");
        self.inner.report(&Error::new(ErrorKind::Key, format!("{label}: computed without caching: the key {reason}")));
    }
}

fn text_kind(markup: bool) -> Kind {
    if markup { Kind::Markup } else { Kind::Text }
}

pub(crate) fn text_value(text: String, markup: bool) -> Value {
    if markup { Value::from_safe_string(text) } else { Value::from(text) }
}

pub(crate) fn text_of(body: Body) -> Fragment {
    match body {
        Body::Text(text) => Fragment::new(text),
        Body::Data(_) | Body::Page(_) => Fragment::new(Value::from("")),
    }
}
