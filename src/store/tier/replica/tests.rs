//! When a replica trusts, accepts and rejects floors, step by step.

use std::sync::Mutex as StdMutex;
use std::task::Wake;

use super::*;

/// Records the floors that were raised on this node.
#[derive(Default)]
struct Raised(StdMutex<Vec<TagHash>>);

impl FloorSink for Raised {
    fn raise(&self, tags: &[TagHash]) {
        self.0.lock().unwrap().extend(tags);
    }

    fn raise_everything(&self) {
        self.raise(&[EVERYTHING]);
    }
}

impl Raised {
    fn take(&self) -> Vec<TagHash> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn news(generation: u128, seq: u64, floors: &[(TagHash, u64)]) -> FloorUpdate {
    FloorUpdate { epoch: generation << 80 | 7, seq, floors: floors.to_vec(), ..FloorUpdate::default() }
}

fn at(generation: u128, seq: u64) -> SyncPosition {
    SyncPosition { epoch: generation << 80 | 7, seq }
}

/// A replica whose position is generation 1, number 10.
fn replica() -> (Replica, Raised) {
    let (replica, raised) = (Replica::new(1 << 12), Raised::default());
    assert!(replica.receive(&news(1, 10, &[(7, 8)]), &raised));
    assert_eq!(raised.take(), [EVERYTHING], "what was cached before is of unknown worth");
    (replica, raised)
}

fn valid(replica: &Replica, known: SyncPosition, tags: &[TagHash]) -> bool {
    replica.received(known).is_some_and(|stamp| replica.admits(stamp, tags.iter().copied()))
}

#[test]
fn entries_are_held_against_the_floors_received() {
    let (replica, raised) = replica();
    assert!(valid(&replica, at(1, 8), &[7]) && !valid(&replica, at(1, 7), &[7]) && valid(&replica, at(1, 0), &[9]));
    assert!(replica.receive(&news(1, 11, &[(9, 11)]), &raised));
    assert_eq!(raised.take(), [9]);
    assert!(!valid(&replica, at(1, 10), &[9]) && valid(&replica, at(1, 11), &[9]) && valid(&replica, at(1, 10), &[7]));
}

#[test]
fn a_stamp_is_the_highest_number_received_and_comes_back_as_it_went() {
    let (replica, raised) = replica();
    assert_eq!(replica.sent(replica.stamp()), Some(at(1, 10)));
    let before = replica.stamp();
    replica.invalidate(3);
    assert_eq!(replica.stamp(), before, "an invalidation made here has no number yet");
    replica.receive(&news(1, 11, &[(3, 11)]), &raised);
    assert_eq!(replica.sent(replica.stamp()), Some(at(1, 11)));
    assert!(before < replica.stamp());
}

#[test]
fn of_another_epoch_nothing_is_valid_whatever_its_number() {
    let (replica, raised) = replica();
    let before = replica.stamp();
    assert!(replica.receive(&news(2, 1, &[]), &raised));
    assert_eq!(raised.take(), [EVERYTHING]);
    assert!(
        !valid(&replica, at(1, 10), &[])
            && !valid(&replica, at(3, 99), &[])
            && !valid(&replica, SyncPosition { epoch: 0, seq: 99 }, &[])
    );
    assert!(valid(&replica, at(2, 0), &[]));
    assert_eq!(replica.sent(before), None, "work begun before leaves no entry in the new epoch");
    assert!(!replica.admits(before, []));
}

#[test]
fn numbers_that_went_back_are_not_taken_in() {
    let (replica, raised) = replica();
    assert!(!replica.receive(&news(1, 9, &[(5, 9)]), &raised));
    assert_eq!((raised.take(), replica.known()), (vec![], at(1, 10)));
    assert!(valid(&replica, at(1, 8), &[5]));
}

#[test]
fn an_epoch_that_was_left_is_not_entered_again() {
    let (replica, raised) = replica();
    assert!(replica.receive(&news(2, 1, &[]), &raised));
    raised.take();
    let other = FloorUpdate { epoch: 2 << 80 | 8, seq: 5, ..FloorUpdate::default() };
    for left in [news(1, 10, &[]), news(1, 99, &[(7, 99)]), news(2, 0, &[]), other] {
        assert!(!replica.receive(&left, &raised), "{left:?}");
        assert_eq!((raised.take(), replica.known()), (vec![], at(2, 1)));
        assert!(!valid(&replica, at(1, 10), &[]) && valid(&replica, at(2, 1), &[]));
    }
    assert!(replica.receive(&news(3, 0, &[]), &raised));
}

#[test]
fn an_epoch_that_the_store_is_to_begin_follows_all_that_were_left() {
    let mut known = SyncPosition::default();
    for _ in 0..1000 {
        let next = known.next_epoch();
        assert!(known.accepts(next, 0) && !SyncPosition { epoch: next, seq: 0 }.accepts(known.epoch, 0));
        assert_ne!(known.next_epoch(), next);
        known = SyncPosition { epoch: next, seq: 5 };
        assert!(known.accepts(next, 5) && !known.accepts(next, 4) && !known.accepts(known.epoch ^ 1, 9));
    }
    assert!(!SyncPosition::default().accepts(0, 0), "no epoch is none to enter");
}

#[test]
fn what_an_epoch_was_told_is_told_the_next_one() {
    let told = |replica: &Replica, raised: &Raised| {
        replica.receive(&news(1, 11, &[(3, 11)]), raised);
        replica.confirm(replica.invalidate(3));
    };
    // Another node started the epoch. Its computations since then may be from before the invalidation.
    let (replica, raised) = replica();
    told(&replica, &raised);
    assert!(replica.receive(&news(2, 0, &[]), &raised));
    let (untold, last) = replica.untold();
    assert_eq!(untold, [EVERYTHING]);
    assert!(!valid(&replica, at(2, 0), &[]));
    replica.receive(&news(2, 1, &[(EVERYTHING, 1)]), &raised);
    replica.confirm(last);
    assert!(!valid(&replica, at(2, 0), &[]) && valid(&replica, at(2, 1), &[]));
    // The store of this epoch confirmed that, so the store of the next one receives it too.
    assert!(replica.receive(&news(3, 0, &[]), &raised));
    assert_eq!(replica.untold().0, [EVERYTHING]);
}

#[test]
fn an_epoch_that_this_node_began_or_never_told_anything_needs_no_telling() {
    let (replica, raised) = replica();
    assert!(replica.receive(&news(2, 0, &[]), &raised));
    assert_eq!(replica.untold().0, [0; 0]);
    replica.confirm(replica.invalidate(3));
    assert!(replica.receive(&FloorUpdate { begun: true, ..news(3, 0, &[]) }, &raised));
    assert_eq!(replica.untold().0, [0; 0]);
    // Other nodes may have been in this epoch since before the other store confirmed.
    assert!(replica.receive(&news(4, 0, &[]), &raised));
    assert_eq!(replica.untold().0, [EVERYTHING]);
}

#[test]
fn floors_that_were_dropped_before_they_came_count_for_all() {
    let (replica, raised) = replica();
    let mut gap = news(1, 30, &[(5, 25)]);
    gap.base = 20;
    assert!(replica.receive(&gap, &raised));
    assert_eq!(raised.take(), [EVERYTHING]);
    assert!(!valid(&replica, at(1, 19), &[1]) && valid(&replica, at(1, 20), &[1]) && !valid(&replica, at(1, 24), &[5]));
    gap.seq = 31;
    assert!(replica.receive(&gap, &raised));
    assert_eq!(raised.take(), [5], "a base that was passed says nothing new");
}

#[test]
fn what_was_invalidated_here_holds_until_its_floor_has_come() {
    let (replica, raised) = replica();
    let ticket = replica.invalidate(3);
    assert!(!valid(&replica, at(1, 10), &[3]) && valid(&replica, at(1, 10), &[4]));
    let (untold, last) = replica.untold();
    assert_eq!((untold, last), (vec![3], ticket));
    // Invalidated again, while the first invalidation is being published.
    let again = replica.invalidate(3);
    replica.receive(&news(1, 11, &[(3, 11)]), &raised);
    replica.confirm(last);
    assert!(!valid(&replica, at(1, 99), &[3]), "the second one has no number yet");
    replica.confirm(again);
    assert!(valid(&replica, at(1, 11), &[3]) && !valid(&replica, at(1, 10), &[3]));
    assert_eq!(replica.pending_count(), 0);
}

#[test]
fn everything_is_one_of_the_tags() {
    let (replica, raised) = replica();
    replica.invalidate(EVERYTHING);
    assert!(!valid(&replica, at(1, 10), &[]));
    replica.receive(&news(1, 11, &[(EVERYTHING, 11), (2, 4)]), &raised);
    assert_eq!(raised.take(), [EVERYTHING]);
    replica.confirm(replica.untold().1);
    assert!(!valid(&replica, at(1, 10), &[]) && valid(&replica, at(1, 11), &[]));
}

#[test]
fn too_many_to_keep_become_one_of_everything() {
    let (replica, _) = replica();
    for tag in 0..MOST_PENDING as u64 + 1 {
        replica.invalidate(tag);
    }
    let (untold, last) = replica.untold();
    assert_eq!((untold, last), (vec![EVERYTHING], MOST_PENDING as u64 + 1));
    assert!(!valid(&replica, at(1, 10), &[u64::MAX - 1]));
}

#[test]
fn one_who_waits_is_woken_by_the_confirmation_of_his_own() {
    struct Woken(AtomicU64);
    impl Wake for Woken {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (replica, _) = replica();
    let woken = std::sync::Arc::new(Woken(AtomicU64::new(0)));
    let waker = Waker::from(std::sync::Arc::clone(&woken));
    let (first, second) = (replica.invalidate(1), replica.invalidate(2));
    assert!(!replica.poll(second, &waker) && !replica.poll(second, &waker));
    replica.confirm(first);
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    assert!(replica.poll(first, &waker) && !replica.wait(second, Instant::now()));
    replica.confirm(second);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(replica.poll(second, &waker) && replica.wait(second, Instant::now()));
}

#[test]
fn ages_by_the_stores_clock_are_never_too_young() {
    let (replica, _) = replica();
    // Sent at 100, reply at 140; the store's clock showed 5,000 at some moment in between.
    replica.set_clock(5_000, 100, 140);
    assert_eq!(replica.to_store(140), 5_000);
    assert_eq!(replica.age(5_000, 150), Some(50));
    let born = replica.to_store(120);
    assert!(replica.age(born, 200) >= Some(80));
    assert_eq!(replica.age(5_000 + 2 * SKEW, 150), None, "made in the future");
}

#[test]
fn ages_are_right_whatever_the_stores_clock_shows() {
    let (replica, _) = replica();
    // The clock of a board without a battery starts in 1970.
    replica.set_clock(70, 1 << 60, 1 << 60);
    assert_eq!(replica.to_store((1 << 60) + 5), 75);
    assert_eq!(replica.age(75, (1 << 60) + 25), Some(20));
}
