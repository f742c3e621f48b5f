//! The record of invalidations.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::super::floors::put;
use super::super::invalidation_log::{InvalidationLog, records};
use super::support::{Memcached, soon, store};
use crate::MemcachedStore;
use crate::store::{FailureKind, FloorUpdate, Remote, SyncPosition};

fn sync(store: &MemcachedStore, known: SyncPosition, raise: &[u64]) -> FloorUpdate {
    store.sync(known, raise, soon()).unwrap()
}

fn known(news: &FloorUpdate) -> SyncPosition {
    SyncPosition { epoch: news.epoch, seq: news.seq }
}

#[test]
fn a_new_log_is_empty_and_stays_the_same() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let first = sync(&store, SyncPosition::default(), &[]);
    assert_ne!(first.epoch, 0);
    assert_eq!((first.seq, first.base, first.floors.len()), (0, 0, 0));
    let again = sync(&store, known(&first), &[]);
    assert_eq!((again.epoch, again.seq, again.base, again.floors.len()), (first.epoch, 0, 0, 0));
    assert!(again.now >= first.now && first.now > 1_600_000_000_000_000_000);
}

#[test]
fn each_store_receives_the_floors_that_the_others_raised() {
    let server = Memcached::start(&[]);
    let (ours, theirs) = (store(&[&server]), store(&[&server]));
    let a = sync(&ours, SyncPosition::default(), &[10, 11]);
    assert_eq!(a.floors, [(10, 1), (11, 2)]);
    let b = sync(&theirs, SyncPosition::default(), &[12]);
    assert_eq!((b.epoch, &b.floors[..]), (a.epoch, &[(10, 1), (11, 2), (12, 3)][..]));
    let c = sync(&ours, known(&a), &[]);
    assert_eq!((c.seq, &c.floors[..]), (3, &[(12, 3)][..]));
    assert_eq!(sync(&ours, known(&c), &[]).floors, []);
    // The position may be older than the last one that this store returned.
    assert_eq!(sync(&ours, known(&a), &[]).floors, [(12, 3)]);
    assert_eq!(sync(&ours, SyncPosition::default(), &[]).floors, [(10, 1), (11, 2), (12, 3)]);
    let d = sync(&theirs, known(&b), &[10]);
    assert_eq!(d.floors, [(10, 4)]);
    assert_eq!(sync(&ours, SyncPosition { epoch: a.epoch, seq: 0 }, &[]).floors, [(11, 2), (12, 3), (10, 4)]);
}

#[test]
fn no_floor_raised_by_four_threads_is_lost() {
    const EACH: u64 = 200;
    let server = Memcached::start(&[]);
    let watcher = store(&[&server]);
    let stores: Vec<_> = (0..4).map(|_| store(&[&server])).collect();
    let mut seen: HashMap<u64, u64> = HashMap::new();
    std::thread::scope(|scope| {
        for (thread, store) in (0u64..).zip(&stores) {
            scope.spawn(move || {
                let mut at = SyncPosition::default();
                for n in 0..EACH {
                    let hash = thread * 1000 + n;
                    let news = sync(store, at, &[hash]);
                    assert!(news.floors.iter().any(|(floor, number)| *floor == hash && *number > at.seq));
                    assert!(at.epoch == 0 || at.epoch == news.epoch);
                    at = known(&news);
                }
            });
        }
        let mut at = SyncPosition::default();
        let end = soon();
        while seen.len() < 4 * EACH as usize {
            assert!(Instant::now() < end, "{} arrived", seen.len());
            let news = sync(&watcher, at, &[]);
            let mut last = at.seq;
            for (hash, number) in &news.floors {
                assert!(*number > last && *number <= news.seq, "numbers grow");
                last = *number;
                seen.insert(*hash, *number);
            }
            at = known(&news);
        }
    });
    let numbers: HashSet<u64> = seen.values().copied().collect();
    assert_eq!(numbers.len(), 4 * EACH as usize);
}

