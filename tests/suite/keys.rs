//! Keys: what may be one, which are the same, and what fails on every render.

use minijinja::value::Value;
use minijinja::{Error, State, context};

use crate::support::{cache, env_of, failure, page, show};

/// Renders a block keyed by each value in turn and says which block run each one saw.
fn runs(keys: &[Value]) -> Vec<String> {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache k %}{{ tick() }}{% endcache %}");
    keys.iter().map(|k| show(&env, "p", context! { k => k })).collect()
}

fn all_differ(keys: &[Value]) {
    let twice: Vec<Value> = keys.iter().chain(keys).cloned().collect();
    let seen = runs(&twice);
    let expected: Vec<String> = (1..=keys.len()).chain(1..=keys.len()).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected, "{keys:?}");
}

#[test]
fn keys_of_every_kind_that_look_alike_differ() {
    all_differ(&[
        Value::from(1),
        Value::from("1"),
        Value::from(1.0),
        Value::from(true),
        Value::from(vec![1]),
        Value::from(vec!["1"]),
        Value::from(-1),
        Value::from("true"),
        Value::from(false),
        Value::from(0),
        Value::from(0.0),
        Value::from("none"),
        Value::from("[1]"),
        Value::from(vec![vec![1]]),
        Value::from(" 1"),
    ]);
}

#[test]
fn lists_and_maps_do_not_run_together() {
    all_differ(&[
        Value::from(vec!["a", "b:c"]),
        Value::from(vec!["a:b", "c"]),
        Value::from(vec!["a", "b", "c"]),
        Value::from(vec!["ab", "c"]),
        Value::from(vec![vec!["a"], vec!["b", "c"]]),
        Value::from(vec![vec!["a", "b"], vec!["c"]]),
        Value::from(vec![Value::from(vec!["a", "b", "c"])]),
        Value::from(vec![Value::from(()), Value::from("x")]),
        Value::from(vec![Value::from(""), Value::from("x")]),
        Value::from(vec![Value::from("none"), Value::from("x")]),
        Value::from(vec![Value::from(())]),
        Value::from(Vec::<Value>::new()),
        context! { a => 1, b => 2 },
        context! { a => 2, b => 1 },
        context! { a => "1", b => 2 },
        context! { a => context! { b => 2 } },
        context! { a => () },
        context! {},
    ]);
}

#[test]
fn equal_integers_of_any_width_are_one_key() {
    let keys = [Value::from(7_u8), Value::from(7_i64), Value::from(7_u64), Value::from(7_i128), Value::from(7_u128)];
    assert_eq!(runs(&keys), ["1"; 5]);
    all_differ(&[
        Value::from(u64::MAX),
        Value::from(u128::from(u64::MAX) + 1),
        Value::from(i64::MIN),
        Value::from(i128::from(i64::MIN) - 1),
        Value::from(u128::MAX),
        Value::from(i128::MIN),
        Value::from(256),
        Value::from(255),
    ]);
}

