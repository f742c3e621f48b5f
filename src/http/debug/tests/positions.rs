//! The positions that get comments, and those that do not. `[1…1]` is the fragment with the number 1.

use proptest::prelude::*;

use super::super::json::CommentObject;
use super::super::{Annotations, annotate};
use super::{PROCESS, annotated, begin, commented, end, marked};
use crate::telemetry::mark_text::Marks;

#[track_caller]
fn kept(page: &str) {
    assert_eq!(commented(page), page);
}

#[track_caller]
fn removed(page: &str) {
    let clean =
        (1..=9).fold(page.to_owned(), |page, id| page.replace(&format!("[{id}"), "").replace(&format!("{id}]"), ""));
    assert_ne!(clean, page);
    assert_eq!(commented(page), clean);
}

#[test]
fn fragments_between_tags_get_comments() {
    kept("<!doctype html><body>[1<p>text</p>1]</body></html>");
    kept("[1<!doctype html><html><head>[2<meta charset=utf-8>2]</head></html>1]");
    kept("<p>a[1b1]c</p>");
    kept("[11]");
    kept("<table>[1<tr>[2<td>a[3b3]</td>2]</tr>1]</table>");
    kept("<ul>[1<li>a</li>1]</ul><select>[2<option>b</option>2]</select><template>[3<i></i>3]</template>");
    kept("<svg>[1<path d='m0 0'/>1]<foreignObject><p>[2a2]</p></foreignObject></svg>[3b3]");
    kept("<script>var a = '</b>';</script>[1a1]<style>a > b</style>[2b2]<title>c</title>[3c3]");
    kept("1 < 2[1a1] & b[2c2]");
}

#[test]
fn a_position_inside_of_a_tag_gets_no_comment() {
    for page in [
        "<a href=\"[1x1]\">",
        "<a href='[1x1]'>",
        "<a href=[1x1]>",
        "<a [1x1]>",
        "<[1a1]>",
        "</[1a1]>",
        "<a title=\"a>[1x1]\">",
        "<a data-x='{\"html\":\"<p>[1x1]</p>\"}'>",
        "[1<a href='1]'>",
        "<a href='[1'>1]",
        "<a href=\"[1x1]",
        "<!doctype [1html1]>",
    ] {
        removed(page);
    }
}

#[test]
fn text_without_markup_gets_no_comment() {
    for name in
        ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"]
    {
        removed(&format!("<{name}>[1x1]</{name}>"));
        removed(&format!("<{name} a=b>a <b>[1x1]</b>"));
        removed(&format!("<{}>[11]</{name} >", name.to_uppercase()));
    }
    removed("<script><!-- <script> </script> [1a1] --></script>");
    removed("<svg><title>[1a1]</title><style>[2b2]</style><script>[3c3]</script></svg>");
    removed("<svg><![CDATA[ > [1a1] ]]></svg>");
    removed("<!-- [1a1] --><!-->[2b--><!--b2]--> <? [3c3] ?><![CDATA[ [4d4] ]]>");
    removed("<title>[1x</title>1]");
}

#[test]
fn positions_after_such_text_get_comments() {
    kept("<script><!-- <script> </script> --></script>[1a1]");
    kept("<svg><title>a</title><![CDATA[ > ]]>[1b1]</svg><![CDATA[ >[2 ]]>2]");
    kept("<!-->[1a1]<!-- > --!>[2b2]</>[3c3]");
}

#[test]
fn a_position_whose_meaning_a_comment_would_change_gets_none() {
    removed("<pre>[1\na1]</pre>");
    removed("a\r[1\nb1]");
    removed("&am[1p;1]");
    removed("&not[1in;1]");
    removed("<[1/>1]");
    removed("[1\u{feff}<!doctype html>1]");
    removed("<table> a[1b1]</table>");
    kept("<pre>[1a\n1]</pre>&amp;[2b2]<table>\n[3<tr><td>3]</table>");
}

