//! What measuring adds to a call: `cargo bench --bench potential`. As in `ratios`, one measurement is the median of
//! several interleaved rounds, and `-- --callgrind SUBJECT N` runs one subject N times and nothing else.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod measure;

use std::hint::black_box;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use minijinja_cache::FragmentCache;
use serde::Serialize;

use measure::{Subject, measure, only};

const CALLS: usize = 20;

/// As an application would hand it over: what the template shows, and more.
#[derive(Serialize)]
struct Film {
    id: u32,
    title: String,
    year: u32,
    genre: &'static str,
    rating: f64,
    votes: u64,
    director: Option<&'static str>,
    distributor: Option<&'static str>,
}

const TEMPLATES: [(&str, &str); 9] = [
    ("_small.html", "<b>{{ name }}</b>"),
    (
        "_films.html",
        "{% for film in films %}<li><a href=\"/film/{{ film.id }}\">{{ film.title }}</a> {{ film.year }}</li>\n{% endfor %}",
    ),
    (
        "_macros.html",
        "{% macro stars(rating) %}<i>{{ rating }}</i>{% endmacro %}{% macro title(film) %}<h2>{{ film.title }}</h2>{% endmacro %}",
    ),
    ("empty", ""),
    ("include", "{% for n in range(20) %}{% include '_small.html' %}{% endfor %}"),
    ("include of 50 rows", "{% for n in range(20) %}{% include '_films.html' %}{% endfor %}"),
    ("no macro", "{% from '_macros.html' import stars %}"),
    ("macro", "{% from '_macros.html' import stars %}{% for n in range(20) %}{{ stars(7) }}{% endfor %}"),
    (
        "macro of a film",
        "{% from '_macros.html' import title %}{% for n in range(20) %}{{ title(films[n]) }}{% endfor %}",
    ),
];

fn environment(measured: bool) -> Environment<'static> {
    let cache = FragmentCache::builder().measure_potential(measured).build().unwrap();
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(
        cache.loader(|name| {
            Ok(TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, source)| (*source).to_owned()))
        }),
    );
    env
}

fn context() -> Value {
    let film = |id: u32| Film {
        id,
        title: format!("The film with number {id:02}"),
        year: 1950 + id,
        genre: "drama",
        rating: 7.5,
        votes: 1000,
        director: Some("Somebody"),
        distributor: None,
    };
    context! { name => "Ada", films => Value::from(Serde((0..50).map(film).collect::<Vec<_>>())) }
}

fn main() {
    let (plain, measured, context) = (environment(false), environment(true), context());
    let names: Vec<[String; 2]> =
        TEMPLATES[3..].iter().map(|(name, _)| [(*name).to_owned(), format!("{name}, measured")]).collect();
    let run = |env: &'static Environment<'static>, name: &'static str, context: Value| -> Box<dyn Fn()> {
        Box::new(move || {
            black_box(env.get_template(name).unwrap().render(context.clone()).unwrap());
        })
    };
    // For as long as the process, as subjects have names of that kind.
    let (plain, measured) = (&*Box::leak(Box::new(plain)), &*Box::leak(Box::new(measured)));
    let names: &'static [[String; 2]] = Box::leak(names.into_boxed_slice());
    let mut subjects = Vec::new();
    for ([name, with], (template, _)) in names.iter().zip(&TEMPLATES[3..]) {
        subjects.push(Subject { name, run: run(plain, template, context.clone()) });
        subjects.push(Subject { name: with, run: run(measured, template, context.clone()) });
    }
    if only(&subjects) {
        return;
    }
    let times = measure(&subjects);
    println!("{:<22} {:>12} {:>12} {:>14}", "ns a page", "plain", "measured", "more a call");
    for (pair, times) in subjects.chunks(2).zip(times.chunks(2)) {
        let calls = if pair[0].name.contains("include") || pair[0].name.starts_with("macro") { CALLS } else { 1 };
        println!(
            "{:<22} {:>12.0} {:>12.0} {:>14.0}",
            pair[0].name,
            times[0],
            times[1],
            (times[1] - times[0]) / calls as f64
        );
    }
}
