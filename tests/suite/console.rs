//! Failures on stderr, where an application gave nothing to be told with: each test runs itself again in a process of its
//! own, and reads what that printed.

use std::process::Command;
use std::time::Duration;

use minijinja::Environment;
use minijinja_cache::{Builder, FragmentCache, ManualClock, Options};

use crate::support::ok;

const CHILD: &str = "CONSOLE_TEST_CHILD";

/// Runs the child below as one of its scenes; the cache's lines on stderr.
fn lines(scene: &str) -> Vec<String> {
    let mut run = Command::new(std::env::current_exe().unwrap());
    let run = run.args(["--exact", "console::child", "--nocapture"]).env(CHILD, scene).output().unwrap();
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{text}");
    text.lines().filter(|line| line.contains("minijinja-cache")).map(str::to_owned).collect()
}

fn complain(cache: &FragmentCache, times: usize) {
    for _ in 0..times {
        drop(cache.invalidate(""));
    }
}

/// The scenes, each run by a process whose stderr is read.
#[test]
fn child() {
    let clock = ManualClock::new();
    let builder = || FragmentCache::builder().clock(&clock);
    let of = |builder: Builder| builder.build().unwrap();
    match std::env::var(CHILD).as_deref() {
        Ok("minute") => {
            let cache = of(builder());
            complain(&cache, 5);
            clock.advance(Duration::from_secs(59));
            complain(&cache, 1);
            clock.advance(Duration::from_secs(1));
            complain(&cache, 1);
        }
        Ok("two caches") => {
            complain(&of(builder().name("films")), 2);
            complain(&of(builder().name("shop")), 2);
        }
        Ok("told") => complain(&of(builder().on_error(|_| {})), 3),
        #[cfg(feature = "tracing")]
        Ok("traced") => {
            let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
            tracing::subscriber::with_default(subscriber, || complain(&of(builder()), 3));
        }
        #[cfg(feature = "shared")]
        Ok("environment") => {
            let cache = of(builder().shared(minijinja_cache::LocalStore::new()));
            for _ in 0..3 {
                cache.add_to_environment(&mut Environment::new());
            }
            cache.add_to_environment_as("web", &mut Environment::new());
        }
        #[cfg(feature = "redis")]
        Ok("store") => {
            // A port that was free a moment ago: nothing answers there.
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let store = minijinja_cache::RedisStore::connect(&format!("redis://ada:s3cret@127.0.0.1:{port}")).unwrap();
            let cache = of(FragmentCache::builder().shared(store));
            crate::support::until("three failures", || {
                cache.get_or_set("k", Options::default(), || ok("x")).unwrap();
                cache.stats().shared_failures >= 3 && cache.stats().errors >= 1
            });
        }
        Ok("variables") => {
            let variables = [("CACHE_DIR", "/secret"), ("CACHE_DEFAULT_TTL", "5m")];
            drop(minijinja_cache::CacheConfig::from_variables("CACHE_", variables).unwrap().build().unwrap());
        }
        Ok("closed") => {
            // Stderr is closed.
            complain(&of(builder()), 2);
            println!("went on");
        }
        Ok(other) => panic!("no scene {other}"),
        // Outside of such a process there is nothing to be seen.
        Err(_) => complain(&of(builder().on_error(|error| assert!(error.to_string().contains("empty")))), 1),
    }
}

#[test]
fn the_first_failure_of_a_minute_is_a_line() {
    let lines = lines("minute");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("minijinja-cache: cannot invalidate: the key is empty"), "{lines:?}");
    assert!(lines[0].contains("Builder::on_error"), "it says how else to be told: {lines:?}");
    assert!(lines[1].contains("(5 more since the last line)") && !lines[1].contains("on_error"), "{lines:?}");
}

#[test]
fn two_caches_of_a_process_are_told_apart() {
    let lines = lines("two caches");
    assert!(lines.len() == 2 && lines[0].contains("\"films\":") && lines[1].contains("\"shop\":"), "{lines:?}");
}

#[test]
fn an_application_that_is_told_finds_nothing_on_stderr() {
    assert_eq!(lines("told"), [""; 0]);
}

#[cfg(feature = "tracing")]
#[test]
fn a_subscriber_takes_the_place_of_stderr() {
    assert_eq!(lines("traced"), [""; 0]);
}

#[cfg(feature = "shared")]
#[test]
fn an_environment_without_a_name_beside_a_shared_store_is_told_of() {
    let lines = lines("environment");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("add_to_environment_as(\"web\", &mut env)"), "it says what to do: {lines:?}");
}

#[cfg(feature = "redis")]
#[test]
fn a_store_that_cannot_be_reached_is_told_of_once() {
    let lines = lines("store");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("redis 127.0.0.1:") && lines[0].contains("check that the server runs"), "{lines:?}");
    assert!(!lines[0].contains("s3cret"), "{lines:?}");
}

#[test]
fn a_variable_that_is_ignored_is_told_of() {
    let lines = lines("variables");
    assert!(lines.len() == 1 && lines[0].contains("CACHE_DIR") && !lines[0].contains("/secret"), "{lines:?}");
}

#[cfg(unix)]
#[test]
fn a_closed_stderr_fails_nothing() {
    use std::process::Stdio;
    let mut run = Command::new("sh");
    run.arg("-c").arg("exec \"$0\" --exact console::child --nocapture 2>&-").arg(std::env::current_exe().unwrap());
    let run = run.env(CHILD, "closed").stderr(Stdio::null()).output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && text.contains("went on"), "{text}");
}
