//! The record of invalidations: numbers, epochs, merging of old floors, pages, and notifications.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use redis::Value;

use super::super::*;
use super::server::{Server, soon, until};

fn known(update: &FloorUpdate) -> SyncPosition {
    SyncPosition { epoch: update.epoch, seq: update.seq }
}

fn sorted(update: &FloorUpdate) -> Vec<(u64, u64)> {
    let mut floors = update.floors.clone();
    floors.sort_unstable();
    floors
}

#[test]
fn a_sync_returns_the_floors_raised_since_the_position() {
    let server = Server::start(&[]);
    let (store, other) = (server.store(), server.store());
    let first = store.sync(SyncPosition::default(), &[], soon()).unwrap();
    assert!(first.epoch != 0 && (first.seq, first.base) == (0, 0) && first.floors.is_empty(), "{first:?}");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    assert!(first.now.abs_diff(now) < 60_000_000_000, "{} {now}", first.now);
    let one = store.sync(known(&first), &[u64::MAX, 0], soon()).unwrap();
    assert_eq!((one.epoch, one.seq, sorted(&one)), (first.epoch, 1, vec![(0, 1), (u64::MAX, 1)]));
    let two = other.sync(known(&one), &[0, 0x4000_0000_0000_0a0d], soon()).unwrap();
    assert_eq!((two.seq, sorted(&two)), (2, vec![(0, 2), (0x4000_0000_0000_0a0d, 2)]));
    // None were raised since; all are returned for the first position and for one of another epoch.
    assert_eq!(store.sync(known(&two), &[], soon()).unwrap().floors, []);
    let all = vec![(0, 2), (0x4000_0000_0000_0a0d, 2), (u64::MAX, 1)];
    assert_eq!(sorted(&store.sync(SyncPosition::default(), &[], soon()).unwrap()), all);
    assert_eq!(
        sorted(&store.sync(SyncPosition { epoch: 1, seq: 2 }, &[], soon()).unwrap()),
        all,
        "a position of an earlier epoch"
    );
}

#[test]
fn a_lost_record_starts_another_epoch() {
    let mut server = Server::start(&[]);
    let store = server.store();
    let before = store.sync(SyncPosition::default(), &[1, 2], soon()).unwrap();
    for loss in
        ["FLUSHALL SYNC", "DEL mjc:floors", "ZADD mjc:floors +inf @nonsense", "ZREMRANGEBYSCORE mjc:floors +inf +inf"]
    {
        let before = store.sync(SyncPosition::default(), &[1, 2], soon()).unwrap();
        server.call(loss);
        let after = store.sync(known(&before), &[3], soon()).unwrap();
        assert!(after.epoch != 0 && after.epoch != before.epoch, "{loss}");
        assert_eq!((after.seq, after.base, &after.floors[..]), (1, 0, &[(3, 1)][..]), "{loss}");
    }
    // Restored from a snapshot, which may be older than the last invalidations.
    let kept = store.sync(SyncPosition::default(), &[], soon()).unwrap();
    assert_ne!(kept.epoch, before.epoch);
    server.call("SAVE");
    server.stop();
    server.start_again();
    assert_eq!(server.call("EXISTS mjc:floors"), Value::Int(1));
    let after = store.sync(known(&kept), &[], soon()).unwrap();
    assert!(after.epoch != kept.epoch && after.seq == 0 && after.floors.is_empty(), "{after:?}");
    assert_eq!(store.sync(known(&after), &[], soon()).unwrap().epoch, after.epoch);
}

/// All floors raised since a position, read page by page; checks that the pages are consistent.
fn pages(store: &RedisStore, since: SyncPosition) -> FloorUpdate {
    let mut all = store.sync(since, &[], soon()).unwrap();
    while all.more {
        let page = store.sync(known(&all), &[], soon()).unwrap();
        assert!(page.epoch == all.epoch && page.seq > all.seq && !page.begun);
        assert!(page.floors.iter().all(|(_, seq)| (all.seq + 1..=page.seq).contains(seq)));
        let floors = [all.floors, page.floors].concat();
        all = FloorUpdate { floors, ..page };
    }
    all
}

