//! What operators see of the example application: `/metrics`, and Grafana's dashboard over it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "../../examples/catalogue/app/mod.rs"]
mod app;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../catalogue/visit.rs"]
mod visit;

mod dashboard;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use servers::{Prometheus, Redis, http, promtool, wait_for};

use app::App;
use app::config::Config;
use dashboard::Dashboard;
use visit::{Browser, Server, TEMPLATES};

/// The example with Redis behind it.
struct Site {
    server: Server,
    app: App,
    _redis: Redis,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Site {
        let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
        let settings =
            [("CACHE_TYPE", "redis".to_owned()), ("CACHE_REDIS_URL", redis.url()), ("CACHE_MAX_BYTES", "1 MiB".into())];
        let config = Config {
            port: 0,
            pages: true,
            debug: false,
            database: folder.path().join("films.sqlite"),
            templates: Path::new(TEMPLATES).into(),
            cache: minijinja_cache::CacheConfig::from_variables("CACHE_", settings).unwrap(),
        };
        let app = App::open(&config).unwrap();
        Site { server: Server::serve(app::router(app.clone())), app, _redis: redis, _folder: folder }
    }

    fn metrics(&self) -> String {
        let reply = Browser::default().get(&self.server, "/metrics");
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Has visitors do what there is to do.
    fn visit(&self) {
        let mut reader = Browser::default();
        for path in ["/", "/genre/drama", "/film/10", "/", "/genre/drama", "/film/10", "/?debug=1"] {
            reader.page(&self.server, path);
        }
        reader.sign_in(&self.server, "Ada");
        reader.toggle(&self.server, 10);
        reader.page(&self.server, "/watchlist");
        self.app.cache.invalidate_tag("films");
        reader.page(&self.server, "/genre/drama");
    }
}

/// One for all tests: a process has one recorder.
static SITE: LazyLock<Site> = LazyLock::new(|| {
    let site = Site::start();
    site.visit();
    site
});

/// The names Prometheus sees, and the labels under each.
fn exported(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = &line[..line.find(['{', ' ']).unwrap()];
        names.entry(name.to_owned()).or_default().extend(dashboard::labels_of(line));
    }
    names
}

/// The metrics that were described, without what a histogram makes of its name.
fn described(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_exposition_is_as_prometheus_likes_it() {
    let text = SITE.metrics();
    assert_eq!(promtool(&text), "");
    let described = described(&text);
    assert!(described.len() > 25, "{described:#?}");
    for name in exported(&text).into_keys().filter(|name| name.starts_with("minijinja_cache_")) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        assert!(described.contains(family), "{name} has no description");
    }
    assert!(text.contains("cache=\"catalogue\""));
}

#[test]
fn every_query_of_the_dashboard_asks_for_what_is_exported_and_all_of_that_is_shown() {
    let text = SITE.metrics();
    let (exported, dashboard) = (exported(&text), Dashboard::read());
    let mut asked = BTreeSet::new();
    for query in dashboard.queries() {
        for selector in dashboard::selectors(&query) {
            let labels = exported.get(&selector.metric);
            let labels = labels.unwrap_or_else(|| panic!("{} is not exported, asked for in {query}", selector.metric));
            for label in &selector.labels {
                assert!(labels.contains(label), "{} has no label {label:?}, asked for in {query}", selector.metric);
            }
            asked.insert(selector.metric);
        }
    }
    for family in described(&text) {
        let shown = asked.iter().any(|metric| {
            metric.strip_prefix(&family).is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        });
        assert!(shown, "{family} is exported and not shown");
    }
}

#[test]
fn the_dashboard_is_what_grafana_imports() {
    Dashboard::read().check();
}

#[test]
fn a_real_prometheus_answers_every_query_of_the_dashboard() {
    let prometheus = Prometheus::scraping((&SITE.server).into());
    let hits = "sum(rate(minijinja_cache_lookups_total{outcome=\"hit\"}[1m]))";
    wait_for("two scrapes with hits between", || {
        SITE.visit();
        let series = prometheus.query(hits).unwrap();
        series.first().is_some_and(|sample| sample["value"][1].as_str().unwrap().parse::<f64>().unwrap() > 0.0)
    });
    for query in Dashboard::read().queries() {
        let query = query.replace("$__rate_interval", "1m").replace("$cache", ".*").replace("$fragment", ".*");
        let series = prometheus.query(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(!series.is_empty(), "nothing for {query}");
    }
    let ratio = "sum(rate(minijinja_cache_lookups_total{outcome=~\"hit|stale|joined|shared\"}[1m])) \
                 / sum(rate(minijinja_cache_lookups_total[1m]))";
    let ratio: f64 = prometheus.query(ratio).unwrap()[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!(ratio > 0.1 && ratio < 1.0, "{ratio}");
}
