//! The command line.

use std::time::Duration;

use crate::generator::options::{Options, USAGE};
use crate::{options, read};

#[test]
fn without_arguments_it_runs_everything_for_ten_seconds() {
    let defaults = options("");
    assert_eq!(defaults, Options::default());
    assert_eq!((defaults.seconds, defaults.connections), (Duration::from_secs(10), 16));
    let names: Vec<_> = defaults.scenarios.iter().map(|scenario| scenario.name).collect();
    let all = ["off", "fragments", "pages", "shared"];
    assert_eq!(names, if cfg!(feature = "shared") { &all[..] } else { &all[..3] });
}

#[test]
fn every_argument_is_taken() {
    let given = options(
        "--seconds 2.5 --warm-up 0 --at-least 7 --connections 3 --rate 50 --visitors 9 --signed-in 0.25 --zipf 0 \
         --writes 0.5 --page /film/1 --seed 42 --only pages,off --html a.html --json -",
    );
    let scenarios = given.scenarios.iter().map(|scenario| scenario.name).collect::<Vec<_>>();
    assert_eq!(scenarios, ["off", "pages"]);
    let expected = Options {
        seconds: Duration::from_millis(2500),
        warm_up: Duration::ZERO,
        at_least: 7,
        connections: 3,
        think: Duration::ZERO,
        rate: Some(50.0),
        visitors: 9,
        signed_in: 0.25,
        zipf: 0.0,
        writes: 0.5,
        page: Some("/film/1".to_owned()),
        seed: 42,
        scenarios: given.scenarios.clone(),
        html: Some("a.html".into()),
        json: Some("-".into()),
    };
    assert_eq!(given, expected);
    assert_eq!(options("--think 250").think, Duration::from_millis(250));
}

#[test]
fn one_page_is_only_looked_at_unless_writes_are_asked_for() {
    assert_eq!(options("--page /").writes, 0.0);
    assert_eq!(options("--page / --writes 0.1").writes, 0.1);
    assert_eq!(options("--writes 0.1 --page /").writes, 0.1);
}

#[test]
fn a_store_is_the_shared_tier_and_its_password_is_not_told() {
    let redis = options("--only shared --redis redis://:secret@127.0.0.1/0");
    assert_eq!(redis.scenarios.len(), 1);
    assert_eq!((redis.scenarios[0].name, redis.scenarios[0].settings().as_str()), ("shared", "--redis"));
    assert_eq!(options("--memcached 127.0.0.1:11211").scenarios.len(), 4);
}

#[test]
fn what_makes_no_sense_is_an_error_that_names_it() {
    for (words, complaint) in [
        ("--second 3", "unknown argument \"--second\""),
        ("load", "unknown argument \"load\""),
        ("--seconds", "--seconds needs a value"),
        ("--seconds x", "--seconds is \"x\", but must be a number from 0.1 to 86400"),
        ("--seconds 0", "--seconds is \"0\""),
        ("--seconds NaN", "--seconds is \"NaN\""),
        ("--warm-up -1", "--warm-up is \"-1\""),
        ("--think inf", "--think is \"inf\""),
        ("--connections 0", "--connections is \"0\", but must be a number from 1 to 10000"),
        ("--rate 0", "--rate is \"0\""),
        ("--visitors 0", "--visitors is \"0\""),
        ("--signed-in 1.5", "--signed-in is \"1.5\", but must be a number from 0 to 1"),
        ("--writes 2", "--writes is \"2\""),
        ("--zipf -1", "--zipf is \"-1\""),
        ("--seed -1", "--seed is \"-1\""),
        ("--page film/1", "--page is \"film/1\", but must be a path"),
        ("--only page", "there is no scenario \"page\"; there are off, fragments, pages, shared"),
        ("--rate 5 --think 5", "--think is for a closed loop"),
    ] {
        let error = read(words).unwrap_err();
        assert!(error.starts_with(complaint), "{words}: {error}");
    }
    let unreadable = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    let error = Options::read([unreadable]).unwrap_err();
    assert_eq!(error, "an argument is not valid UTF-8");
    let store = read("--only shared");
    assert_eq!(store.is_err(), !cfg!(feature = "shared"), "{store:?}");
}

#[test]
fn the_usage_names_every_argument_and_its_default() {
    for name in ["seconds S", "warm-up S", "at-least N", "connections N", "think MS", "rate R", "visitors N"] {
        assert!(USAGE.contains(&format!("\n  --{name} ")), "{name}");
    }
    for name in ["signed-in SHARE", "zipf EXPONENT", "writes SHARE", "page PATH", "seed N", "only LIST", "redis URL"] {
        assert!(USAGE.contains(&format!("\n  --{name} ")), "{name}");
    }
    assert!(USAGE.lines().all(|line| line.chars().count() <= 120));
}
