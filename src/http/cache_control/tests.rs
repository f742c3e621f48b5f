use std::time::SystemTime;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderValue, Request, Response};
use proptest::prelude::*;

use super::*;

fn lines(lines: &[&str]) -> HeaderMap {
    lines.iter().map(|line| (CACHE_CONTROL, HeaderValue::from_str(line).unwrap())).collect()
}

fn read(line: &str) -> CacheControl {
    CacheControl::read(&lines(&[line]))
}

fn asked(line: &str) -> RequestDirectives {
    RequestDirectives::read(&lines(&[line]))
}

fn rewritten(line: &str) -> String {
    read(line).to_string()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_builder_writes_in_a_fixed_order() {
    let said = CacheControl::new().immutable().s_maxage(secs(5)).must_revalidate().max_age(secs(60)).with_public();
    assert_eq!(said.to_string(), "public, max-age=60, s-maxage=5, must-revalidate, immutable");
    let said = CacheControl::private()
        .with_no_cache()
        .stale_if_error(secs(7))
        .stale_while_revalidate(secs(3))
        .no_transform()
        .must_understand()
        .proxy_revalidate();
    assert_eq!(
        said.to_string(),
        "private, no-cache, proxy-revalidate, must-understand, no-transform, stale-while-revalidate=3, stale-if-error=7"
    );
    assert_eq!(CacheControl::new().to_string(), "");
}

#[test]
fn the_last_one_of_public_and_private_counts() {
    assert_eq!(CacheControl::private().with_public().to_string(), "public");
    assert_eq!(CacheControl::public().with_private().to_string(), "private");
}

#[test]
fn fractions_are_cut_off_and_ages_are_capped() {
    assert_eq!(CacheControl::new().max_age(Duration::from_millis(1999)).lifetime(), Some(secs(1)));
    assert_eq!(CacheControl::new().max_age(Duration::MAX).to_string(), "max-age=2147483648");
}

#[test]
fn no_store_removes_permitting_directives() {
    let said = CacheControl::no_store().with_public().max_age(secs(9)).immutable().stale_if_error(secs(9));
    assert_eq!(said.to_string(), "no-store");
    assert_eq!(
        rewritten("max-age=0, must-revalidate, No-Cache, No-Store, private"),
        "private, no-store, no-cache, must-revalidate"
    );
    assert_eq!(rewritten("no-store, must-understand, max-age=9"), "no-store, max-age=9, must-understand");
}

#[test]
fn names_are_compared_without_case() {
    let said = read("PuBlic, MaX-AgE=60, S-MAXAGE=5, Stale-While-Revalidate=3");
    assert!(said.is_public());
    assert_eq!(said.lifetime(), Some(secs(60)));
    assert_eq!(said.shared_lifetime(), Some(secs(5)));
    assert_eq!(said.effective_lifetime(), Some(secs(5)));
    assert_eq!(said.revalidate_window(), Some(secs(3)));
    assert!(read("No-Cache, No-Store, Max-age=0").is_no_store());
}

#[test]
fn a_time_is_read_with_and_without_quotes() {
    for line in ["max-age=3600", "max-age=\"3600\"", "max-age=003600", "foo, max-age=3600,,", "\tmax-age=3600 "] {
        assert_eq!(read(line).lifetime(), Some(secs(3600)), "{line}");
    }
}

#[test]
fn a_time_that_is_no_whole_number_is_stale() {
    for value in ["", "\"\"", "-1", "'3600'", "1.5", "x", "1 2", "\"3600", "3600\"", "\"36\\00\"", "+1", "1;", "\"1\"2"]
    {
        assert_eq!(read(&format!("max-age={value}")).lifetime(), Some(secs(0)), "{value}");
    }
    assert_eq!(read("max-age").lifetime(), Some(secs(0)));
}

#[test]
fn a_long_time_counts_as_the_longest() {
    for value in ["2147483648", "4294967296", "99999999999", "18446744073709551616", "99999999999999999999999"] {
        assert_eq!(read(&format!("max-age={value}")).lifetime(), Some(secs(1 << 31)), "{value}");
    }
}

#[test]
fn a_quoted_max_age_is_not_a_directive() {
    assert!(read("extension=\"max-age=3600\"").lifetime().is_none());
    assert!(read("extension=\"a, max-age=3600, no-store\"").lifetime().is_none());
    assert!(!read("extension=\"a, max-age=3600, no-store\"").is_no_store());
    assert!(!read("my-directive=\"my-no-store\"").is_no_store());
    assert!(read("extension=\"\\\", max-age=3600\"").lifetime().is_none());
    assert_eq!(read("extension=\"max-age=1\", max-age=5").lifetime(), Some(secs(5)));
}

#[test]
fn after_an_unclosed_quote_only_restrictions_count() {
    let said = read("extension=\"a, public, max-age=3600, immutable, no-store");
    assert!(said.is_no_store() && !said.is_public() && !said.is_immutable());
    assert_eq!(said.lifetime(), Some(secs(0)));
}

#[test]
fn an_element_that_does_not_follow_the_grammar_counts_as_no_store() {
    for line in
        ["max-age =3600", "max-age= 3600", "extension =1", "no store", "=3", ";;", "z==", "\"no-store\"", "a\"b\""]
    {
        for line in [line.to_owned(), format!("public, max-age=9, must-understand, {line}")] {
            let said = read(&line);
            assert!(said.is_no_store() && !said.is_must_understand(), "{line}");
            assert!(!CacheControl::is_readable(&lines(&[&line])), "{line}");
        }
    }
    assert_eq!(read("max-age =3600").lifetime(), Some(secs(0)));
}

#[test]
fn the_shortest_of_several_counts() {
    assert_eq!(read("max-age=5, max-age=60").lifetime(), Some(secs(5)));
    assert_eq!(CacheControl::read(&lines(&["max-age=60", "max-age=5"])).lifetime(), Some(secs(5)));
    assert_eq!(read("max-age=60, max-age=x").lifetime(), Some(secs(0)));
    assert_eq!(rewritten("public, private"), "private");
    assert_eq!(rewritten("private, public"), "private");
}

#[test]
fn restrictions_for_some_headers_count_for_the_whole_response() {
    assert_eq!(rewritten("private=\"x-a, x-b\", no-cache=Set-Cookie, max-age=5"), "private, no-cache, max-age=5");
    assert!(!read("public=\"x\"").is_public());
}

#[test]
fn unknown_directives_are_kept() {
    let line = "max-age=5, Community=\"U, \\\"C\\\" I\", pre-check=0, x";
    assert_eq!(rewritten(line), line);
    assert_eq!(rewritten("x=1, X=2, y=\"\u{e9}\", x"), "x=1");
}

#[test]
fn no_header_an_empty_one_and_commas_have_no_directives() {
    assert!(CacheControl::read(&HeaderMap::new()).says_nothing());
    assert!(read("").says_nothing());
    assert!(read(" , ,").says_nothing());
    assert!(!read("x").says_nothing());
}

#[test]
fn the_stricter_of_two_wins() {
    let both = |one: &str, other: &str| read(one).tightened_by(&read(other)).to_string();
    assert_eq!(both("public, max-age=60", "private"), "private, max-age=60");
    assert_eq!(both("private", "public"), "private");
    assert_eq!(both("public, max-age=60", "no-store"), "no-store");
    assert_eq!(both("no-cache", "max-age=60, must-revalidate"), "no-cache, max-age=60, must-revalidate");
    assert_eq!(both("max-age=60, s-maxage=600", "max-age=10"), "max-age=10, s-maxage=10");
    assert_eq!(both("max-age=60", "s-maxage=10"), "max-age=60, s-maxage=10");
    assert_eq!(both("max-age=60, immutable", "no-transform"), "max-age=60, no-transform, immutable");
    assert_eq!(both("max-age=60, immutable", "max-age=5"), "max-age=5");
    assert_eq!(both("must-understand, no-store, max-age=5", "no-store"), "no-store");
    assert_eq!(both("x=1", "x=2, y"), "x=1, y");
}

#[test]
fn a_cap_cuts_lifetimes_and_immutable() {
    let capped = |line: &str, cap: u64| read(line).capped_at(secs(cap)).to_string();
    assert_eq!(capped("public, max-age=60, s-maxage=600, immutable", 100), "public, max-age=60, s-maxage=100");
    assert_eq!(capped("max-age=60, immutable", 60), "max-age=60, immutable");
    assert_eq!(capped("public", 60), "public");
    assert_eq!(capped("public, max-age=60, stale-if-error=9", 0), "public, no-cache");
    assert_eq!(read("max-age=1").capped_at(Duration::from_millis(900)).to_string(), "no-cache");
}

#[test]
fn three_directives_forbid_serving_stale() {
    for line in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        assert!(read(line).forbids_stale(), "{line}");
    }
    assert!(!read("s-maxage=1, stale-while-revalidate=5").forbids_stale());
}

