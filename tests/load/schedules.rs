//! When requests are due, and from when their latency counts.

use std::time::{Duration, Instant};

use crate::generator::schedule::{Arrivals, Schedule};
use crate::spoiled::{Spoil, spoiled};
use crate::{options, report, run};

fn arrivals(rate: f64, seed: u64, count: usize) -> Vec<Duration> {
    Arrivals::new(rate, seed).unwrap().take(count).collect()
}

#[test]
fn arrivals_come_at_random_and_as_often_as_asked_for() {
    let times = arrivals(50.0, 1, 100_000);
    assert!(times.is_sorted());
    let last = times[times.len() - 1].as_secs_f64();
    assert!((last - 2000.0).abs() < 40.0, "{last}");
    // Of the gaps of a Poisson process, 1/e are longer than the mean one.
    let gaps = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
    let long = gaps.filter(|gap| *gap > 0.02).count() as f64 / times.len() as f64;
    assert!((long - 1.0_f64.exp().recip()).abs() < 0.01, "{long}");
}

#[test]
fn a_seed_draws_the_same_arrivals_again_and_another_draws_others() {
    assert_eq!(arrivals(50.0, 1, 100), arrivals(50.0, 1, 100));
    assert_ne!(arrivals(50.0, 1, 100), arrivals(50.0, 2, 100));
    assert!(Arrivals::new(f64::NAN, 1).is_err());
}

#[tokio::test]
async fn a_turn_is_dated_when_it_was_due_however_late_it_is_taken() {
    let start = Instant::now();
    let schedule = Schedule::open(start, 0);
    let due = [3, 5, 9].map(Duration::from_nanos);
    // The time is up at once, so what is due after that is not made due.
    schedule.run(start - Duration::from_nanos(7), due.into_iter());
    assert_eq!(schedule.turn().await, None, "the time is up");
    assert_eq!(schedule.unsent().len(), 2);

    let schedule = Schedule::open(start, 3);
    schedule.run(start, due.into_iter());
    assert_eq!(schedule.unsent().len(), 3, "so many must be due, whether or not the time is up");
}

#[tokio::test]
async fn a_closed_loop_goes_on_until_the_time_is_up_and_enough_was_done() {
    let over = Instant::now();
    let schedule = Schedule::closed(over, 2, Duration::ZERO);
    assert!(schedule.turn().await.is_some() && schedule.turn().await.is_some());
    assert_eq!(schedule.turn().await, None);
    let schedule = Schedule::closed(over + Duration::from_secs(3600), 0, Duration::ZERO);
    assert!(schedule.turn().await.is_some());
    schedule.stop();
    assert_eq!(schedule.turn().await, None, "stopped");
}

/// One connection, and a server that needs 20 ms: of 200 requests a second, 50 can be answered. In a closed loop that
/// looks like 20 ms each. (A slow machine makes all of these longer.)
#[test]
fn an_open_loop_shows_the_waiting_that_a_closed_loop_hides() {
    let slow = |site| spoiled(site, |_| Spoil::Late(Duration::from_millis(20)));
    let common = "--page /style.css --only pages --seconds 1 --warm-up 0 --connections 1 --visitors 3 --signed-in 0";
    let open = report(&options(&format!("{common} --rate 200")), slow);
    let open = run(&open, "pages");
    assert!(open.unsent > 0 && open.requests > 0);
    assert!(open.latency_ms.p50 > 150.0, "{:?}", open.latency_ms);
    let (due, sent) = (open.requests + open.unsent, open.requests);
    assert!(due > 150 && sent < 80, "{sent} of {due}");
    let closed = report(&options(common), slow);
    assert!(run(&closed, "pages").unsent == 0 && run(&closed, "pages").latency_ms.p50 >= 20.0);
}
