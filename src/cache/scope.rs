//! Scopes: frames that a handler opens. Fragments inside depend on the scope's start stamp, and the scope gathers the
//! tags and lifetimes used in it.
//!
//! Owns the public handle and its guards. Frames are in `invalidation/stack.rs`.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::cache::FragmentCache;
use crate::invalidation::dependencies::Dependencies;
use crate::invalidation::stack::{self, Frame, FrameId, SharedFrame};
use crate::telemetry::{Collector, collector};
use crate::util::clock::nanos;
use crate::util::sync::lock;

/// A scope with one start time; see [`FragmentCache::scope`]. Clones are handles to the same scope.
#[derive(Clone)]
#[must_use = "a scope does nothing until something runs in it"]
pub struct Scope {
    cache: FragmentCache,
    shared: SharedFrame,
}

impl FragmentCache {
    /// Opens a scope: everything that is cached inside counts as begun now.
    ///
    /// A handler that loads data first and renders afterwards opens a scope before it loads. If the data is invalidated
    /// in between, the result rendered from it is served once and not stored. A render without a scope counts as begun
    /// with the first statement of its template.
    ///
    /// ```
    /// use minijinja::{Environment, context};
    /// use minijinja_cache::FragmentCache;
    ///
    /// # fn load_user() -> &'static str { "ada" }
    /// let cache = FragmentCache::builder().build()?;
    /// let mut env = Environment::new();
    /// cache.add_to_environment(&mut env);
    /// cache.add_template(&mut env, "hi.txt", "{% cache user tags=['users'] %}Hi {{ user }}{% endcache %}")?;
    ///
    /// let page = cache.scope().run(|| {
    ///     let user = load_user();
    ///     cache.invalidate_tag("users"); // by another request, say
    ///     env.get_template("hi.txt")?.render(context! { user })
    /// })?;
    /// assert_eq!(page, "Hi ada");
    /// assert_eq!(cache.stats().stores, 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn scope(&self) -> Scope {
        self.scope_with::<()>(None)
    }

    /// The innermost scope around this code, or a new one. Use it to take the scope of a request to a thread that may
    /// block, and to add tags and lifetimes to the page of a request.
    ///
    /// ```
    /// # use minijinja_cache::FragmentCache;
    /// # fn films() -> Vec<String> { Vec::new() }
    /// # async fn page(cache: FragmentCache) {
    /// let scope = cache.current_scope(); // the request's, inside an `http::CacheLayer`
    /// tokio::task::spawn_blocking(move || scope.run(|| films())).await.unwrap();
    /// # }
    /// ```
    pub fn current_scope(&self) -> Scope {
        match stack::innermost_scope(self.inner.id) {
            Some(mut shared) => {
                self.attach_collector(&mut shared);
                Scope { cache: self.clone(), shared }
            }
            None => self.scope(),
        }
    }

    /// A scope that begins now, with an attachment that code inside can find.
    pub(crate) fn scope_with<T: Any + Send + Sync>(&self, attachment: Option<Arc<T>>) -> Scope {
        let mut shared = SharedFrame::new(Dependencies::new(self.inner.id, self.inner.begin()));
        attachment.into_iter().for_each(|attachment| shared.attachments.set(attachment));
        self.attach_collector(&mut shared);
        Scope { cache: self.clone(), shared }
    }

    /// Attaches the collector around this code, if there is one: it may be attached to a frame further out, which other
    /// threads do not have.
    fn attach_collector(&self, shared: &mut SharedFrame) {
        let collects = self.inner.telemetry.collectors.any();
        let collector = collects.then(|| collector(self.inner.id)).flatten();
        collector.into_iter().for_each(|collector| shared.attachments.set(collector));
    }

    /// A scope with the start stamp of the enclosing frame, whose look-ups are collected.
    pub(crate) fn scope_collected_by(&self, collector: Arc<Collector>) -> Scope {
        let mut shared = SharedFrame::new(Dependencies::new(self.inner.id, self.inner.scope_begin()));
        shared.attachments.set(collector);
        Scope { cache: self.clone(), shared }
    }
}

impl Scope {
    /// Runs a closure inside the scope.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let inside = self.attach();
        let result = f();
        drop(inside);
        self.add_to_enclosing();
        result
    }

    /// Runs a future inside the scope, across await points and on every thread that polls it.
    pub async fn run_async<F: Future>(self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let result = Polled { scope: &self, future: future.as_mut() }.await;
        self.add_to_enclosing();
        result
    }

    /// Enters the scope on this thread until the guard is dropped. Use it in `spawn_blocking` and in threads that the
    /// application starts.
    ///
    /// ```
    /// # use minijinja_cache::FragmentCache;
    /// # let cache = FragmentCache::builder().build()?;
    /// let scope = cache.scope();
    /// let there = scope.clone();
    /// std::thread::spawn(move || {
    ///     let _inside = there.attach();
    ///     // what is rendered here began with the scope
    /// }).join().unwrap();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach(&self) -> Attached {
        let frame = stack::push(Frame::shared(self.shared.clone()));
        Attached { frame, here: PhantomData }
    }

    /// Adds a tag to the results made in this scope, as `cache_tag` does in a template: to the page of a request, and
    /// to every result that encloses the scope. Invalidating the tag invalidates these results.
    pub fn tag(&self, tag: impl Into<Arc<str>>) {
        let tag = self.cache.tag(tag.into());
        self.record().tag(tag);
    }

    /// Shortens the lifetime of the results made in this scope, counted from when the scope opened, as `cache_ttl`
    /// does.
    pub fn expire_within(&self, ttl: Duration) {
        let mut record = self.record();
        record.expires = record.expires.min(record.begin.at.saturating_add(nanos(ttl)));
    }

    /// Prevents the results made in this scope from being stored, as `cache_skip` does.
    pub fn skip(&self) {
        self.record().uncacheable = true;
    }

    /// Sets the tracing span that other threads enter together with the scope.
    #[cfg(feature = "http")]
    pub(crate) fn trace_in(&mut self, span: Option<stack::WeakEntered>) {
        self.shared.around = span;
    }

    /// The dependencies gathered so far.
    pub(crate) fn record(&self) -> MutexGuard<'_, Dependencies> {
        lock(&*self.shared.record)
    }

    fn add_to_enclosing(&self) {
        if !stack::is_enclosed() {
            return;
        }
        let inner = self.record().clone();
        stack::gather(|record| record.merge_nested(&inner));
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

#[cfg(all(feature = "axum", feature = "http"))]
impl<S: Sync> axum_core::extract::FromRequestParts<S> for Scope {
    type Rejection = (http::StatusCode, &'static str);

    /// The scope of the request, which an [`http::CacheLayer`](crate::http::CacheLayer) opened.
    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Scope, Self::Rejection> {
        const WITHOUT: &str = "a handler takes the scope of its request, but no CacheLayer is around it";
        parts.extensions.get().cloned().ok_or((http::StatusCode::INTERNAL_SERVER_ERROR, WITHOUT))
    }
}

/// A guard: the scope is entered on this thread until it is dropped; see [`Scope::attach`].
#[must_use = "the scope is left when this is dropped; bind it to a variable, `_` does not keep it"]
#[derive(Debug)]
pub struct Attached {
    frame: FrameId,
    /// The frame is on this thread's stack, so the guard must not be sent to another thread.
    here: PhantomData<*const ()>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        stack::pop(self.frame);
    }
}

struct Polled<'a, F> {
    scope: &'a Scope,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Polled<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _inside = self.scope.attach();
        self.future.as_mut().poll(context)
    }
}
