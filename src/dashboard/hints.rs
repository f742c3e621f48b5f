//! Hints for operators: whether caching a fragment pays, judged by its statistics.

use std::time::Duration;

use super::format;
use crate::telemetry::FragmentStats;

/// How a hint is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Idle,
    Bad,
}

impl Tone {
    pub(super) fn name(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Idle => "idle",
            Tone::Bad => "bad",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) tone: Tone,
    pub(super) words: String,
}

/// A fragment with fewer look-ups gets no hint.
const ENOUGH: u64 = 20;

/// Keys that are looked up only once get a hint from this number on. A catalogue that is read for the first time has
/// many of them.
const MANY: u64 = 10_000;

/// A computation that takes less time is hardly worth a look-up.
const CHEAP: Duration = Duration::from_micros(20);

/// The first hint that applies. Problems come before praise.
pub(super) fn of(stats: &FragmentStats) -> Option<Hint> {
    if stats.differing > 0 {
        return hint(Tone::Bad, "Hits are not what computing them again gives: is something missing in its key?");
    }
    if stats.lookups() < ENOUGH {
        return None;
    }
    unstored(stats).or_else(|| evicted(stats)).or_else(|| worth(stats))
}

/// A hint if results are rarely stored.
fn unstored(stats: &FragmentStats) -> Option<Hint> {
    let computed = stats.renders + stats.errors;
    if stats.errors * 10 > computed {
        let share = share(stats.errors, computed);
        return hint(Tone::Bad, format!("{share} of computations fail: errors are not cached"));
    }
    if most(stats.rejected, stats.renders) {
        let share = share(stats.rejected, stats.renders);
        return hint(Tone::Bad, format!("{share} of results are not stored: look for the reason under misses"));
    }
    if most(stats.bypasses, stats.lookups()) {
        return hint(Tone::Idle, "Mostly not asked for in the cache: its condition, lifetime or request says so");
    }
    None
}

/// A hint if entries are evicted too early.
fn evicted(stats: &FragmentStats) -> Option<Hint> {
    let stored = stats.renders.saturating_sub(stats.rejected);
    if stats.evicted < ENOUGH / 2 || stats.hit_ratio() >= 0.9 || !most(stats.evicted, stored) {
        return None;
    }
    if stats.hit_ratio() < 0.5 && most(stats.evicted_unused, stored) {
        return hint(Tone::Bad, "Evicted before anybody used it: more memory, or do not cache it");
    }
    let age = stats.age_at_eviction.map(format::span).unwrap_or_default();
    hint(Tone::Bad, format!("Evicted at the age of {age}: more memory would keep it longer"))
}

/// A hint by the hit ratio and the cost of a computation.
fn worth(stats: &FragmentStats) -> Option<Hint> {
    // No cache can answer the first look-up of a key, so first look-ups are not counted.
    let again = stats.lookups() - stats.first_misses.min(stats.lookups());
    let ratio = stats.answered() as f64 / again.max(1) as f64;
    // The cost is unknown if all results came from the shared tier.
    let cheap = mean_cost(stats).is_some_and(|cost| cost < CHEAP);
    match (again >= ENOUGH && ratio < 0.2, cheap) {
        _ if stats.renders == 0 && ratio < 0.2 => None,
        (true, true) => hint(Tone::Idle, "Rarely hit and cheap to compute: not worth caching"),
        (true, false) => hint(Tone::Bad, "Rarely hit: is its lifetime short, or do invalidations reach too far?"),
        _ if stats.first_misses >= MANY && again < stats.first_misses / 10 => {
            hint(Tone::Idle, "Its keys hardly come twice: do they hold what differs each time?")
        }
        (false, true) => hint(Tone::Idle, "Cheap to compute: caching it saves little"),
        (false, false) if ratio >= 0.5 && stats.render_time_saved > stats.render_time => {
            hint(Tone::Good, "Worth caching")
        }
        (false, false) => None,
    }
}

