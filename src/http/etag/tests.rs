use http::header::{IF_MATCH, IF_NONE_MATCH};
use proptest::prelude::*;

use super::*;

fn tag(text: &str) -> EntityTag {
    EntityTag::parse(text.as_bytes()).unwrap()
}

fn matches(lines: &[&[u8]], stored: &[u8], comparison: Comparison) -> Option<bool> {
    let headers = lines.iter().map(|line| (IF_NONE_MATCH, HeaderValue::from_bytes(line).unwrap())).collect();
    matches_any(&headers, &IF_NONE_MATCH, &HeaderValue::from_bytes(stored).unwrap(), comparison)
}

fn weakly(line: &[u8], stored: &[u8]) -> bool {
    matches(&[line], stored, Comparison::Weak).unwrap()
}

#[test]
fn a_tag_is_quoted_and_may_be_weak() {
    assert!(!tag("\"x\"").is_weak());
    assert!(tag("W/\"x\"").is_weak());
    assert_eq!(tag("W/\"a,b\\\"").opaque(), b"a,b\\");
    assert_eq!(tag("\"\"").opaque(), b"");
    assert_eq!(EntityTag::parse(b"\"\xe9\"").unwrap().opaque(), b"\xe9");
}

#[test]
fn a_text_with_wrong_quotes_is_no_tag() {
    for text in ["", "x", "\"", "\"\"\"", "\"x", "x\"", "w/\"x\"", "W\"x\"", "W\\\"x\"", "W/x", "W/", "W/ \"x\""] {
        assert!(EntityTag::parse(text.as_bytes()).is_none(), "{text}");
    }
    for text in [&b"\"a b\""[..], b"\"a\tb\"", b"\"a\x7fb\"", b" \"x\"", b"\"x\" ", b"\"a\"b\""] {
        assert!(EntityTag::parse(text).is_none(), "{text:?}");
    }
}

#[test]
fn weak_and_strong_comparison_follow_the_table() {
    let (weak, strong, other) = (tag("W/\"1\""), tag("\"1\""), tag("W/\"2\""));
    assert!(weak.weak_eq(&weak) && !weak.strong_eq(&weak));
    assert!(weak.weak_eq(&strong) && !weak.strong_eq(&strong));
    assert!(strong.weak_eq(&weak) && !strong.strong_eq(&weak));
    assert!(strong.weak_eq(&strong) && strong.strong_eq(&strong));
    assert!(!weak.weak_eq(&other) && !weak.strong_eq(&other));
}

#[test]
fn a_hash_is_22_characters() {
    assert_eq!(EntityTag::of_hash(0, false).to_header_value(), "\"AAAAAAAAAAAAAAAAAAAAAA\"");
    assert_eq!(EntityTag::of_hash(u128::MAX, true).to_header_value(), "W/\"D_____________________\"");
    assert_eq!(EntityTag::of_hash(64, false).opaque(), b"AAAAAAAAAAAAAAAAAAAABA");
}

#[test]
fn a_match_is_found_at_any_position_on_any_line() {
    for line in [&b"\"x\", \"y\", \"z\""[..], b"\"y\",\"x\"", b"W/\"y\" , , \"x\"", b",\"x\""] {
        assert!(weakly(line, b"\"x\""), "{line:?}");
    }
    assert_eq!(matches(&[b"\"y\"", b"\"x\""], b"\"x\"", Comparison::Strong), Some(true));
    assert_eq!(matches(&[b"\"y\"", b"\"z\""], b"\"x\"", Comparison::Weak), Some(false));
    assert_eq!(matches(&[], b"\"x\"", Comparison::Weak), None);
}

#[test]
fn the_given_comparison_is_used() {
    for (line, stored) in [(&b"W/\"x\""[..], &b"\"x\""[..]), (b"\"x\"", b"W/\"x\""), (b"W/\"x\"", b"W/\"x\"")] {
        assert_eq!(matches(&[line], stored, Comparison::Weak), Some(true));
        assert_eq!(matches(&[line], stored, Comparison::Strong), Some(false));
    }
}

#[test]
fn invalid_items_match_nothing_and_do_not_hide_later_ones() {
    for line in
        [&b"x"[..], b"", b"\"\"\"", b"w/\"x\"", b"W\\\"x\"", b"W\"x\"", b"\"x", b"x\"", b"\"x\"\"", b"\"a, \"x\""]
    {
        assert!(!weakly(line, b"\"x\""), "{line:?}");
    }
    assert!(weakly(b"x, w/\"x\", \"a b\", \"x\"", b"\"x\""));
    assert!(!weakly(b"x", b"x"));
    assert!(!weakly(b"*", b"x"));
}

#[test]
fn commas_backslashes_and_high_bytes_belong_to_the_tag() {
    assert!(weakly(b"\"a,b\"", b"\"a,b\""));
    assert!(!weakly(b"\"a,b\"", b"\"a\""));
    assert!(weakly(b"\"y\\\", \"x\"", b"\"x\""));
    assert!(weakly(b"\"\xe9\xff\"", b"\"\xe9\xff\""));
}

#[test]
fn a_star_alone_on_a_line_matches_every_tag() {
    assert!(weakly(b"*", b"W/\"x\""));
    assert!(weakly(b" * ", b"\"x\""));
    assert!(!weakly(b"\"*\"", b"\"x\""));
    assert!(!weakly(b"*, \"y\"", b"\"x\""));
    let star = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static("*"))]);
    assert!(is_any(&star, &IF_MATCH) && !is_any(&star, &IF_NONE_MATCH));
}

proptest! {
    #[test]
    fn a_written_tag_is_read_again(hash: u128, weak: bool) {
        let tag = EntityTag::of_hash(hash, weak);
        prop_assert_eq!(EntityTag::parse(tag.to_header_value().as_bytes()), Some(tag));
    }

    #[test]
    fn different_hashes_have_different_tags(one: u128, other: u128) {
        prop_assert_eq!(EntityTag::of_hash(one, true).weak_eq(&EntityTag::of_hash(other, true)), one == other);
    }

    #[test]
    fn any_bytes_are_compared(line: Vec<u8>, stored: Vec<u8>) {
        if let (Ok(line), Ok(stored)) = (HeaderValue::from_bytes(&line), HeaderValue::from_bytes(&stored)) {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, line)]);
            prop_assert!(matches_any(&headers, &IF_NONE_MATCH, &stored, Comparison::Weak).is_some());
        }
        if let Some(tag) = EntityTag::parse(&stored) {
            prop_assert_eq!(tag.to_header_value(), HeaderValue::from_bytes(&stored).unwrap());
        }
    }

    #[test]
    fn the_headers_crate_compares_alike(
        asked in proptest::collection::vec("(W/)?\"[ab,]{0,2}\"", 1..4),
        stored in "(W/)?\"[ab,]{0,2}\"",
    ) {
        use headers::HeaderMapExt as _;
        let line = HeaderValue::from_str(&asked.join(", ")).unwrap();
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, line.clone()), (IF_MATCH, line)]);
        let etag: headers::ETag = stored.parse().unwrap();
        let stored = HeaderValue::from_str(&stored).unwrap();
        let unknown = headers.typed_get::<headers::IfNoneMatch>().unwrap().precondition_passes(&etag);
        let wanted = headers.typed_get::<headers::IfMatch>().unwrap().precondition_passes(&etag);
        prop_assert_eq!(matches_any(&headers, &IF_NONE_MATCH, &stored, Comparison::Weak), Some(!unknown));
        prop_assert_eq!(matches_any(&headers, &IF_MATCH, &stored, Comparison::Strong), Some(wanted));
    }
}
