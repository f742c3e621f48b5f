//! The figures of the README, each a ratio within one run: machines differ and are noisy, ratios less so.
//!
//! `cargo bench --bench ratios`; one measurement is the median of several rounds, the rounds of all subjects
//! interleaved. `cargo bench --bench ratios -- --callgrind SUBJECT N` runs one subject N times and nothing else, for
//! counting instructions.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod measure;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use minijinja::{Environment, Value, context};
use minijinja_cache::{FragmentCache, Options};

use measure::{Subject, measure, median, only};

const LIST: &str = "{% for film in films %}<li class=\"film\"><a href=\"/film/{{ film.id }}\">{{ film.title }}</a> <span>{{ film.year }}</span></li>\n{% endfor %}";

struct Fixture {
    cache: FragmentCache,
    env: Environment<'static>,
    films: Value,
    html: String,
    bare: moka::sync::Cache<u128, std::sync::Arc<String>>,
}

impl Fixture {
    fn new() -> Fixture {
        let cache = FragmentCache::builder().build().unwrap();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        let hundred: String = (0..100).fold(String::new(), |mut page, n| {
            write!(page, "{{% cache 'list{n}' 300 %}}{LIST}{{% endcache %}}").unwrap();
            page
        });
        let templates = [
            ("empty.html", "<ul></ul>".to_owned()),
            ("given.html", "<ul>{{ html }}</ul>".to_owned()),
            ("plain.html", format!("<ul>{LIST}</ul>")),
            ("literal.html", format!("<ul>{{% cache 'list' 300 %}}{LIST}{{% endcache %}}</ul>")),
            ("joined.html", format!("<ul>{{% cache 'list' ~ page 300 %}}{LIST}{{% endcache %}}</ul>")),
            ("tagged.html", format!("<ul>{{% cache 'list' 300 tags=['films'] %}}{LIST}{{% endcache %}}</ul>")),
            ("computed.html", format!("<ul>{{% cache 'list' 300 tags=['page:' ~ page] %}}{LIST}{{% endcache %}}</ul>")),
            ("captured.html", format!("<ul>{{% filter safe %}}{LIST}{{% endfilter %}}</ul>")),
            ("hundred.html", format!("<ul>{hundred}</ul>")),
            ("variable.html", "{{ page }}".to_owned()),
            ("new_variable.html", "{% cache key 300 %}{{ page }}{% endcache %}".to_owned()),
            ("new_list.html", format!("{{% cache key 300 %}}<ul>{LIST}</ul>{{% endcache %}}")),
        ];
        env.set_loader(cache.loader(move |name| {
            Ok(templates.iter().find(|(known, _)| *known == name).map(|(_, source)| source.clone()))
        }));
        let films = Value::from_iter((0..50).map(|n| {
            Value::from_pairs([
                ("id", Value::from(n)),
                ("title", Value::from(format!("The film with number {n:02}"))),
                ("year", Value::from(1950 + n)),
            ])
        }));
        let html = env.get_template("plain.html").unwrap().render(context! { films => films.clone() }).unwrap();
        let bare = moka::sync::Cache::builder().max_capacity(64 << 20).build();
        bare.insert(7, std::sync::Arc::new(html.clone()));
        Fixture { cache, env, films, html, bare }
    }

    fn render(&self, name: &str, context: &Value) -> String {
        self.env.get_template(name).unwrap().render(context.clone()).unwrap()
    }

    /// Renders into a buffer that stays: 100 fragments make 460 kB, and how the allocator gets that is not the
    /// question.
    fn render_into(&self, buffer: &std::cell::RefCell<Vec<u8>>, name: &str, context: &Value) {
        let mut buffer = buffer.borrow_mut();
        buffer.clear();
        self.env.get_template(name).unwrap().render_captured_to(context.clone(), &mut *buffer).unwrap();
    }

    fn get_or_set(&self, key: &str) -> usize {
        let render = || Ok::<_, Infallible>(self.html.clone());
        self.cache.get_or_set(key, Options::default(), render).unwrap().len()
    }

    fn context(&self) -> Value {
        context! { films => self.films.clone(), page => 3, html => Value::from_safe_string(self.html.clone()) }
    }