#[test]
fn the_oldest_floors_are_merged() {
    let server = Server::start(&[]);
    let store = server.store();
    let mut update = store.sync(SyncPosition::default(), &[], soon()).unwrap();
    let start = known(&update);
    let hashes: Vec<u64> = (0..u64::from(MAX_FLOORS)).collect();
    for chunk in hashes.chunks(20_000) {
        update = store.sync(known(&update), chunk, soon()).unwrap();
        assert_eq!(update.floors.len(), chunk.len());
    }
    assert_eq!((update.seq, update.base), (4, 0));
    // One too many: the floors with the oldest number are merged together.
    let last = store.sync(known(&update), &[u64::MAX], soon()).unwrap();
    assert_eq!((last.epoch, last.seq, last.base, &last.floors[..]), (update.epoch, 5, 1, &[(u64::MAX, 5)][..]));
    let all = pages(&store, start);
    assert_eq!(all.floors.len(), hashes.len() + 1 - 20_000);
    assert!(all.floors.iter().all(|&(hash, seq)| seq > 1 && hash >= 20_000));
    assert_eq!(pages(&store, SyncPosition { seq: 1, ..start }).floors.len(), all.floors.len());
    // More at once than are kept: only the number remains.
    let many: Vec<u64> = (0..=u64::from(MAX_FLOORS)).collect();
    let update = store.sync(known(&last), &many, soon()).unwrap();
    assert_eq!((update.seq, update.base, update.floors.len()), (6, 6, 0));
    let update = store.sync(known(&update), &[5], soon()).unwrap();
    assert_eq!((update.seq, update.base, &update.floors[..]), (7, 6, &[(5, 7)][..]));
}

#[test]
fn many_floors_are_returned_in_pages() {
    let server = Server::start(&[]);
    let (store, page) = (server.store(), 1024);
    let start = known(&store.sync(SyncPosition::default(), &[], soon()).unwrap());
    let mut at = start;
    // Numbers of one tag each, of many, and of as many as make up a page.
    for chunk in (0..3 * page).collect::<Vec<_>>().chunks(700).chain((0..page).collect::<Vec<_>>().chunks(1)) {
        at = known(&store.sync(at, chunk, soon()).unwrap());
    }
    // A node at number 3 already has the floors up to it whose tags were not raised again.
    for (since, count) in
        [(start, 3 * page), (SyncPosition::default(), 3 * page), (SyncPosition { seq: 3, ..start }, 4 * page - 2100)]
    {
        let first = store.sync(since, &[], soon()).unwrap();
        assert!(first.more && first.floors.len() < 2 * page as usize, "{}", first.floors.len());
        let all = pages(&store, since);
        assert_eq!((known(&all), all.floors.len() as u64), (at, count));
    }
    // A floor raised by a sync is in its last page.
    let update = store.sync(start, &[u64::MAX], soon()).unwrap();
    assert!(update.more && !update.floors.contains(&(u64::MAX, at.seq + 1)));
    assert!(pages(&store, known(&update)).floors.contains(&(u64::MAX, at.seq + 1)));
}

#[test]
fn an_epoch_that_the_node_left_is_replaced() {
    let server = Server::start(&[]);
    let store = server.store();
    let raised = store.sync(SyncPosition::default(), &[1], soon()).unwrap();
    assert!(raised.begun);
    let later = SyncPosition { epoch: known(&raised).next_epoch(), seq: 9 };
    let update = store.sync(later, &[2], soon()).unwrap();
    assert!(update.begun && later.accepts(update.epoch, 0) && (update.seq, &update.floors[..]) == (1, &[(2, 1)][..]));
    // An epoch that another node started elsewhere at the same time: neither is the later one.
    let beside = SyncPosition { epoch: update.epoch ^ 1, seq: 0 };
    let update = store.sync(beside, &[2], soon()).unwrap();
    assert!(update.begun && beside.accepts(update.epoch, 0));
    // A node that is behind accepts the epoch.
    let update = store.sync(known(&raised), &[], soon()).unwrap();
    assert!(!update.begun && known(&raised).accepts(update.epoch, update.seq) && update.floors == [(2, 1)]);
}

#[test]
fn a_clock_set_back_starts_another_epoch() {
    let server = Server::start(&[]);
    let store = server.store();
    let header = || {
        let Value::Array(header) = server.call("ZRANGEBYSCORE mjc:floors +inf +inf") else { panic!() };
        let Value::BulkString(header) = &header[0] else { panic!() };
        String::from_utf8(header.clone()).unwrap()
    };
    let time = |header: &str| header.rsplit_once(':').unwrap().1.parse::<u64>().unwrap();
    let before = store.sync(SyncPosition::default(), &[1], soon()).unwrap();
    assert_eq!(time(&header()), before.now / 1000);
    let shift = |by: i64| {
        let old = header();
        let (rest, time) = (old.rsplit_once(':').unwrap().0, time(&old));
        server.call(&format!("ZREM mjc:floors {old}"));
        server.call(&format!("ZADD mjc:floors +inf {rest}:{}", time.checked_add_signed(by).unwrap()));
    };
    // The time is written again when it is a second old.
    shift(-1_100_000);
    let later = store.sync(known(&before), &[], soon()).unwrap();
    assert_eq!((later.epoch, time(&header())), (before.epoch, later.now / 1000));
    for ahead in [60_000_000, 3_600_000_000] {
        let before = store.sync(SyncPosition::default(), &[1], soon()).unwrap();
        shift(ahead);
        let after = store.sync(known(&before), &[], soon()).unwrap();
        assert!(after.begun && after.epoch != before.epoch && after.floors.is_empty());
        assert_eq!(time(&header()), after.now / 1000);
    }
}

