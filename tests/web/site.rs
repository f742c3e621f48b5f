//! The example application, and smaller ones, with a log of what arrives at them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::IF_NONE_MATCH;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use minijinja_cache::FragmentCache;
use tokio::sync::watch;

use crate::app::config::Config;
use crate::app::{self, App};
use crate::visit::{self, Server, TEMPLATES};

/// A request that reached the application, and what was said to it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) conditional: bool,
    pub(crate) status: u16,
    /// What the layer says it did.
    pub(crate) cache: String,
}

/// What arrived, and whether what arrives has to wait.
#[derive(Clone)]
pub(crate) struct Log {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    open: watch::Sender<bool>,
}

/// A server and the log of it.
pub(crate) struct Site {
    server: Server,
    pub(crate) log: Log,
}

/// The example application with a database of its own.
pub(crate) struct Catalogue {
    pub(crate) site: Site,
    pub(crate) app: App,
    _folder: tempfile::TempDir,
}

impl Log {
    fn new() -> Log {
        Log { arrivals: Arc::default(), open: watch::Sender::new(true) }
    }

    pub(crate) fn all(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    pub(crate) fn last(&self) -> Arrival {
        self.all().pop().expect("something arrived")
    }

    /// From here on whatever arrives waits until [`Log::release`].
    pub(crate) fn hold(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.open.send_replace(true);
    }
}

impl Site {
    pub(crate) fn serve(router: Router) -> Site {
        let log = Log::new();
        let server = Server::serve(router.layer(from_fn_with_state(log.clone(), note)));
        Site { server, log }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

impl Catalogue {
    pub(crate) fn start() -> Catalogue {
        Catalogue::with(true, |router, _| router)
    }

    /// As its developers see it.
    pub(crate) fn debugged() -> Catalogue {
        Catalogue::open(true, true, |router, _| router)
    }

    pub(crate) fn with(cache: bool, changed: impl FnOnce(Router, &FragmentCache) -> Router) -> Catalogue {
        Catalogue::open(cache, false, changed)
    }

    fn open(cache: bool, debug: bool, changed: impl FnOnce(Router, &FragmentCache) -> Router) -> Catalogue {
        let folder = tempfile::tempdir().unwrap();
        let config = visit::config(&folder.path().join("films.sqlite"), Path::new(TEMPLATES), cache);
        let app = App::open(&Config { debug, ..config }).unwrap();
        let site = Site::serve(changed(app::router(app.clone()), &app.cache));
        Catalogue { site, app, _folder: folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.site.address()
    }

    pub(crate) fn log(&self) -> &Log {
        &self.site.log
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

/// Outside of all layers: what is noted is what went over the wire.
async fn note(State(log): State<Log>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().to_string());
    let conditional = request.headers().contains_key(IF_NONE_MATCH);
    let mut open = log.open.subscribe();
    open.wait_for(|open| *open).await.expect("the log lives as long as its server");
    let response = next.run(request).await;
    let cache = response.headers().get("cache-status").map(|value| value.to_str().unwrap().to_owned());
    let (status, cache) = (response.status().as_u16(), cache.unwrap_or_default());
    log.arrivals.lock().unwrap().push(Arrival { method, path, conditional, status, cache });
    response
}