    fn subjects<'a>(&'a self, context: &'a Value) -> Vec<Subject<'a>> {
        let page = |name: &'static str| {
            Box::new(move || {
                black_box(self.render(name, context));
            })
        };
        let buffered = |name: &'static str| {
            let buffer = std::cell::RefCell::new(Vec::new());
            Box::new(move || self.render_into(&buffer, name, context))
        };
        vec![
            Subject { name: "empty page", run: page("empty.html") },
            Subject { name: "{{ html }}", run: page("given.html") },
            Subject { name: "rendered", run: page("plain.html") },
            Subject { name: "rendered, captured", run: page("captured.html") },
            Subject { name: "hit, literal key", run: page("literal.html") },
            Subject { name: "hit, joined key", run: page("joined.html") },
            Subject { name: "buffered, empty", run: buffered("empty.html") },
            Subject { name: "buffered, hit", run: buffered("literal.html") },
            Subject { name: "buffered, tagged", run: buffered("tagged.html") },
            Subject { name: "buffered, computed tag", run: buffered("computed.html") },
            Subject { name: "buffered, 100 hits", run: buffered("hundred.html") },
            // The invalidation that makes it a miss is part of what is measured.
            Subject {
                name: "miss",
                run: Box::new(|| {
                    self.cache.invalidate("list");
                    black_box(self.render("literal.html", context));
                }),
            },
            Subject {
                name: "moka get",
                run: Box::new(|| {
                    black_box(self.bare.get(black_box(&7)));
                }),
            },
            Subject {
                name: "moka insert",
                run: Box::new(|| {
                    self.bare.insert(black_box(7), std::sync::Arc::new(self.html.clone()));
                }),
            },
            Subject {
                name: "get_or_set miss",
                run: Box::new(|| {
                    self.cache.invalidate("list");
                    black_box(self.get_or_set(black_box("list")));
                }),
            },
            Subject {
                name: "get_or_set hit",
                run: Box::new(|| {
                    black_box(self.get_or_set(black_box("list")));
                }),
            },
        ]
    }
}

impl Fixture {
    /// Misses whose every key is new, beside an insert of a new key into a bare moka.
    fn new_keys(&self) -> Vec<Subject<'_>> {
        let next = std::cell::Cell::new(1_000_000_u64);
        let new_key = move || {
            next.set(next.get() + 1);
            next.get()
        };
        let page = |name: &'static str| {
            let new_key = new_key.clone();
            Box::new(move || {
                let context = context! { films => self.films.clone(), page => 3, key => new_key() };
                black_box(self.render(name, &context));
            })
        };
        let (inserted, computed) = (new_key.clone(), new_key.clone());
        vec![
            Subject {
                name: "moka insert, new key",
                run: Box::new(move || {
                    self.bare.insert(u128::from(inserted()), std::sync::Arc::new("ten bytes.".to_owned()));
                }),
            },
            Subject {
                name: "get_or_set, new key",
                run: Box::new(move || {
                    let load = || Ok::<_, Infallible>("ten bytes.");
                    black_box(self.cache.get_or_set(computed(), Options::default(), load).unwrap());
                }),
            },
            Subject { name: "a variable", run: page("variable.html") },
            Subject { name: "a variable, new key", run: page("new_variable.html") },
            Subject { name: "50 rows, new key", run: page("new_list.html") },
        ]
    }
}

/// How many times the calls of one thread two threads make.
fn scaling(run: impl Fn() + Sync) -> f64 {
    const CALLS: u32 = 300_000;
    let timed = |threads: usize| {
        let start = Barrier::new(threads);
        let work = || {
            start.wait();
            let began = Instant::now();
            (0..CALLS).for_each(|_| run());
            began.elapsed().as_secs_f64()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).fold(0.0, f64::max)
        })
    };
    let ratios = (0..9).map(|_| 2.0 * timed(1) / timed(2)).collect();
    median(ratios)
}

