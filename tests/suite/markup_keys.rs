//! Safe strings in keys: a body shows them in another way than plain ones.

use minijinja::value::Value;
use minijinja::{Environment, context};
use minijinja_cache::FragmentCache;

use crate::support::{cache, env_of, show};

const TEXT: &str = "<b>";

fn safe() -> Value {
    Value::from_safe_string(TEXT.into())
}

fn plain() -> Value {
    Value::from(TEXT)
}

/// An environment whose page `p.html` shows `k` in what is cached under it.
fn page<'a>(cache: &FragmentCache, source: &str) -> Environment<'a> {
    env_of(cache, &[("p.html", source), ("card.html", "{{ k }}{{ n }}")])
}

/// The head of a tag, and the key in it to invalidate.
fn heads() -> [(&'static str, Value); 9] {
    let list = |items: &[&'static str]| Value::from(items.to_vec());
    [
        ("k", Value::from(TEXT)),
        ("['a', k]", list(&["a", TEXT])),
        ("[[k]]", Value::from(vec![list(&[TEXT])])),
        ("{'a': k}", Value::from_pairs([("a", TEXT)])),
        ("{'a': 1, 'b': {'c': [k]}}", context! { a => 1, b => context! { c => list(&[TEXT]) } }),
        ("{k: 1}", Value::from_pairs([(TEXT, 1)])),
        ("'x' vary=k", Value::from("x")),
        ("'x' vary=['a', k]", Value::from("x")),
        ("k ~ ''", Value::from(TEXT)),
    ]
}

#[test]
fn a_safe_string_and_a_plain_one_are_two_keys_to_look_up() {
    for (head, _) in heads() {
        for source in [
            format!("{{% cache {head} %}}{{{{ k }}}}{{% endcache %}}"),
            format!("{{{{ cache_partial('card.html', {}, context={{'k': k}}) }}}}", head.replace("'x' ", "'x', ")),
        ] {
            let env = page(&cache(), &source);
            for _ in 0..2 {
                assert_eq!(show(&env, "p.html", context! { k => safe() }), "<b>", "{source}");
                assert_eq!(show(&env, "p.html", context! { k => plain() }), "&lt;b&gt;", "{source}");
            }
        }
    }
}

#[test]
fn a_safe_string_and_a_plain_one_are_one_key_to_invalidate() {
    for (head, key) in heads() {
        let cache = cache();
        let env = page(&cache, &format!("{{% cache {head} %}}{{{{ k }}}}{{{{ n }}}}{{% endcache %}}"));
        let both = |n: u32| [safe(), plain()].map(|k| show(&env, "p.html", context! { k, n }));
        assert_eq!(both(1), ["<b>1", "&lt;b&gt;1"], "{head}");
        assert_eq!(both(2), ["<b>1", "&lt;b&gt;1"], "{head}");
        cache.invalidate(&key);
        assert_eq!(both(3), ["<b>3", "&lt;b&gt;3"], "{head}");
    }
}

#[test]
fn which_of_several_texts_is_safe_tells_keys_apart() {
    let cache = cache();
    for (name, head) in [("list", "['x', a, b]"), ("joined", "a ~ b"), ("map", "{'a': a, 'b': b}")] {
        let env = page(&cache, &format!("{{% cache {head} %}}{{{{ a }}}}|{{{{ b }}}}{{% endcache %}}"));
        for _ in 0..2 {
            let shown = |a: Value, b: Value| show(&env, "p.html", context! { a, b });
            assert_eq!(shown(safe(), plain()), "<b>|&lt;b&gt;", "{name}");
            assert_eq!(shown(plain(), safe()), "&lt;b&gt;|<b>", "{name}");
            assert_eq!(shown(safe(), safe()), "<b>|<b>", "{name}");
            assert_eq!(shown(plain(), plain()), "&lt;b&gt;|&lt;b&gt;", "{name}");
        }
    }
}

#[test]
fn a_version_that_is_safe_is_another_than_the_plain_one() {
    let env = page(&cache(), "{% cache 'x' version=k %}{{ k }}{% endcache %}");
    for _ in 0..2 {
        assert_eq!(show(&env, "p.html", context! { k => safe() }), "<b>");
        assert_eq!(show(&env, "p.html", context! { k => plain() }), "&lt;b&gt;");
    }
}

#[test]
fn a_safe_key_is_no_variant_of_a_plain_one() {
    let env = page(&cache(), "{% cache k vary=v %}{{ k }}{{ v }}{% endcache %}");
    for _ in 0..2 {
        assert_eq!(show(&env, "p.html", context! { k => safe(), v => 1 }), "<b>1");
        assert_eq!(show(&env, "p.html", context! { k => plain(), v => 1 }), "&lt;b&gt;1");
        assert_eq!(show(&env, "p.html", context! { k => plain(), v => 2 }), "&lt;b&gt;2");
    }
}
