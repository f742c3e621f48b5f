//! What a page asks the store for, one look-up after the other, so that the next process to render it asks for all at
//! once.
//!
//! A page's first look-up that memory cannot answer also asks for the list of what was asked after it last time, and
//! then reads what is on that list in a second trip. The list is a hint: what it brings is judged like any answer, and
//! what is missing on it is asked for one by one, and put on it when the render ends.

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
/// How many of a render's look-ups get a list: the first one of a page may be a visitor's own.
const LISTS: usize = 4;
/// With less time left a healthy store would seem to fail.
const SHORTEST_TRIP: Duration = Duration::from_millis(1);
/// A trail this old is another render's whose end nobody saw.
const LONGEST_RENDER: Duration = Duration::from_secs(10);

thread_local! {
    static TRAIL: RefCell<Option<ReadAhead>> = const { RefCell::new(None) };
}

/// The look-ups of one render that went to the store.
struct ReadAhead {
    cache: u64,
    page: u64,
    since: Instant,
    /// What of the budget is left.
    left: Duration,
    /// Hashes of identities, in the order they were asked for.
    asked: Vec<u128>,
    /// Which of them took a trip of their own, and the list that was found for each.
    alone: Vec<(usize, Vec<u128>)>,
    /// Read ahead and not asked for yet.
    ahead: HashMap<u128, Option<Vec<u8>>, BuildHasherDefault<Passthrough>>,
}

/// Reads an entry of a page, and ahead what follows; `None` if the store does not answer.
pub(super) fn read(core: &Core, host: &dyn Host, page: u64, hash: u128) -> Option<Option<Vec<u8>>> {
    // Taken out: what is read ahead is not borrowed while the store is asked.
    let mut trail = take(core, page);
    let found = trail.read(core, host, hash);
    put_back(trail);
    found
}

/// Asks on what is left of the render's budget; on a budget of its own outside of a page.
pub(super) fn within<T>(core: &Core, page: Option<u64>, ask: impl FnOnce(Duration) -> Option<T>) -> Option<T> {
    let Some(page) = page else { return ask(core.budget) };
    let mut trail = take(core, page);
    let answer = trail.spend(core, ask);
    put_back(trail);
    answer
}

/// The trail of the render on this thread.
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

/// On a thread that is ending there is nothing to come back to.
fn put_back(trail: ReadAhead) {
    let _ = TRAIL.try_with(|here| here.replace(Some(trail)));
}

/// Waits on what is left of the budget: a render's, on a page.
pub(super) fn on_budget<R>(core: &Core, page: Option<u64>, wait: impl FnOnce(&mut Duration) -> R) -> R {
    let Some(page) = page else { return wait(&mut { core.budget }) };
    let mut trail = take(core, page);
    let waited = wait(&mut trail.left);
    put_back(trail);
    waited
}

/// Keeps what the render that ends on this thread asked for.
pub(super) fn render_ended(core: &Core) {
    let ended = TRAIL.try_with(|trail| trail.borrow_mut().take_if(|trail| trail.cache == core.cache)).ok().flatten();
    let Some(trail) = ended else { return };
    let page = trail.page;
    for (first, list) in trail.lists() {
        core.writer.push(Job::List { name: list_name(page, core.name(first)), bytes: encode(&list) });
    }
}

impl ReadAhead {
    /// What is rendered inside a page is part of it.
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
            // Asked for twice on one page, and not kept in memory: the list has it.
            return Some(self.trip(core, &[core.name(hash)])?.pop().flatten());
        }
        let mut answers = self.trip(core, &[core.name(hash), list_name(self.page, core.name(hash))])?;
        let list = answers.pop().flatten().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        let request: Vec<u128> = list.iter().copied().filter(|next| self.is_news(*next, host)).collect();
        if !request.is_empty() {
            let names: Vec<StoreKey> = request.iter().map(|hash| core.name(*hash)).collect();
            match self.trip(core, &names) {
                Some(found) => self.ahead.extend(request.into_iter().zip(found)),
                // Too much for the budget, it seems: the next one to come asks for less.
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

    /// Whether memory does not hold it, and it was not read ahead.
    fn is_news(&self, hash: u128, host: &dyn Host) -> bool {
        !self.ahead.contains_key(&hash) && !host.holds(hash)
    }

    /// One round trip on what is left of the budget: of all a render asks for, a page waits no longer than that.
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

    /// The lists worth keeping, if what was found did not do.
    fn lists(self) -> impl Iterator<Item = (u128, Vec<u128>)> {
        let wanting = self.alone.len() > 1;
        let asked = self.asked;
        self.alone.into_iter().filter(move |_| wanting).filter_map(move |(at, known)| {
            let (first, after) = asked.get(at..)?.split_first()?;
            let mut list: Vec<u128> = Vec::with_capacity(after.len());
            // What an earlier render asked for stays on the list: it may have been in memory this time.
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
