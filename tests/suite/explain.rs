//! Explanations: what was looked up in a piece of work, and what came of it.

use std::time::Duration;

use minijinja::context;
use minijinja_cache::{Explanation, FragmentCache, MissReason, Options, Outcome, Rejection};

use crate::support::{cache, env_of, failure, ok, p, page, show, timed};

fn lines(explanation: &Explanation) -> Vec<String> {
    let hidden = |line: &str| {
        let (before, rest) = line.split_once('[').expect("a key");
        format!("{before}{}", &rest[17..])
    };
    explanation.to_string().lines().map(hidden).collect()
}

#[test]
fn each_look_up_is_told_with_what_it_is_inside_of() {
    let cache = cache();
    let (env, _) = page(
        &cache,
        "{% cache 'out' %}\n{% cache 'in' %}x{% endcache %}\n{% endcache %}\n{% cache 'b' 0 %}y{% endcache %}",
    );
    let (text, first) = cache.explain(|| p(&env));
    assert!(text.contains('x'));
    assert_eq!(
        lines(&first),
        [
            "block p:1 : miss (never stored)",
            "  block p:2 : miss (never stored)",
            "block p:4 : miss (bypassed: lifetime 0)",
        ]
    );
    assert_eq!(first.fragments[1].inside, Some(0));
    let (_, second) = cache.explain(|| p(&env));
    assert_eq!(lines(&second), ["block p:1 : hit", "block p:4 : miss (bypassed: lifetime 0)"]);
    assert_eq!((second.count("hit"), second.count("bypass"), second.count("miss")), (1, 1, 0));
}

#[test]
fn a_fragment_says_age_lifetime_tags_templates_cost_and_size() {
    let (cache, clock) = timed();
    let env = env_of(
        &cache,
        &[
            ("inner", "{{ cache_tag('deep') }}x"),
            ("p", "{% cache ['k', 1] 60 tags=['t'] %}{% include 'inner' %}{% endcache %}"),
        ],
    );
    let (_, computed) = cache.explain(|| p(&env));
    clock.advance(Duration::from_secs(20));
    let (_, hit) = cache.explain(|| p(&env));
    for (explanation, age, left) in [(computed, 0, 60), (hit, 20, 40)] {
        let it = explanation.find("p:1").unwrap();
        assert_eq!((it.age, it.ttl_left), (Duration::from_secs(age), Some(Duration::from_secs(left))));
        let mut tags = it.tags.clone();
        tags.sort();
        assert_eq!((&tags[..], &it.templates[..]), (&["deep".into(), "t".into()][..], &["inner".into()][..]));
        assert_eq!((it.bytes, it.rejected, it.failed), (1, None, false));
        assert_eq!(it.key_text(), "[\"k\", 1]");
    }
}

#[test]
fn what_is_not_stored_or_fails_says_so() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            ("p", "{% cache 'k' %}{{ cache_skip() }}{% endcache %}"),
            ("fails", "{% cache 'k' %}{{ a.b.c }}{% endcache %}"),
        ],
    );
    let (_, skipped) = cache.explain(|| p(&env));
    assert_eq!(skipped.fragments[0].rejected, Some(Rejection::Uncacheable));
    let (_, failed) = cache.explain(|| failure(&env, "fails", context! {}));
    assert!(failed.fragments[0].failed);
    assert_eq!(lines(&failed), ["block fails:1 : miss (never stored), failed"]);
}

#[test]
fn only_the_work_itself_is_told_of_and_the_one_around_it_learns_of_all() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache who %}x{% endcache %}");
    let ask = |who: u32| show(&env, "p", context! { who });
    let (inner, outer) = cache.explain(|| {
        ask(1);
        let ((), inner) = cache.explain(|| {
            std::thread::scope(|threads| drop(threads.spawn(|| ask(2)).join().unwrap()));
            ask(3);
        });
        ask(1);
        inner
    });
    // The other thread was not told that it works for anybody.
    assert_eq!(inner.fragments.len(), 1);
    let outcomes: Vec<&str> = outer.fragments.iter().map(|it| it.outcome.name()).collect();
    assert_eq!(outcomes, ["miss", "miss", "hit"]);
}

