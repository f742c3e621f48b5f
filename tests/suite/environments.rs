//! Several environments on one cache: their own fragments, shared ones by name, and clones.

use minijinja::{Environment, context};

use crate::support::{Ticks, cache, env_of, p, page, show};

#[test]
fn a_template_added_to_one_clone_and_then_another_refreshes_what_missed_it() {
    let cache = cache();
    let (mut a, _) = page(&cache, "{% cache 'k' %}{{ tick() }}{% include 'x' ignore missing %}{% endcache %}");
    let mut b = a.clone();
    cache.add_template(&mut a, "x", "x").unwrap();
    assert_eq!([p(&b), p(&b)], ["1", "1"]);
    cache.add_template(&mut b, "x", "x").unwrap();
    assert_eq!(p(&b), "2x");
}

#[test]
fn environments_share_no_fragment_and_their_clones_do() {
    let cache = cache();
    let source = [("p", "{% cache 'k' %}{{ who }}{% endcache %}")];
    let (de, en) = (env_of(&cache, &source), env_of(&cache, &source));
    let shown = |env: &Environment<'_>, who: &str| show(env, "p", context! { who });
    assert_eq!([shown(&de, "de"), shown(&en, "en")], ["de", "en"]);
    assert_eq!([shown(&de.clone(), "x"), shown(&en.clone(), "x")], ["de", "en"]);
    cache.invalidate("k");
    assert_eq!([shown(&de, "1"), shown(&en, "2")], ["1", "2"]);
}

#[test]
fn a_template_added_elsewhere_under_the_same_name_does_not_stop_caching_here() {
    let cache = cache();
    let source = [("p", "{% cache 'k' %}{{ tick() }}{% include 'x' %}{% endcache %}"), ("x", "x")];
    let mut de = env_of(&cache, &source);
    let _en = env_of(&cache, &source);
    let ticks = Ticks::add_to(&mut de);
    (0..5).for_each(|_| drop(p(&de)));
    assert_eq!(ticks.count(), 1);
}

#[test]
fn environments_registered_under_one_name_share_fragments() {
    let cache = cache();
    let named = |name: &str| {
        let mut env = Environment::new();
        cache.add_to_environment_as(name, &mut env);
        cache.add_template(&mut env, "p", "{% cache 'k' %}{{ who }}{% endcache %}").unwrap();
        env
    };
    let envs = [named("a"), named("a"), named("b")];
    let shown: Vec<_> = envs.iter().enumerate().map(|(who, env)| show(env, "p", context! { who })).collect();
    assert_eq!(shown, ["0", "0", "2"]);
}

#[test]
fn two_templates_may_use_one_key() {
    let cache = cache();
    let block = "{% cache 'k' %}{{ self_name }}{% endcache %}";
    let env = env_of(&cache, &[("a", block), ("b", block)]);
    let shown = |name: &str| show(&env, name, context! { self_name => name });
    assert_eq!([shown("a"), shown("b"), shown("a")], ["a", "b", "a"]);
}
