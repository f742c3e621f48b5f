//! The application: database, cache and templates put together, and which address leads where.

pub(crate) mod config;
mod db;
mod editing;
mod films;
mod import;
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
use minijinja_cache::{FragmentCache, LiveEnvironment, Watcher};

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
    /// Keeps the template folder watched.
    _watcher: Watcher,
}

impl App {
    /// Opens the database, the cache and the template folder.
    pub(crate) fn open(config: &Config) -> Result<App, Error> {
        let db = Arc::new(Db::open(&config.database)?);
        let mut settings = config.cache.clone();
        settings.default_ttl.get_or_insert(Duration::from_secs(600));
        let cache = settings.builder()?.on_error(|error| eprintln!("catalogue: {error}")).build()?;
        let watcher = cache.watch(&config.templates)?;

        let mut env = Environment::new();
        // A name, so that other processes know the environment too where a store is shared.
        cache.add_to_environment_as("catalogue", &mut env);
        env.set_loader(cache.path_loader(&config.templates)?);
        env.add_filter("date", pages::date);
        env.add_filter("money", pages::money);
        env.add_filter("thousands", pages::thousands);
        env.add_function("ran", pages::ran);
        // A template that does not compile is known now, not to the first visitor.
        for page in
            ["index.html", "genre.html", "film.html", "edit.html", "watchlist.html", "login.html", "problem.html"]
        {
            env.get_template(page)?;
        }
        let templates = cache.environment(env);
        Ok(App(Arc::new(Parts { db, cache, templates, _watcher: watcher })))
    }

    /// Runs a request's work where it may block, inside a scope that begins before it reads any data: what is cached
    /// from that data is then safe from invalidations that come in between.
    async fn work<T: Send + 'static>(
        self,
        f: impl FnOnce(&Parts) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let work = move || {
            let parts = &*self.0;
            parts.cache.scope().run(|| f(parts)).map_err(|problem| problem.described(parts))
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
    Router::new()
        .route("/", get(pages::index))
        .route("/genre/{slug}", get(pages::genre))
        .route("/film/{id}", get(pages::film))
        .route("/film/{id}/edit", get(editing::form).post(editing::save))
        .route("/film/{id}/watch", post(pages::watch))
        .route("/watchlist", get(pages::watchlist))
        .route("/login", get(sessions::form).post(sessions::login))
        .route("/logout", post(sessions::logout))
        .route("/style.css", get(pages::style))
        .fallback(pages::nowhere)
        .layer(middleware::from_fn_with_state(app.clone(), problem::in_words))
        .with_state(app)
}
