//! The application: database, cache and templates put together, and which address leads where.

mod api;
pub(crate) mod config;
#[cfg(feature = "dashboard")]
mod dashboard;
mod db;
#[cfg(feature = "debug")]
mod debug;
mod editing;
mod films;
mod import;
#[cfg(feature = "metrics")]
mod metrics;
mod pages;
mod problem;
mod sessions;
mod visitors;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use minijinja::Environment;
use minijinja_cache::http::CacheLayer;
use minijinja_cache::{Builder, FragmentCache, LiveEnvironment, Signal, Watcher};

use self::config::Config;
use self::db::Db;
use self::problem::Problem;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What every request needs; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) db: Arc<Db>,
    pub(crate) cache: FragmentCache,
    pub(crate) templates: LiveEnvironment,
    pub(crate) film_saved: Signal<editing::Saved>,
    /// Whether whole responses are cached.
    pages: bool,
    /// Whether pages show what the cache did for them.
    #[cfg_attr(not(feature = "debug"), allow(dead_code))]
    debug: bool,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// Keeps the template folder watched.
    _watcher: Watcher,
}

impl App {
    /// Opens the database, the cache and the template folder.
    pub(crate) fn open(config: &Config) -> Result<App, Error> {
        App::open_with(config, |cache| cache)
    }

    /// The same with a cache of which settings cannot say everything.
    pub(crate) fn open_with(config: &Config, adjust: impl FnOnce(Builder) -> Builder) -> Result<App, Error> {
        let db = Arc::new(Db::open(&config.database)?);
        // First, so that nothing is counted that nobody records.
        #[cfg(feature = "metrics")]
        let metrics = metrics::recorder()?;
        let mut settings = config.cache.clone();
        settings.name.get_or_insert("catalogue".into());
        settings.default_ttl.get_or_insert(Duration::from_secs(600));
        let builder = adjust(settings.builder()?);
        let cache = builder.on_error(|error| eprintln!("catalogue: {error}")).build()?;
        let watcher = cache.watch(&config.templates)?;

        let mut env = Environment::new();
        // A name, so that other processes know the environment too where a store is shared.
        cache.add_to_environment_as("catalogue", &mut env);
        env.set_loader(cache.path_loader(&config.templates)?);
        env.add_filter("date", pages::date);
        env.add_filter("money", pages::money);
        env.add_filter("thousands", pages::thousands);
        env.add_global("dashboard", cfg!(feature = "dashboard"));
        // A template that does not compile is known now, not to the first visitor.
        for page in
            ["index.html", "genre.html", "film.html", "edit.html", "watchlist.html", "login.html", "problem.html"]
        {
            env.get_template(page)?;
        }
        let templates = cache.environment(env);
        let film_saved = Signal::new("film saved");
        cache.on_signal(&film_saved, editing::Saved::tags);
        Ok(App(Arc::new(Parts {
            db,
            cache,
            templates,
            film_saved,
            pages: config.pages,
            debug: config.debug,
            #[cfg(feature = "metrics")]
            metrics,
            _watcher: watcher,
        })))
    }

    /// Runs a request's work where it may block, inside the scope that the layer opened before anything was read: what
    /// is cached from that data is then safe from invalidations that come in between, and the page says what its
    /// fragments say.
    async fn work<T: Send + 'static>(
        self,
        f: impl FnOnce(&Parts) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let scope = self.cache.current_scope();
        let work = move || {
            let parts = &*self.0;
            scope.run(|| f(parts)).map_err(|problem| problem.described(parts))
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Problem::panicked()))
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

pub(crate) fn router(app: App) -> Router {
    let layer = CacheLayer::new(&app.cache);
    let in_words = middleware::from_fn_with_state(app.clone(), problem::in_words);
    let stored = if app.pages { stored(layer.clone()) } else { layer.clone().bypass_if(|_| true) };
    let pages = Router::new()
        .route("/", get(pages::index))
        .route("/genre/{slug}", get(pages::genre))
        .route("/film/{id}", get(pages::film))
        .route("/api/genres", get(api::all_genres))
        .route("/api/film/{id}", get(api::film))
        .layer(in_words.clone())
        .layer(stored);
    // The same for everybody.
    let files = Router::new()
        .route("/style.css", get(pages::style))
        .layer(layer.clone().ttl(Duration::from_secs(3600)).ignore_other_cookies());
    // One's own, and what changes something.
    let others = Router::new()
        .route("/film/{id}/edit", get(editing::form).post(editing::save))
        .route("/film/{id}/watch", post(pages::watch))
        .route("/watchlist", get(pages::watchlist))
        .route("/api/watchlist", get(api::watchlist))
        .route("/login", get(sessions::form).post(sessions::login))
        .route("/logout", post(sessions::logout))
        .fallback(pages::nowhere)
        .layer(in_words)
        .layer(layer);
    let all = pages.merge(files).merge(others);
    #[cfg(feature = "metrics")]
    let all = all.merge(metrics::router());
    #[cfg(feature = "debug")]
    let all = debug::shown(all, &app);
    #[cfg(feature = "dashboard")]
    let dashboard = dashboard::router(&app.cache);
    let all = all.with_state(app);
    #[cfg(feature = "dashboard")]
    let all = all.nest_service("/cache", dashboard);
    all
}

/// Stored whole: one page for all who are not signed in, and one for each who is. Browsers ask each time, and are told
/// that they have it.
fn stored(layer: CacheLayer) -> CacheLayer {
    layer
        .ttl(Duration::from_secs(60))
        .browser_ttl(Duration::ZERO)
        .stale_while_revalidate(Duration::from_secs(30))
        .session_cookie(sessions::COOKIE_NAME)
        // `/?debug` is made anew from its fragments, so that one sees what became of them.
        .bypass_if(|request| request.uri.query().is_some_and(|query| query.contains("debug")))
}
