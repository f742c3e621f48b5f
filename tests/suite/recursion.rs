//! Templates that lead back to themselves through the crate's own renders: an error, as for an include, and no overflow of a
//! thread's stack.

use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use minijinja::{Environment, Error, Value, context};
use minijinja_cache::{FragmentCache, Options, lazy};

use crate::support::{cache, env_of, show};

/// The stack of threads that the standard library and tokio start.
const STACK: usize = 2 << 20;

fn on_small_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    thread::Builder::new().stack_size(STACK).spawn(f).unwrap().join().unwrap()
}

/// What is at the bottom of an error.
fn cause(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn refused(templates: &'static [(&'static str, &'static str)]) {
    on_small_stack(move || {
        let cache = cache();
        let env = env_of(&cache, templates);
        for _ in 0..2 {
            let error = env.get_template("p").unwrap().render(context! {}).unwrap_err();
            assert!(cause(&error).contains("recursion limit exceeded"), "{templates:?}: {}", cause(&error));
        }
        // Nothing is left of it.
        cache.add_template(&mut { env }, "p", "{{ cache_partial('q', 'q') }}").unwrap();
    });
}

#[test]
fn a_partial_that_leads_back_to_itself_is_an_error() {
    refused(&[("p", "{{ cache_partial('p', 'p') }}")]);
    refused(&[("p", "{{ cache_partial('p', 'p', 0) }}")]);
    refused(&[("p", "{% cache 'k' %}{{ cache_partial('p', 'p') }}{% endcache %}")]);
    refused(&[("p", "{% include 'q' %}"), ("q", "{% for i in [1] %}{{ cache_partial('p', i) }}{% endfor %}")]);
    refused(&[
        ("p", "{{ cache_partial('q', 1) }}"),
        ("q", "{% cache 'c' %}{% include 'r' %}{% endcache %}"),
        ("r", "{{ cache_partial('p', 'p') }}"),
    ]);
    refused(&[(
        "p",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% else %}{{ cache_partial('p', 'p') }}{% endif %}{% endmacro %}{{ m(3) }}",
    )]);
    refused(&[
        ("p", "{% extends 'l' %}{% block b %}{{ cache_partial('p', 'p') }}{% endblock %}"),
        ("l", "{% block b %}{% endblock %}"),
    ]);
}

#[test]
fn a_tree_of_comments_is_as_deep_as_it_can_be_and_no_deeper() {
    let tree = |depth: usize| {
        (0..depth).fold(None, |child, id| {
            Some(context! { id, text => "hm", children => child.into_iter().collect::<Vec<_>>() })
        })
    };
    let page = "{% macro show(node) %}{{ node.text }}{% for child in node.children %}\
                {{ cache_partial('p', child.id, context={'node': child}) }}{% endfor %}{% endmacro %}{{ show(node) }}";
    on_small_stack(move || {
        let cache = cache();
        let env = env_of(&cache, &[("p", page)]);
        assert_eq!(show(&env, "p", context! { node => tree(20) }), "hm".repeat(20));
        let error = env.get_template("p").unwrap().render(context! { node => tree(400) }).unwrap_err();
        assert!(cause(&error).contains("recursion limit exceeded"), "{}", cause(&error));
        // The limit counts what is open, not what was rendered.
        assert_eq!(show(&env, "p", context! { node => tree(20) }), "hm".repeat(20));
    });
}

/// An environment whose functions render in it.
fn rendering(cache: &FragmentCache, page: &str) -> Arc<Environment<'static>> {
    let mut env = env_of(cache, &[("p", page)]);
    let this = Arc::new(OnceLock::<Weak<Environment<'static>>>::new());
    let (own, handler) = (Arc::clone(&this), cache.clone());
    env.add_function("cached", move || {
        let env = own.get().unwrap().upgrade().unwrap();
        handler.render(&env, "p", context! {}, "k", Options::default()).map(Value::from)
    });
    let env = Arc::new(env);
    this.set(Arc::downgrade(&env)).unwrap();
    env
}

#[test]
fn handlers_renders_inside_renders_count_as_well() {
    on_small_stack(|| {
        let cache = cache();
        let env = rendering(&cache, "{{ cached() }}");
        let error = env.get_template("p").unwrap().render(context! {}).unwrap_err();
        assert!(cause(&error).contains("recursion limit exceeded"), "{}", cause(&error));
    });
    on_small_stack(|| {
        let (first, cache) = (OnceLock::new(), cache());
        let first = Arc::new(first);
        let mut env = env_of(&cache, &[("p", "{{ again() }}")]);
        let own: Arc<OnceLock<minijinja_cache::LiveEnvironment>> = Arc::clone(&first);
        env.add_function("again", move || own.get().unwrap().render("p", context! {}));
        first.set(cache.environment(env)).unwrap();
        let error = first.get().unwrap().render("p", context! {}).unwrap_err();
        assert!(cause(&error).contains("recursion limit exceeded"), "{}", cause(&error));
    });
}

#[test]
fn a_lazy_value_that_renders_its_own_page_is_an_error() {
    on_small_stack(|| {
        let cache = cache();
        let env =
            Arc::new(env_of(&cache, &[("p", "{{ cache_partial('q', 'k', context={'x': x}) }}"), ("q", "{{ x }}")]));
        fn page(env: Arc<Environment<'static>>, cache: FragmentCache, depth: u32) -> Result<String, Error> {
            let (inner, handle) = (Arc::clone(&env), cache.clone());
            let x = lazy(move || page(inner, handle, depth + 1));
            let options = Options::ttl(std::time::Duration::ZERO);
            cache.render(&env, "p", context! { x }, ("k", depth), options).map(String::from)
        }
        assert!(page(env, cache, 0).is_err());
    });
}

#[test]
fn a_failed_render_does_not_count_afterwards() {
    let cache = cache();
    let env = env_of(
        &cache,
        &[("p", "{% include 'q' %}"), ("q", "{{ cache_partial('r', 'r') }}"), ("r", "{{ nope() }}"), ("s", "s")],
    );
    for _ in 0..200 {
        env.get_template("p").unwrap().render(context! {}).unwrap_err();
    }
    for _ in 0..200 {
        env.get_template("s").unwrap().render_captured(context! {}).unwrap();
    }
    cache.render(&env, "s", context! {}, "s", Options::default()).unwrap();
}
