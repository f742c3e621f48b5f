//! Single flight among futures, and between futures and threads.

use std::convert::Infallible;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use minijinja_cache::{FragmentCache, Options};

use crate::support::{STUCK, Ticks, cache, must_end, ok, until};

const CALLERS: usize = 64;

#[test]
fn async_callers_of_one_key_compute_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let (cache, runs) = (cache(), Ticks::default());
    let results = runtime.block_on(async {
        let calls = (0..200).map(|_| {
            let (cache, runs) = (cache.clone(), runs.clone());
            tokio::spawn(async move {
                let seen = cache.clone();
                let load = async {
                    while seen.stats().misses < 200 {
                        tokio::task::yield_now().await;
                    }
                    ok(runs.tick().to_string())
                };
                cache.get_or_set_async("k", Options::default(), load).await.unwrap()
            })
        });
        let mut results = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            results.push(tokio::time::timeout(STUCK, call).await.unwrap().unwrap());
        }
        results
    });
    assert!(results.iter().all(|text| text == "1"));
    assert_eq!(runs.count(), 1);
}

#[test]
fn async_callers_join_a_sync_leader() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let (cache, runs) = (cache(), Ticks::default());
    let (leading, led) = channel();
    let leader = {
        let (cache, runs) = (cache.clone(), runs.clone());
        thread::spawn(move || {
            cache.get_or_set("k", Options::default(), || {
                leading.send(()).unwrap();
                until("all callers have missed", || cache.stats().misses >= CALLERS as u64);
                ok(runs.tick().to_string())
            })
        })
    };
    led.recv_timeout(STUCK).unwrap();
    let followers: Vec<_> = (1..CALLERS)
        .map(|_| {
            let (cache, runs) = (cache.clone(), runs.clone());
            runtime.spawn(async move {
                cache.get_or_set_async("k", Options::default(), async { ok(runs.tick().to_string()) }).await.unwrap()
            })
        })
        .collect();
    for follower in followers {
        assert_eq!(runtime.block_on(follower).unwrap(), "1");
    }
    assert_eq!(leader.join().unwrap().unwrap(), "1");
    assert_eq!(runs.count(), 1);
}

#[test]
fn a_sync_caller_never_waits_for_an_async_leader() {
    // One thread: were the second call to wait, nobody could poll the first.
    let rendered = must_end(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let cache = FragmentCache::builder().wait_timeout(Duration::MAX).build().unwrap();
        runtime.block_on(async {
            let other = cache.clone();
            let leader = cache.get_or_set_async("k", Options::default(), async {
                tokio::task::yield_now().await;
                ok("leader")
            });
            let sync = async { other.get_or_set("k", Options::default(), || ok("own")).unwrap() };
            let (leader, own) = tokio::join!(leader, sync);
            let stored = cache.get_or_set("k", Options::default(), || ok("later")).unwrap();
            (leader.unwrap().to_string(), own.to_string(), stored.to_string())
        })
    });
    assert_eq!(rendered, ("leader".into(), "own".into(), "leader".into()));
}

#[test]
fn an_aborted_async_leader_lets_the_next_one_try() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let cache = cache();
    runtime.block_on(async {
        let (leading, led) = tokio::sync::oneshot::channel();
        let one = cache.clone();
        let leader = tokio::spawn(async move {
            let load = async {
                leading.send(()).unwrap();
                std::future::pending::<Result<String, Infallible>>().await
            };
            one.get_or_set_async("k", Options::default(), load).await
        });
        led.await.unwrap();
        let followers: Vec<_> = (0..8)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { cache.get_or_set_async("k", Options::default(), async { ok("next") }).await })
            })
            .collect();
        while cache.stats().misses < 9 {
            tokio::task::yield_now().await;
        }
        leader.abort();
        for follower in followers {
            assert_eq!(tokio::time::timeout(STUCK, follower).await.unwrap().unwrap().unwrap(), "next");
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.stores, stats.renders, stats.wait_timeouts), (1, 1, 0));
}

#[test]
fn a_follower_that_is_cancelled_disturbs_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cache = cache();
    let result = runtime.block_on(async {
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let leader = cache.get_or_set_async("k", Options::default(), async {
            released.await.unwrap();
            ok("leader")
        });
        let rest = async {
            let cancelled = cache.get_or_set_async("k", Options::default(), async { ok("own") });
            assert!(tokio::time::timeout(Duration::from_millis(1), cancelled).await.is_err());
            release.send(()).unwrap();
        };
        tokio::join!(leader, rest).0.unwrap()
    });
    assert_eq!(result, "leader");
}

#[tokio::test]
async fn a_future_can_be_sent_to_another_thread_where_its_parts_can() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    let cache = cache();
    let (text, value) = (async { ok("v") }, async { ok(7) });
    assert_eq!(sent(cache.get_or_set_async("k", Options::default(), text)).await.unwrap(), "v");
    assert_eq!(sent(cache.get_or_set_value_async("k", Options::default(), value)).await.unwrap(), 7);
    let inside = async { cache.get_or_set_async("k", Options::default(), async { ok("v") }).await };
    sent(cache.explain_async(sent(cache.scope().run_async(inside)))).await.0.unwrap();
}
