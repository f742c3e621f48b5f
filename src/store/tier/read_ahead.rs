//! Read-ahead: reads the entries that a page used last time in one round trip, instead of one after the other.
//!
//! The first look-up of a page that memory cannot answer also reads the list of the look-ups that followed it in an
//! earlier render. A second round trip reads the entries on that list. The list is a hint: its entries are checked like
//! any others in `fetch.rs`. An entry that is not on it is read by itself, and added to the list when the render ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::core::Core;
use super::jobs::Job;
use crate::key::identity::Passthrough;
use crate::store::StoreKey;
use crate::store::host::Host;
use crate::telemetry::stats::Counter;

const MAGIC: [u8; 4] = *b"MJFP";
/// Look-ups on one list.
const LONGEST: usize = 256;
/// The number of look-ups of a render that have a list. More than one, because the first look-up of a page may be
/// specific to a visitor.
const LISTS: usize = 4;
/// With less time left, a store call is skipped: a healthy store would seem to fail.
const SHORTEST_TRIP: Duration = Duration::from_millis(1);
/// State older than this belongs to another render, whose end was not seen.
const LONGEST_RENDER: Duration = Duration::from_secs(10);

thread_local! {
    static TRAIL: RefCell<Option<ReadAhead>> = const { RefCell::new(None) };
}

/// The look-ups of one render that were sent to the store.
struct ReadAhead {
    cache: u64,
    page: u64,
    since: Instant,
    /// The remaining budget.
    left: Duration,
    /// Hashes of identities, in the order of the look-ups.
    asked: Vec<u128>,
    /// The look-ups that took a round trip of their own, by index in `asked`, each with the list that was found for it.
    alone: Vec<(usize, Vec<u128>)>,
    /// Values that were read ahead and not looked up yet.
    ahead: HashMap<u128, Option<Vec<u8>>, BuildHasherDefault<Passthrough>>,
}

/// Reads an entry of a page, and ahead the entries that follow it. `None` if the store does not reply.
pub(super) fn read(core: &Core, host: &dyn Host, page: u64, hash: u128) -> Option<Option<Vec<u8>>> {
    // Taken out of the thread-local, so that it is not borrowed during the store call.
    let mut trail = take(core, page);
    let found = trail.read(core, host, hash);
    put_back(trail);
    found
}

/// Calls the store within the remaining budget of the render; outside of a page, within a budget of its own.
pub(super) fn within<T>(core: &Core, page: Option<u64>, ask: impl FnOnce(Duration) -> Option<T>) -> Option<T> {
    let Some(page) = page else { return ask(core.budget) };
    let mut trail = take(core, page);
    let answer = trail.spend(core, ask);
    put_back(trail);
    answer
}

/// The read-ahead state of the render on this thread.
fn take(core: &Core, page: u64) -> ReadAhead {
    let under_way = TRAIL.try_with(RefCell::take).ok().flatten();
    under_way.filter(|trail| trail.is_of(core.cache)).unwrap_or_else(|| ReadAhead {
        cache: core.cache,
        page,
        since: Instant::now(),
        left: core.budget,
        asked: Vec::new(),
        alone: Vec::new(),
        ahead: HashMap::default(),
    })
}

/// If the thread is ending, there is no later look-up to store the state for.
fn put_back(trail: ReadAhead) {
    let _ = TRAIL.try_with(|here| here.replace(Some(trail)));
}

/// Waits within the remaining budget: that of the render, on a page.
pub(super) fn on_budget<R>(core: &Core, page: Option<u64>, wait: impl FnOnce(&mut Duration) -> R) -> R {
    let Some(page) = page else { return wait(&mut { core.budget }) };
    let mut trail = take(core, page);
    let waited = wait(&mut trail.left);
    put_back(trail);
    waited
}

/// Stores the lists of the render that ends on this thread.
pub(super) fn render_ended(core: &Core) {
    let ended = TRAIL.try_with(|trail| trail.borrow_mut().take_if(|trail| trail.cache == core.cache)).ok().flatten();
    let Some(trail) = ended else { return };
    let page = trail.page;
    for (first, list) in trail.lists() {
        core.writer.push(Job::List { name: list_name(page, core.name(first)), bytes: encode(&list) });
    }
}

