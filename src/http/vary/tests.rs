use http::header::{ACCEPT, ACCEPT_ENCODING, COOKIE};
use proptest::prelude::*;

use super::*;

fn response(lines: &[&str]) -> HeaderMap {
    lines.iter().map(|line| (VARY, HeaderValue::from_str(line).unwrap())).collect()
}

fn read(lines: &[&str]) -> Vary {
    Vary::read(&response(lines))
}

fn names(names: &[&'static str]) -> Vary {
    Vary::Names(names.iter().map(|name| HeaderName::from_static(name)).collect())
}

fn added(lines: &[&str], name: &HeaderName) -> Vec<String> {
    let mut headers = response(lines);
    add(&mut headers, name);
    headers.get_all(VARY).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

fn encoded(lines: &[&str]) -> Vec<u8> {
    let request = lines.iter().map(|line| (ACCEPT, HeaderValue::from_str(line).unwrap())).collect();
    let mut out = Vec::new();
    encode_values(&[ACCEPT], &request, &mut out);
    out
}

#[test]
fn names_are_sorted_and_unique() {
    let expected = names(&["accept", "cookie", "x-a"]);
    assert_eq!(read(&["Cookie, X-A, accept"]), expected);
    assert_eq!(read(&["x-a,cookie", ", ACCEPT, Cookie,"]), expected);
    assert_eq!(read(&[]), names(&[]));
    assert_eq!(read(&["", " , "]), names(&[]));
}

#[test]
fn a_star_anywhere_is_a_star() {
    for lines in [&["*"][..], &["*, foo"], &["foo, *"], &[", *"], &["foo", "*"], &["*", "*"], &["", "*"]] {
        assert_eq!(read(lines), Vary::Star, "{lines:?}");
    }
}

#[test]
fn an_invalid_name_is_a_star() {
    for line in ["foo bar", "foo; bar", "\"foo\"", "\u{e9}"] {
        assert_eq!(read(&[line]), Vary::Star, "{line}");
    }
}

#[test]
fn sorted_names_are_unique() {
    assert_eq!(Vary::Names(sorted(["b", "a", "b"].map(HeaderName::from_static).to_vec())), names(&["a", "b"]));
}

#[test]
fn a_name_is_added_once() {
    assert_eq!(added(&[], &ACCEPT_ENCODING), ["accept-encoding"]);
    assert_eq!(added(&[""], &ACCEPT_ENCODING), ["accept-encoding"]);
    assert_eq!(added(&["Accept-Encoding"], &ACCEPT_ENCODING), ["Accept-Encoding"]);
    assert_eq!(added(&["Cookie"], &ACCEPT_ENCODING), ["Cookie, accept-encoding"]);
    assert_eq!(added(&["Cookie", "X-A,X-B"], &ACCEPT_ENCODING), ["Cookie, X-A, X-B, accept-encoding"]);
    assert_eq!(added(&["Cookie", "Accept-Encoding"], &COOKIE), ["Cookie", "Accept-Encoding"]);
}

#[test]
fn a_star_replaces_all_names() {
    assert_eq!(added(&["*"], &ACCEPT_ENCODING), ["*"]);
    assert_eq!(added(&["Cookie, *"], &ACCEPT_ENCODING), ["*"]);
    assert_eq!(added(&["Cookie", "X-A"], &HeaderName::from_static("*")), ["*"]);
    assert_eq!(added(&[], &HeaderName::from_static("*")), ["*"]);
}

#[test]
fn an_absent_header_differs_from_an_empty_one() {
    assert_ne!(encoded(&[]), encoded(&[""]));
    assert_ne!(encoded(&["a"]), encoded(&[""]));
}

#[test]
fn lines_and_whitespace_around_commas_are_ignored() {
    let expected = encoded(&["a, b;q=1, c"]);
    for lines in [&["a,b;q=1,c"][..], &["a\t , b;q=1 ,c"], &["a", "b;q=1 , c"], &["a,b;q=1", "c"]] {
        assert_eq!(encoded(lines), expected, "{lines:?}");
    }
    assert_ne!(encoded(&["b;q=1, a, c"]), expected);
    assert_ne!(encoded(&["a, b; q=1, c"]), expected);
    assert_ne!(encoded(&["a=\"b,c\""]), encoded(&["a=\"b, c\""]));
    assert_ne!(encoded(&["a b"]), encoded(&["ab"]));
    assert_ne!(encoded(&["A"]), encoded(&["a"]));
}

#[test]
fn the_encoding_is_lengths_and_texts() {
    let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0];
    expected.extend_from_slice(b"accept\x01\x04\0\0\0\0\0\0\0a, b");
    assert_eq!(encoded(&["a", "b"]), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_read(line: Vec<u8>) {
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            let mut headers = HeaderMap::from_iter([(VARY, line.clone()), (ACCEPT, line)]);
            let before = Vary::read(&headers);
            encode_values(&[ACCEPT], &headers.clone(), &mut Vec::new());
            add(&mut headers, &COOKIE);
            let expected = match before {
                Vary::Star => Vary::Star,
                Vary::Names(names) => Vary::Names(sorted([names, vec![COOKIE]].concat())),
            };
            prop_assert_eq!(Vary::read(&headers), expected);
        }
    }

    #[test]
    fn different_values_have_different_bytes(
        one in proptest::collection::vec(proptest::option::of("[ab]{0,2}"), 3),
        other in proptest::collection::vec(proptest::option::of("[ab]{0,2}"), 3),
    ) {
        let fields = ["a", "ab", "b"].map(HeaderName::from_static);
        let bytes = |values: &[Option<String>]| {
            let present = fields.iter().zip(values).filter_map(|(name, value)| Some((name.clone(), value.as_ref()?)));
            let request = present.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).collect();
            let mut out = Vec::new();
            encode_values(&fields, &request, &mut out);
            out
        };
        prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
    }

    #[test]
    fn different_sets_of_names_have_different_bytes(
        one in "[ab]{1,3}(,[ab]{1,3}){0,2}",
        other in "[ab]{1,3}(,[ab]{1,3}){0,2}",
    ) {
        let (one, other) = (read(&[&one]), read(&[&other]));
        let bytes = |vary: &Vary| {
            let mut out = Vec::new();
            if let Vary::Names(names) = vary {
                encode_values(names, &HeaderMap::new(), &mut out);
            }
            out
        };
        prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
    }
}
