//! The caching proxy keeps what the headers allow, and nothing else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::upstream::{Upstream, reply, validated};
use crate::servers::http::{Client, Reply};
use crate::servers::{Nginx, free_port, wait_for};

/// As usual an expired page is shown once more and refreshed behind the visitor's back, whatever its headers say.
const NOTHING_STALE: &str = "proxy_cache_use_stale off; proxy_cache_background_update off;";

/// An upstream whose pages say these headers and count, and nginx before it.
fn counting(headers: Vec<&'static str>, extra: &str) -> (Upstream, Nginx, Client) {
    let count = AtomicU64::new(0);
    let upstream =
        Upstream::start(move |_| reply("200 OK", &headers, &format!("page {}", count.fetch_add(1, Ordering::SeqCst))));
    let nginx = Nginx::start(upstream.address(), extra);
    let client = Client::new(nginx.address());
    (upstream, nginx, client)
}

/// What the proxy did, and the page.
fn shown(reply: &Reply) -> (&str, String) {
    (reply.header("x-proxy-cache").unwrap_or("nothing"), reply.text())
}

#[test]
fn public_page_is_asked_for_once() {
    let start = Instant::now();
    let (upstream, nginx, client) = counting(vec!["Cache-Control: public, max-age=60"], "");
    println!("nginx answers after {:?}", start.elapsed());
    assert_eq!(shown(&client.get("/").send()), ("MISS", "page 0".into()), "{}", nginx.error_log());
    for _ in 0..3 {
        assert_eq!(shown(&client.get("/").send()), ("HIT", "page 0".into()));
    }
    assert_eq!((upstream.asked().len(), nginx.stored()), (1, 1));
    assert_eq!(shown(&client.get("/other").send()), ("MISS", "page 1".into()));
    assert_eq!(nginx.error_log(), "");
}

#[test]
fn private_page_is_never_stored() {
    for headers in [vec!["Cache-Control: private, max-age=60"], vec!["Cache-Control: no-store"], vec![]] {
        let (upstream, nginx, client) = counting(headers, "");
        for turn in 0..3 {
            assert_eq!(shown(&client.get("/").send()), ("MISS", format!("page {turn}")));
        }
        assert_eq!((upstream.asked().len(), nginx.stored()), (3, 0));
    }
}

#[test]
fn page_that_sets_a_cookie_is_not_stored() {
    let (_upstream, nginx, client) = counting(vec!["Cache-Control: public, max-age=60", "Set-Cookie: a=1"], "");
    for turn in 0..2 {
        assert_eq!(shown(&client.get("/").send()), ("MISS", format!("page {turn}")));
    }
    assert_eq!(nginx.stored(), 0);
}

#[test]
fn page_that_varies_has_a_copy_for_each_value() {
    let (_upstream, _nginx, client) = counting(vec!["Cache-Control: public, max-age=60", "Vary: Accept-Language"], "");
    let page = |language: &str| client.get("/").header("Accept-Language", language).send().text();
    assert_eq!([page("de"), page("en"), page("de"), page("en")], ["page 0", "page 1", "page 0", "page 1"]);
}

#[test]
fn expired_page_is_revalidated_with_its_etag() {
    let upstream =
        Upstream::start(|asked| validated(asked, "\"one\"", &["Cache-Control: public, max-age=1"], "the page"));
    let nginx = Nginx::start(upstream.address(), NOTHING_STALE);
    let client = Client::new(nginx.address());
    assert_eq!(shown(&client.get("/").send()), ("MISS", "the page".into()));
    wait_for("the page to expire", || client.get("/").send().header("x-proxy-cache") == Some("REVALIDATED"));
    let asked = upstream.asked();
    assert_eq!((asked[0].header("if-none-match"), asked[1].header("if-none-match")), (None, Some("\"one\"")));
    assert_eq!(asked[1].header("host"), Some("127.0.0.1"));
    let client_has_it = client.get("/").header("If-None-Match", "\"one\"").send();
    assert_eq!(client_has_it.status, 304);
}

#[test]
fn expired_page_is_shown_while_it_is_refreshed() {
    for (header, extra) in [
        ("Cache-Control: public, max-age=1", ""),
        ("Cache-Control: public, max-age=1, stale-while-revalidate=600", "proxy_cache_use_stale off;"),
    ] {
        let (upstream, _nginx, client) = counting(vec![header], extra);
        assert_eq!(client.get("/").send().text(), "page 0");
        let mut last = client.get("/").send();
        wait_for("the page to be stale", || {
            last = client.get("/").send();
            last.header("x-proxy-cache") == Some("STALE")
        });
        assert_eq!(last.text(), "page 0");
        wait_for("the refreshed page", || client.get("/").send().text() != "page 0");
        assert!(upstream.asked().len() >= 2);
    }
}

#[test]
fn page_outlives_its_server() {
    let (upstream, nginx, client) = counting(vec!["Cache-Control: public, max-age=1"], "");
    assert_eq!(client.get("/").send().text(), "page 0");
    drop(upstream);
    wait_for("the page to be stale", || {
        let reply = client.get("/").send();
        assert_eq!((reply.status, reply.text().as_str()), (200, "page 0"));
        reply.header("x-proxy-cache") != Some("HIT")
    });
    assert_eq!(client.get("/never-seen").send().status, 502);
    assert!(nginx.error_log().contains("Connection refused"), "{}", nginx.error_log());
}

#[test]
fn extra_directives_come_before_the_usual_ones() {
    let extra = "proxy_cache off; add_header X-Extra yes; location = /own { return 204; }";
    let (upstream, _nginx, client) = counting(vec!["Cache-Control: public, max-age=60"], extra);
    for turn in 0..2 {
        let reply = client.get("/").send();
        assert_eq!((reply.text(), reply.header("x-extra")), (format!("page {turn}"), Some("yes")));
    }
    assert_eq!(client.get("/own").send().status, 204);
    assert_eq!(upstream.asked().len(), 2);
}

#[test]
fn dropped_nginx_leaves_no_port_and_no_process() {
    let nginx = Nginx::start(SocketAddr::from(([127, 0, 0, 1], free_port())), "");
    let client = Client::new(nginx.address());
    assert_eq!(client.get("/").send().status, 502);
    drop(nginx);
    // The workers hold it too.
    wait_for("the port to be free", || client.get("/").try_send().is_err());
}
