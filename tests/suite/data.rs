//! Data that changes, and environments that show which version of it they were made from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::Environment;
use minijinja_cache::FragmentCache;

use crate::support::env_of;

/// The data behind the pages.
#[derive(Clone, Default)]
pub struct Db(Arc<AtomicU64>);

impl Db {
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn write(&self, version: u64) {
        self.0.store(version, Ordering::SeqCst);
    }

    pub fn add_to(&self, env: &mut Environment<'_>) {
        let db = self.clone();
        env.add_function("db", move || db.read());
    }
}

pub fn blocks(db: &Db, cache: &FragmentCache, source: &str) -> Environment<'static> {
    let mut env = env_of(cache, &[("p", source), ("part", "{% cache 'inner' tags=['t'] %}{{ db() }}{% endcache %}")]);
    db.add_to(&mut env);
    env
}

/// A loader whose templates all say the version they were read at.
pub fn versioned(cache: &FragmentCache, db: &Db, page: &'static str) -> Environment<'static> {
    let (mut env, db) = (Environment::new(), db.clone());
    cache.add_to_environment(&mut env);
    env.set_loader(cache.loader(move |name| {
        Ok(match name {
            "p" => Some(page.to_owned()),
            "x" => Some(db.read().to_string()),
            "lib" => Some(format!("{{% macro m() %}}{}{{% endmacro %}}", db.read())),
            "base" => Some(format!("{{% block b %}}{}{{% endblock %}}", db.read())),
            _ => None,
        })
    }));
    env
}
