//! The browser shows pages, keeps what it may, and tells what it asked for.

use std::time::Instant;

use super::upstream::{Asked, Upstream, reply, validated};
use crate::servers::{Chromium, Seen, Tab, wait_for};

const HTML: &str = "Content-Type: text/html";

fn page(body: &str) -> String {
    format!("<!doctype html><title>t</title><link rel=icon href=data:,>{body}")
}

/// A page that has to be validated, a fresh one, a form and what belongs to them.
fn answer(asked: &Asked) -> String {
    match asked.path() {
        "/" => validated(
            asked,
            "\"one\"",
            &[HTML, "Cache-Control: private, no-cache"],
            &page("<h1>Hello</h1><script src=/app.js></script><a href=/fresh>on</a>"),
        ),
        "/fresh" => reply("200 OK", &[HTML, "Cache-Control: max-age=60"], &page("<h1>Fresh</h1><a href=/>back</a>")),
        "/app.js" => validated(asked, "\"js\"", &["Cache-Control: max-age=60"], "window.app = 'runs'"),
        "/moved" => reply("302 Found", &["Location: /"], ""),
        "/form" => reply(
            "200 OK",
            &[HTML],
            &page(
                "<form action=/fresh><input name=q oninput='out.innerText = value'><button></button></form><p id=out>",
            ),
        ),
        "/broken" => reply(
            "200 OK",
            &[HTML],
            &page("<script src=/none.js></script><script>console.error('oh', 1); nothing()</script>"),
        ),
        path if path.starts_with("/fresh?") => reply("200 OK", &[HTML], &page(&format!("<h1>{path}</h1>"))),
        _ => reply("404 Not Found", &[], ""),
    }
}

/// A browser with one tab, and the server of its pages.
fn tab() -> (Upstream, Chromium, Tab) {
    let upstream = Upstream::start(answer);
    let start = Instant::now();
    let chromium = Chromium::start();
    println!("chromium answers after {:?}", start.elapsed());
    let tab = chromium.tab();
    (upstream, chromium, tab)
}

fn paths(upstream: &Upstream) -> Vec<String> {
    upstream.asked().iter().map(|asked| asked.path().to_owned()).collect()
}

fn statuses(tab: &Tab) -> Vec<u16> {
    tab.requests().iter().map(|seen| seen.status).collect()
}

#[test]
fn second_visit_of_a_page_with_an_etag_is_a_304() {
    let (upstream, _chromium, tab) = tab();
    tab.open(&upstream.url("/"));
    assert_eq!((tab.text("h1").as_str(), tab.evaluate("app")), ("Hello", "runs".into()));
    assert_eq!((statuses(&tab), paths(&upstream)), (vec![200, 200], vec!["/".into(), "/app.js".into()]));
    tab.forget();
    tab.open(&upstream.url("/"));
    assert_eq!(tab.text("h1"), "Hello");
    let seen = tab.requests();
    let cached = Seen { from_disk_cache: false, from_memory_cache: false, ..seen[0].clone() };
    assert_eq!((seen[0].status, &seen[0]), (304, &cached), "{seen:?}");
    assert!(seen[1].from_disk_cache || seen[1].from_memory_cache, "{seen:?}");
    assert_eq!(upstream.asked().last().unwrap().header("if-none-match"), Some("\"one\""));
    assert_eq!(tab.console_errors(), [""; 0]);
}

#[test]
fn fresh_page_is_asked_for_again_only_by_a_reload() {
    let (upstream, _chromium, tab) = tab();
    tab.open(&upstream.url("/fresh"));
    tab.follow("a");
    assert_eq!(tab.text("h1"), "Hello");
    tab.follow("a");
    assert_eq!(tab.text("h1"), "Fresh");
    let seen = tab.requests();
    let last = seen.last().unwrap();
    assert!(last.url.ends_with("/fresh") && last.from_disk_cache && last.status == 200, "{seen:?}");
    let asked = upstream.asked().len();
    tab.open(&upstream.url("/fresh"));
    assert_eq!(upstream.asked().len(), asked);
    tab.reload();
    assert_eq!(upstream.asked().len(), asked + 1);
    assert_eq!(upstream.asked().last().unwrap().header("cache-control"), Some("max-age=0"));
    assert!(!tab.requests().last().unwrap().from_disk_cache);
}

#[test]
fn redirect_and_what_it_leads_to_are_both_seen() {
    let (upstream, _chromium, tab) = tab();
    tab.open(&upstream.url("/"));
    tab.forget();
    tab.open(&upstream.url("/moved"));
    assert_eq!(tab.text("h1"), "Hello");
    assert_eq!(statuses(&tab)[..2], [302, 304], "{:?}", tab.requests());
}

#[test]
fn form_is_filled_and_sent() {
    let (upstream, _chromium, tab) = tab();
    tab.open(&upstream.url("/form"));
    tab.fill("input", "a \"b\"");
    assert_eq!(tab.text("#out"), "a \"b\"");
    tab.follow("button");
    assert_eq!(tab.text("h1"), "/fresh?q=a+%22b%22");
    tab.click("h1");
    tab.wait_until("document.title === 't'");
}

#[test]
fn errors_of_a_page_are_reported() {
    let (upstream, _chromium, tab) = tab();
    tab.open(&upstream.url("/broken"));
    let errors = tab.console_errors();
    for words in ["404", "oh 1", "nothing is not defined"] {
        assert!(errors.iter().any(|error| error.contains(words)), "{words}: {errors:?}");
    }
    tab.forget();
    assert_eq!(tab.console_errors(), [""; 0]);
}

#[test]
fn screenshot_is_a_png() {
    let (upstream, _chromium, tab) = tab();
    tab.open(&upstream.url("/"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page.png");
    tab.screenshot(&path);
    let image = std::fs::read(&path).unwrap();
    assert!(image.starts_with(b"\x89PNG\r\n\x1a\n") && image.ends_with(b"IEND\xaeB\x60\x82"), "{}", image.len());
}

#[test]
fn tabs_share_what_the_browser_keeps() {
    let (upstream, chromium, first) = tab();
    first.open(&upstream.url("/"));
    first.evaluate("document.cookie = 'a=1'");
    let second = chromium.tab();
    second.open(&upstream.url("/"));
    assert_eq!((statuses(&second)[0], second.evaluate("document.cookie")), (304, "a=1".into()));
}

#[test]
#[should_panic(expected = "net::ERR_CONNECTION_REFUSED")]
fn page_nobody_serves_is_reported() {
    let (upstream, _chromium, tab) = tab();
    let url = upstream.url("/");
    drop(upstream);
    tab.open(&url);
}

#[test]
fn dialog_does_not_stop_a_page() {
    let (upstream, _chromium, tab) = tab();
    tab.open(&upstream.url("/"));
    assert_eq!(tab.evaluate("confirm('sure?')"), true);
}

#[test]
fn dropped_browser_leaves_no_process_and_no_profile() {
    let (upstream, chromium, tab) = tab();
    tab.open(&upstream.url("/"));
    let profile = chromium.profile().to_owned();
    assert!(running(&profile) > 0);
    drop(chromium);
    assert!(!profile.exists());
    wait_for("the helpers to end", || running(&profile) == 0);
}

/// The processes that name this directory. Without `/proc` there are none to be seen.
fn running(dir: &std::path::Path) -> usize {
    let name = dir.to_str().unwrap();
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let lines = processes.flatten().filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(name)).count()
}
