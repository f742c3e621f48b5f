//! Floors in memcached: raised by appending to the log, learned by looking whether it changed.
//!
//! What the log looks like is `log.rs`. All processes must use the same one, so it has one server and no second one
//! to fall back to.
//!
//! Memcached numbers changes of an item (compare-and-swap), but a server that was restarted begins at 1 again:
//!
//! 1. A sees the log with number 2.
//! 2. The server restarts; B makes the log (1) and appends to it (2).
//! 3. A looks again: 2, as before, though the epoch is another and B's invalidation is in it.
//!
//! Therefore an item carries part of its epoch as its client flags, which appending leaves alone, and nothing has
//! changed only if these are the same as well.

use std::time::{Duration, Instant};

use memcache::exp::{MetaCommandResult, MetaOp, ReturnCode};

use super::exchange::{Batch, Reply};
use super::log::{Log, records};
use super::{MemcachedStore, nonsense, refused, token};
use crate::store::{FloorUpdate, StoreFailure, SyncPosition};
use crate::sync::lock;

const NAME: &str = "floors";

/// The item with the time of the nodes' clocks, in decimal digits, on the same server, and how often it is read and
/// written. A node that starts on a machine whose clock was set back may be behind the others by as much.
const CLOCK: &str = "clock";
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// More records than this are too many, and then this many are kept.
const MOST: usize = 8192;
const KEPT: usize = 4096;

/// The most records that are appended at once, so that they find room in an item.
const AT_ONCE: usize = 1024;

/// Each time somebody else may have changed the log in between; they do not do so for ever.
const ATTEMPTS: usize = 6;

/// What the log was when it was last read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    cas: u64,
    flags: u32,
    known: SyncPosition,
    base: u64,
}

/// What there is in place of the log.
enum Found {
    Nothing,
    Item { cas: u64, flags: u32, value: Vec<u8> },
}

impl MemcachedStore {
    pub(super) fn sync_floors(
        &self,
        known: SyncPosition,
        raise: &[u64],
        deadline: Instant,
    ) -> Result<FloorUpdate, StoreFailure> {
        let unchanged = if raise.is_empty() { self.unchanged(known, deadline)? } else { None };
        let mut news = match unchanged {
            Some(news) => news,
            None => self.changed(known, raise, deadline)?,
        };
        // The address may lead to another server, and some connections still to the one before.
        if known.epoch != 0 && news.epoch != known.epoch {
            self.servers.pool(self.servers.choose(NAME.as_bytes())).renew();
        }
        news.now = self.time(deadline)?;
        Ok(news)
    }

    fn changed(&self, known: SyncPosition, raise: &[u64], deadline: Instant) -> Result<FloorUpdate, StoreFailure> {
        let mut chunks = raise.chunks(AT_ONCE);
        let mut news = self.append(known, chunks.next().unwrap_or_default(), deadline)?;
        for chunk in chunks {
            let epoch = std::mem::replace(&mut news, self.append(known, chunk, deadline)?).epoch;
            if news.epoch != epoch {
                return Err(refused("keep the floors", "the log was replaced in between"));
            }
        }
        Ok(news)
    }

    /// The time, which no node's clock sets back.
    fn time(&self, deadline: Instant) -> Result<u64, StoreFailure> {
        let mut asked = lock(&self.clock_asked);
        if asked.is_some_and(|asked| asked.elapsed() < CLOCK_EVERY) {
            return Ok(self.clock.at_least(0));
        }
        // Also to servers that were down: no page is the first to connect.
        (0..self.servers.all.len()).for_each(|server| self.servers.pool(server).prepare());
        let mut batch = self.batch();
        batch.push(MetaOp::Get, &self.item_key(CLOCK), &["v"], None);
        let reply = self.only_reply("look at the clock on", &batch, deadline)?;
        let text = reply.value.and_then(|value| String::from_utf8(value).ok());
        let now = self.clock.at_least(text.and_then(|text| text.parse().ok()).unwrap_or_default());
        let mut batch = self.batch();
        batch.push(MetaOp::Set, &self.item_key(CLOCK), &["T0"], Some(now.to_string().as_bytes()));
        self.only_reply("set the clock on", &batch, deadline)?;
        *asked = Some(Instant::now());
        Ok(now)
    }

