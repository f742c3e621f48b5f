//! nginx in front: what it keeps, how long, and what it asks when that is over. Who may see what is in `privacy.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use minijinja_cache::FragmentCache;
use minijinja_cache::http::CacheLayer;

use crate::http::{Client, Reply};
use crate::servers::{Nginx, wait_for};
use crate::site::{Catalogue, Site};
use crate::visit::{Browser, first_film, title_of};

/// What is the same for all who are not signed in.
const PUBLIC: [&str; 8] = [
    "/",
    "/genre/drama",
    "/genre/drama?page=2",
    "/genre/action",
    "/film/10",
    "/api/genres",
    "/api/film/10",
    "/style.css",
];

/// An address that nginx answers itself.
const ITS_OWN: &str = "location = /settled { return 204; }";

const SECOND: Duration = Duration::from_secs(1);

/// It waits for the application whenever a page is too old, unless the page says that it need not.
const STALE_IF_THE_PAGE_SAYS_SO: &str = "proxy_cache_use_stale off;";
const NEVER_STALE: &str = "proxy_cache_use_stale off; proxy_cache_background_update off;";

/// nginx in front of the application.
pub(crate) fn in_front_of(catalogue: &Catalogue) -> Nginx {
    Nginx::start(catalogue.address(), ITS_OWN)
}

/// How many pages it keeps, those included that were sent just before: it has one worker, which files a page before it
/// turns to another request.
pub(crate) fn stored(nginx: &Nginx) -> usize {
    assert_eq!(Client::new(nginx.address()).get("/settled").send().status, 204);
    nginx.stored()
}

fn did(reply: &Reply) -> String {
    reply.header("x-proxy-cache").unwrap_or("nothing").to_owned()
}

/// Asks until nginx did this; the answer.
fn until(client: &Client, path: &str, done: &str) -> Reply {
    let mut last = None;
    wait_for(done, || {
        let reply = client.get(path).send();
        let found = did(&reply) == done;
        last = Some(reply);
        found
    });
    last.unwrap()
}

/// The application whose pages shared caches keep for a second only.
fn brief() -> Catalogue {
    async fn shorten(request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        if let Some(said) = response.headers_mut().get_mut(CACHE_CONTROL) {
            let short = said.to_str().unwrap().replace("s-maxage=60", "s-maxage=1");
            *said = HeaderValue::try_from(short).unwrap();
        }
        response
    }
    Catalogue::with(true, |router, _| router.layer(from_fn(shorten)))
}

#[test]
fn nginx_keeps_what_is_public() {
    let catalogue = Catalogue::start();
    let nginx = in_front_of(&catalogue);
    let client = Client::new(nginx.address());
    for path in PUBLIC {
        let first = client.get(path).send();
        assert_eq!((first.status, did(&first).as_str()), (200, "MISS"), "{path}: {:?}", first.headers);
        let arrived = catalogue.log().len();
        let second = client.get(path).send();
        assert_eq!(did(&second), "HIT", "{path}: {:?}", first.headers);
        assert_eq!(second.body, first.body, "{path}");
        let known = client.get(path).header("If-None-Match", first.header("etag").unwrap()).send();
        assert_eq!((known.status, did(&known).as_str()), (304, "HIT"), "{path}");
        let head = client.head(path).send();
        assert_eq!((head.status, did(&head).as_str()), (200, "HIT"), "{path}");
        assert_eq!(catalogue.log().len(), arrived, "{path} is asked for again");
    }
    assert_eq!(stored(&nginx), PUBLIC.len());
    assert_eq!(nginx.error_log(), "");
}

#[test]
fn nginx_keeps_nothing_that_is_nobodys_business() {
    let catalogue = Catalogue::start();
    let nginx = in_front_of(&catalogue);
    let client = Client::new(nginx.address());
    for path in ["/login", "/watchlist", "/api/watchlist", "/film/10/edit", "/nowhere", "/film/abc", "/?debug"] {
        for _ in 0..2 {
            let reply = client.get(path).send();
            assert_eq!(did(&reply), "MISS", "{path}: {:?}", reply.headers);
        }
    }
    assert_eq!(stored(&nginx), 0);
}

#[test]
fn an_expired_page_is_confirmed_without_the_handler() {
    let catalogue = brief();
    let nginx = Nginx::start(catalogue.address(), NEVER_STALE);
    let client = Client::new(nginx.address());
    for path in ["/", "/genre/drama", "/film/10", "/api/genres"] {
        let first = client.get(path).send();
        let confirmed = until(&client, path, "REVALIDATED");
        assert_eq!((confirmed.status, &confirmed.body), (200, &first.body), "{path}");
        let last = catalogue.log().last();
        assert!(last.conditional && last.status == 304 && last.path == path, "{last:?}");
        assert!(last.cache.starts_with("minijinja-cache; hit"), "{last:?}");
        // What the 304 said of the lifetime counts from there.
        until(&client, path, "HIT");
    }
}

