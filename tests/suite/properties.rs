//! Keys by property test: two values share an entry if and only if they are the same value.

use std::collections::BTreeMap;

use minijinja::{Environment, Value, context};
use minijinja_cache::{FragmentCache, Options};
use proptest::prelude::*;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::support::{Ticks, cache, env_of, ok, show};

/// A key as the contract names them; `Eq` is the contract's sameness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    None,
    Bool(bool),
    Int(i128),
    /// Bits, so that floats have an `Eq`.
    Float(u64),
    Text(String),
    List(Vec<Key>),
    Map(BTreeMap<String, Key>),
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Key::None => s.serialize_none(),
            Key::Bool(yes) => s.serialize_bool(*yes),
            // The narrowest width that holds it: a template would use another one.
            Key::Int(n) => match (i8::try_from(*n), u64::try_from(*n)) {
                (Ok(n), _) => s.serialize_i8(n),
                (_, Ok(n)) => s.serialize_u64(n),
                _ => s.serialize_i128(*n),
            },
            Key::Float(bits) => s.serialize_f64(f64::from_bits(*bits)),
            Key::Text(text) => s.serialize_str(text),
            Key::List(items) => s.collect_seq(items),
            Key::Map(entries) => {
                // Backwards: order does not matter.
                let mut map = s.serialize_map(None)?;
                for (key, value) in entries.iter().rev() {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl Key {
    fn value(&self) -> Value {
        match self {
            Key::None => Value::from(()),
            Key::Bool(yes) => Value::from(*yes),
            Key::Int(n) => i64::try_from(*n).map_or_else(|_| Value::from(*n), Value::from),
            Key::Float(bits) => Value::from(f64::from_bits(*bits)),
            Key::Text(text) => Value::from(text.clone()),
            Key::List(items) => items.iter().map(Key::value).collect::<Vec<_>>().into(),
            Key::Map(entries) => Value::from_pairs(entries.iter().map(|(key, value)| (key.clone(), value.value()))),
        }
    }

    /// Whether `none` is in it: as a template value that serializes as what is undefined does, which no handler takes.
    fn holds_none(&self) -> bool {
        match self {
            Key::None => true,
            Key::List(items) => items.iter().any(Key::holds_none),
            Key::Map(entries) => entries.values().any(Key::holds_none),
            _ => false,
        }
    }

    /// Whether it may stand alone.
    fn alone(&self) -> bool {
        !matches!(self, Key::None) && !matches!(self, Key::Text(text) if text.is_empty())
    }
}

fn text() -> impl Strategy<Value = String> {
    // Few letters, so that lists of them run into one another; lengths as bytes, so that they pass for prefixes.
    prop_oneof![4 => "[ab:\\[\\],\\x00-\\x09]{0,4}", 1 => any::<String>()]
}

fn keys() -> impl Strategy<Value = Key> {
    let leaf = prop_oneof![
        Just(Key::None),
        any::<bool>().prop_map(Key::Bool),
        (-3_i128..300).prop_map(Key::Int),
        any::<i128>().prop_map(Key::Int),
        any::<i64>().prop_map(|n| Key::Int(n.into())),
        (-3_i32..4).prop_map(|n| Key::Float(f64::from(n).to_bits())),
        any::<f64>()
            .prop_filter("one NaN is as good as another", |f| !f.is_nan())
            .prop_map(|f| Key::Float(f.to_bits())),
        text().prop_map(Key::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Key::List),
            prop::collection::btree_map(text(), inner, 0..4).prop_map(Key::Map),
        ]
    })
}

/// Two keys close to each other: the same, one wrapped, one cut differently, or strangers.
fn pairs() -> impl Strategy<Value = (Key, Key)> {
    prop_oneof![
        keys().prop_map(|key| (key.clone(), key)),
        keys().prop_map(|key| (key.clone(), Key::List(vec![key]))),
        (keys(), keys(), keys()).prop_map(|(a, b, c)| {
            let inner = Key::List(vec![b.clone(), c.clone()]);
            (Key::List(vec![a.clone(), b, c]), Key::List(vec![a, inner]))
        }),
        (text(), text(), text()).prop_map(|(a, b, c)| {
            let (ab, bc) = (format!("{a}{b}"), format!("{b}{c}"));
            (Key::List(vec![Key::Text(ab), Key::Text(c)]), Key::List(vec![Key::Text(a), Key::Text(bc)]))
        }),
        (-300_i32..300).prop_map(|n| (Key::Int(n.into()), Key::Float(f64::from(n).to_bits()))),
        (-300_i32..300).prop_map(|n| (Key::Int(n.into()), Key::Text(n.to_string()))),
        (keys(), keys()),
    ]
}

