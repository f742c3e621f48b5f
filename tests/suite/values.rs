//! `get_or_set_value`: what goes in comes out, and what does not fit is a miss.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use minijinja_cache::{FragmentCache, Options};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use crate::support::{Reports, STUCK, cache, ok};

/// Stores a value and gives what the cache then holds.
fn stored<T: Serialize + DeserializeOwned>(value: impl FnOnce() -> T) -> T {
    let cache = cache();
    cache.get_or_set_value("k", Options::default(), || ok(value())).unwrap();
    cache.get_or_set_value("k", Options::default(), || -> Result<T, String> { Err("not stored".into()) }).unwrap()
}

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug + Clone>(value: T) {
    assert_eq!(stored(|| value.clone()), value);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    New(u8),
    Tuple(i64, String),
    Struct { a: Option<Box<Shape>>, b: Vec<Shape> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Film {
    title: String,
    year: Option<u16>,
    #[serde(default)]
    tags: BTreeMap<u32, (char, bool)>,
    shape: Shape,
    unit: (),
}

#[test]
fn values_of_every_kind_come_out_as_they_went_in() {
    survives(false);
    survives(0_u8);
    survives(-1_i8);
    survives(i64::MIN);
    survives(u64::MAX);
    survives(i128::MIN);
    survives(u128::MAX);
    survives(12.64_f64);
    survives(f32::MIN_POSITIVE);
    survives(f64::INFINITY);
    survives(String::new());
    survives("0".to_owned());
    survives('ピ');
    survives(Vec::<u32>::new());
    survives(());
    survives((1_u8, "x".to_owned(), [1.5_f64; 3]));
    survives(vec![Some(1), None]);
    survives(BTreeMap::from([((1_i32, true), vec!["x".to_owned()])]));
    survives(HashMap::from([(-5_i64, HashMap::from([('c', ())]))]));
    survives(vec![BTreeMap::from([(vec![1_u8, 2], Shape::Unit)])]);
    survives(std::time::Duration::from_nanos(1_234_567_890));
}

#[test]
fn none_is_a_value() {
    survives(None::<u32>);
    survives(Some(5));
    survives(Ok::<u32, String>(1));
}

#[test]
fn nan_stays_nan() {
    assert!(stored(|| f64::NAN).is_nan());
    assert!(stored(|| vec![f32::NAN])[0].is_nan());
}

#[test]
fn nested_enums_and_structs_come_out_as_they_went_in() {
    let nested = Shape::Struct {
        a: Some(Box::new(Shape::Tuple(-1, "é".into()))),
        b: vec![Shape::Unit, Shape::New(255), Shape::Struct { a: None, b: vec![] }],
    };
    survives(nested.clone());
    let tags = BTreeMap::from([(7, ('x', true))]);
    survives(Film { title: "Alien".into(), year: None, tags, shape: nested, unit: () });
}

#[test]
fn the_cached_copy_does_not_change_with_what_a_caller_got() {
    let cache = cache();
    let read = || cache.get_or_set_value("k", Options::default(), || ok(vec![1, 2])).unwrap();
    read().push(3);
    let mut got = read();
    got.clear();
    assert_eq!(read(), [1, 2]);
}

#[test]
fn a_value_of_another_type_is_a_miss_and_overwrites() {
    let cache = cache();
    let number = |n: u32| cache.get_or_set_value("k", Options::default(), || ok(n)).unwrap();
    let text = |s: &str| cache.get_or_set_value("k", Options::default(), || ok(s.to_owned())).unwrap();
    assert_eq!([number(1), number(2)], [1, 1]);
    assert_eq!([text("a"), text("b"), text("c")], ["a", "a", "a"]);
    assert_eq!([number(3), number(4), number(5)], [3, 3, 3]);
}

#[test]
fn a_value_of_another_type_is_counted_as_a_miss() {
    let cache = cache();
    cache.get_or_set_value("k", Options::default(), || ok(1)).unwrap();
    cache.get_or_set_value("k", Options::default(), || ok("x".to_owned())).unwrap();
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (0, 2), "{stats:?}");
}

#[test]
fn a_value_that_another_thread_overwrote_is_seen_by_a_thread_that_read_the_old_type() {
    let cache = cache();
    let number = |cache: &FragmentCache, n: u32| cache.get_or_set_value("k", Options::default(), || ok(n)).unwrap();
    number(&cache, 1);
    number(&cache, 2);
    let other = cache.clone();
    std::thread::spawn(move || {
        other.get_or_set_value("k", Options::default(), || ok("text".to_owned())).unwrap();
    })
    .join()
    .unwrap();
    // This thread may still use the number it read; what it may not do is compute for ever.
    let misses = || {
        let before = cache.stats().renders;
        for _ in 0..10 {
            cache.get_or_set_value("k", Options::default(), || ok("mine".to_owned())).unwrap();
        }
        cache.stats().renders - before
    };
    assert!(misses() <= 1, "computed again and again");
    assert_eq!(misses(), 0);
}

#[test]
fn a_renamed_field_is_a_miss_and_no_error() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        name: String,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        title: String,
    }
    let cache = cache();
    cache.get_or_set_value("k", Options::default(), || ok(Old { name: "x".into() })).unwrap();
    let read =
        |title: &str| cache.get_or_set_value("k", Options::default(), || ok(New { title: title.into() })).unwrap();
    assert_eq!([read("a").title, read("b").title], ["a", "a"]);
}

struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a socket"))
    }
}

impl<'de> Deserialize<'de> for Unencodable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Unencodable, D::Error> {
        Ok(Unencodable)
    }
}