impl ReadAhead {
    /// A render inside a page is part of the page, so `page` is not compared.
    fn is_of(&self, cache: u64) -> bool {
        self.cache == cache && self.since.elapsed() < LONGEST_RENDER
    }

    fn read(&mut self, core: &Core, host: &dyn Host, hash: u128) -> Option<Option<Vec<u8>>> {
        let at = self.asked.len();
        if at < LONGEST * LISTS {
            self.asked.push(hash);
        }
        if let Some(found) = self.ahead.remove(&hash) {
            return Some(found);
        }
        if self.asked[..at].contains(&hash) {
            // The second look-up of one identity on a page, which memory did not store. The list already has it.
            return Some(self.trip(core, &[core.name(hash)])?.pop().flatten());
        }
        let mut answers = self.trip(core, &[core.name(hash), list_name(self.page, core.name(hash))])?;
        let list = answers.pop().flatten().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        let request: Vec<u128> = list.iter().copied().filter(|next| self.is_news(*next, host)).collect();
        if !request.is_empty() {
            let names: Vec<StoreKey> = request.iter().map(|hash| core.name(*hash)).collect();
            match self.trip(core, &names) {
                Some(found) => self.ahead.extend(request.into_iter().zip(found)),
                // The list probably takes longer than the budget. Store half of it, so that the next render reads less.
                None => {
                    let name = list_name(self.page, core.name(hash));
                    core.writer.push(Job::List { name, bytes: encode(&list[..list.len() / 2]) });
                }
            }
        }
        if self.alone.len() < LISTS {
            self.alone.push((at, list));
        }
        Some(answers.pop().flatten())
    }

    /// Whether an entry is neither in memory nor read ahead.
    fn is_news(&self, hash: u128, host: &dyn Host) -> bool {
        !self.ahead.contains_key(&hash) && !host.holds(hash)
    }

    /// One round trip within the remaining budget. A page waits no longer than its budget for all its look-ups
    /// together.
    fn trip(&mut self, core: &Core, names: &[StoreKey]) -> Option<Vec<Option<Vec<u8>>>> {
        self.spend(core, |left| core.read(names, left))
    }

    fn spend<T>(&mut self, core: &Core, ask: impl FnOnce(Duration) -> Option<T>) -> Option<T> {
        if self.left < SHORTEST_TRIP {
            core.events.count(Counter::shared_skips);
            return None;
        }
        let start = Instant::now();
        let answer = ask(self.left);
        self.left = self.left.saturating_sub(start.elapsed());
        answer
    }

    /// The lists to store, if the lists that were found did not cover the render.
    fn lists(self) -> impl Iterator<Item = (u128, Vec<u128>)> {
        let wanting = self.alone.len() > 1;
        let asked = self.asked;
        self.alone.into_iter().filter(move |_| wanting).filter_map(move |(at, known)| {
            let (first, after) = asked.get(at..)?.split_first()?;
            let mut list: Vec<u128> = Vec::with_capacity(after.len());
            // Look-ups of an earlier render stay on the list: their entries may have been in memory this time.
            for hash in after.iter().chain(&known).filter(|hash| *hash != first) {
                if list.len() < LONGEST && !list.contains(hash) {
                    list.push(*hash);
                }
            }
            (!list.is_empty()).then_some((*first, list))
        })
    }
}

fn list_name(page: u64, first: StoreKey) -> StoreKey {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&page.to_le_bytes());
    bytes[8..].copy_from_slice(&first.to_le_bytes());
    xxh3_128(&bytes)
}

fn encode(list: &[u128]) -> Vec<u8> {
    let hashes: Vec<u8> = list.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    [&MAGIC[..], &xxh3_64(&hashes).to_le_bytes(), &hashes].concat()
}

fn decode(bytes: &[u8]) -> Option<Vec<u128>> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (checksum, hashes) = rest.split_first_chunk()?;
    if u64::from_le_bytes(*checksum) != xxh3_64(hashes) || hashes.len() > LONGEST * 16 {
        return None;
    }
    let (hashes, rest) = hashes.as_chunks();
    rest.is_empty().then(|| hashes.iter().map(|hash| u128::from_le_bytes(*hash)).collect())
}