fn runs(cache: &FragmentCache, key: &impl Serialize, options: Options) -> String {
    let count = || ok(cache.stats().misses.to_string());
    cache.get_or_set(key, options, count).unwrap().into()
}

fn template<'a>(cache: &FragmentCache) -> (Environment<'a>, Ticks) {
    let mut env = env_of(cache, &[("p", "{% cache k %}{{ tick() }}{% endcache %}")]);
    let ticks = Ticks::add_to(&mut env);
    (env, ticks)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn two_handler_keys_share_an_entry_if_and_only_if_they_are_equal((a, b) in pairs()) {
        prop_assume!(a.alone() && b.alone());
        let cache = FragmentCache::builder().floor_slots(64).build().unwrap();
        let first = runs(&cache, &a, Options::default());
        prop_assert_eq!(runs(&cache, &b, Options::default()) == first, a == b);
    }

    #[test]
    fn a_template_value_as_a_handlers_key_is_the_same_key((a, b) in pairs()) {
        prop_assume!(a.alone() && b.alone() && !a.holds_none());
        let cache = FragmentCache::builder().floor_slots(64).build().unwrap();
        let first = runs(&cache, &a.value(), Options::default());
        prop_assert_eq!(runs(&cache, &b, Options::default()) == first, a == b);
    }

    #[test]
    fn variants_share_an_entry_if_and_only_if_they_are_equal((a, b) in pairs(), key in keys()) {
        prop_assume!(key.alone());
        let cache = FragmentCache::builder().floor_slots(64).build().unwrap();
        let first = runs(&cache, &key, Options::default().vary(&a));
        prop_assert_eq!(runs(&cache, &key, Options::default().vary(&b)) == first, a == b);
        prop_assert_ne!(runs(&cache, &key, Options::default()), first);
    }

    #[test]
    fn where_a_key_ends_and_its_variants_begin_cannot_be_moved(a in keys(), b in keys(), c in keys()) {
        let cache = FragmentCache::builder().floor_slots(64).build().unwrap();
        let split = |key: &[&Key], vary: &[&Key]| {
            let options = vary.iter().fold(Options::default(), Options::vary);
            runs(&cache, &key.to_vec(), options)
        };
        let all = [split(&[&a, &b, &c], &[]), split(&[&a, &b], &[&c]), split(&[&a], &[&b, &c]), split(&[], &[&a, &b, &c])];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        prop_assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn versions_match_if_and_only_if_they_are_equal((a, b) in pairs()) {
        let cache = FragmentCache::builder().floor_slots(64).build().unwrap();
        let first = runs(&cache, &"k", Options::default().version(&a));
        prop_assert_eq!(runs(&cache, &"k", Options::default().version(&b)) == first, a == b);
    }

    #[test]
    fn invalidating_a_rust_value_reaches_the_templates_fragment_of_it((a, b) in pairs()) {
        prop_assume!(a.alone() && b.alone());
        let cache = cache();
        let (env, ticks) = template(&cache);
        show(&env, "p", context! { k => a.value() });
        cache.invalidate(&b);
        show(&env, "p", context! { k => a.value() });
        prop_assert_eq!(ticks.count(), if a == b { 2 } else { 1 });
    }

    #[test]
    fn template_keys_share_a_fragment_if_and_only_if_they_are_equal((a, b) in pairs()) {
        prop_assume!(a.alone() && b.alone());
        let cache = FragmentCache::builder().floor_slots(64).build().unwrap();
        let (env, ticks) = template(&cache);
        show(&env, "p", context! { k => a.value() });
        show(&env, "p", context! { k => b.value() });
        prop_assert_eq!(ticks.count() == 1, a == b);
    }

    #[test]
    fn a_value_comes_out_as_it_went_in(words in prop::collection::vec((any::<Option<i64>>(), any::<String>(), any::<f64>()), 0..5)) {
        let cache = FragmentCache::builder().floor_slots(64).build().unwrap();
        let store = || cache.get_or_set_value("k", Options::default(), || ok(words.clone()));
        store().unwrap();
        prop_assert_eq!(cache.stats().stores, 1);
        let read = cache.get_or_set_value("k", Options::default(), || Err::<Vec<(Option<i64>, String, f64)>, _>("not stored")).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{words:?}"));
    }
}
