//! What the pages say.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::StatusCode;
use minijinja::{Environment, context};
use minijinja_cache::{Dashboard, FragmentCache, ManualClock, Options};

use crate::support::{HOSTILE, PAGES, app, cache, get, put};

fn entry_ids(page: &str) -> Vec<&str> {
    page.split("entry?id=").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn pages_of_a_cache_that_did_nothing_say_so() {
    let app = app(Dashboard::new(&cache()));
    for (page, words) in [
        ("overview", "Nothing was looked up yet."),
        ("fragments", "Nothing was looked up yet."),
        ("misses", "Nothing had to be computed yet."),
        ("events", "Nothing happened yet."),
        ("entries", "There is nothing in memory."),
    ] {
        let reply = get(&app, &format!("/cache/{page}")).await;
        assert!(reply.status == StatusCode::OK && reply.text.contains(words), "{page}: {}", reply.text);
        assert!(reply.text.starts_with("<!doctype html>") && reply.text.contains("<title>"), "{page}");
    }
}

#[tokio::test]
async fn figures_are_those_of_the_cache() {
    let cache = cache();
    for _ in 0..4 {
        put(&cache, "bio", "text");
    }
    cache.run_maintenance();
    let app = app(Dashboard::new(&cache).title("Shop <7>"));
    let page = get(&app, "/cache/overview").await.text;
    for words in [
        "75.0 %",
        "data-live=\"text:hits\">3<",
        "data-live=\"text:misses\">1<",
        "data-live=\"text:entries\">1<",
        "64 MiB",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(page.contains("Shop &lt;7&gt;") && page.contains("Shared tier"));
    let page = get(&app, "/cache/fragments").await.text;
    assert!(page.contains(">bio</a>") && page.contains("75.0 %"), "{page}");
    let page = get(&app, "/cache/misses").await.text;
    assert!(page.contains(">cold</a>") && page.contains("never stored"), "{page}");
    // Caching that is off shows.
    let off = FragmentCache::builder().enabled(false).build().unwrap();
    let page = get(&crate::support::app(Dashboard::new(&off)), "/cache/overview").await.text;
    assert!(page.contains("Caching is switched off"));
}

#[tokio::test]
async fn fragments_are_sorted_and_searched_by_links() {
    let cache = cache();
    for (label, times) in [("middle", 2), ("most", 3), ("least", 1)] {
        (0..times).for_each(|_| drop(put(&cache, label, "text")));
    }
    let app = app(Dashboard::new(&cache));
    let order = async |query: &str| {
        let page = get(&app, &format!("/cache/fragments?{query}")).await.text;
        let mut at: Vec<(usize, &str)> = ["middle", "most", "least"]
            .iter()
            .filter_map(|it| Some((page.find(&format!(">{it}</a>"))?, *it)))
            .collect();
        at.sort_unstable();
        at.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
    };
    assert_eq!(order("sort=lookups").await, ["most", "middle", "least"]);
    assert_eq!(order("sort=lookups&order=up").await, ["least", "middle", "most"]);
    assert_eq!(order("sort=label").await, ["least", "middle", "most"]);
    assert_eq!(order("q=M&sort=label").await, ["middle", "most"]);
    let page = get(&app, "/cache/fragments?sort=lookups&q=m").await.text;
    assert!(page.contains("aria-sort=\"descending\"") && page.contains("?q=m&amp;sort=lookups&amp;order=up"), "{page}");
}

#[tokio::test]
async fn what_is_not_cached_and_could_be_is_named() {
    let cache = FragmentCache::builder().measure_potential(true).build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "_<menu>.html", "{% for item in menu %}<a>{{ item }}</a>{% endfor %}").unwrap();
    cache.add_template(&mut env, "page.html", "{% include '_<menu>.html' %}{{ text }}").unwrap();
    for text in ["one", "two", "three", "four"] {
        env.get_template("page.html").unwrap().render(context! { text, menu => ["Home"] }).unwrap();
    }
    let page = get(&app(Dashboard::new(&cache)), "/cache/fragments").await.text;
    for words in ["page.html:1 include", "75.0 %", "{% cache [", "_&lt;menu&gt;.html", "menu] %}"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let page = get(&app(Dashboard::new(&crate::support::cache())), "/cache/fragments").await.text;
    assert!(page.contains("measure_potential") && !page.contains("what it would save</h2>"));
}

#[tokio::test]
async fn misses_and_events_are_filtered_by_links() {
    let cache = cache();
    put(&cache, "a", "text");
    cache.invalidate("a");
    let app = app(Dashboard::new(&cache));
    put(&cache, "a", "text");
    cache.invalidate_tag("films");
    put(&cache, "b", "text");
    let page = get(&app, "/cache/misses?reason=key-invalidated").await.text;
    assert!(page.contains("key invalidated") && !page.contains(">b</a>"), "{page}");
    let page = get(&app, "/cache/misses?label=b").await.text;
    assert!(page.contains(">b</a>") && !page.contains(">a</a>"));
    let page = get(&app, "/cache/events").await.text;
    assert!(page.contains("tag &quot;films&quot;") && page.contains("Invalidations <b>1</b>"), "{page}");
    assert!(!get(&app, "/cache/events?kind=evicted").await.text.contains("films"));
    assert_eq!(get(&app, "/cache/events?kind=%3Cb%3E").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_hit_that_was_wrong_is_told_of_without_what_it_showed() {
    let cache = FragmentCache::builder().shadow(1.0).build().unwrap();
    let (hidden, open) = (app(Dashboard::new(&cache)), app(Dashboard::new(&cache).show_contents(true)));
    for visitor in ["Ada", "Berthold"] {
        let options = Options::default().label("greeting");
        cache.get_or_set("k", options, || Ok::<_, Infallible>(format!("Dear {visitor}"))).unwrap();
    }
    let page = get(&hidden, "/cache/events?kind=differed").await.text;
    assert!(page.contains("greeting [") && page.contains("differs from byte 5 on<") && !page.contains("Ada"), "{page}");
    let page = get(&open, "/cache/events?kind=differed").await.text;
    assert!(page.contains("Dear Ada") && page.contains("Dear Berthold"), "{page}");
    assert!(get(&hidden, "/cache/overview").await.text.contains("again gave: 1."));
    assert!(get(&hidden, "/cache/fragments").await.text.contains("missing in its key"));
}

#[tokio::test]
async fn an_entry_tells_its_facts() {
    let clock = ManualClock::new();
    let cache = FragmentCache::builder().clock(&clock).build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "card.html", "<b>{{ n }}</b>").unwrap();
    let options = Options::ttl(Duration::from_secs(300)).tag("film:7").tag("films");
    cache.render(&env, "card.html", context! { n => 7 }, ("card", 7), options).unwrap();
    clock.advance(Duration::from_secs(60));
    let app = app(Dashboard::new(&cache).show_keys(true).show_contents(true));
    let list = get(&app, "/cache/entries?q=film:7&by=tag").await.text;
    let id = entry_ids(&list)[0].to_owned();
    let page = get(&app, &format!("/cache/entry?id={id}")).await.text;
    for words in
        ["fresh", "1 min<", "4 min<", "film:7", "films", "card.html", "partial", "8 B", "never hit", "markup, as text"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(page.contains("[&quot;card&quot;, 7]") && page.contains("&lt;b&gt;7&lt;"), "{page}");
    cache.invalidate_tag("film:7");
    assert!(get(&app, &format!("/cache/entry?id={id}")).await.text.contains("invalidated"));
    for wrong in ["", "0", "zz", "ffffffffffffffffffffffffffffffffffffff", "%3Cb%3E"] {
        assert_eq!(get(&app, &format!("/cache/entry?id={wrong}")).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}

#[tokio::test]
async fn keys_and_contents_are_shown_only_where_that_was_asked_for() {
    let cache = cache();
    let options = Options::default().label("greeting");
    cache.get_or_set("ada@example.org", options, || Ok::<_, Infallible>("Dear Ada")).unwrap();
    let pages = async |dashboard: Dashboard| {
        let app = app(dashboard);
        let mut text = String::new();
        for page in PAGES {
            text += &get(&app, &format!("/cache/{page}")).await.text;
        }
        let id = entry_ids(&text)[0].to_owned();
        text += &get(&app, "/cache/entries?q=ADA@").await.text;
        text + &get(&app, &format!("/cache/entry?id={id}")).await.text
    };
    let shown = pages(Dashboard::new(&cache).allow_invalidation()).await;
    // Nor can it be found out by searching for it.
    assert!(!shown.contains("ada@") && !shown.contains("Dear") && shown.contains("No entry has"), "{shown}");
    assert!(shown.contains("it may hold an e-mail address") && shown.contains("it may be one visitor's own"));
    let shown = pages(Dashboard::new(&cache).show_keys(true)).await;
    assert!(shown.contains("ada@example.org") && !shown.contains("Dear") && !shown.contains("No entry has"));
    let shown = pages(Dashboard::new(&cache).show_contents(true)).await;
    assert!(!shown.contains("ada@") && shown.contains("Dear Ada"));
}

#[tokio::test]
async fn markup_is_shown_as_text_wherever_it_comes_from() {
    let cache = FragmentCache::builder().max_bytes(20_000).build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, HOSTILE, "{{ text }}").unwrap();
    let app = app(Dashboard::new(&cache).title(HOSTILE).allow_invalidation().show_keys(true).show_contents(true));
    let namespace = cache.namespace(HOSTILE);
    let options = || Options::default().tag(HOSTILE).label(HOSTILE);
    namespace.get_or_set(HOSTILE, options().markup(), || Ok::<_, Infallible>(HOSTILE)).unwrap();
    cache.get_or_set_value(HOSTILE, options(), || Ok::<_, Infallible>(vec![HOSTILE.to_owned()])).unwrap();
    cache.render(&env, HOSTILE, context! { text => HOSTILE }, "k", options()).unwrap();
    cache.invalidate_template(HOSTILE);
    namespace.clear();
    cache.invalidate_tag(HOSTILE);
    let mut pages: Vec<String> = PAGES.map(|page| format!("/cache/{page}")).into();
    let list = get(&app, "/cache/entries").await.text;
    assert_eq!(entry_ids(&list).len(), 3);
    pages.extend(entry_ids(&list).into_iter().map(|id| format!("/cache/entry?id={id}")));
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for name in ["q", "sort", "order", "kind", "reason", "label", "by", "first", "page", "id", "done"] {
        pages.extend(PAGES.map(|page| format!("/cache/{page}?{name}={encoded}&q={encoded}")));
    }
    for page in pages {
        let text = get(&app, &page).await.text;
        assert!(
            !text.contains("<script>alert") && !text.contains("<img src=x") && !text.contains("\"'>"),
            "{page}: {text}"
        );
        // Nor is it a template of ours, once it is a value.
        assert!(!text.contains("&amp;49"), "{page}");
    }
}

#[tokio::test]
async fn numbers_that_are_huge_are_no_trouble() {
    let cache = FragmentCache::builder().max_bytes(1).default_ttl(Duration::MAX).build().unwrap();
    for key in 0..300 {
        let options = Options::ttl(Duration::MAX).label("ü".repeat(key));
        cache.get_or_set(key, options, || Ok::<_, Infallible>("x".repeat(key))).unwrap();
    }
    cache.run_maintenance();
    let app = app(Dashboard::new(&cache));
    for page in PAGES.iter().filter(|page| **page != "invalidate") {
        let query = "page=18446744073709551615&q=%F0%9F%A6%80&sort=bytes";
        assert_eq!(get(&app, &format!("/cache/{page}?{query}")).await.status, StatusCode::OK);
        assert_eq!(get(&app, &format!("/cache/{page}")).await.status, StatusCode::OK);
    }
}

#[cfg(feature = "shared")]
#[tokio::test]
async fn the_shared_tier_says_how_it_is_doing() {
    let store = minijinja_cache::LocalStore::new();
    let cache = FragmentCache::builder().shared(store).build().unwrap();
    let app = app(Dashboard::new(&cache));
    let in_touch = "<span class=\"state good\" data-live=\"class:tier_class text:tier_words\">In touch</span>";
    // Until it has heard from the store nothing is written, so that takes more than one.
    for key in 0.. {
        put(&cache, &key.to_string(), "text");
        cache.flush(Duration::from_secs(30));
        let page = get(&app, "/cache/overview").await.text;
        assert!(page.contains("Shared tier") && page.contains("data-live=\"text:tier_untold\">0<"), "{page}");
        if page.contains(in_touch) && !page.contains("data-live=\"text:shared_stores\">0<") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
