//! The debug mode in a real browser: what it draws, what it says, and that it changes nothing of the page.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::Html;
use axum::routing::get;
use minijinja::{Environment, context};
use minijinja_cache::FragmentCache;
use minijinja_cache::http::DebugLayer;

use crate::browser::{check, picture};
use crate::servers::{Chromium, Tab};
use crate::site::{Catalogue, Site};

/// What a test asks of the overlay, by a short name each.
const HELPERS: &str = r#"
window.overlay = () => document.querySelector('minijinja-cache-overlay').shadowRoot;
window.drawn = () => [...overlay().querySelectorAll('.box')];
window.button = words => [...overlay().querySelectorAll('.bar button')].find(it => it.textContent.includes(words));
window.rect = it => { const { x, y, width, height } = it.getBoundingClientRect(); return { x, y, width, height }; };
window.around = (box, it) => { const a = rect(box), b = rect(it);
    return Math.abs(a.x - b.x) < 6 && Math.abs(a.y - b.y) < 6 && Math.abs(a.width - b.width) < 12 && Math.abs(a.height - b.height) < 12; };
"#;

/// Opens a page and waits for the overlay.
fn open(tab: &Tab, url: &str) {
    tab.open(url);
    tab.wait_until("document.querySelector('minijinja-cache-overlay')?.shadowRoot.querySelector('.box')");
    tab.evaluate(HELPERS);
}

fn number(tab: &Tab, js: &str) -> f64 {
    tab.evaluate(js).as_f64().unwrap_or_else(|| panic!("{js} is no number"))
}

fn text(tab: &Tab, js: &str) -> String {
    tab.evaluate(js).as_str().unwrap_or_default().to_owned()
}

/// A page of these templates; the one to be shown is `page.html`.
fn site(templates: &[(&'static str, &'static str)], layer: fn(Router) -> Router) -> Site {
    let cache = FragmentCache::builder().build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    for (name, source) in templates {
        cache.add_template(&mut env, name, source).unwrap();
    }
    let page = move |name: &'static str| {
        let env = env.clone();
        get(move || async move { Html(env.get_template(name).unwrap().render(context! {}).unwrap()) })
    };
    let mut router = Router::new();
    for (name, _) in templates {
        router = router.route(&format!("/{}", name.trim_end_matches(".html")), page(name));
    }
    // Browsers ask for one.
    let router = layer(router).route("/favicon.ico", get(|| async {}));
    Site::serve(router.layer(DebugLayer::new(&cache).enabled(true)))
}

fn plain(router: Router) -> Router {
    router
}

#[test]
fn fragments_are_outlined_where_they_are_and_tell_what_became_of_them() {
    let catalogue = Catalogue::debugged();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    open(&tab, &catalogue.url("/?debug"));
    picture(&tab, "debug miss");
    assert!(number(&tab, "drawn().filter(it => it.classList.contains('miss')).length") > 5.0);
    open(&tab, &catalogue.url("/?debug"));
    tab.wait_until("drawn().length === 5 && drawn().every(it => it.classList.contains('hit'))");
    // Each of them is around what stands between its comments.
    let between = "(() => { const at = document.createTreeWalker(document, NodeFilter.SHOW_COMMENT), found = [];
        for (let it; (it = at.nextNode());) if (/^ fragment /.test(it.data)) found.push(it);
        return found.map(begin => { const range = document.createRange(); range.setStartAfter(begin);
            let end = begin; while (!(end.nodeType === 8 && /^ .fragment /.test(end.data))) end = end.nextSibling;
            range.setEndBefore(end); return range; }); })()";
    assert_eq!(tab.evaluate(&format!("{between}.every((it, at) => around(drawn()[at], it))")), true);
    // Hovered, it says where it comes from, and how it was answered.
    let (x, y) = (number(&tab, "rect(drawn()[0]).x"), number(&tab, "rect(drawn()[0]).y"));
    tab.point_at(x + 20.0, y + 20.0);
    tab.wait_until("!overlay().querySelector('.card').hidden");
    let card = text(&tab, "overlay().querySelector('.card').innerText");
    for words in ["index.html:4", "hit", "saved", "age", "left", "films", "key hash"] {
        assert!(card.contains(words), "{words}: {card}");
    }
    assert_eq!(tab.evaluate("drawn()[0].classList.contains('lit')"), true);
    picture(&tab, "debug hover");
    tab.emulate(390, 844, "dark");
    tab.wait_until(&format!("{between}.every((it, at) => around(drawn()[at], it))"));
    tab.evaluate("button('fragments').click()");
    picture(&tab, "debug phone dark");
    check(&tab, &catalogue);
}