#[test]
fn a_scope_takes_the_question_to_other_threads() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache who %}x{% endcache %}");
    let ((), explained) = cache.explain(|| {
        let scope = cache.current_scope();
        std::thread::scope(|threads| {
            threads.spawn(|| scope.run(|| show(&env, "p", context! { who => 1 })));
        });
        let other = cache.scope();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let _inside = other.attach();
                show(&env, "p", context! { who => 2 })
            });
        });
    });
    assert_eq!(explained.count("miss"), 2);
}

#[tokio::test]
async fn a_future_is_explained_across_its_waits() {
    let cache = cache();
    let load = async {
        tokio::task::yield_now().await;
        cache.get_or_set("inside", Options::default().label("inside"), || ok("v"))
    };
    let (_, explained) = cache.explain_async(cache.get_or_set_async("k", Options::default().label("out"), load)).await;
    assert_eq!(lines(&explained), ["text out : miss (never stored)", "  text inside : miss (never stored)"]);
}

#[test]
fn explaining_changes_nothing_that_is_cached_and_keeps_the_beginning_of_a_scope() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'k' tags=['t'] %}x{% endcache %}");
    cache.scope().run(|| {
        cache.invalidate_tag("t");
        let (_, explained) = cache.explain(|| p(&env));
        // Its work began before the invalidation.
        assert_eq!(explained.fragments[0].rejected, Some(Rejection::Invalidated));
    });
    let (_, outer) = cache.explain(|| {
        cache.get_or_set("outer", Options::default(), || {
            let (text, _) = cache.explain(|| p(&env));
            ok(text)
        })
    });
    assert_eq!(outer.fragments.len(), 2);
    cache.invalidate_tag("t");
    let (_, again) = cache.explain(|| cache.get_or_set("outer", Options::default(), || ok("new")));
    assert_eq!(again.fragments[0].outcome, Outcome::Miss(MissReason::TagInvalidated("t".into())));
}

#[test]
fn two_caches_are_explained_apart() {
    let (one, other) = (cache(), cache());
    let get = |cache: &FragmentCache| drop(cache.get_or_set("k", Options::default(), || ok("v")).unwrap());
    let (((), inner), outer) = one.explain(|| {
        other.explain(|| {
            get(&one);
            get(&other);
        })
    });
    assert_eq!((inner.fragments.len(), outer.fragments.len()), (1, 1));
}

#[test]
fn what_was_explained_inside_a_fragment_is_inside_it_for_the_one_around() {
    let cache = cache();
    let get = |key: &str| drop(cache.get_or_set(key, Options::default().label(key), || ok("v")).unwrap());
    let (_, outer) = cache.explain(|| {
        get("before");
        cache.get_or_set("out", Options::default().label("out"), || {
            cache.explain(|| get("in"));
            ok("v")
        })
    });
    assert_eq!(outer.find("in").unwrap().inside, Some(1));
    assert_eq!(lines(&outer)[2], "  text in : miss (never stored)");
}

#[test]
fn fragments_of_another_cache_in_between_are_nothing_to_be_inside_of() {
    let (one, other) = (cache(), cache());
    let get = |cache: &FragmentCache, key: &str, inside: &dyn Fn()| {
        let load = || {
            inside();
            ok("v")
        };
        cache.get_or_set(key, Options::default().label(key), load).unwrap();
    };
    let (_, explained) = one.explain(|| {
        get(&one, "out", &|| {
            other.explain(|| {
                get(&other, "first", &|| ());
                get(&other, "second", &|| get(&one, "in", &|| ()));
            });
        });
    });
    assert_eq!(explained.find("in").unwrap().inside, Some(0));
}

#[test]
fn a_name_that_is_computed_is_found_after_a_miss_and_after_a_hit() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache 'k' name='for ' ~ who %}x{% endcache %}");
    for outcome in ["miss", "hit"] {
        let (_, explained) = cache.explain(|| show(&env, "p", context! { who => "all" }));
        assert_eq!(explained.find("for all").unwrap().outcome.name(), outcome);
    }
}
