//! A browser builds the same document from a page with comments and from the page without.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::{annotated, pages};
use crate::servers::{Chromium, Tab};

/// The script that lists the nodes of a document without comments of fragments, and joins the text around them.
const OUTLINE: &str = r#"
window.outline = html => {
    const frame = document.createElement('iframe');
    document.body.append(frame);
    const page = frame.contentDocument;
    page.open(); page.write(html); page.close();
    const lines = [];
    const walk = (node, depth) => {
        for (const it of node.childNodes) {
            if (it.nodeType === Node.COMMENT_NODE && /^ \/?fragment /.test(it.data)) continue;
            const line = depth + ' ' + it.nodeType + ' ' + (it.namespaceURI || '') + ' ' + it.nodeName;
            const attributes = [...it.attributes || []].map(a => ' ' + a.name + '=' + JSON.stringify(a.value)).join('');
            const last = lines[lines.length - 1];
            if (it.nodeType === Node.TEXT_NODE && last && last.text && last.line === line) last.value += it.data;
            else lines.push({ line, text: it.nodeType === Node.TEXT_NODE, value: it.data || attributes });
            walk(it, depth + 1);
            if (it.content && it.content.childNodes) walk(it.content, depth + 1000);
        }
    };
    walk(page, 0);
    frame.remove();
    return lines.map(it => it.line + ' ' + it.value);
};
"#;

#[track_caller]
fn same_document(tab: &Tab, clean: &str, annotated: &str) -> Result<(), TestCaseError> {
    let outlines = tab.evaluate(&format!("[{}, {}].map(outline)", json!(clean), json!(annotated)));
    prop_assert_eq!(&outlines[0], &outlines[1], "{}", annotated);
    Ok(())
}

fn tab(chromium: &Chromium) -> Tab {
    let tab = chromium.tab();
    tab.evaluate(OUTLINE);
    tab
}

#[test]
fn comments_do_not_change_the_document_of_any_page() {
    let chromium = Chromium::start();
    let tab = tab(&chromium);
    // `CASES=20000` runs more cases.
    let cases = std::env::var("CASES").map_or(512, |cases| cases.parse().unwrap());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let kept = std::cell::Cell::new(0usize);
    let result = runner.run(&pages(), |(clean, page)| {
        let annotated = annotated(&page);
        kept.set(kept.get() + annotated.matches("<!-- fragment ").count());
        same_document(&tab, &clean, &annotated)
    });
    result.unwrap();
    // The test must not pass because pages have no comments.
    assert!(kept.get() > 50, "{}", kept.get());
}