#[test]
fn a_long_log_drops_its_oldest_records() {
    let server = Memcached::start(&[]);
    let (ours, theirs) = (store(&[&server]), store(&[&server]));
    let start = sync(&ours, SyncPosition::default(), &[]);
    let hashes: Vec<u64> = (1..=8192).collect();
    let full = sync(&ours, known(&start), &hashes);
    assert_eq!((full.seq, full.base, full.floors.len()), (8192, 0, 8192));
    let over = sync(&ours, known(&full), &[9000]);
    assert_eq!(over.floors, [(9000, 8193)]);
    let after = sync(&theirs, known(&start), &[]);
    assert_eq!((after.epoch, after.seq, after.base), (start.epoch, 8193, 8193 - 4096));
    assert_eq!(after.floors.len(), 4096);
    assert_eq!(after.floors[0], (4098, 4098));
    // A node that is recent enough misses no floor, and the numbers continue.
    assert_eq!(sync(&theirs, SyncPosition { seq: 8192, ..known(&full) }, &[7]).floors, [(9000, 8193), (7, 8194)]);
    assert_eq!(sync(&ours, known(&over), &[]).floors, [(7, 8194)]);
}

#[test]
fn many_floors_are_raised_at_once() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let hashes: Vec<u64> = (1..=20_000).collect();
    let news = sync(&store, SyncPosition::default(), &hashes);
    assert_eq!(news.seq, 20_000);
    assert_eq!(*news.floors.last().unwrap(), (20_000, 20_000));
    assert!(news.base > 0 && news.floors.len() >= 4096);
}

#[test]
fn a_log_that_fills_its_item_is_cut() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let hashes: Vec<u64> = (1..=130_900).collect();
    let mut bytes = InvalidationLog::new(7 << 80).encode();
    bytes.extend(records(&hashes));
    let full = InvalidationLog::parse(&bytes).unwrap();
    put(&store.client, &full, "MS", soon()).unwrap();
    let at = SyncPosition { epoch: full.epoch, seq: 130_900 };
    let news = sync(&store, at, &[7; 200]);
    assert_eq!((news.epoch, news.seq, news.base), (full.epoch, 131_100, 65_450));
    assert_eq!(news.floors, [(7, 131_100)]);
    let news = sync(&store, at, &[]);
    assert_eq!((news.epoch, news.seq, news.base), (full.epoch, 131_100, 131_100 - 4096));
}

#[test]
fn a_lost_log_starts_another_epoch() {
    let mut server = Memcached::start(&[]);
    let (ours, theirs) = (store(&[&server]), store(&[&server]));
    let before = sync(&ours, SyncPosition::default(), &[1]);
    assert_eq!(server.say("flush_all\r\n"), "OK\r\n");
    let after = sync(&ours, known(&before), &[]);
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.seq, after.base), (0, 0));
    assert_eq!(sync(&theirs, known(&before), &[2]).floors, [(2, 1)]);
    let before = sync(&ours, known(&after), &[]);
    server.stop();
    let failure = ours.sync(known(&before), &[], soon()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    server.start_again();
    let after = sync(&ours, known(&before), &[3]);
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.floors, [(3, 1)]);
}

#[test]
fn a_restart_is_noticed_although_all_numbers_are_the_same() {
    let mut server = Memcached::start(&[]);
    let (ours, theirs) = (store(&[&server]), store(&[&server]));
    let before = sync(&ours, SyncPosition::default(), &[1]);
    server.stop();
    server.start_again();
    // The same changes again give the same compare-and-swap number and length.
    let other = sync(&theirs, SyncPosition::default(), &[2]);
    assert_eq!(other.seq, before.seq);
    let after = sync(&ours, known(&before), &[]);
    // Both epochs are of one generation, and must not be confused.
    assert!(after.begun && after.epoch != before.epoch && after.epoch != other.epoch);
}