#[test]
fn a_request_is_read() {
    let said = asked("No-Cache, no-store, only-if-cached, max-age=\"5\", min-fresh=3, max-stale=7");
    assert!(said.no_cache && said.no_store && said.only_if_cached);
    assert_eq!((said.max_age, said.min_fresh, said.max_stale), (Some(secs(5)), Some(secs(3)), Some(secs(7))));
    assert_eq!(asked("public, x"), RequestDirectives::default());
}

#[test]
fn a_request_with_invalid_times_gets_the_strictest() {
    assert_eq!(asked("max-age=x").max_age, Some(Duration::ZERO));
    assert_eq!(asked("max-age=9, max-age=5").max_age, Some(secs(5)));
    for line in ["min-fresh=x", "min-fresh=9, min-fresh", "min-fresh =9"] {
        assert_eq!(asked(line).min_fresh, Some(Duration::MAX), "{line}");
        assert!(!asked(line).accepts(0, i64::MAX), "{line}");
    }
    assert_eq!(asked("min-fresh=9, min-fresh=5").min_fresh, Some(secs(9)));
    assert_eq!(asked("max-stale").max_stale, Some(Duration::MAX));
    assert_eq!(asked("max-stale, max-stale=5").max_stale, Some(secs(5)));
    assert_eq!(asked("max-stale=x").max_stale, Some(Duration::ZERO));
    let garbled = asked("max-stale =5, max-age =5");
    assert_eq!((garbled.max_stale, garbled.max_age), (Some(Duration::ZERO), Some(Duration::ZERO)));
    assert!(garbled.no_cache && garbled.no_store);
}

