//! Lifetimes: the table of what may be given, from when they count, and what fails on every render.

use std::time::Duration;

use minijinja::context;
use minijinja::value::Value;
use minijinja_cache::{FragmentCache, ManualClock, Options};

use crate::support::{cache, env_of, failure, ok, p, page, show, timed};

/// Asserts that a block with this lifetime is a hit just before `expected` and a miss at it.
fn lives(ttl: &str, value: Value, expected: Duration) {
    let (cache, clock) = timed();
    let (env, ticks) = page(&cache, &format!("{{% cache 'k' {ttl} %}}{{{{ tick() }}}}{{% endcache %}}"));
    let render = || show(&env, "p", context! { ttl => &value });
    render();
    clock.advance(expected - Duration::from_millis(1));
    render();
    assert_eq!(ticks.count(), 1, "{ttl} {value} was shorter than {expected:?}");
    clock.advance(Duration::from_millis(1));
    render();
    assert_eq!(ticks.count(), 2, "{ttl} {value} was longer than {expected:?}");
}

#[test]
fn lifetimes_are_what_the_table_says() {
    let seconds = Duration::from_secs;
    for (text, expected) in [
        ("", seconds(300)),
        ("none", seconds(300)),
        ("60", seconds(60)),
        ("1.5", Duration::from_millis(1500)),
        ("'300'", seconds(300)),
        ("'0.5'", Duration::from_millis(500)),
        ("'90s'", seconds(90)),
        ("'5m'", seconds(300)),
        ("'1h 30m'", seconds(5400)),
        ("'2d'", seconds(2 * 86_400)),
        ("ttl='10s'", seconds(10)),
        (", '10s'", seconds(10)),
    ] {
        lives(text, Value::UNDEFINED, expected);
    }
}

#[test]
fn computed_lifetimes_mean_the_same() {
    for (value, seconds) in [
        (Value::from(()), 300.0),
        (Value::from(60), 60.0),
        (Value::from(60_u128), 60.0),
        (Value::from(1.5), 1.5),
        (Value::from("300"), 300.0),
        (Value::from("1h 30m"), 5400.0),
        (Value::from("90s"), 90.0),
    ] {
        lives("ttl", value.clone(), Duration::from_secs_f64(seconds));
        lives("ttl=ttl", value, Duration::from_secs_f64(seconds));
    }
}

#[test]
fn forever_does_not_expire() {
    for ttl in ["'forever'", "ttl=t"] {
        let (cache, clock) = timed();
        let (env, ticks) = page(&cache, &format!("{{% cache 'k' {ttl} %}}{{{{ tick() }}}}{{% endcache %}}"));
        show(&env, "p", context! { t => "forever" });
        clock.advance(Duration::from_secs(200 * 365 * 86_400));
        show(&env, "p", context! { t => "forever" });
        assert_eq!(ticks.count(), 1, "{ttl}");
    }
}

#[test]
fn zero_neither_looks_up_nor_stores() {
    for zero in [Value::from(0), Value::from(0.0), Value::from("0"), Value::from("0s")] {
        let cache = cache();
        let (env, ticks) = page(&cache, "{% cache 'k' t %}{{ tick() }}{% endcache %}");
        let render = |t: &Value| show(&env, "p", context! { t });
        assert_eq!(render(&zero), "1");
        assert_eq!(render(&Value::from(60)), "2", "{zero} stored");
        assert_eq!(render(&zero), "3", "{zero} looked up");
        assert_eq!(render(&Value::from(60)), "2", "{zero} removed");
        assert_eq!(ticks.count(), 3);
        assert_eq!(cache.stats().bypasses, 2);
    }
}

#[test]
fn what_is_no_lifetime_fails_with_its_line_and_value_on_hits_too() {
    for (value, quoted) in [
        (Value::from(-1), "-1"),
        (Value::from(-0.5), "-0.5"),
        (Value::from(f64::NAN), "NaN"),
        (Value::from(f64::INFINITY), "inf"),
        (Value::from(1e300), "1e300"),
        (Value::from(u64::MAX), "18446744073709551615"),
        (Value::from("5 minutes"), "5 minutes"),
        (Value::from("-5m"), "-5m"),
        (Value::from("1e3"), "1e3"),
        (Value::from(""), "``"),
        (Value::from("99999999999999999999d"), "99999999999999999999d"),
        (Value::from(true), "true"),
        (Value::from(vec![1]), "[1]"),
        (Value::UNDEFINED, "undefined"),
    ] {
        let cache = cache();
        let (env, _) = page(&cache, "one\n{% cache 'k' t %}x{% endcache %}");
        for round in ["cold", "warm"] {
            let error = failure(&env, "p", context! { t => &value });
            assert_eq!(error.line(), Some(2), "{round}: {error}");
            let text = error.to_string();
            let shown = text.contains(quoted) || text.contains(&value.to_string());
            assert!(shown && (quoted != "undefined" || text.contains("undefined")), "{round}: {value}: {error}");
            show(&env, "p", context! { t => 60 });
        }
    }
}

