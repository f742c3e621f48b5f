//! Combining two `Cache-Control` values: the stricter directive wins, and lifetimes can be capped.

use std::time::Duration;

use super::{Audience, CacheControl, shorter, whole_seconds};

impl CacheControl {
    /// Combines two values. Where both have a directive, the stricter one is kept; where one has it, that one.
    ///
    /// `no-store` is stricter than all others, `private` than `public`, and a shorter time than a longer one. A value
    /// without `s-maxage` counts with its `max-age` for shared caches (RFC 9111 §4.2.1). `immutable` is kept only with
    /// the `max-age` that it came with, and `must-understand` unless the other value has `no-store` without it.
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
            self.add_extension(extension.clone());
        }
        self
    }

    /// Limits lifetimes to `remaining`. A lifetime that becomes shorter loses `immutable`. If less than a second
    /// remains, the result is `no-cache` without any time.
    ///
    /// A value without a lifetime gets none.
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

    /// Limits `stale-while-revalidate` and `stale-if-error`. They are removed if the limit is less than a second.
    #[must_use]
    pub fn with_windows_within(mut self, most: Duration) -> CacheControl {
        let most = whole_seconds(most);
        for window in [&mut self.stale_while_revalidate, &mut self.stale_if_error] {
            *window = window.map(|window| window.min(most)).filter(|window| *window > 0);
        }
        self
    }

    /// Whether no cache may store the response, not even one that understands the status code.
    fn forbids_storing(&self) -> bool {
        self.no_store && !self.must_understand
    }
}
