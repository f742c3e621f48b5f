//! The tag itself: hits, misses, lifetimes, keys, scoping.

use std::time::Duration;

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, ManualClock};

fn cache() -> FragmentCache {
    FragmentCache::builder().build().unwrap()
}

fn env_of<'a>(cache: &FragmentCache, templates: &[(&str, &str)]) -> Environment<'a> {
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    for (name, source) in templates {
        cache.add_template(&mut env, name, source).unwrap();
    }
    env
}

#[test]
fn guides_own_template_runs_verbatim() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[(
            "p.html",
            "{% with cache_key='user_info_' + user.username %}{% cache cache_key 300 %}<b>{{ user.name }}</b>{% endcache %}{% endwith %}",
        )],
    );
    let render = |username: &str, name: &str| {
        env.get_template("p.html").unwrap().render(context! { user => context! { username, name } }).unwrap()
    };
    assert_eq!(render("ada", "Ada"), "<b>Ada</b>");
    assert_eq!(render("ada", "Changed"), "<b>Ada</b>");
    assert_eq!(render("bob", "<Bob>"), "<b>&lt;Bob&gt;</b>");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.renders), (1, 2, 2));
}

#[test]
fn invalidating_the_key_then_rendering_stores_again() {
    let clock = ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).build().unwrap();
    let env = env_of(&cache, &[("p", "{% cache 'k' ~ id '1m' tags=['t:' ~ id] %}{{ n }}{% endcache %}")]);
    let render = |n: u32| env.get_template("p").unwrap().render(context! { id => 7, n }).unwrap();
    assert_eq!(render(1), "1");
    assert_eq!(render(2), "1");
    cache.invalidate("k7");
    assert_eq!(render(3), "3");
    assert_eq!(render(4), "3");
    cache.invalidate_tag("t:7");
    assert_eq!(render(5), "5");
    assert_eq!(render(6), "5");
    clock.advance(Duration::from_secs(60));
    assert_eq!(render(7), "7");
    cache.clear();
    assert_eq!(render(8), "8");
    assert_eq!(render(9), "8");
}

#[test]
fn an_undefined_operand_of_the_key_is_an_error_that_names_it() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "\n{% cache 'user_' ~ user.nme 60 %}x{% endcache %}")]);
    let error = env.get_template("p").unwrap().render(context! { user => context! { name => "x" } }).unwrap_err();
    assert_eq!(error.line(), Some(2));
    assert!(error.to_string().contains("user.nme"), "{error}");
}