#[test]
fn a_bad_literal_lifetime_fails_when_the_template_loads() {
    for literal in ["-5", "'5 minutes'", "'-1s'", "true"] {
        let cache = cache();
        let mut env = env_of(&cache, &[]);
        let source = format!("a\nb\n{{% cache 'k', {literal} %}}x{{% endcache %}}");
        let error = cache.add_template(&mut env, "bad.html", &source).unwrap_err();
        assert_eq!(error.kind(), minijinja::ErrorKind::SyntaxError, "{literal}: {error}");
        let text = format!("{error:#}");
        assert!(text.contains("bad.html") && text.contains('3'), "{literal}: {text}");
        assert!(text.to_lowercase().contains(literal.trim_matches(['\'', '[', ']'])), "{literal}: {text}");
    }
}

#[test]
fn the_default_lifetime_is_the_caches() {
    let clock = ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).default_ttl(Duration::from_secs(10)).build().unwrap();
    let (env, ticks) = page(&cache, "{% cache 'k' %}{{ tick() }}{% endcache %}");
    p(&env);
    clock.advance(Duration::from_secs(9));
    p(&env);
    assert_eq!(ticks.count(), 1);
    clock.advance(Duration::from_secs(1));
    p(&env);
    assert_eq!(ticks.count(), 2);
}

#[test]
fn a_lifetime_counts_from_the_start_of_the_work() {
    let (cache, clock) = timed();
    let get = |n: u32| {
        let clock = clock.clone();
        cache.get_or_set("k", Options::ttl(Duration::from_secs(60)), move || {
            clock.advance(Duration::from_secs(40));
            ok(n.to_string())
        })
    };
    assert_eq!(get(1).unwrap(), "1");
    clock.advance(Duration::from_secs(19));
    assert_eq!(get(2).unwrap(), "1");
    clock.advance(Duration::from_secs(1));
    assert_eq!(get(3).unwrap(), "3");
}

#[test]
fn a_lifetime_inside_a_scope_counts_from_the_scope() {
    let (cache, clock) = timed();
    let (env, ticks) = page(&cache, "{% cache 'k' 60 %}{{ tick() }}{% endcache %}");
    cache.scope().run(|| {
        clock.advance(Duration::from_secs(50));
        p(&env)
    });
    clock.advance(Duration::from_secs(9));
    p(&env);
    assert_eq!(ticks.count(), 1);
    clock.advance(Duration::from_secs(1));
    p(&env);
    assert_eq!(ticks.count(), 2);
}

#[test]
fn the_callers_lifetime_counts_as_well_as_the_stored_one() {
    let (cache, clock) = timed();
    let (env, _) = page(&cache, "{% cache 'k' t %}{{ tick() }}{% endcache %}");
    let render = |t: u32| show(&env, "p", context! { t });
    assert_eq!(render(600), "1");
    clock.advance(Duration::from_secs(100));
    assert_eq!(render(100), "2", "too old for this caller");
    assert_eq!(render(600), "2");
    clock.advance(Duration::from_secs(100));
    assert_eq!(render(600), "3", "too old for the lifetime it was stored with");
}

#[test]
fn a_page_without_blocks_does_not_age_the_next_render_of_its_thread() {
    let (cache, clock) = timed();
    let mut env = env_of(&cache, &[]);
    env.set_loader(cache.loader(|name| {
        Ok(match name {
            "plain" => Some("plain".into()),
            "p" => Some("{% cache 'k' 60 %}{{ tick() }}{% endcache %}".into()),
            _ => None,
        })
    }));
    let ticks = crate::support::Ticks::add_to(&mut env);
    show(&env, "plain", context! {});
    clock.advance(Duration::from_secs(3600));
    p(&env);
    p(&env);
    assert_eq!(ticks.count(), 1, "a fragment counted from another render's look-up");
}

#[test]
fn cache_ttl_lowers_and_never_lengthens() {
    let (cache, clock) = timed();
    let (env, ticks) = page(&cache, "{% cache 'k' 60 %}{{ tick() }}{{ cache_ttl(t) }}{% endcache %}");
    for (t, lives) in [(Value::from("10s"), 10), (Value::from(600), 60), (Value::from(()), 60), ("forever".into(), 60)]
    {
        cache.invalidate("k");
        let start = ticks.count();
        let render = || show(&env, "p", context! { t => &t });
        assert_eq!(render(), (start + 1).to_string(), "it prints nothing");
        clock.advance(Duration::from_secs(lives - 1));
        render();
        assert_eq!(ticks.count(), start + 1, "{t}");
        clock.advance(Duration::from_secs(1));
        render();
        assert_eq!(ticks.count(), start + 2, "{t}");
    }
    let error = failure(&env_of(&cache, &[("q", "\n{{ cache_ttl(-5) }}")]), "q", context! {});
    assert!(error.line() == Some(2) && error.to_string().contains("-5"), "{error}");
}