    /// The answer if nothing happened since `known`, for the price of a few bytes.
    fn unchanged(&self, known: SyncPosition, deadline: Instant) -> Result<Option<FloorUpdate>, StoreFailure> {
        let Some(seen) = lock(&self.seen).filter(|seen| seen.known == known) else { return Ok(None) };
        let mut batch = self.batch();
        batch.push(MetaOp::Get, &self.item_key(NAME), &["c", "f", "k"], None);
        let reply = self.only_reply("look at the floors on", &batch, deadline)?;
        let same = reply.cas == Some(seen.cas) && reply.client_flags == Some(seen.flags);
        Ok(same.then(|| FloorUpdate { epoch: known.epoch, seq: known.seq, base: seen.base, ..FloorUpdate::default() }))
    }

    /// Appends records, if any, and reads the log, made if need be.
    fn append(&self, known: SyncPosition, raise: &[u64], deadline: Instant) -> Result<FloorUpdate, StoreFailure> {
        let mut begun = 0;
        for attempt in 0..ATTEMPTS {
            let (appended, found) = self.append_and_read(raise, deadline)?;
            let Found::Item { cas, flags, value } = found else {
                begun = known.next_epoch();
                self.put(&Log::new(begun), "ME", deadline)?;
                continue;
            };
            let swap = format!("C{cas}");
            match Log::parse(&value) {
                // Made by somebody else just before it was read; but if it happens again, it is full (`-I`).
                Some(_) if !appended && attempt == 0 => {}
                Some(log) if !appended => self.put(&log.keep(log.len() / 2), &swap, deadline)?,
                Some(log) if known.accepts(log.epoch, log.seq()) => {
                    let (epoch, seq, base) = (log.epoch, log.seq(), log.base);
                    *lock(&self.seen) = Some(Seen { cas, flags, known: SyncPosition { epoch, seq }, base });
                    if log.len() > MOST {
                        // Whoever comes next tries again if it failed.
                        let _ = self.put(&log.keep(KEPT), &swap, deadline);
                    }
                    let (begun, floors) = (epoch == begun, log.since(known));
                    return Ok(FloorUpdate { epoch, begun, seq, base, floors, ..FloorUpdate::default() });
                }
                // No log, or one that knows less than it once told: floors are lost. Or one of an epoch that was left.
                _ => {
                    begun = known.next_epoch();
                    self.put(&Log::new(begun), &swap, deadline)?;
                }
            }
        }
        Err(refused("keep the floors", "the log cannot be made, or is always being changed"))
    }

    /// Whether all was appended, and what there is afterwards.
    fn append_and_read(&self, raise: &[u64], deadline: Instant) -> Result<(bool, Found), StoreFailure> {
        let what = "sync the floors on";
        let mut batch = self.batch();
        if !raise.is_empty() {
            batch.push(MetaOp::Set, &self.item_key(NAME), &["MA"], Some(&records(raise)));
        }
        batch.push(MetaOp::Get, &self.item_key(NAME), &["v", "c", "f", "k"], None);
        let mut replies = self.servers.ask_one(what, &batch, deadline)?;
        let read = result(replies.pop(), what)?;
        let appended = match replies.pop() {
            None => true,
            // No room comes as an error or as "not stored", as does no item.
            Some(reply) => reply.is_ok_and(|reply| reply.rc == ReturnCode::Hd),
        };
        match (read.rc, read.value, read.client_flags) {
            (ReturnCode::En, ..) => Ok((appended, Found::Nothing)),
            (_, Some(value), Some(flags)) => Ok((appended, Found::Item { cas: token(read.cas)?, flags, value })),
            _ => Err(nonsense(what)),
        }
    }

    /// Stores a log, on the condition that nobody else did: they may have, which shows when it is read.
    pub(super) fn put(&self, log: &Log, condition: &str, deadline: Instant) -> Result<(), StoreFailure> {
        let flags = format!("F{}", log.epoch as u32);
        let mut batch = self.batch();
        batch.push(MetaOp::Set, &self.item_key(NAME), &["T0", &flags, condition], Some(&log.encode()));
        self.only_reply("store the floors on", &batch, deadline).map(drop)
    }

    fn only_reply(&self, what: &str, batch: &Batch, deadline: Instant) -> Result<MetaCommandResult, StoreFailure> {
        result(self.servers.ask_one(what, batch, deadline)?.pop(), what)
    }

    fn batch(&self) -> Batch {
        Batch::new(self.servers.choose(NAME.as_bytes()))
    }

    fn item_key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn result(reply: Option<Reply>, what: &str) -> Result<MetaCommandResult, StoreFailure> {
    reply.ok_or_else(|| nonsense(what))?.map_err(|message| refused("keep the floors", &message))
}