#[test]
fn pragma_is_read_only_without_cache_control() {
    let mut headers = HeaderMap::new();
    headers.insert(PRAGMA, HeaderValue::from_static("x, No-Cache"));
    assert!(RequestDirectives::read(&headers).no_cache);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
    assert!(!RequestDirectives::read(&headers).no_cache);
}

/// Each directive at most once, in any order, in a form that the other crates read as well.
fn ordinary() -> impl Strategy<Value = Vec<String>> {
    let flags = ["no-cache", "no-store", "no-transform", "must-revalidate", "public", "private", "immutable"];
    let flags = proptest::sample::subsequence(flags.to_vec(), 0..=3);
    let (max_age, s_maxage) = (proptest::option::of(0..100_000_u32), proptest::option::of(0..100_000_u32));
    (flags, max_age, s_maxage)
        .prop_map(|(flags, max_age, s_maxage)| {
            let mut all: Vec<String> = flags.into_iter().map(str::to_owned).collect();
            all.extend(max_age.map(|seconds| format!("max-age={seconds}")));
            all.extend(s_maxage.map(|seconds| format!("s-maxage={seconds}")));
            all
        })
        .prop_shuffle()
}

/// Any value of the builder.
fn built() -> impl Strategy<Value = CacheControl> {
    proptest::collection::vec((0..13_u8, any::<u64>(), 0..64_u32), 0..8).prop_map(|steps| {
        steps.into_iter().fold(CacheControl::new(), |said, (step, seconds, shift)| {
            let time = Duration::from_secs(seconds >> shift);
            match step {
                0 => said.with_public(),
                1 => said.with_private(),
                2 => said.with_no_cache(),
                3 => said.with_no_store(),
                4 => said.max_age(time),
                5 => said.s_maxage(time),
                6 => said.stale_while_revalidate(time),
                7 => said.stale_if_error(time),
                8 => said.must_revalidate(),
                9 => said.proxy_revalidate(),
                10 => said.must_understand(),
                11 => said.no_transform(),
                _ => said.immutable(),
            }
        })
    })
}