#[test]
fn the_list_has_all_fragments_and_works_by_keyboard() {
    let catalogue = Catalogue::debugged();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    open(&tab, &catalogue.url("/film/10?debug"));
    open(&tab, &catalogue.url("/film/10?debug"));
    assert_eq!(tab.evaluate("overlay().querySelector('.panel').hidden"), true);
    tab.evaluate("button('fragment').focus()");
    tab.press("Enter");
    tab.wait_until("overlay().querySelectorAll('.row').length > 0");
    let rows = "[...overlay().querySelectorAll('.row')].map(it => it.innerText).join('|')";
    let listed = text(&tab, rows);
    assert!(listed.contains("_related.html") && listed.contains("/film/{id}"), "{listed}");
    // The page itself was passed by: it has no place, but is listed.
    let row = "[...overlay().querySelectorAll('.row')].find(it => it.innerText.includes('/film/{id}'))";
    tab.evaluate(&format!("{row}.focus()"));
    tab.press("Enter");
    let facts = format!("{row}.parentNode.querySelector('.facts').innerText");
    assert!(text(&tab, &facts).contains("the whole page"), "{}", text(&tab, &facts));
    // What a handler hands to the template is listed and not marked, because the template could read a mark.
    let row = "[...overlay().querySelectorAll('.row')].find(it => it.innerText.includes('film.html:'))";
    tab.evaluate(&format!("{row}.focus()"));
    tab.wait_until("drawn().some(it => it.classList.contains('lit'))");
    tab.press("Enter");
    picture(&tab, "debug list");
    let total = text(&tab, "overlay().querySelector('.total').innerText");
    assert!(total.contains("sql") && total.contains("rendering") && total.contains("bypass"), "{total}");
    tab.press("Escape");
    tab.wait_until("overlay().querySelector('.panel').hidden && overlay().activeElement === button('fragment')");
    check(&tab, &catalogue);
}

#[test]
fn what_was_switched_off_stays_off() {
    let catalogue = Catalogue::debugged();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    open(&tab, &catalogue.url("/?debug"));
    assert_eq!(tab.evaluate("rect(drawn()[0]).width > 0"), true);
    tab.evaluate("button('Outlines').click()");
    assert_eq!(tab.evaluate("rect(drawn()[0]).width"), 0);
    tab.open(&catalogue.url("/genre/drama?debug"));
    tab.wait_until("document.querySelector('minijinja-cache-overlay')?.shadowRoot.querySelector('.bar')");
    tab.evaluate(HELPERS);
    assert_eq!(text(&tab, "button('Outlines').getAttribute('aria-pressed')"), "false");
    assert_eq!(tab.evaluate("drawn().length"), 0);
    tab.evaluate("button('Outlines').click()");
    assert_eq!(tab.evaluate("rect(drawn()[0]).width > 0"), true);
    picture(&tab, "debug genre");
    check(&tab, &catalogue);
}

#[test]
fn the_page_is_laid_out_and_clicked_as_without() {
    let (plain, debugged) = (Catalogue::start(), Catalogue::debugged());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    let places = "JSON.stringify([document.documentElement.scrollWidth, document.documentElement.scrollHeight,
        ...[...document.querySelectorAll('html, body, body *')].map(it => [it.nodeName, it.getBoundingClientRect()])])";
    for width in [1280, 390] {
        tab.emulate(width, 900, "light");
        for path in ["/", "/genre/drama", "/film/10", "/login", "/nowhere"] {
            tab.open(&plain.url(path));
            let without = tab.evaluate(places);
            tab.open(&debugged.url(path));
            tab.wait_until("document.querySelector('minijinja-cache-overlay')?.shadowRoot.querySelector('.bar')");
            assert_eq!(tab.evaluate(places), without, "{path} at {width}");
        }
    }
    // Outlines let clicks through.
    open(&tab, &debugged.url("/genre/drama?debug"));
    let link = "rect(document.querySelector('main a[href^=\"/film/\"]'))";
    let (x, y) = (number(&tab, &format!("{link}.x")), number(&tab, &format!("{link}.y")));
    tab.click_at(x + 10.0, y + 10.0);
    tab.wait_until("location.pathname.startsWith('/film/')");
}

const SMALL: [(&str, &str); 2] = [
    (
        "page.html",
        "<!doctype html><html><head><title>a</title></head><body>{% cache 'a' %}<p id=a>a</p>{% endcache %}<div id=b></div></body></html>",
    ),
    ("part.html", "{% cache 'b' %}<p id=c>{% cache 'c' %}c{% endcache %}</p>{% endcache %}"),
];

