//! Complete marks, and marks that a filter changed.

use super::{PROCESS, begin, end};
use crate::telemetry::mark_text::{FragmentMark, MarkSide, Marks};

fn stripped(text: &str) -> String {
    let stripped = Marks::new(PROCESS).strip(text.as_bytes());
    stripped.map_or_else(|| String::from("as it was"), |text| String::from_utf8(text).unwrap())
}

#[test]
fn marks_are_found_where_they_were() {
    let found = Marks::new(PROCESS).find(format!("ü{}a{}{}", begin(0x3f), end(0x3f), begin(u64::MAX)).as_bytes());
    assert_eq!(found.text, "üa".as_bytes());
    let expected = [(2, MarkSide::Begin, 0x3f), (3, MarkSide::End, 0x3f), (3, MarkSide::Begin, u64::MAX)];
    assert_eq!(found.marks, expected.map(|(at, side, id)| FragmentMark { at, side, id }));
}

#[test]
fn text_without_marks_is_unchanged() {
    for text in
        ["", "mjc", "mjc1", "mjc1123456789abcdeeb1;", "abcdef", "abcdefb1", "abcdefc1;", "the m of mjc is a letter"]
    {
        assert_eq!(stripped(text), "as it was", "{text}");
    }
}

#[test]
fn a_mark_is_found_in_upper_case() {
    let page = format!("{}A{}", begin(0xab), end(0xab)).to_uppercase();
    let found = Marks::new(PROCESS).find(page.as_bytes());
    assert_eq!((found.text.as_slice(), found.marks.len(), found.marks[1].id), (&b"A"[..], 2, 0xab));
}

#[test]
fn a_percent_encoded_mark_is_removed() {
    for end in ["%3B", "%3b"] {
        assert_eq!(stripped(&format!("/?q={}x", begin(0x1f).replace(';', end))), "/?q=x");
    }
}

#[test]
fn a_mark_without_its_end_is_removed() {
    let mark = begin(0x3f);
    for length in 5..mark.len() {
        assert_eq!(stripped(&format!("a {}...", &mark[..length])), "a ...", "{length}");
        assert_eq!(stripped(&mark[..length]), "", "{length}");
    }
}

#[test]
fn a_mark_without_its_start_is_removed() {
    let mark = begin(0x3f);
    for cut in 1..=13 {
        assert_eq!(stripped(&format!("a {} b", &mark[cut..])), "a  b", "{cut}");
    }
    // A complete mark before it stays a mark of its own.
    assert_eq!(stripped(&format!("{}{}.", begin(1), &mark[5..])), ".");
}

#[test]
fn a_mark_with_an_invalid_number_is_removed() {
    assert_eq!(stripped("mjc0123456789abcdefb;x"), "x");
    assert_eq!(stripped("mjc0123456789abcdefx"), "x");
    assert_eq!(stripped("mjc0123456789abcdefb0123456789abcdef0;"), "0;");
}