/// Valid bytes of a header value, many of which have a meaning in `Cache-Control`.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let parts = ["max-age", "s-maxage", "no-store", "public", "x", "=", ",", "\"", "\\", " ", "\t", "5", ";", "\u{e9}"];
    let part = prop_oneof![
        6 => proptest::sample::select(parts.to_vec()).prop_map(|part| part.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_written_value_is_read_again(said in built()) {
        let value = HeaderValue::from(said.clone());
        let again = CacheControl::read(&HeaderMap::from_iter([(CACHE_CONTROL, value)]));
        prop_assert_eq!(again.to_string(), said.to_string());
        if !said.is_no_store() || said.is_must_understand() {
            prop_assert_eq!(again, said);
        }
    }

    #[test]
    fn any_bytes_are_read_and_written(first in bytes(), second in bytes()) {
        let values = [first, second].into_iter().filter_map(|line| HeaderValue::from_bytes(&line).ok());
        let headers: HeaderMap = values.map(|value| (CACHE_CONTROL, value)).collect();
        let _ = RequestDirectives::read(&headers);
        let said = CacheControl::read(&headers);
        let again = CacheControl::read(&HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from(said.clone()))]));
        prop_assert_eq!(again.to_string(), said.to_string());
        prop_assert_eq!(again.is_no_store(), said.is_no_store());
    }

    #[test]
    fn merging_is_commutative_and_idempotent(a in built(), b in built(), c in built()) {
        prop_assert_eq!(a.clone().tightened_by(&b), b.clone().tightened_by(&a));
        prop_assert_eq!(a.clone().tightened_by(&a), a.clone());
        prop_assert_eq!(a.clone().tightened_by(&CacheControl::new()), a.clone());
        prop_assert_eq!(a.clone().tightened_by(&b).tightened_by(&c), a.tightened_by(&b.tightened_by(&c)));
    }

    #[test]
    fn a_merged_lifetime_is_no_longer_than_either(a in built(), b in built()) {
        let merged = a.clone().tightened_by(&b);
        for side in [a, b] {
            if let Some(lifetime) = side.effective_lifetime() {
                prop_assert!(merged.effective_lifetime() <= Some(lifetime));
            }
            prop_assert!(!side.is_no_store() || merged.is_no_store());
            prop_assert!(!side.forbids_stale() || merged.forbids_stale());
        }
    }

    #[test]
    fn a_capped_lifetime_is_no_longer_than_the_cap(said in built(), cap in 0..1_000_u64) {
        let capped = said.clone().capped_at(secs(cap));
        prop_assert!(capped.lifetime() <= Some(secs(cap)) && capped.shared_lifetime() <= Some(secs(cap)));
        prop_assert!(cap > 0 || capped.is_no_cache());
        prop_assert!(capped.effective_lifetime() <= said.effective_lifetime());
    }

    #[test]
    fn the_headers_crate_reads_the_same(parts in ordinary()) {
        use headers::HeaderMapExt as _;
        let headers = lines(&[&parts.join(", ")]);
        let ours = CacheControl::read(&headers);
        let Some(theirs) = headers.typed_get::<headers::CacheControl>() else {
            prop_assert!(ours.says_nothing());
            return Ok(());
        };
        prop_assert_eq!(ours.is_private(), theirs.private());
        prop_assert_eq!(ours.is_public(), theirs.public() && !theirs.private());
        prop_assert_eq!(ours.is_no_store(), theirs.no_store());
        prop_assert_eq!(ours.is_no_cache(), theirs.no_cache());
        prop_assert_eq!(ours.is_no_transform(), theirs.no_transform());
        prop_assert_eq!(ours.is_must_revalidate(), theirs.must_revalidate());
        prop_assert_eq!(ours.is_immutable(), theirs.immutable());
        prop_assert_eq!(ours.lifetime(), theirs.max_age());
        prop_assert_eq!(ours.shared_lifetime(), theirs.s_max_age());
    }

    #[test]
    fn http_cache_semantics_computes_the_same_lifetime(parts in ordinary()) {
        use http_cache_semantics::{CacheOptions, CachePolicy};
        let headers = lines(&[&parts.join(", ")]);
        let ours = CacheControl::read(&headers);
        let mut response = Response::new(());
        *response.headers_mut() = headers;
        let now = SystemTime::UNIX_EPOCH + secs(1_000_000_000);
        let options = CacheOptions { immutable_min_time_to_live: Duration::ZERO, ..CacheOptions::default() };
        let theirs = CachePolicy::new_options(&Request::new(()), &response, now, options);
        prop_assert_eq!(theirs.is_storable(), !ours.is_no_store() && !ours.is_private());
        if theirs.is_storable() && !ours.is_no_cache() {
            prop_assert_eq!(theirs.time_to_live(now), ours.effective_lifetime().unwrap_or_default());
        }
    }
}