#[test]
fn what_is_loaded_later_is_outlined_too() {
    let site = site(&SMALL, plain);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    open(&tab, &format!("http://{}/page", site.address()));
    assert_eq!(number(&tab, "drawn().length"), 1.0);
    tab.evaluate("fetch('/part').then(it => it.text()).then(it => { document.querySelector('#b').innerHTML = it; })");
    tab.wait_until("drawn().length === 3 && around(drawn()[1], document.querySelector('#c'))");
    // Moved, it is followed.
    tab.evaluate("document.querySelector('#a').style.height = '200px'");
    tab.wait_until(
        "around(drawn()[0], document.querySelector('#a')) && around(drawn()[1], document.querySelector('#c'))",
    );
    tab.evaluate("document.querySelector('#b').innerHTML = ''");
    tab.wait_until("drawn().length === 1");
    assert_eq!(tab.console_errors(), Vec::<String>::new());
}

fn with_policy(router: Router, policy: &'static str) -> Router {
    router.layer(axum::middleware::map_response(move |mut response: axum::response::Response| async move {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        response
    }))
}

#[test]
fn a_strict_policy_is_kept_and_the_overlay_works_under_it() {
    let strict: [fn(Router) -> Router; 2] = [
        |router| with_policy(router, "default-src 'none'; script-src 'self'; require-trusted-types-for 'script'"),
        |router| with_policy(router, "default-src 'none'; script-src 'strict-dynamic' 'nonce-aGVsbG8='; trusted-types"),
    ];
    let chromium = Chromium::start();
    for policy in strict {
        let site = site(&SMALL, policy);
        let tab = chromium.tab();
        open(&tab, &format!("http://{}/page", site.address()));
        assert_eq!(tab.evaluate("getComputedStyle(drawn()[0]).borderTopStyle"), "solid");
        tab.evaluate("button('fragment').click()");
        tab.wait_until("overlay().querySelectorAll('.row').length === 1");
        assert_eq!(tab.console_errors(), Vec::<String>::new());
    }
    let closed = site(&SMALL, |router| with_policy(router, "default-src 'none'"));
    let tab = chromium.tab();
    tab.open(&format!("http://{}/page", closed.address()));
    assert_eq!(tab.evaluate("document.scripts.length"), 0);
    assert_eq!(tab.console_errors(), Vec::<String>::new());
}

/// As unlike a page of ours as can be.
const HOSTILE: [(&str, &str); 1] = [(
    "page.html",
    "<!doctype html><html><head><title>a</title><base href='/elsewhere/'><style>* { display: block !important; \
     font: 40px serif !important; color: red !important; position: static !important; transform: rotate(3deg) } \
     html { overflow: hidden; height: 100% } body { overflow: auto; height: 100%; margin: 0 } \
     body, html { transform: none !important } script, style, head, title, base { display: none !important }</style></head><body>\
     {% for i in range(500) %}{% cache ['row', i] %}<p id=p{{ i }}>{{ i }}</p>{% endcache %}{% endfor %}\
     {% cache 'x' %}<span hidden></span>{% endcache %}</body></html>",
)];

#[test]
fn a_page_of_five_hundred_fragments_and_odd_rules_is_followed_as_it_scrolls() {
    let site = site(&HOSTILE, plain);
    let chromium = Chromium::start();
    let tab = chromium.tab();
    open(&tab, &format!("http://{}/page", site.address()));
    tab.evaluate("button('501 fragments').click()");
    assert_eq!(number(&tab, "overlay().querySelectorAll('.row').length"), 501.0);
    assert_eq!(text(&tab, "getComputedStyle(overlay().querySelector('.row')).fontSize"), "13px");
    tab.evaluate("document.body.scrollTop = 5000");
    tab.wait_until("around(drawn()[300], document.querySelector('#p300'))");
    picture(&tab, "debug many");
    assert_eq!(tab.console_errors(), Vec::<String>::new());
}

#[test]
fn a_page_from_the_cache_says_so() {
    let catalogue = Catalogue::debugged();
    let chromium = Chromium::start();
    let tab = chromium.tab();
    open(&tab, &catalogue.url("/genre/drama"));
    tab.evaluate("button('fragments').click()");
    tab.open(&catalogue.url("/genre/drama"));
    tab.wait_until("document.querySelector('minijinja-cache-overlay')?.shadowRoot.querySelector('.row')");
    tab.evaluate(HELPERS);
    let listed = text(&tab, "overlay().querySelector('.list').innerText");
    assert!(listed.contains("/genre/{slug}") && listed.contains("hit, saved"), "{listed}");
    let total = text(&tab, "overlay().querySelector('.total').innerText");
    assert!(total.contains("minijinja-cache; hit") && total.contains("0 queries"), "{total}");
    picture(&tab, "debug page hit");
    check(&tab, &catalogue);
}
