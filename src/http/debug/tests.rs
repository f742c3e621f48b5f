//! Comments in pages of every kind.

#[cfg(all(unix, not(shuttle), feature = "shared"))]
mod browser;
mod marks;
mod positions;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::annotate::{Annotations, annotate};
use crate::telemetry::mark_text::Marks;

const PROCESS: u64 = 0x0123_4567_89ab_cdef;

/// The page with comments. Fragments up to 0xff are known.
fn annotated(page: &str) -> String {
    let describe = |id| (id <= 0xff).then(|| String::from("{}"));
    let texts = Annotations { describe: &describe, head: &|_| String::new(), end: &|_| String::new() };
    String::from_utf8(annotate(page.as_bytes(), &Marks::new(PROCESS), &texts)).unwrap()
}

fn begin(id: u64) -> String {
    format!("mjc{PROCESS:016x}b{id:x};")
}

fn end(id: u64) -> String {
    format!("mjc{PROCESS:016x}e{id:x};")
}

/// Replaces `[1` and `1]` by the marks of fragment 1.
fn marked(page: &str) -> String {
    (1..=9).fold(page.to_owned(), |page, id| {
        page.replace(&format!("[{id}"), &begin(id)).replace(&format!("{id}]"), &end(id))
    })
}

/// Annotates the page, and writes the comments as `[1` and `1]` again.
fn commented(page: &str) -> String {
    let short = |page: String, id| {
        let page = page.replace(&format!("<!-- fragment {id} {{}} -->"), &format!("[{id}"));
        page.replace(&format!("<!-- /fragment {id} -->"), &format!("{id}]"))
    };
    (1..=9).fold(annotated(&marked(page)), short)
}

/// Parts of pages that are hard to parse.
const PIECES: [&str; 96] = [
    "<!doctype html>",
    "<html>",
    "<head>",
    "</head>",
    "<body>",
    "</body>",
    "</html>",
    "<title>",
    "</title>",
    "<p>",
    "</p>",
    "<div class=a>",
    "</div>",
    "<b id='x > y'>",
    "</b>",
    "<a href=\"?a&lt;b\">",
    "</a>",
    "<i a = b/c/>",
    "<br/>",
    "<script>",
    "</script>",
    "<script src=x>",
    "<!--",
    "-->",
    "--!>",
    "<!-->",
    "<!--->",
    "<style>",
    "</style>",
    "<textarea>",
    "</textarea>",
    "<pre>",
    "</pre>",
    "<listing>",
    "</listing>",
    "<xmp>",
    "</xmp>",
    "<iframe>",
    "</iframe>",
    "<noembed>",
    "</noembed>",
    "<noframes>",
    "</noframes>",
    "<noscript>",
    "</noscript>",
    "<template>",
    "</template>",
    "<table>",
    "</table>",
    "<tr>",
    "</tr>",
    "<td>",
    "</td>",
    "<tbody>",
    "<caption>",
    "</caption>",
    "<colgroup>",
    "<select>",
    "</select>",
    "<option>",
    "</option>",
    "<ul>",
    "<li>",
    "</ul>",
    "<svg>",
    "</svg>",
    "<svg/>",
    "<foreignObject>",
    "</foreignObject>",
    "<desc>",
    "</desc>",
    "<g>",
    "</g>",
    "<math>",
    "</math>",
    "<mi>",
    "</mi>",
    "<![CDATA[",
    "]]>",
    "<plaintext>",
    "<frameset>",
    "<font color=red>",
    "</br>",
    "<form>",
    "</form>",
    "<button>",
    "</button>",
    "<input value=\"",
    "\"",
    "'",
    "&",
    "&am",
    "<",
    "</",
    "<!",
    "<?",
];

const WORDS: [&str; 18] =
    ["a", "p", ">", " ", "\n", "\r", "\r\n", ";", "#38;", "notin;", "amp", "\u{feff}", "ü", "-", "--", "=", "/", "]]"];

/// Tags whose meaning depends on the open elements.
const FOREIGN: [&str; 30] = [
    "<svg>",
    "</svg>",
    "<svg/>",
    "<math>",
    "</math>",
    "<mi>",
    "</mi>",
    "<g>",
    "</g>",
    "<foreignObject>",
    "</foreignObject>",
    "<desc>",
    "</desc>",
    "<title>",
    "</title>",
    "<style>",
    "</style>",
    "<script>",
    "</script>",
    "<textarea>",
    "</textarea>",
    "<![CDATA[",
    "]]>",
    "<p>",
    "</p>",
    "<select>",
    "</select>",
    "</br>",
    "<font color=a>",
    "<table>",
];

/// A page of parts that are hard to parse: without marks, and with marks at random positions.
fn pages() -> impl Strategy<Value = (String, String)> {
    let piece = |all: &'static [&str]| {
        prop_oneof![
            3 => proptest::sample::select(all),
            2 => proptest::sample::select(&WORDS[..]),
        ]
    };
    let pieces = prop_oneof![
        2 => vec(piece(&PIECES), 0..24),
        1 => vec(piece(&FOREIGN), 0..16),
    ];
    let fragment = (any::<Index>(), any::<Index>(), 1u64..300);
    let stray = (any::<Index>(), 1u64..4, any::<bool>());
    let marks = (vec(fragment, 1..5), vec(stray, 0..2));
    (pieces, marks).prop_map(|(pieces, (fragments, strays))| {
        let clean = pieces.concat();
        let places: Vec<usize> = clean.char_indices().map(|(at, _)| at).chain([clean.len()]).collect();
        let mut marks = Vec::new();
        for (a, b, id) in fragments {
            let (a, b) = (*a.get(&places), *b.get(&places));
            marks.extend([(a.min(b), begin(id)), (a.max(b), end(id))]);
        }
        marks.extend(
            strays.into_iter().map(|(at, id, first)| (*at.get(&places), if first { begin(id) } else { end(id) })),
        );
        marks.sort_by_key(|(at, _)| *at);
        let mut page = clean.clone();
        marks.iter().rev().for_each(|(at, mark)| page.insert_str(*at, mark));
        (clean, page)
    })
}

/// The page without the comments of fragments.
fn without_comments(page: &str) -> String {
    let mut rest = page;
    let mut clean = String::new();
    while let Some(at) = [rest.find("<!-- fragment "), rest.find("<!-- /fragment ")].into_iter().flatten().min() {
        clean.push_str(&rest[..at]);
        rest = &rest[at + rest[at..].find("-->").unwrap() + 3..];
    }
    clean + rest
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_page_without_its_comments_equals_the_page_without_marks((clean, page) in pages()) {
        prop_assert_eq!(without_comments(&annotated(&page)), clean.as_str());
        prop_assert_eq!(Marks::new(PROCESS).strip(page.as_bytes()).unwrap_or(page.into_bytes()), clean.into_bytes());
    }

    #[test]
    fn any_bytes_are_accepted(page in vec(any::<u8>(), 0..64), id in 0u64..4) {
        let page = [&page[..], begin(id).as_bytes(), &page[..], end(id).as_bytes()].concat();
        let texts = Annotations {
            describe: &|_| Some(String::from("{}")),
            head: &|_| String::from("<script></script>"),
            end: &|_| String::from("<!-- -->"),
        };
        annotate(&page, &Marks::new(PROCESS), &texts);
    }
}
