//! Ten seconds of load: nobody sees what is not his, and the caches save what they should.

use crate::generator::contents::Kind;
use crate::generator::report::faults;
use crate::{options, report, run};

/// Every scenario for nearly two seconds, with more changes than usual.
#[test]
fn visitors_who_change_things_see_what_is_theirs_and_what_is_current() {
    let options = options("--seconds 1.7 --warm-up 0.2 --at-least 60 --connections 6 --visitors 30 --writes 0.1");
    let report = report(&options, |site| site);
    assert!(report.is_clean(), "{}", faults(&report));
    assert_eq!(report.runs.len(), options.scenarios.len());
    for run in &report.runs {
        assert!(run.requests >= 60, "{}: {}", run.scenario, run.requests);
        assert_eq!((run.errors, run.leaks, run.stale, run.unsent), (0, 0, 0, 0), "{}", run.scenario);
        assert!(run.kinds.iter().any(|of| of.kind == Kind::Write), "{}: {:?}", run.scenario, run.kinds);
        assert!(run.invalidations > 0 && run.queries > 0 && run.renders > 0, "{}", run.scenario);
        let cached = run.scenario != "off";
        assert_eq!(run.hits > 0 && run.hit_ratio.is_some_and(|ratio| ratio > 0.0), cached, "{}", run.scenario);
        assert!(run.timeline.len() > 1 && run.timeline.iter().any(|tick| tick.second < 0.0), "{}", run.scenario);
        println!("{}: {} requests", run.scenario, run.requests);
    }
}

#[test]
fn the_front_page_takes_at_most_one_query_where_it_took_many() {
    let options = options("--page / --seconds 0.3 --warm-up 0 --at-least 60 --connections 4 --visitors 20");
    let report = report(&options, |site| site);
    assert!(report.is_clean(), "{}", faults(&report));
    let queries = |scenario| run(&report, scenario).queries_per_page;
    assert!(queries("off") > 5.0, "{}", queries("off"));
    // What is left is one for the session of those who have one, and the first look.
    assert!(queries("fragments") <= 1.0, "{}", queries("fragments"));
    assert!(queries("pages") < queries("fragments") && run(&report, "pages").requests >= 60);
}

/// In an open loop too, with requests due faster than they are answered.
#[test]
fn an_open_loop_checks_as_a_closed_one_does() {
    let words = "--only fragments,pages --rate 400 --seconds 1 --warm-up 0 --connections 3 --visitors 10 --writes 0.2";
    let report = report(&options(words), |site| site);
    assert!(report.is_clean(), "{}", faults(&report));
    for run in &report.runs {
        let due = run.requests + run.unsent;
        assert!(due > 300 && run.requests > 0, "{}: {} of {due}", run.scenario, run.requests);
    }
}
