//! What filters leave of a mark.

use super::super::marks::{FragmentMark, MarkSide, Marks};
use super::{PROCESS, begin, end};

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
fn text_without_marks_is_left_alone() {
    for text in
        ["", "mjc", "mjc1", "mjc1123456789abcdeeb1;", "abcdef", "abcdefb1", "abcdefc1;", "the m of mjc is a letter"]
    {
        assert_eq!(stripped(text), "as it was", "{text}");
    }
}

#[test]
fn a_mark_in_another_case_is_one() {
    let page = format!("{}A{}", begin(0xab), end(0xab)).to_uppercase();
    let found = Marks::new(PROCESS).find(page.as_bytes());
    assert_eq!((found.text.as_slice(), found.marks.len(), found.marks[1].id), (&b"A"[..], 2, 0xab));
}

#[test]
fn a_mark_in_an_address_is_taken_out() {
    for end in ["%3B", "%3b"] {
        assert_eq!(stripped(&format!("/?q={}x", begin(0x1f).replace(';', end))), "/?q=x");
    }
}

#[test]
fn what_was_cut_off_at_the_end_is_taken_out() {
    let mark = begin(0x3f);
    for length in 5..mark.len() {
        assert_eq!(stripped(&format!("a {}...", &mark[..length])), "a ...", "{length}");
        assert_eq!(stripped(&mark[..length]), "", "{length}");
    }
}

#[test]
fn what_was_cut_off_at_the_start_is_taken_out() {
    let mark = begin(0x3f);
    for cut in 1..=13 {
        assert_eq!(stripped(&format!("a {} b", &mark[cut..])), "a  b", "{cut}");
    }
    // A whole one before it is none of it.
    assert_eq!(stripped(&format!("{}{}.", begin(1), &mark[5..])), ".");
}

#[test]
fn a_number_no_fragment_has_is_taken_out_with_its_mark() {
    assert_eq!(stripped("mjc0123456789abcdefb;x"), "x");
    assert_eq!(stripped("mjc0123456789abcdefx"), "x");
    assert_eq!(stripped("mjc0123456789abcdefb0123456789abcdef0;"), "0;");
}
