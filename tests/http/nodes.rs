//! Pages of several nodes that share a store.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use minijinja_cache::http::{CacheLayer, HoleRequest};
use minijinja_cache::{FragmentCache, FragmentKind, FragmentStats, LocalStore, ManualClock};

use crate::support::{App, answer, environment, render, seconds, status};

/// So many nodes that hear of each other, by one clock.
async fn nodes(count: usize) -> (Vec<FragmentCache>, ManualClock) {
    let (store, clock) = (LocalStore::new(), ManualClock::new());
    let nodes: Vec<_> =
        (0..count).map(|_| FragmentCache::builder().clock(&clock).shared(store.clone()).build().unwrap()).collect();
    for node in &nodes {
        in_touch(node).await;
    }
    (nodes, clock)
}

async fn in_touch(node: &FragmentCache) {
    while !node.shared_status().unwrap().in_touch {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the store has the writes of this node.
fn written(node: &FragmentCache) {
    assert!(node.flush(seconds(5)));
}

/// Waits until a page of this path must be generated.
async fn gone(app: &App, path: &str) {
    for _ in 0..5000 {
        if !app.get(path, &[]).await.is_hit() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{path} is shown on");
}

#[tokio::test]
async fn all_nodes_find_the_variants_of_each_node() {
    let (nodes, _) = nodes(2).await;
    let app = |node: &FragmentCache, name: &'static str| {
        App::new(CacheLayer::new(node).ttl(seconds(60)), move |n, request| {
            answer(&[("vary", "foo")], format!("{name}{n}{:?}", request.headers()["foo"]))
        })
    };
    let apps = [app(&nodes[0], "a"), app(&nodes[1], "b")];
    for (maker, foo, made) in [(0, "1", "a0\"1\""), (1, "2", "b0\"2\""), (0, "3", "a1\"3\"")] {
        assert_eq!(apps[maker].get("/", &[("foo", foo)]).await.text(), made);
        written(&nodes[maker]);
        let found = apps[1 - maker].get("/", &[("foo", foo)]).await;
        assert_eq!((found.text(), found.is_hit()), (made, true));
    }
    nodes[1].invalidate_page("/").await.unwrap();
    for foo in ["1", "2", "3"] {
        assert!(!apps[1].get("/", &[("foo", foo)]).await.is_hit(), "{foo}");
    }
}

#[tokio::test]
async fn an_unsafe_request_on_one_node_invalidates_on_all_nodes() {
    let (nodes, _) = nodes(2).await;
    let apps: Vec<App> = nodes
        .iter()
        .map(|node| App::new(CacheLayer::new(node).ttl(seconds(600)), |n, _| answer(&[], n.to_string())))
        .collect();
    for app in &apps {
        app.get("/films", &[]).await;
        assert!(app.get("/films", &[]).await.is_hit());
    }
    apps[0].send(Method::POST, "/films", &[]).await;
    gone(&apps[1], "/films").await;
}

#[tokio::test]
async fn each_visitor_has_their_own_pages_on_every_node() {
    let (nodes, _) = nodes(2).await;
    let apps: Vec<App> = nodes
        .iter()
        .map(|node| {
            App::new(CacheLayer::new(node).session_cookie("sid"), |_, request| {
                let text = format!("{:?}{:?}", request.headers().get("cookie"), request.headers().get("foo"));
                answer(&[("vary", "foo"), ("cache-control", "private, max-age=60")], text)
            })
        })
        .collect();
    for foo in ["1", "2"] {
        for cookie in ["sid=ada", "sid=bob"] {
            let headers = &[("cookie", cookie), ("foo", foo)];
            let made = apps[0].get("/", headers).await;
            written(&nodes[0]);
            let found = apps[1].get("/", headers).await;
            assert_eq!((found.text(), found.is_hit()), (made.text(), true));
            assert!(found.text().contains(cookie) && found.text().contains(foo));
            assert_eq!(found.header("cache-control").as_deref(), Some("private, max-age=60"));
        }
    }
    for headers in [&[("cookie", "sid=eve"), ("foo", "1")][..], &[("foo", "1")]] {
        assert!(!apps[1].get("/", headers).await.is_hit(), "{headers:?}");
    }
}

#[tokio::test]
async fn a_stale_page_of_another_node_is_served_if_the_handler_fails() {
    let (nodes, clock) = nodes(2).await;
    let app = |node: &FragmentCache, fails: bool| {
        App::new(CacheLayer::new(node).ttl(seconds(60)).stale_if_error(seconds(600)), move |_, _| {
            if fails { status(StatusCode::BAD_GATEWAY) } else { answer(&[], "page") }
        })
    };
    let (makes, fails) = (app(&nodes[0], false), app(&nodes[1], true));
    makes.get("/", &[]).await;
    written(&nodes[0]);
    assert_eq!(fails.get("/", &[]).await.text(), "page");
    clock.advance(seconds(61));
    nodes[1].run_maintenance();
    let page = fails.get("/", &[]).await;
    assert_eq!((page.text(), page.header("age").as_deref(), fails.handler_calls()), ("page", Some("61"), 1));
}

#[tokio::test]
async fn the_entity_tag_of_a_page_is_the_same_on_all_nodes() {
    let (nodes, _) = nodes(2).await;
    let app = |node: &FragmentCache| {
        let templates =
            [("part.html", "part"), ("page.html", "{% cache 'k' %}{% include 'part.html' %}{% endcache %}")];
        let env = environment(node, &templates);
        App::new(CacheLayer::new(node), move |_, _| answer(&[], render(&env, "page.html")))
    };
    let tag = async |app: &App| app.get("/", &[]).await.header("etag").unwrap();
    let apps = [app(&nodes[0]), app(&nodes[1])];
    let first = tag(&apps[0]).await;
    assert_eq!(tag(&apps[0]).await, first, "with a fragment that was found");
    written(&nodes[0]);
    assert_eq!(tag(&apps[1]).await, first, "with a fragment of another node");
    let of_fragment = |stats: &FragmentStats| stats.kind == FragmentKind::Block;
    let fragment = nodes[1].fragment_stats().into_iter().find(of_fragment).unwrap();
    assert_eq!((fragment.renders, fragment.shared_hits), (0, 1));
}

#[tokio::test]
async fn holes_in_a_page_of_another_node_are_filled() {
    let (nodes, _) = nodes(2).await;
    let app = |node: &FragmentCache| {
        let env = environment(node, &[("page.html", "Hi {{ cache_hole('who', 7) }}!")]);
        let layer = CacheLayer::new(node).ttl(seconds(60)).ignore_other_cookies();
        let layer = layer.hole("who", |hole: HoleRequest| async move {
            let visitor = hole.headers()["cookie"].to_str().unwrap();
            Ok::<_, Infallible>(format!("{visitor}{}", hole.argument(0).unwrap()))
        });
        App::new(layer, move |_, _| answer(&[], render(&env, "page.html")))
    };
    let apps = [app(&nodes[0]), app(&nodes[1])];
    assert_eq!(apps[0].get("/", &[("cookie", "ada")]).await.text(), "Hi ada7!");
    written(&nodes[0]);
    let page = apps[1].get("/", &[("cookie", "bob")]).await;
    assert_eq!((page.text(), apps[1].handler_calls()), ("Hi bob7!", 0));
    assert_eq!(page.header("cache-control").as_deref(), Some("private, no-cache"));
}

#[tokio::test]
async fn a_node_without_memory_finds_its_pages_in_the_store() {
    let node = FragmentCache::builder().memory(false).shared(LocalStore::new()).build().unwrap();
    in_touch(&node).await;
    for vary in ["", "foo"] {
        let app =
            App::new(CacheLayer::new(&node).ttl(seconds(60)), move |n, _| answer(&[("vary", vary)], n.to_string()));
        let path = format!("/{vary}");
        app.get(&path, &[("foo", "1")]).await;
        written(&node);
        for _ in 0..2 {
            assert!(app.get(&path, &[("foo", "1")]).await.is_hit(), "{vary:?}");
        }
        node.invalidate_page(&path).await.unwrap();
        assert!(!app.get(&path, &[("foo", "1")]).await.is_hit(), "{vary:?}");
    }
}
