//! The record of invalidations in memcached: a log that is appended to, and checked for changes.
//!
//! The format of the log is `invalidation_log.rs`. All processes must use the same log, so it is on one server and has
//! no replacement on another.
//!
//! Memcached numbers the changes of an item (compare-and-swap), but a restarted server starts at 1 again:
//!
//! 1. Node A reads the log with number 2.
//! 2. The server restarts. Node B creates the log (1) and appends to it (2).
//! 3. A checks again and finds 2, as before, although the epoch is another and the log has B's invalidation.
//!
//! Therefore the item's client flags hold part of its epoch. Appending does not change them. The log is unchanged only
//! if both the number and the flags are the same.

use std::time::{Duration, Instant};

use memcache::exp::{MetaCommandResult, MetaOp, ReturnCode};

use super::batch::{CommandBatch, MetaReply};
use super::client::{Client, accepted, cas_number, invalid_reply, refused};
use super::invalidation_log::{InvalidationLog, records};
use crate::store::store_clock::StoreClock;
use crate::store::{FloorUpdate, StoreFailure, SyncPosition};
use crate::util::sync::{Mutex, lock};

const LOG: &str = "floors";

/// The item with the time of the nodes' clocks, in decimal digits, on the server of the log. A node that starts on a
/// machine whose clock was set back may be behind the others by up to the interval of reading and writing it.
const CLOCK: &str = "clock";
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// A log of more records is cut to the newest ones.
const MAX_RECORDS: usize = 8192;
const KEPT_RECORDS: usize = 4096;

/// The most records that are appended at once, so that they fit into an item.
const MAX_APPEND: usize = 1024;

/// How often to try while other nodes change the log in between.
const ATTEMPTS: usize = 6;

/// A node's view of the log.
#[derive(Debug)]
pub(super) struct FloorLog {
    last_read: Mutex<Option<LogVersion>>,
    clock: StoreClock,
    clock_read: Mutex<Option<Instant>>,
}

/// Identifies the content of the log when it was last read.
#[derive(Debug, Clone, Copy)]
struct LogVersion {
    cas: u64,
    flags: u32,
    position: SyncPosition,
    base: u64,
}

/// The item under the log's key.
enum LogItem {
    Missing,
    Stored { cas: u64, flags: u32, value: Vec<u8> },
}

impl FloorLog {
    pub(super) fn new() -> FloorLog {
        FloorLog { last_read: Mutex::default(), clock: StoreClock::new(), clock_read: Mutex::default() }
    }

    pub(super) fn sync(
        &self,
        client: &Client,
        known: SyncPosition,
        raise: &[u64],
        deadline: Instant,
    ) -> Result<FloorUpdate, StoreFailure> {
        let unchanged = if raise.is_empty() { self.if_unchanged(client, known, deadline)? } else { None };
        let mut update = match unchanged {
            Some(update) => update,
            None => self.append_all(client, known, raise, deadline)?,
        };
        // The address may lead to another server while some connections are still to the old one.
        if known.epoch != 0 && update.epoch != known.epoch {
            client.servers.pool(client.servers.choose(LOG.as_bytes())).renew();
        }
        update.now = self.time(client, deadline)?;
        Ok(update)
    }

    /// An update without floors if nothing was appended since `known`. It costs a few bytes on the network.
    fn if_unchanged(
        &self,
        client: &Client,
        known: SyncPosition,
        deadline: Instant,
    ) -> Result<Option<FloorUpdate>, StoreFailure> {
        let Some(last) = lock(&self.last_read).filter(|last| last.position == known) else { return Ok(None) };
        let mut batch = new_batch(client);
        batch.push(MetaOp::Get, &client.named_key(LOG), &["c", "f", "k"], None);
        let reply = only_reply(client, "look at the floors on", &batch, deadline)?;
        let same = reply.cas == Some(last.cas) && reply.client_flags == Some(last.flags);
        Ok(same.then(|| FloorUpdate { epoch: known.epoch, seq: known.seq, base: last.base, ..FloorUpdate::default() }))
    }

    fn append_all(
        &self,
        client: &Client,
        known: SyncPosition,
        raise: &[u64],
        deadline: Instant,
    ) -> Result<FloorUpdate, StoreFailure> {
        let mut chunks = raise.chunks(MAX_APPEND);
        let mut update = self.append(client, known, chunks.next().unwrap_or_default(), deadline)?;
        for chunk in chunks {
            let epoch = std::mem::replace(&mut update, self.append(client, known, chunk, deadline)?).epoch;
            if update.epoch != epoch {
                return Err(refused("keep the floors", "the log was replaced in between"));
            }
        }
        Ok(update)
    }

