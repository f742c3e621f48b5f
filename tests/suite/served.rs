//! How templates are served: as their author wrote them, and with an error that helps where the environment does not fit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, context};
use minijinja_cache::{FragmentCache, Options};

use crate::support::{cache, show};

fn lines() -> SyntaxConfig {
    SyntaxConfig::builder().line_statement_prefix("#").line_comment_prefix("##").build().unwrap()
}

fn lstrip() -> SyntaxConfig {
    SyntaxConfig::builder().lstrip_blocks(true).build().unwrap()
}

fn square() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.block_delimiters("[%", "%]").variable_delimiters("[[", "]]").comment_delimiters("[#", "#]").build().unwrap()
}

#[test]
fn a_first_line_that_must_start_a_line_does_so() {
    for (source, syntax, shown) in [
        ("  {% if xs %}x{% endif %} {", lstrip(), "x {"),
        ("# set x = 1\nfn main() {", lines(), "fn main() {"),
        ("## header\n# for x in xs\n<a href=\"#top\">{{ x }}</a>\n# endfor\n", lines(), "<a href=\"#top\">1</a>\n"),
        ("<a href=\"#top\">", lines(), "<a href=\"#top\">"),
        ("<a href=\"#top\">\n", lines(), "<a href=\"#top\">"),
        ("  # cache 'k'\nx\n  # endcache\n", lines(), "x\n"),
        ("\t{# c #}{% cache 'k' %}x{% endcache %}\n", lstrip(), "x"),
    ] {
        let served: [fn(&FragmentCache, &mut Environment<'static>, &'static str); 3] = [
            |cache, env, source| cache.add_template(env, "p", source).unwrap(),
            |cache, env, source| {
                let text = cache.rewrite(source, "p", env.syntax()).unwrap().into_owned();
                env.add_template_owned("p", text).unwrap();
            },
            |cache, env, source| env.set_loader(cache.loader(move |name| Ok((name == "p").then(|| source.into())))),
        ];
        for serve in served {
            let cache = FragmentCache::builder().syntax(syntax.clone()).build().unwrap();
            let mut env = Environment::new();
            env.set_syntax(syntax.clone());
            cache.add_to_environment(&mut env);
            serve(&cache, &mut env, source);
            for _ in 0..2 {
                assert_eq!(show(&env, "p", context! { xs => [1] }), shown, "{source:?}");
            }
        }
    }
}

#[test]
fn an_environment_that_was_not_registered_is_told_to_be() {
    for source in [
        "plain",
        "{% cache 'k' %}x{% endcache %}",
        "{% extends 'l' %}",
        "{% include 'q' %}",
        "{{ cache_partial('p', 'k') }}",
    ] {
        let mut env = Environment::new();
        env.set_loader(cache().loader(move |_| Ok(Some(source.into()))));
        let error = env.get_template("p").unwrap().render(context! {}).unwrap_err();
        assert!(error.to_string().contains("add_to_environment"), "{source}: {error}");
    }
}

fn refused(ours: Option<SyntaxConfig>, theirs: SyntaxConfig, registered_first: bool) -> Error {
    let mut builder = FragmentCache::builder();
    if let Some(syntax) = ours {
        builder = builder.syntax(syntax);
    }
    let cache = builder.build().unwrap();
    let mut env = Environment::new();
    if registered_first {
        cache.add_to_environment(&mut env);
    }
    env.set_syntax(theirs);
    if !registered_first {
        cache.add_to_environment(&mut env);
    }
    env.set_loader(cache.loader(|_| Ok(Some("x".into()))));
    let error = env.get_template("p").unwrap().render(context! {}).unwrap_err();
    assert!(error.to_string().contains("set_syntax"), "{error}");
    assert!(error.to_string().contains("syntax(…)"), "{error}");
    error
}

#[test]
fn a_syntax_that_only_the_cache_or_the_environment_has_is_refused_at_the_first_render() {
    let variables = SyntaxConfig::builder().variable_delimiters("${", "}").build().unwrap();
    for syntax in [square(), variables, lines(), lstrip()] {
        for registered_first in [false, true] {
            refused(Some(syntax.clone()), SyntaxConfig::default(), registered_first);
        }
        refused(None, syntax, false);
    }
    refused(Some(square()), lines(), false);
}

#[test]
fn one_syntax_for_both_is_served() {
    for syntax in [square(), lines(), lstrip(), SyntaxConfig::default()] {
        let cache = FragmentCache::builder().syntax(syntax.clone()).build().unwrap();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        env.set_syntax(syntax);
        env.set_loader(cache.loader(|_| Ok(Some("<% cache 'k' %>x<% endcache %>".into()))));
        assert_eq!([show(&env, "p", context! {}), show(&env, "p", context! {})], ["x", "x"]);
        assert_eq!(cache.stats().hits, 1);
    }
}

/// Threads render a template that changes all the time; none shows a text that was invalidated before it began.
fn reloaded(render: impl Fn(&FragmentCache, &Environment<'static>) -> String + Sync) {
    let cache = cache();
    let version = Arc::new(AtomicU64::new(0));
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    let read = Arc::clone(&version);
    env.set_loader(cache.loader(move |name| {
        let text = read.load(Ordering::SeqCst).to_string();
        // Others load and install in between.
        thread::yield_now();
        Ok(Some(if name == "page" { "{{ cache_partial('x', 'x', 0) }}".to_owned() } else { text }))
    }));
    let (floor, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut stale = 0;
                    while !over.load(Ordering::Relaxed) {
                        let oldest = floor.load(Ordering::SeqCst);
                        stale += u32::from(render(&cache, &env).parse::<u64>().unwrap() < oldest);
                    }
                    stale
                })
            })
            .collect();
        for next in 1..=2_000 {
            version.store(next, Ordering::SeqCst);
            cache.invalidate_template("x");
            floor.store(next, Ordering::SeqCst);
            thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u32>(), 0, "old texts");
    });
}

#[test]
fn no_old_text_is_shown_after_an_invalidation_where_the_crate_looks_the_template_up() {
    reloaded(|cache, env| cache.render(env, "x", context! {}, "x", Options::default()).unwrap().to_string());
    reloaded(|cache, env| {
        cache.render(env, "x", context! {}, "x", Options::ttl(std::time::Duration::ZERO)).unwrap().to_string()
    });
    reloaded(|_, env| show(env, "page", context! {}));
}