#[test]
fn a_value_that_cannot_be_encoded_is_returned_and_reported_once() {
    let (reports, on_error) = Reports::collect();
    let cache = FragmentCache::builder().on_error(on_error).build().unwrap();
    for round in 1..=2 {
        let Unencodable = cache.get_or_set_value("k", Options::default(), || ok(Unencodable)).unwrap();
        assert_eq!(reports.all().len(), round);
        assert!(reports.all()[round - 1].starts_with("Codec"), "{:?}", reports.all());
    }
    assert_eq!(cache.stats().stores, 0);
}

#[test]
fn an_error_of_the_loader_comes_back_and_is_not_stored() {
    let cache = cache();
    let run = |n: u32| cache.get_or_set_value("k", Options::default(), || if n < 3 { Err(n) } else { Ok(n) });
    assert_eq!([run(1), run(2), run(3), run(4)], [Err(1), Err(2), Ok(3), Ok(3)]);
}

#[test]
fn sync_and_async_values_share_entries() {
    let cache = cache();
    cache.get_or_set_value("a", Options::default(), || ok(1)).unwrap();
    let timed = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let read = |key: &'static str, n: u32| {
        timed.block_on(async {
            let call = cache.get_or_set_value_async(key, Options::default(), async move { ok(n) });
            tokio::time::timeout(STUCK, call).await.unwrap().unwrap()
        })
    };
    assert_eq!([read("a", 2), read("b", 3)], [1, 3]);
    assert_eq!(cache.get_or_set_value("b", Options::default(), || ok(4)).unwrap(), 3);
}

/// Counts how often a value is computed in three calls, and what the last one gives.
fn computed<T: Serialize + DeserializeOwned>(value: impl Fn() -> T) -> (u32, T, Vec<String>) {
    let (reports, on_error) = Reports::collect();
    let cache = FragmentCache::builder().on_error(on_error).build().unwrap();
    let mut times = 0;
    let mut call = || {
        cache.get_or_set_value("k", Options::default(), || {
            times += 1;
            ok(value())
        })
    };
    let (_, _, last) = (call().unwrap(), call().unwrap(), call().unwrap());
    (times, last, reports.all())
}

fn is_reported_and_not_stored<T: Serialize + DeserializeOwned + PartialEq + Debug + Clone>(value: T) {
    let (times, last, reports) = computed(|| value.clone());
    assert_eq!((times, last), (3, value));
    assert_eq!(reports.len(), 3, "{reports:?}");
    assert!(
        reports[0].starts_with("Codec: get_or_set_value: cannot tell `Some` of nothing from `None`"),
        "{reports:?}"
    );
}

fn is_stored<T: Serialize + DeserializeOwned + PartialEq + Debug + Clone>(value: T) {
    assert_eq!(computed(|| value.clone()), (1, value, vec![]));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct New(Option<u8>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fields<T> {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    a: Option<T>,
    #[serde(flatten)]
    rest: BTreeMap<String, T>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Variants<T> {
    New(T),
    Tuple(T, u8),
    Struct { a: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair<T>(T, u8);

#[test]
fn an_option_of_nothing_is_never_taken_for_none() {
    is_reported_and_not_stored(Some(None::<u8>));
    is_reported_and_not_stored(Some(Some(None::<u8>)));
    is_reported_and_not_stored(Some(()));
    is_reported_and_not_stored(Some(serde_json::Value::Null));
    is_reported_and_not_stored(Some(New(None)));
    is_reported_and_not_stored(Some(Untagged::Nothing));
    is_reported_and_not_stored(vec![Some(Some(1)), Some(None)]);
    is_reported_and_not_stored((1, Some(()), "x".to_owned()));
    is_reported_and_not_stored(BTreeMap::from([(1, Some(None::<u8>))]));
    is_reported_and_not_stored(BTreeMap::from([(Some(Untagged::Nothing), 1)]));
    is_reported_and_not_stored(Fields { a: Some(None::<u8>), rest: BTreeMap::new() });
    is_reported_and_not_stored(Fields { a: None, rest: BTreeMap::from([("b".to_owned(), Some(None::<u8>))]) });
    is_reported_and_not_stored(Variants::New(Some(None::<u8>)));
    is_reported_and_not_stored(Variants::Tuple(Some(()), 1));
    is_reported_and_not_stored(Variants::Struct { a: Some(None::<u8>) });
    is_reported_and_not_stored(Pair(Some(None::<u8>), 1));
    is_reported_and_not_stored(Ok::<_, String>(Some(None::<u8>)));
    is_reported_and_not_stored(Box::new(Some(Box::new(None::<u8>))));
}

#[test]
fn options_that_cannot_be_mistaken_are_stored() {
    is_stored(None::<Option<u8>>);
    is_stored(Some(Some(1)));
    is_stored(vec![None, Some(1)]);
    is_stored(Some(Unit));
    is_stored(None::<Unit>);
    is_stored(New(None));
    is_stored(Some(New(Some(1))));
    is_stored(Some(vec![()]));
    is_stored(Some([None::<u8>; 2]));
    is_stored(Some(serde_json::json!({ "a": null, "b": [null] })));
    is_stored(serde_json::Value::Null);
    is_stored(vec![Untagged::Number(1), Untagged::Nothing]);
    is_stored(Fields { a: None::<u8>, rest: BTreeMap::from([("b".to_owned(), 1)]) });
    is_stored(Variants::Struct { a: None::<u8> });
    is_stored(Variants::New(()));
    is_stored(Some(Variants::New(())));
    is_stored(Some(String::new()));
    is_stored(Some(Vec::<u8>::new()));
    is_stored(Some(f32::MIN));
    is_stored((Some(u128::MAX), Some(i128::MIN), Some('x')));
    is_stored(BTreeMap::from([(Some(1), None), (None, Some(2))]));
}
