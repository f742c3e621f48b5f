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

use std::time::Instant;

use memcache::exp::{MetaCommandResult, MetaOp, ReturnCode};

use super::exchange::{Batch, Reply};
use super::log::{Log, records};
use super::{MemcachedStore, nonsense, refused, since_1970, token};
use crate::store::{Failure, Known, News};
use crate::sync::lock;

const NAME: &str = "floors";

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
    known: Known,
    base: u64,
}

/// What there is in place of the log.
enum Found {
    Nothing,
    Item { cas: u64, flags: u32, value: Vec<u8> },
}

impl MemcachedStore {
    pub(super) fn sync_floors(&self, known: Known, raise: &[u64], deadline: Instant) -> Result<News, Failure> {
        if raise.is_empty() {
            return match self.unchanged(known, deadline)? {
                Some(news) => Ok(news),
                None => self.append(known, &[], deadline),
            };
        }
        let mut news = News::default();
        for some in raise.chunks(AT_ONCE) {
            news = self.append(known, some, deadline)?;
        }
        Ok(news)
    }

    /// The answer if nothing happened since `known`, for the price of a few bytes.
    fn unchanged(&self, known: Known, deadline: Instant) -> Result<Option<News>, Failure> {
        let Some(seen) = lock(&self.seen).filter(|seen| seen.known == known) else { return Ok(None) };
        let mut batch = self.batch();
        batch.push(MetaOp::Get, &self.log_key(), &["c", "f", "k"], None);
        let reply = self.only_reply("look at the floors on", &batch, deadline)?;
        let same = reply.cas == Some(seen.cas) && reply.client_flags == Some(seen.flags);
        Ok(same.then(|| news(known, seen.base, Vec::new())))
    }

    /// Appends records, if any, and reads the log, made if need be.
    fn append(&self, known: Known, raise: &[u64], deadline: Instant) -> Result<News, Failure> {
        for attempt in 0..ATTEMPTS {
            let (appended, found) = self.append_and_read(raise, deadline)?;
            let Found::Item { cas, flags, value } = found else {
                self.put(&Log::fresh(), "ME", deadline)?;
                continue;
            };
            let swap = format!("C{cas}");
            match Log::parse(&value) {
                // Made by somebody else just before it was read; but if it happens again, it is full (`-I`).
                Some(_) if !appended && attempt == 0 => {}
                Some(log) if !appended => self.put(&log.keep(log.len() / 2), &swap, deadline)?,
                Some(log) if known.epoch != log.epoch || known.seq <= log.seq() => {
                    let now = Known { epoch: log.epoch, seq: log.seq() };
                    *lock(&self.seen) = Some(Seen { cas, flags, known: now, base: log.base });
                    if log.len() > MOST {
                        // Whoever comes next tries again if it failed.
                        let _ = self.put(&log.keep(KEPT), &swap, deadline);
                    }
                    return Ok(news(now, log.base, log.since(known)));
                }
                // No log, or one that knows less than it once told: floors are lost.
                _ => self.put(&Log::fresh(), &swap, deadline)?,
            }
        }
        Err(refused("keep the floors", "the log cannot be made, or is always being changed"))
    }

    /// Whether all was appended, and what there is afterwards.
    fn append_and_read(&self, raise: &[u64], deadline: Instant) -> Result<(bool, Found), Failure> {
        let what = "sync the floors on";
        let mut batch = self.batch();
        if !raise.is_empty() {
            batch.push(MetaOp::Set, &self.log_key(), &["MA"], Some(&records(raise)));
        }
        batch.push(MetaOp::Get, &self.log_key(), &["v", "c", "f", "k"], None);
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
    pub(super) fn put(&self, log: &Log, condition: &str, deadline: Instant) -> Result<(), Failure> {
        let flags = format!("F{}", log.epoch as u32);
        let mut batch = self.batch();
        batch.push(MetaOp::Set, &self.log_key(), &["T0", &flags, condition], Some(&log.encode()));
        self.only_reply("store the floors on", &batch, deadline).map(drop)
    }

    fn only_reply(&self, what: &str, batch: &Batch, deadline: Instant) -> Result<MetaCommandResult, Failure> {
        result(self.servers.ask_one(what, batch, deadline)?.pop(), what)
    }

    fn batch(&self) -> Batch {
        Batch::new(self.servers.choose(NAME.as_bytes()))
    }

    fn log_key(&self) -> String {
        format!("{}{NAME}", self.prefix)
    }
}

fn result(reply: Option<Reply>, what: &str) -> Result<MetaCommandResult, Failure> {
    reply.ok_or_else(|| nonsense(what))?.map_err(|message| refused("keep the floors", &message))
}

fn news(known: Known, base: u64, floors: Vec<(u64, u64)>) -> News {
    let now = u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX);
    News { epoch: known.epoch, seq: known.seq, base, floors, now }
}
