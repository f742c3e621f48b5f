//! When renders on a thread began, as far as anybody can tell: MiniJinja does not say when one ends, so what is long
//! past is taken for another render's.

use crate::clock::Nanos;
use crate::record::Begin;

/// How long a render without a scope may take from its first look-up to its first block, in nanoseconds.
const LONGEST_RENDER: Nanos = 10_000_000_000;

/// When something began, by cache. Nearly always there is one.
#[derive(Debug, Clone)]
pub(crate) struct Began {
    first: Option<(u64, Begin)>,
    others: Vec<(u64, Begin)>,
}

impl Began {
    pub(crate) const fn none() -> Began {
        Began { first: None, others: Vec::new() }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, Begin)> + '_ {
        self.first.iter().chain(&self.others).copied()
    }

    pub(crate) fn of(&self, cache: u64) -> Option<Begin> {
        self.all().find(|(of, _)| *of == cache).map(|(_, begin)| begin)
    }

    pub(crate) fn set(&mut self, cache: u64, begin: Begin) {
        match self.first.iter_mut().chain(&mut self.others).find(|(of, _)| *of == cache) {
            Some((_, known)) => *known = begin,
            None => self.note(cache, begin),
        }
    }

    pub(crate) fn note(&mut self, cache: u64, begin: Begin) {
        match self.first {
            None => self.first = Some((cache, begin)),
            Some(_) => self.others.push((cache, begin)),
        }
    }

    /// When it began, unless that is long past.
    pub(crate) fn recent(&self, cache: u64, now: Begin) -> Option<Begin> {
        self.of(cache).filter(|begin| now.at.saturating_sub(begin.at) <= LONGEST_RENDER)
    }

    /// Starts over where what is known of this cache is long past.
    pub(crate) fn forget_if_long_past(&mut self, cache: u64, now: Begin) {
        if self.of(cache).is_some() && self.recent(cache, now).is_none() {
            *self = Began::none();
        }
    }
}