/// The mean time of a computation.
pub(super) fn mean_cost(stats: &FragmentStats) -> Option<Duration> {
    let nanos = stats.render_time.as_nanos().checked_div(u128::from(stats.renders))?;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

fn hint(tone: Tone, words: impl Into<String>) -> Option<Hint> {
    Some(Hint { tone, words: words.into() })
}

fn most(part: u64, whole: u64) -> bool {
    part * 2 > whole
}

fn share(part: u64, whole: u64) -> String {
    format::percent(part as f64 / whole.max(1) as f64)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{FragmentCache, Options};

    /// The hint for a fragment that would get none, after a change of its statistics.
    fn stats(change: impl FnOnce(&mut FragmentStats)) -> Option<Hint> {
        let cache = FragmentCache::builder().build().unwrap();
        cache.get_or_set("k", Options::default(), || Ok::<_, Infallible>("x")).unwrap();
        let mut stats = cache.fragment_stats().remove(0);
        (stats.hits, stats.misses, stats.renders) = (30, 70, 70);
        (stats.render_time, stats.render_time_saved) = (Duration::from_millis(70), Duration::from_millis(30));
        change(&mut stats);
        of(&stats)
    }

    fn says(tone: Tone, words: &str, change: impl FnOnce(&mut FragmentStats)) {
        let hint = stats(change).unwrap_or_else(|| panic!("nothing instead of {words}"));
        assert!(hint.tone == tone && hint.words.contains(words), "{hint:?} instead of {words}");
    }

    #[test]
    fn a_hint_says_what_is_worth_caching_and_what_is_not() {
        assert_eq!(stats(|_| {}), None);
        assert_eq!(stats(|it| (it.hits, it.misses) = (1, 5)), None);
        says(Tone::Good, "Worth caching", |it| {
            (it.hits, it.misses) = (900, 100);
            it.render_time_saved = Duration::from_secs(1);
        });
        says(Tone::Idle, "Rarely hit and cheap", |it| {
            (it.hits, it.misses) = (3, 97);
            it.render_time = Duration::from_micros(200);
        });
        says(Tone::Bad, "Rarely hit: is its lifetime short", |it| (it.hits, it.misses) = (3, 97));
        says(Tone::Idle, "saves little", |it| {
            (it.hits, it.misses) = (900, 100);
            it.render_time = Duration::from_micros(200);
        });
    }

    #[test]
    fn the_first_look_up_of_a_key_does_not_count() {
        // A cold start: no key was looked up twice, or too few to judge.
        assert_eq!(stats(|it| (it.hits, it.misses, it.first_misses) = (0, 100, 100)), None);
        assert_eq!(stats(|it| (it.hits, it.misses, it.first_misses) = (1, 118, 100)), None);
        says(Tone::Bad, "Rarely hit", |it| (it.hits, it.misses, it.first_misses) = (1, 119, 100));
        says(Tone::Good, "Worth caching", |it| {
            (it.hits, it.misses, it.first_misses) = (40, 500, 500);
            it.render_time_saved = Duration::from_secs(1);
        });
        // Thousands of keys, and hardly one was looked up again.
        says(Tone::Idle, "hardly come twice", |it| (it.hits, it.misses, it.first_misses) = (9, 12_000, 12_000));
        assert_eq!(stats(|it| (it.hits, it.misses, it.first_misses) = (9, 5_000, 5_000)), None);
    }

    #[test]
    fn results_of_other_nodes_are_judged_by_the_time_they_saved() {
        assert_eq!(stats(|it| (it.hits, it.misses, it.renders) = (0, 100, 0)), None);
        says(Tone::Good, "Worth caching", |it| {
            (it.shared_hits, it.misses, it.renders) = (100, 0, 0);
            (it.render_time, it.render_time_saved) = (Duration::ZERO, Duration::from_secs(1));
        });
    }

    #[test]
    fn problems_come_first() {
        says(Tone::Bad, "Evicted before anybody used it", |it| (it.evicted, it.evicted_unused) = (60, 50));
        says(Tone::Bad, "at the age of 5 s", |it| {
            // A high hit ratio is worth the memory, even if many entries are never used.
            (it.evicted, it.evicted_unused, it.hits) = (60, 50, 80);
            it.age_at_eviction = Some(Duration::from_secs(5));
        });
        says(Tone::Bad, "57.1 % of results are not stored", |it| (it.rejected, it.evicted_unused) = (40, 70));
        says(Tone::Bad, "fail", |it| (it.errors, it.rejected) = (30, 40));
        says(Tone::Idle, "Mostly not asked for", |it| it.bypasses = 200);
        says(Tone::Bad, "missing in its key", |it| (it.hits, it.differing, it.errors) = (1, 1, 30));
    }
}