/// Nanoseconds per invalidation with a million entries in the cache.
fn invalidation() -> Vec<(&'static str, f64)> {
    let cache = FragmentCache::builder().max_bytes(2 << 30).build().unwrap();
    for n in 0..1_000_000_u32 {
        let options = Options::forever().tag(format!("film:{n}"));
        cache.get_or_set(n, options, || Ok::<_, Infallible>("x")).unwrap();
    }
    cache.run_maintenance();
    let entries = cache.stats().entries;
    println!("\n{entries} entries in memory");
    let time = |what: &dyn Fn(u32)| {
        median(
            (0..15)
                .map(|round| {
                    let start = Instant::now();
                    (0..1000).for_each(|n| what(round * 1000 + n));
                    start.elapsed().as_secs_f64() * 1e6
                })
                .collect(),
        )
    };
    vec![
        (
            "a tag",
            time(&|n| {
                cache.invalidate_tag(&format!("film:{n}"));
            }),
        ),
        (
            "a key",
            time(&|n| {
                cache.invalidate(n);
            }),
        ),
        (
            "a template",
            time(&|_| {
                cache.invalidate_template("card.html");
            }),
        ),
        (
            "everything",
            time(&|_| {
                cache.clear();
            }),
        ),
    ]
}

fn report(fixture: &Fixture) {
    let context = fixture.context();
    // In a scope the render's end need not be watched for.
    let in_scope = |name: &'static str| {
        let (fixture, context) = (&fixture, &context);
        Box::new(move || {
            black_box(fixture.cache.scope().run(|| fixture.render(name, context)));
        })
    };
    let mut subjects = fixture.subjects(&context);
    subjects.extend(fixture.new_keys());
    subjects.push(Subject { name: "empty, in a scope", run: in_scope("empty.html") });
    subjects.push(Subject { name: "hit, in a scope", run: in_scope("literal.html") });
    let times = measure(&subjects);
    for (subject, time) in subjects.iter().zip(&times) {
        println!("{:<22} {time:>10.0} ns", subject.name);
    }
    let time = |name: &str| times[subjects.iter().position(|subject| subject.name == name).unwrap()];
    let (empty, moka) = (time("empty page"), time("moka get"));
    let unit = moka + time("{{ html }}") - empty;
    println!("\nratio                                                        here   at most");
    let row = |what: &str, ratio: f64, bound: f64| println!("{what:<58} {ratio:>7.2} {bound:>9.2}");
    row("hit, literal key / (moka get + {{ html }})", (time("hit, literal key") - empty) / unit, 2.0);
    row(
        "hit, literal key, in a scope / (moka get + {{ html }})",
        (time("hit, in a scope") - time("empty, in a scope")) / unit,
        2.0,
    );
    row("hit, joined key / (moka get + {{ html }})", (time("hit, joined key") - empty) / unit, 2.0);
    row("get_or_set hit / moka get", time("get_or_set hit") / moka, 1.5);
    let added = time("miss") - time("rendered");
    row(
        "get_or_set of a new key / moka insert of one",
        time("get_or_set, new key") / time("moka insert, new key"),
        4.0,
    );
    row("a miss adds, in µs, to the body", added / 1e3, f64::max(3.0, time("rendered") * 0.05 / 1e3));
    let (none, one, hundred) = (time("buffered, empty"), time("buffered, hit"), time("buffered, 100 hits"));
    row("100 hits / one hit", (hundred - none) / (one - none), 110.0);
}

fn main() {
    let fixture = Fixture::new();
    let context = fixture.context();
    if only(&fixture.subjects(&context).into_iter().chain(fixture.new_keys()).collect::<Vec<_>>()) {
        return;
    }
    report(&fixture);
    println!("\ntwo threads on one hot key, calls per second against one thread");
    println!(
        "  bare moka get      {:.2}",
        scaling(|| {
            black_box(fixture.bare.get(&7));
        })
    );
    println!(
        "  get_or_set hit     {:.2}",
        scaling(|| {
            black_box(fixture.get_or_set("list"));
        })
    );
    let context = context! {};
    println!(
        "  in-template hit    {:.2}",
        scaling(|| {
            black_box(fixture.render("literal.html", &context));
        })
    );
    for (what, nanos) in invalidation() {
        println!("  invalidating {what:<12} {nanos:>6.0} ns");
    }
}