/// Pages that live for a second, the handler's text by how often it was asked.
fn small(text: fn(usize) -> String) -> (Site, Arc<AtomicUsize>) {
    let cache = FragmentCache::builder().build().unwrap();
    let layer = CacheLayer::new(&cache).ttl(SECOND);
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let handler = get(move || async move { text(counted.fetch_add(1, Ordering::SeqCst)) });
    let router = Router::new()
        .route("/strict", handler.clone().layer(layer.clone()))
        .route("/patient", handler.layer(layer.stale_while_revalidate(Duration::from_secs(600))));
    (Site::serve(router), made)
}

#[test]
fn a_page_that_is_made_again_and_the_same_is_confirmed() {
    let (site, made) = small(|_| "the same".to_owned());
    let nginx = Nginx::start(site.address(), NEVER_STALE);
    let client = Client::new(nginx.address());
    client.get("/strict").send();
    let confirmed = until(&client, "/strict", "REVALIDATED");
    assert_eq!(confirmed.text(), "the same");
    let last = site.log.last();
    assert!(last.conditional && last.status == 304, "{last:?}");
    // nginx's second may be over before ours is.
    wait_for("another page is made", || {
        client.get("/strict").send();
        made.load(Ordering::SeqCst) > 1
    });
    assert!(site.log.all()[1..].iter().all(|it| it.status == 304), "{:?}", site.log.all());
}

#[test]
fn a_stale_page_is_shown_while_it_is_updated_where_it_says_so() {
    let (site, _) = small(|count| format!("number {count}"));
    let nginx = Nginx::start(site.address(), STALE_IF_THE_PAGE_SAYS_SO);
    let client = Client::new(nginx.address());
    let first = client.get("/patient").send().text();
    site.log.hold();
    // Nobody waits for the application, which answers nothing.
    let stale = until(&client, "/patient", "STALE");
    assert_eq!(stale.text(), first);
    assert_eq!(until(&client, "/patient", "UPDATING").text(), first);
    site.log.release();
    wait_for("the update", || client.get("/patient").send().text() != first);
    assert!(site.log.all()[1].conditional);
}

#[test]
fn a_page_that_does_not_say_so_is_never_shown_stale() {
    let (site, _) = small(|count| format!("number {count}"));
    let nginx = Nginx::start(site.address(), STALE_IF_THE_PAGE_SAYS_SO);
    let client = Client::new(nginx.address());
    let first = client.get("/strict").send().text();
    let mut done = Vec::new();
    wait_for("the next page", || {
        let reply = client.get("/strict").send();
        done.push(did(&reply));
        reply.text() != first
    });
    assert!(done.iter().all(|it| ["HIT", "EXPIRED", "REVALIDATED"].contains(&it.as_str())), "{done:?}");
}

#[test]
fn an_edit_shows_at_once_to_who_is_signed_in_and_to_others_when_the_proxy_asks_again() {
    let catalogue = brief();
    let nginx = in_front_of(&catalogue);
    let (mut ada, mut bob, mut anybody) = (Browser::default(), Browser::default(), Browser::default());
    ada.sign_in(nginx.address(), "Ada");
    bob.sign_in(nginx.address(), "Bob");
    let film = first_film(&anybody.page(nginx.address(), "/genre/action"));
    let data = film.replace("/film/", "/api/film/");
    let old = title_of(&anybody.page(nginx.address(), &film)).to_owned();
    // It is among the best known films, and comes to be a drama, whose list has not had it.
    let (list, pages) = ("/genre/drama", [film.as_str(), &data, "/", "/genre/drama"]);
    for path in pages {
        for browser in [&mut ada, &mut bob, &mut anybody] {
            assert_eq!(browser.page(nginx.address(), path).contains(&old), path != list, "{path}");
        }
    }
    let edit = ada.edit_of(nginx.address(), &film, "Edited through nginx");
    assert_eq!(ada.save(nginx.address(), &film, &edit).status, 303);
    let fresh = |page: &str| page.contains("Edited through nginx") && !page.contains(&format!("{old}<"));
    for path in pages {
        for browser in [&mut ada, &mut bob, &mut anybody] {
            assert!(fresh(&browser.page(catalogue.address(), path)), "{path} at the application");
        }
        for browser in [&mut ada, &mut bob] {
            assert!(fresh(&browser.page(nginx.address(), path)), "{path} of one's own through nginx");
        }
        wait_for("everybody's page through nginx", || fresh(&anybody.page(nginx.address(), path)));
    }
}