#[test]
fn an_item_that_is_not_a_log_starts_another_epoch() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let mut last = sync(&store, SyncPosition::default(), &[1]);
    let key = "mjc:floors";
    for garbage in ["ms {key} 7 T0\r\ngarbage\r\n", "ms {key} 3 MA\r\nxyz\r\n", "ms {key} 0 T0\r\n\r\n"] {
        assert_eq!(server.say(&garbage.replace("{key}", key)), "HD\r\n");
        for raise in [&[][..], &[5]] {
            let news = sync(&store, known(&last), raise);
            assert_eq!(news.floors.len(), raise.len());
            last = news;
        }
        let again = sync(&store, known(&last), &[]);
        assert_eq!((again.epoch, again.seq), (last.epoch, 1));
    }
}

#[test]
fn a_log_that_lost_records_starts_another_epoch() {
    let server = Memcached::start(&[]);
    let store = store(&[&server]);
    let first = sync(&store, SyncPosition::default(), &[1]);
    let after = sync(&store, SyncPosition { seq: 2, ..known(&first) }, &[]);
    assert_ne!(after.epoch, first.epoch);
    assert_eq!(after.seq, 0);
}

#[test]
fn an_epoch_that_the_node_left_is_replaced() {
    let server = Memcached::start(&[]);
    let (ours, theirs) = (store(&[&server]), store(&[&server]));
    let raised = sync(&ours, SyncPosition::default(), &[1]);
    assert!(raised.begun && !sync(&theirs, SyncPosition::default(), &[]).begun);
    let later = SyncPosition { epoch: known(&raised).next_epoch(), seq: 9 };
    for raise in [&[][..], &[2]] {
        for known_elsewhere in [later, SyncPosition { epoch: later.epoch ^ 1, seq: 0 }] {
            let before = sync(&theirs, SyncPosition::default(), &[]);
            // Of the generation of the store's epoch, or of a later one.
            let elsewhere = SyncPosition { epoch: before.epoch.max(known_elsewhere.epoch) ^ 2, ..known_elsewhere };
            let news = sync(&ours, elsewhere, raise);
            assert!(news.begun && elsewhere.accepts(news.epoch, 0) && news.floors.len() == raise.len(), "{news:?}");
        }
    }
    // A node that is behind accepts the epoch.
    let news = sync(&theirs, known(&raised), &[]);
    assert!(!news.begun && known(&raised).accepts(news.epoch, news.seq));
}

#[test]
fn the_time_is_that_of_the_clock_furthest_ahead() {
    const HOUR: u64 = 3_600_000_000_000;
    let server = Memcached::start(&[]);
    let now = sync(&store(&[&server]), SyncPosition::default(), &[]).now;
    let clock = || server.say("mg mjc:clock v\r\n").split("\r\n").nth(1).unwrap().parse::<u64>().unwrap();
    assert_eq!(clock(), now);
    // The clock of another machine is an hour ahead, or this machine's was set back.
    let ahead = now + HOUR;
    assert_eq!(server.say(&format!("ms mjc:clock {} T0\r\n{ahead}\r\n", ahead.to_string().len())), "HD\r\n");
    let store = store(&[&server]);
    let first = sync(&store, SyncPosition::default(), &[]);
    assert_eq!((first.now, clock()), (ahead, ahead));
    let second = sync(&store, known(&first), &[]);
    assert!(second.now > ahead, "the clock runs");
    // An item that is not a time is ignored.
    assert_eq!(server.say("ms mjc:clock 3 T0\r\nxyz\r\n"), "HD\r\n");
    assert!(sync(&super::support::store(&[&server]), SyncPosition::default(), &[]).now < ahead);
}

#[test]
fn the_sync_interval_is_short_and_listening_returns_at_once() {
    let store = MemcachedStore::connect(["127.0.0.1"]).unwrap();
    assert_eq!(store.sync_interval(), Duration::from_millis(25));
    store.listen(&|| (), &|| false).unwrap();
}
