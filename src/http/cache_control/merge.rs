//! Which of two `Cache-Control` is the stricter, and how a lifetime is cut.
//!
//! Owns the rules of merging. Leaves to the layer what it merges: a handler's word with a default, a page with its
//! fragments.

use std::time::Duration;

use super::{Audience, CacheControl, shorter, whole_seconds};

impl CacheControl {
    /// Both at once: where they differ, the stricter counts; where one is silent, the other speaks alone.
    ///
    /// `no-store` beats everything, `private` beats `public`, what restricts is kept, and times are the shorter of
    /// both. A side without `s-maxage` speaks of shared caches by its `max-age` (RFC 9111 §4.2.1). `immutable` stays
    /// only if the lifetime it was said with stays, `must-understand` unless the other side says `no-store` without
    /// it.
    #[must_use]
    pub fn tightened_by(mut self, other: &CacheControl) -> CacheControl {
        let max_age = shorter(self.max_age, other.max_age);
        let immutable = |side: &CacheControl| side.immutable && side.max_age == max_age;
        self.immutable = immutable(&self) || immutable(other);
        if self.s_maxage.is_some() || other.s_maxage.is_some() {
            self.s_maxage = shorter(self.effective_seconds(), other.effective_seconds());
        }
        self.max_age = max_age;
        self.stale_while_revalidate = shorter(self.stale_while_revalidate, other.stale_while_revalidate);
        self.stale_if_error = shorter(self.stale_if_error, other.stale_if_error);

        self.audience = match (self.audience, other.audience) {
            (Some(Audience::Private), _) | (_, Some(Audience::Private)) => Some(Audience::Private),
            (one, another) => one.or(another),
        };
        self.must_understand =
            (self.must_understand || other.must_understand) && !self.forbids_storing() && !other.forbids_storing();
        self.no_store |= other.no_store;
        self.no_cache |= other.no_cache;
        self.must_revalidate |= other.must_revalidate;
        self.proxy_revalidate |= other.proxy_revalidate;
        self.no_transform |= other.no_transform;

        for extension in &other.extensions {
            self.keep(extension.clone());
        }
        self
    }

    /// With no lifetime above what remains. A lifetime that is cut takes `immutable` with it. If less than a second
    /// remains, caches must ask before each use: `no-cache`, without any time.
    ///
    /// A response without lifetime gets none.
    #[must_use]
    pub fn capped_at(mut self, remaining: Duration) -> CacheControl {
        let most = whole_seconds(remaining);
        if most == 0 {
            self.no_cache = true;
            self.immutable = false;
            self.max_age = None;
            self.s_maxage = None;
            self.stale_while_revalidate = None;
            self.stale_if_error = None;
            return self;
        }
        for lifetime in [&mut self.max_age, &mut self.s_maxage].into_iter().flatten() {
            if *lifetime > most {
                *lifetime = most;
                self.immutable = false;
            }
        }
        self
    }

    /// With no window for stale answers above this; without any, if it is less than a second.
    #[must_use]
    pub fn with_windows_within(mut self, most: Duration) -> CacheControl {
        let most = whole_seconds(most);
        for window in [&mut self.stale_while_revalidate, &mut self.stale_if_error] {
            *window = window.map(|window| window.min(most)).filter(|window| *window > 0);
        }
        self
    }

    /// `no-store` for every cache, with no way out for those that know the status code.
    fn forbids_storing(&self) -> bool {
        self.no_store && !self.must_understand
    }
}
