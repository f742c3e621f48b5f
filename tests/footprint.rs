//! The memory bound against what the process really takes: resident size, in a process of its own for each kind of entry.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::convert::Infallible;
use std::process::Command;
use std::{env, fs};

use minijinja::{Environment, context};
use minijinja_cache::{FragmentCache, Options};

const BOUND: u64 = 16 << 20;

/// Set for the process that fills a cache.
const KIND: &str = "FOOTPRINT_KIND";

/// Bytes of this process in memory.
fn resident() -> i64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
}

/// Fills a cache until it makes room, and prints by how much the process grew and what the cache counts.
fn fill(kind: &str) {
    let mut words = kind.split(' ');
    let made = words.next().unwrap();
    let size: u64 = words.next().unwrap().parse().unwrap();
    let tags: u64 = words.next().unwrap().parse().unwrap();
    let cache = FragmentCache::builder().max_bytes(BOUND).max_entry_bytes(BOUND).build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    let template = "{% cache ['entry', n] '1h' tags=tags %}{{ text }}{% endcache %}";
    env.set_loader(cache.loader(move |name| Ok((name == "p").then(|| template.into()))));
    #[cfg(feature = "http")]
    let page = pages(&cache, size);
    let put = |n: u64| {
        let text = text(n, size);
        let names: Vec<String> = (0..tags).map(|tag| format!("film:{}", n * tags + tag)).collect();
        match made {
            "forever" => drop(cache.get_or_set(("entry", n), Options::forever().tags(names), || ok(text))),
            "text" => drop(cache.get_or_set(("entry", n), Options::default().tags(names), || ok(text))),
            "value" => drop(cache.get_or_set_value(("entry", n), Options::default().tags(names), || ok(text))),
            "block" => drop(env.get_template("p").unwrap().render(context! { n, text, tags => names }).unwrap()),
            #[cfg(feature = "http")]
            "page" => page(n),
            other => panic!("{other}"),
        }
    };
    put(0);
    let before = resident();
    (1..BOUND * 5 / 4 / (size + 700)).for_each(put);
    cache.run_maintenance();
    let (after, stats) = (resident(), cache.stats());
    println!("FILLED {} {} {}", after - before, stats.bytes, stats.entries);
}

/// Makes pages of an HTTP layer, by number.
#[cfg(feature = "http")]
fn pages(cache: &FragmentCache, size: u64) -> impl Fn(u64) {
    use http_body_util::Full;
    use minijinja_cache::http::CacheLayer;
    use tower::ServiceExt;
    use tower_layer::Layer;
    type Body = Full<axum::body::Bytes>;
    let handler = tower::service_fn(move |request: http::Request<Body>| async move {
        let path = request.uri().path().to_owned();
        let response =
            http::Response::builder().header("content-type", "text/html; charset=utf-8").header("x-path", &path);
        Ok::<_, Infallible>(response.body(Body::from(text(path.len() as u64, size))).unwrap())
    });
    let layer = CacheLayer::new(cache).ttl(std::time::Duration::from_secs(60)).layer(handler);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    move |n| {
        let request = http::Request::builder().uri(format!("http://shop.test/film/{n}")).body(Body::default()).unwrap();
        drop(runtime.block_on(layer.clone().oneshot(request)).unwrap());
    }
}

fn text(n: u64, size: u64) -> String {
    format!("{n:010}").repeat(usize::try_from(size / 10).unwrap())
}

fn ok<T>(value: T) -> Result<T, Infallible> {
    Ok(value)
}

/// What a process that fills a cache says of it: by how much it grew, bytes counted, entries.
fn filled(kind: &str) -> [i64; 3] {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_bound_holds_for_what_the_process_takes", "--nocapture"])
        .env(KIND, kind)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let line = said.lines().find_map(|line| Some(line.split_once("FILLED ")?.1));
    let figures = line.unwrap_or_else(|| panic!("{kind}: {said}\n{}", String::from_utf8_lossy(&child.stderr)));
    let figures: Vec<i64> = figures.split(' ').map(|figure| figure.parse().unwrap()).collect();
    figures.try_into().unwrap()
}

#[test]
fn the_bound_holds_for_what_the_process_takes() {
    if let Ok(kind) = env::var(KIND) {
        return fill(&kind);
    }
    let bound = i64::try_from(BOUND).unwrap();
    let mut wrong = Vec::new();
    let sizes = [10, 100, 1_000, 10_000, 100_000];
    let texts = sizes.iter().flat_map(|size| [("text", *size, 0), ("text", *size, 3)]);
    let others = [("forever", 100, 0), ("value", 100, 1), ("block", 100, 0), ("block", 1_000, 3)];
    let pages = [("page", 100, 0), ("page", 10_000, 0)].into_iter().filter(|_| cfg!(feature = "http"));
    for (made, size, tags) in texts.chain(others).chain(pages) {
        let kind = format!("{made} {size} {tags}");
        let [grown, counted, entries] = filled(&kind);
        let said = format!(
            "{kind}: {} B an entry in the process, {} B counted, {:.3} of the bound",
            grown / entries,
            counted / entries,
            grown as f64 / bound as f64
        );
        println!("{said}");
        if (grown - bound).abs() * 10 > bound {
            wrong.push(said);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