#[test]
fn map_order_does_not_matter() {
    let pairs = |order: [(&'static str, i32); 3]| Value::from_pairs(order);
    let one = pairs([("a", 1), ("b", 2), ("c", 3)]);
    let other = pairs([("c", 3), ("a", 1), ("b", 2)]);
    assert_eq!(runs(&[one, other]), ["1", "1"]);
}

#[test]
fn keys_of_any_length_and_script_are_told_apart() {
    let long = "x".repeat(1 << 20);
    all_differ(&[
        Value::from(long.clone()),
        Value::from(format!("{long}y")),
        Value::from("é"),
        Value::from("e\u{301}"),
        Value::from("ピカチュウ"),
        Value::from("\0"),
        Value::from("\0\0"),
        Value::from("a\nb"),
    ]);
}

#[test]
fn a_joined_key_is_the_string_it_makes() {
    let cache = cache();
    let (env, ticks) = page(&cache, "{% cache 'a' ~ n ~ 'b' %}{{ tick() }}{% endcache %}");
    show(&env, "p", context! { n => 1 });
    show(&env, "p", context! { n => "1" });
    assert_eq!(ticks.count(), 1);
    cache.invalidate("a1b");
    show(&env, "p", context! { n => 1 });
    assert_eq!(ticks.count(), 2);
}

/// Asserts that the tag `head` fails at line 2 with these words, before and after a good render was stored.
fn fails_always(head: &str, words: &str) {
    let source = format!("\n{{% cache {head} %}}{{{{ tick() }}}}{{% endcache %}}");
    let cache = cache();
    let (mut env, _) = page(&cache, &source);
    env.add_function("bare", || 1);
    env.add_filter("once", |_: &Value| Value::make_one_shot_iterator(["a"].into_iter()));
    let good = context! { v => "good", w => "good", user => context! { id => 1, name => "n" } };
    let bad = context! { user => context! { id => 1 }, good => true };
    for round in 0..2 {
        let outcome = env.get_template("p").unwrap().render(bad.clone());
        let Err(error) = outcome else { panic!("{head}, round {round}: rendered {outcome:?}") };
        assert_eq!(error.line(), Some(2), "{head}: {error}");
        assert!(error.to_string().contains(words), "{head}, round {round}: {error}");
        // Fills the cache where the head can succeed at all.
        let _ = env.get_template("p").unwrap().render(good.clone());
    }
}

#[test]
fn what_cannot_be_a_key_is_an_error_on_every_render() {
    fails_always("v", "undefined");
    fails_always("none", "none");
    fails_always("''", "empty");
    fails_always("'' ~ ''", "empty");
    fails_always("[1, v]", "undefined");
    fails_always("[[{'a': v}]]", "undefined");
    fails_always("{'a': {'b': [v]}}", "undefined");
    fails_always("user.name", "undefined");
    fails_always("bare", "key");
    fails_always("[bare]", "key");
    fails_always("'x'|once", "key");
    fails_always("[1, 'x'|once]", "key");
}

#[test]
fn an_undefined_operand_is_an_error_wherever_it_stands() {
    fails_always("'user_' ~ user.name", "user.name");
    fails_always("'a' ~ ('b' ~ user.name)", "user.name");
    fails_always("['a' ~ user.name]", "user.name");
    fails_always("{'a': 'a' ~ user.name}", "user.name");
    fails_always("('a' ~ user.name)|upper", "user.name");
    fails_always("'user_' + user.name", "user.name");
    fails_always("user.name + 'x'", "user.name");
    fails_always("'k' vary=['a' ~ user.name]", "user.name");
    fails_always("'k' vary=[user.name]", "undefined");
    fails_always("'k' vary=user.name", "undefined");
    fails_always("'k' version='v' ~ user.name", "user.name");
    fails_always("'k' version=user.name", "undefined");
    fails_always("'k' version=['v' ~ user.name]", "user.name");
}

#[test]
fn the_macros_and_the_loop_are_no_keys() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[
            ("macro", "{% macro m() %}{% endmacro %}{% cache m %}x{% endcache %}"),
            ("kwargs", "{% cache [dict] %}x{% endcache %}"),
        ],
    );
    for name in ["macro", "kwargs"] {
        let outcome = env.get_template(name).unwrap().render(context! {});
        assert!(outcome.as_ref().is_err_and(|error| error.to_string().contains("key")), "{name}: {outcome:?}");
    }
}

#[test]
fn a_list_is_no_iterator_and_may_be_a_key_again_and_again() {
    let cache = cache();
    let (env, ticks) = page(&cache, "{% cache xs|sort|list %}{{ tick() }}{% endcache %}");
    for xs in [vec![1, 2], vec![2, 1], vec![1, 2]] {
        show(&env, "p", context! { xs });
    }
    assert_eq!(ticks.count(), 1);
}

#[test]
fn a_handlers_key_reaches_the_templates_fragment() {
    let cache = cache();
    let (env, ticks) = page(&cache, "{% cache ['user', id, {'lang': 'de'}] %}{{ tick() }}{% endcache %}");
    show(&env, "p", context! { id => 5 });
    cache.invalidate(("user", 6, std::collections::BTreeMap::from([("lang", "de")])));
    show(&env, "p", context! { id => 5 });
    assert_eq!(ticks.count(), 1);
    cache.invalidate(("user", 5_u8, std::collections::BTreeMap::from([("lang", "de")])));
    show(&env, "p", context! { id => 5 });
    assert_eq!(ticks.count(), 2);
}

#[test]
fn invalidating_a_key_reaches_all_its_variants_and_versions() {
    let cache = cache();
    let (env, ticks) = page(&cache, "{% cache 'k' vary=[lang] version=v %}{{ lang }}{{ v }}{{ tick() }}{% endcache %}");
    let at = |lang: &str, v: u32| show(&env, "p", context! { lang, v });
    assert_eq!([at("de", 1), at("en", 1), at("de", 1)], ["de11", "en12", "de11"]);
    cache.invalidate("k");
    assert_eq!([at("de", 1), at("en", 1)], ["de13", "en14"]);
    assert_eq!(ticks.count(), 4);
}

#[test]
fn a_deep_key_is_an_error_and_not_a_crash() {
    let cache = cache();
    let (env, _) = page(&cache, "{% cache k %}x{% endcache %}");
    let mut deep = Value::from(1);
    for _ in 0..200 {
        deep = Value::from(vec![deep]);
    }
    assert!(failure(&env, "p", context! { k => deep }).to_string().contains("deep"));
}

#[test]
fn a_function_in_the_key_runs_once_per_render() -> Result<(), Error> {
    let cache = cache();
    let mut env = env_of(&cache, &[("p", "{% cache 'a' ~ id() 60 vary=['x' ~ id()] version=id() %}b{% endcache %}")]);
    let (calls, seen) = std::sync::mpsc::channel();
    env.add_function("id", move |_: &mut State| calls.send(()).map(|()| "1").unwrap_or_default());
    for _ in 0..2 {
        show(&env, "p", context! {});
    }
    assert_eq!(seen.try_iter().count(), 6);
    Ok(())
}