    /// Appends records, if there are any, and reads the log. Creates or replaces the log if necessary.
    fn append(
        &self,
        client: &Client,
        known: SyncPosition,
        raise: &[u64],
        deadline: Instant,
    ) -> Result<FloorUpdate, StoreFailure> {
        let mut begun = 0;
        for attempt in 0..ATTEMPTS {
            let (appended, item) = append_and_read(client, raise, deadline)?;
            let LogItem::Stored { cas, flags, value } = item else {
                begun = known.next_epoch();
                put(client, &InvalidationLog::new(begun), "ME", deadline)?;
                continue;
            };
            let swap = format!("C{cas}");
            match InvalidationLog::parse(&value) {
                // Another node created it between the append and the read. The second time, the item is full (`-I`).
                Some(_) if !appended && attempt == 0 => {}
                Some(log) if !appended => put(client, &log.newest(log.len() / 2), &swap, deadline)?,
                Some(log) if known.accepts(log.epoch, log.seq()) => {
                    let (epoch, seq, base) = (log.epoch, log.seq(), log.base);
                    let version = LogVersion { cas, flags, position: SyncPosition { epoch, seq }, base };
                    *lock(&self.last_read) = Some(version);
                    cut_if_long(client, &log, &swap, deadline);
                    let (begun, floors) = (epoch == begun, log.since(known));
                    return Ok(FloorUpdate { epoch, begun, seq, base, floors, ..FloorUpdate::default() });
                }
                // Not a log, or one that lost records, or one of an epoch that this node left: floors may be lost.
                _ => {
                    begun = known.next_epoch();
                    put(client, &InvalidationLog::new(begun), &swap, deadline)?;
                }
            }
        }
        Err(refused("keep the floors", "the log cannot be made, or is always being changed"))
    }

    /// The time of the nodes' clocks, which the clock of a single node does not set back.
    fn time(&self, client: &Client, deadline: Instant) -> Result<u64, StoreFailure> {
        let mut last = lock(&self.clock_read);
        if last.is_some_and(|last| last.elapsed() < CLOCK_INTERVAL) {
            return Ok(self.clock.at_least(0));
        }
        // Opens connections also to servers that were down, so that no request has to wait for the first one.
        (0..client.servers.all.len()).for_each(|server| client.servers.pool(server).prepare());
        let mut batch = new_batch(client);
        batch.push(MetaOp::Get, &client.named_key(CLOCK), &["v"], None);
        let reply = only_reply(client, "look at the clock on", &batch, deadline)?;
        let text = reply.value.and_then(|value| String::from_utf8(value).ok());
        let now = self.clock.at_least(text.and_then(|text| text.parse().ok()).unwrap_or_default());
        let mut batch = new_batch(client);
        batch.push(MetaOp::Set, &client.named_key(CLOCK), &["T0"], Some(now.to_string().as_bytes()));
        only_reply(client, "set the clock on", &batch, deadline)?;
        *last = Some(Instant::now());
        Ok(now)
    }
}

/// Appends and reads in one round trip. Returns whether all records were appended, and the item afterwards.
fn append_and_read(client: &Client, raise: &[u64], deadline: Instant) -> Result<(bool, LogItem), StoreFailure> {
    const OPERATION: &str = "sync the floors on";
    let mut batch = new_batch(client);
    if !raise.is_empty() {
        batch.push(MetaOp::Set, &client.named_key(LOG), &["MA"], Some(&records(raise)));
    }
    batch.push(MetaOp::Get, &client.named_key(LOG), &["v", "c", "f", "k"], None);
    let mut replies = client.servers.run_one(OPERATION, &batch, deadline)?;
    let read = result(replies.pop(), OPERATION)?;
    let appended = match replies.pop() {
        None => true,
        // A full item is an error or "not stored". A missing item is "not stored".
        Some(reply) => reply.is_ok_and(|reply| reply.rc == ReturnCode::Hd),
    };
    match (read.rc, read.value, read.client_flags) {
        (ReturnCode::En, ..) => Ok((appended, LogItem::Missing)),
        (_, Some(value), Some(flags)) => Ok((appended, LogItem::Stored { cas: cas_number(read.cas)?, flags, value })),
        _ => Err(invalid_reply(OPERATION)),
    }
}

/// Drops the oldest records of a long log. If this fails, the next node that reads the log tries again.
fn cut_if_long(client: &Client, log: &InvalidationLog, condition: &str, deadline: Instant) {
    if log.len() > MAX_RECORDS {
        let _ = put(client, &log.newest(KEPT_RECORDS), condition, deadline);
    }
}

/// Stores a log if no other node stored one in the meantime. The next read shows which of them was stored.
pub(super) fn put(
    client: &Client,
    log: &InvalidationLog,
    condition: &str,
    deadline: Instant,
) -> Result<(), StoreFailure> {
    let flags = format!("F{}", log.epoch as u32);
    let mut batch = new_batch(client);
    batch.push(MetaOp::Set, &client.named_key(LOG), &["T0", &flags, condition], Some(&log.encode()));
    only_reply(client, "store the floors on", &batch, deadline).map(drop)
}

fn only_reply(
    client: &Client,
    operation: &str,
    batch: &CommandBatch,
    deadline: Instant,
) -> Result<MetaCommandResult, StoreFailure> {
    result(client.servers.run_one(operation, batch, deadline)?.pop(), operation)
}

/// A batch for the server of the log.
fn new_batch(client: &Client) -> CommandBatch {
    CommandBatch::new(client.servers.choose(LOG.as_bytes()))
}

fn result(reply: Option<MetaReply>, operation: &str) -> Result<MetaCommandResult, StoreFailure> {
    accepted(reply.ok_or_else(|| invalid_reply(operation))?, "keep the floors")
}
