//! Registers a cache with an environment: the tests, filters and functions that lowered templates call. Their code is
//! in the other files of `runtime`.

use std::sync::Arc;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, State};

use super::arguments::defined;
use super::binding::{Binding, ENVIRONMENT};
use super::block::{captured, hit, store, untouched};
use super::rendering::Loads;
use super::{foreign, probes};
use crate::cache::FragmentCache;
use crate::compile::names;
use crate::key::identity::{named_environment, private_environment};
use crate::template::loader;

impl FragmentCache {
    /// Registers the cache with an environment: the filters and tests of lowered cache blocks, `cache_partial`, and the
    /// functions `cache_tag`, `cache_ttl`, `cache_skip` and `cache_hole`.
    ///
    /// Each call gives the environment an identity of its own. It shares no fragment with another environment, in this
    /// process or in others. Clones that are made afterwards have the same identity.
    pub fn add_to_environment(&self, env: &mut Environment<'_>) {
        self.register(env, private_environment());
        if self.inner.shared.is_some() {
            let message = "add_to_environment: the environment has no name, so its fragments stay in this process and are \
                           not shared; call add_to_environment_as(\"web\", &mut env) with a name that is the same in all \
                           processes";
            self.inner.report(&crate::error::Error::new(crate::error::ErrorKind::Config, message));
        }
    }

    /// As [`add_to_environment`](FragmentCache::add_to_environment), with a name. Environments that are registered
    /// under one name share fragments in this process and, with a shared store, across processes.
    pub fn add_to_environment_as(&self, name: &str, env: &mut Environment<'_>) {
        self.register(env, named_environment(name));
    }

    fn register(&self, env: &mut Environment<'_>, environment: u64) {
        self.inner.note_syntax(env.syntax());
        let binding = Binding { cache: self.clone(), environment, syntax_checked: Arc::default() };
        let bound = |f: fn(&Binding, &mut State<'_, '_>, &[Value]) -> Result<Value, Error>| {
            let binding = binding.clone();
            move |state: &mut State<'_, '_>, args: &[Value]| f(&binding, state, args)
        };
        let with_options = |f: fn(&Binding, &mut State<'_, '_>, &[Value], &Kwargs) -> Result<Value, Error>| {
            let binding = binding.clone();
            move |state: &mut State<'_, '_>, args: &[Value], options: Kwargs| f(&binding, state, args, &options)
        };
        let (miss, miss_with) = (binding.clone(), binding.clone());
        env.add_test(names::MISS, move |state: &mut State<'_, '_>, args: &[Value]| miss.miss::<false>(state, args));
        env.add_test(names::MISS_WITH, move |state: &mut State<'_, '_>, args: &[Value]| {
            miss_with.miss_with::<false>(state, args)
        });
        let (tagged, tagged_with) = (binding.clone(), binding.clone());
        env.add_test(names::MISS_TAGGED, move |state: &mut State<'_, '_>, args: &[Value]| {
            tagged.miss::<true>(state, args)
        });
        env.add_test(names::MISS_WITH_TAGGED, move |state: &mut State<'_, '_>, args: &[Value]| {
            tagged_with.miss_with::<true>(state, args)
        });
        env.add_filter(names::OPEN, with_options(Binding::open));
        env.add_filter(names::STORE, store);
        env.add_filter(names::HIT, hit);
        env.add_filter(names::DEFINED, defined);
        env.add_filter(names::NOTE_IMPORT, bound(|binding, state, args| binding.load(state, args, Loads::Import)));
        env.add_filter(
            names::NOTE_EXTENDS,
            bound(|binding, state, args| {
                let of = state.name().into();
                binding.load(state, args, Loads::Parent { of })
            }),
        );
        env.add_filter(names::LAZY_SCOPE, captured);
        env.add_filter(names::LAZY_VALUE, untouched);
        let (begins, used) = (binding.clone(), binding.clone());
        env.add_test(names::RENDER_START, move |state: &mut State<'_, '_>, loaded: &Value, shares: Option<bool>| {
            begins.begins(state, loaded, shares == Some(true))
        });
        env.add_test(
            names::ADDED_RENDER_START,
            move |state: &mut State<'_, '_>, _: &Value, id: u64, generation: u64, shares: bool| {
                used.used(state, id, generation, shares)
            },
        );
        env.add_test(names::WRONG_SYNTAX, |_: &Value| Err::<bool, _>(loader::wrong_syntax()));
        let ids = [self.inner.id, environment].map(Value::from);
        env.add_filter(ENVIRONMENT, move |_: &Value| Value::from_iter(ids.clone()));
        env.add_function("cache_partial", with_options(Binding::partial));
        env.add_function("cache_tag", bound(Binding::cache_tag));
        env.add_function("cache_ttl", bound(Binding::cache_ttl));
        env.add_function("cache_skip", bound(Binding::cache_skip));
        env.add_function("cache_hole", bound(Binding::cache_hole));
        foreign::register(env);
        probes::register(env, &binding);
    }
}