#[test]
fn stores_receive_the_floors_that_others_raise_at_the_same_time() {
    let server = Server::start(&[]);
    let seen = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let (server, seen) = (&server, &seen);
            scope.spawn(move || {
                let store = server.store();
                let (mut at, mut floors) = (SyncPosition::default(), HashMap::new());
                for round in 0..50 {
                    let update = store.sync(at, &[thread << 32 | round], soon()).unwrap();
                    assert!(update.seq > at.seq);
                    floors.extend(update.floors.iter().copied());
                    assert_eq!(floors.get(&(thread << 32 | round)), Some(&update.seq));
                    at = known(&update);
                }
                seen.lock().unwrap().push((store, at, floors));
            });
        }
    });
    let mut all: Vec<HashMap<u64, u64>> = Vec::new();
    for (store, at, mut floors) in seen.into_inner().unwrap() {
        let update = store.sync(at, &[], soon()).unwrap();
        assert_eq!(update.seq, 200);
        floors.extend(update.floors);
        assert_eq!(floors.len(), 200);
        all.push(floors);
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn invalidations_are_recorded_when_memory_is_full() {
    let server = Server::start(&[]);
    let store = server.store();
    let first = store.sync(SyncPosition::default(), &[], soon()).unwrap();
    server.call("CONFIG SET maxmemory-policy noeviction");
    server.call("CONFIG SET maxmemory 1");
    let update = store.sync(known(&first), &[9], soon()).unwrap();
    assert_eq!((update.epoch, update.seq, &update.floors[..]), (first.epoch, 1, &[(9, 1)][..]));
}

#[test]
fn the_error_names_a_key_of_another_type() {
    let server = Server::start(&[]);
    server.call("SET mjc:floors x");
    let failure = server.store().sync(SyncPosition::default(), &[1], soon()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidReply);
    assert!(failure.message.contains("mjc:floors") && failure.message.contains("WRONGTYPE"), "{failure}");
}

#[test]
fn large_numbers_stay_exact() {
    let server = Server::start(&[]);
    let store = server.store();
    store.sync(SyncPosition::default(), &[1], soon()).unwrap();
    let Value::Array(header) = server.call("ZRANGEBYSCORE mjc:floors +inf +inf") else { panic!() };
    let Value::BulkString(header) = &header[0] else { panic!() };
    let header = String::from_utf8(header.clone()).unwrap();
    let large = (1u64 << 53) - 3;
    server.call(&format!("ZREM mjc:floors {header}"));
    server.call(&format!("ZADD mjc:floors +inf {}", header.replace(":0:1", &format!(":{}:{large}", large - 1))));
    let update = store.sync(SyncPosition::default(), &[2], soon()).unwrap();
    assert_eq!((update.seq, update.base), (large + 1, large - 1));
    assert!(update.floors.contains(&(2, large + 1)), "{update:?}");
    assert_eq!(
        store.sync(SyncPosition { epoch: update.epoch, seq: large }, &[], soon()).unwrap().floors,
        [(2, large + 1)]
    );
}

#[test]
fn a_subscriber_is_notified_of_invalidations_of_its_database_only() {
    let server = Server::start(&[]);
    let (store, other) = (server.store(), RedisStore::connect(&format!("{}/1", server.url())).unwrap());
    let (received, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let changed = || _ = received.fetch_add(1, Ordering::SeqCst);
            server.store().listen(&changed, &|| stopped.load(Ordering::SeqCst))
        });
        until("subscribed", Duration::from_secs(5), || received.load(Ordering::SeqCst) == 1);
        store.sync(SyncPosition::default(), &[], soon()).unwrap();
        other.sync(SyncPosition::default(), &[1], soon()).unwrap();
        thread::sleep(Duration::from_millis(300));
        assert_eq!(received.load(Ordering::SeqCst), 1);
        // Notifications are immediate, also between pings. The best of several counts, because the machine may be busy.
        let mut best = Duration::MAX;
        for round in 2..12 {
            let began = Instant::now();
            store.sync(SyncPosition::default(), &[1], soon()).unwrap();
            while received.load(Ordering::SeqCst) < round {
                assert!(began.elapsed() < Duration::from_secs(5), "no notification");
                thread::yield_now();
            }
            best = best.min(began.elapsed());
            thread::sleep(Duration::from_millis(130));
        }
        assert!(best < Duration::from_millis(50), "{best:?}");
        let began = Instant::now();
        stopped.store(true, Ordering::SeqCst);
        listener.join().unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(2));
    });
}