#[test]
fn a_position_that_needs_a_whole_parser_gets_no_comment() {
    removed("<p><frameset>[1a1]");
    removed("<svg><font>[1a1]");
    removed("<select><svg>[1a1]");
    removed("<svg><foreignObject><p></foreignObject>[1a1]");
}

#[test]
fn marks_without_a_counterpart_are_removed() {
    removed("a[1b");
    removed("a1]b");
    removed("1]a[1");
    assert_eq!(commented("[1a[2b1]c2]"), "[1ab1]c");
    assert_eq!(commented("[1a[1b1]c"), "a[1b1]c");
    // A fragment that is printed twice has comments twice.
    kept("[1a1][1a1]");
    kept("[1[2[3a3]2]1]");
}

#[test]
fn marks_of_unknown_fragments_are_removed() {
    assert_eq!(
        annotated(&format!("a{}b{}{}c{}", begin(0x100), end(0x100), begin(2), end(2))),
        "ab<!-- fragment 2 {} -->c<!-- /fragment 2 -->"
    );
}

#[test]
fn a_page_that_is_not_utf_8_gets_no_comments() {
    let page = [&b"<p>\xe4"[..], begin(1).as_bytes(), b"a", end(1).as_bytes()].concat();
    let texts = Annotations {
        describe: &|_| Some(String::from("{}")),
        head: &|_| String::from("<script></script>"),
        end: &|_| String::from("<!-- -->"),
    };
    assert_eq!(annotate(&page, &Marks::new(PROCESS), &texts), b"<p>\xe4a");
}

fn scripted(page: &str) -> String {
    let texts = Annotations {
        describe: &|_| Some(String::from("{}")),
        head: &|annotated| String::from(if annotated.has_base() { "[base]" } else { "[script]" }),
        end: &|annotated| format!("[{} placed]", annotated.count()),
    };
    commented_with(page, &texts)
}

fn commented_with(page: &str, texts: &Annotations<'_>) -> String {
    String::from_utf8(annotate(marked(page).as_bytes(), &Marks::new(PROCESS), texts)).unwrap()
}

#[test]
fn a_whole_page_gets_the_script_in_its_head_and_a_part_of_a_page_gets_none() {
    for (page, expected) in [
        (
            "<!doctype html><html lang=en><head><title>a</title>",
            "<!doctype html><html lang=en><head>[script]<title>a</title>[0 placed]",
        ),
        ("<!doctype html><html><p>a", "<!doctype html><html>[script]<p>a[0 placed]"),
        ("<!doctype html><p>a", "<!doctype html>[script]<p>a[0 placed]"),
        // At the end of the page it would be text of the script.
        ("<head><script>a", "<head>[script][0 placed]<script>a"),
        ("<head><base href=/>", "<head>[base]<base href=/>[0 placed]"),
        ("<p>a</p>", "<p>a</p>"),
        ("<!-- <head> --><p>a</p>", "<!-- <head> --><p>a</p>"),
    ] {
        assert_eq!(scripted(page), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_json_of_a_comment_cannot_end_it(text in "[-<>!\"\\\\a\u{0}\u{7f}ü\u{2028}🙂]{0,12}", name in "[-a>]{1,4}") {
        let object = CommentObject::new().text("label", &text).list("tags", [text.as_str(), &text]);
        let json = object.text(&name, "").finish();
        prop_assert!(json.is_ascii() && !json.contains(['<', '>']) && !json.contains("--"), "{}", json);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&read["label"], text.as_str());
        prop_assert_eq!(&read["tags"][1], text.as_str());
    }
}

#[test]
fn numbers_and_lists_are_json() {
    let json = CommentObject::new()
        .number("took_ms", 1.23456)
        .number("age_s", 3.0)
        .number("none", f64::NAN)
        .list("tags", [])
        .finish();
    assert_eq!(json, r#"{"took_ms":1.235,"age_s":3}"#);
    assert_eq!(CommentObject::new().finish(), "{}");
}
