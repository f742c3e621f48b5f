//! What being observed costs: hits and misses while nobody listens and while somebody does, and publishing metrics.
//!
//! `cargo bench --bench telemetry --features metrics,tracing`. In each group everything is held against a bare `moka.get`
//! of the same round. What a hit costs with the features on and off is counted in instructions, which do not move:
//! `valgrind --tool=callgrind` on `cargo bench --bench ratios --no-run`, with and without `--features metrics,tracing`,
//! with the arguments `--bench --callgrind "get_or_set hit" 100000`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code)]
mod measure;

use std::convert::Infallible;
use std::hint::black_box;

use metrics_exporter_prometheus::PrometheusBuilder;
use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, Options};
use tracing_subscriber::filter::LevelFilter;

use measure::{Subject, measure};

struct Fixture {
    cache: FragmentCache,
    env: Environment<'static>,
    bare: moka::sync::Cache<u128, String>,
}

impl Fixture {
    fn new() -> Fixture {
        let cache = FragmentCache::builder().build().unwrap();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        cache.add_template(&mut env, "p", "<ul>{% cache 'list' 300 %}<li>x</li>{% endcache %}</ul>").unwrap();
        let bare = moka::sync::Cache::builder().max_capacity(64 << 20).build();
        bare.insert(7, "x".repeat(100));
        Fixture { cache, env, bare }
    }

    fn get(&self, key: &str) -> usize {
        self.cache.get_or_set(key, Options::default(), || Ok::<_, Infallible>("x")).unwrap().len()
    }

    fn page(&self) -> String {
        self.env.get_template("p").unwrap().render(context! {}).unwrap()
    }

    fn subjects(&self) -> Vec<Subject<'_>> {
        vec![
            Subject {
                name: "moka get",
                run: Box::new(|| {
                    black_box(self.bare.get(black_box(&7)));
                }),
            },
            Subject {
                name: "get_or_set hit",
                run: Box::new(|| {
                    black_box(self.get(black_box("list")));
                }),
            },
            Subject {
                name: "page with a hit",
                run: Box::new(|| {
                    black_box(self.page());
                }),
            },
            Subject {
                name: "get_or_set miss",
                run: Box::new(|| {
                    self.cache.invalidate("list");
                    black_box(self.get(black_box("list")));
                }),
            },
        ]
    }

    fn report(&self, heard_by: &str) {
        let subjects = self.subjects();
        let times = measure(&subjects);
        println!("\n{heard_by}");
        for (subject, time) in subjects.iter().zip(&times) {
            println!("  {:<18} {time:>8.0} ns {:>8.2} moka gets", subject.name, time / times[0]);
        }
    }
}

/// A cache with as many labels as there can be, each with hits and a miss.
fn labelled() -> FragmentCache {
    let cache = FragmentCache::builder().name("labelled").build().unwrap();
    for n in 0..512 {
        let label = format!("templates/page-{n}.html:12");
        for _ in 0..2 {
            cache.get_or_set(n, Options::default().label(label.as_str()), || Ok::<_, Infallible>("x")).unwrap();
        }
    }
    cache
}

fn main() {
    let fixture = Fixture::new();
    fixture.report("no subscriber");
    for level in [LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE] {
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::sink).finish();
        tracing::subscriber::with_default(subscriber, || fixture.report(&format!("a log at {level}, into nowhere")));
    }

    let cache = labelled();
    let publishing = || vec![Subject { name: "publish_metrics", run: Box::new(|| cache.publish_metrics()) }];
    println!("\n512 labels, published once");
    println!("  {:<18} {:>8.0} µs", "no recorder", measure(&publishing())[0] / 1e3);
    let prometheus = PrometheusBuilder::new().with_recommended_naming(true).install_recorder().unwrap();
    println!("  {:<18} {:>8.0} µs", "prometheus", measure(&publishing())[0] / 1e3);
    println!("  {:<18} {:>8} series", "", prometheus.render().lines().filter(|line| !line.starts_with('#')).count());
    fixture.report("a Prometheus recorder");
}
