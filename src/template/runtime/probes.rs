//! The tests and filters around measured includes and macros. `compile/measure/probe.rs` writes the text; the
//! measurements are in `profile`.
//!
//! An include is measured between `_f.measured`, which takes its name, and `_f.rendered`. Its inputs are looked up
//! before the include runs, because the include may set them. They are read afterwards: by then a lazy value that the
//! include used is computed.

use std::sync::Arc;
use std::time::Instant;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, State};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::arguments::foreign_call;
use super::binding::Binding;
use crate::compile::names;
use crate::compile::{extends_another, free_paths};
use crate::template::lazy;
use crate::template::profile::{
    CALLER, CallInputs, CallStack, MeasuredMacro, Plan, ProfileSiteKind, escaping, is_plain_list,
};

pub(super) fn register(env: &mut Environment<'_>, binding: &Binding) {
    let (measured, rendered, declared) = (binding.clone(), binding.clone(), binding.clone());
    env.add_test(names::MEASURE_INCLUDE, move |state: &mut State<'_, '_>, args: &[Value]| {
        measured.measured(state, args)
    });
    env.add_filter(names::TAKE_TEMPLATE_NAME, |state: &mut State<'_, '_>, args: &[Value]| {
        let [target] = args else { return Err(foreign_call(names::TAKE_TEMPLATE_NAME)) };
        CallStack::of(state).target = Some(target.clone());
        // An include of an empty list prints nothing.
        Ok(Value::from(Vec::<Value>::new()))
    });
    env.add_filter(names::TEMPLATE_NAME, |state: &mut State<'_, '_>, _: &Value| {
        CallStack::of(state).target.take().ok_or_else(|| foreign_call(names::TEMPLATE_NAME))
    });
    env.add_filter(names::MEASURED_OUTPUT, move |state: &mut State<'_, '_>, args: &[Value]| {
        rendered.rendered(state, args)
    });
    env.add_filter(names::MEASURED_MACRO, move |state: &mut State<'_, '_>, args: &[Value]| {
        declared.declared(state, args)
    });
    env.add_test(names::DISCARD_OUTPUT, |state: &mut State<'_, '_>, _: &Value, begins: bool| {
        let discarding = &mut CallStack::of(state).discarding;
        *discarding = if begins { *discarding + 1 } else { discarding.saturating_sub(1) };
        false
    });
}

/// Contains the characters that formatters are known to change: markup, quotes, white space, characters that TeX and
/// shells escape.
const CANARY: &str = " <a href=\"#\" title='&amp;'>é \u{a0} {{ x }} \\ $ % _ ^ ~ null None </a>\n\n\t--- ";

impl Binding {
    /// `NAME is _f.measured(ID, OUTERMOST, PLACE, TEXT)`, or `none` in place of `NAME` if the name was taken before.
    /// Keeps the name for the include, and begins a call if the include can be measured.
    fn measured(&self, state: &mut State<'_, '_>, args: &[Value]) -> Result<bool, Error> {
        let since = Instant::now();
        let [literal, id, outermost, place, text] = args else { return Err(foreign_call(names::MEASURE_INCLUDE)) };
        let running = CallStack::of(state);
        if !literal.is_none() {
            running.target = Some(literal.clone());
        }
        let Some(target) = running.target.clone() else { return Err(foreign_call(names::MEASURE_INCLUDE)) };
        // Inside discarded output, a capture would collect the include's output, and the blocks in it would run.
        if outermost.is_true() && running.discarding > 0 {
            return Ok(false);
        }
        let (Some(id), Some(place), Some(text)) = (number(id), place.as_str(), text.as_str()) else {
            return Err(foreign_call(names::MEASURE_INCLUDE));
        };
        let Some(all) = self.cache.inner.measurements() else { return Ok(false) };
        let site = self.shows_as_is(state).then(|| all.site(id, ProfileSiteKind::Include, place, text)).flatten();
        let Some((site, plan)) = site.and_then(|site| Some((site, self.plan_of_include(state, &target)?))) else {
            CallStack::of(state).mark_incomplete();
            return Ok(false);
        };
        let values = plan.roots.iter().map(|root| untouched(state, root)).collect();
        let escaping = escaping(state);
        CallStack::of(state).begin(site, CallInputs { plan, values, escaping }, since);
        Ok(true)
    }

    /// `BODY|_f.rendered(ID)`.
    fn rendered(&self, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let [body, id] = args else { return Err(foreign_call(names::MEASURED_OUTPUT)) };
        let Some(id) = number(id) else { return Err(foreign_call(names::MEASURED_OUTPUT)) };
        let running = CallStack::of(state);
        if let Some(depth) = running.innermost(id) {
            self.cache.inner.measurements().iter().for_each(|all| running.end(depth, body, all));
        }
        Ok(body.clone())
    }

    /// `MACRO|_f.declared(ID, VERSION, PLACE, NAME, PARAMETERS, PATHS)`. The last two are lists separated by spaces.
    fn declared(&self, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let [inner, id, version, texts @ ..] = args else { return Err(foreign_call(names::MEASURED_MACRO)) };
        let [Some(place), Some(name), Some(parameters), Some(paths)] = [0, 1, 2, 3].map(|at| texts.get(at)?.as_str())
        else {
            return Err(foreign_call(names::MEASURED_MACRO));
        };
        let (Some(id), Some(version)) = (number(id), number(version)) else {
            return Err(foreign_call(names::MEASURED_MACRO));
        };
        let Some(measurements) = self.cache.inner.measurements() else { return Ok(inner.clone()) };
        let Some(site) = measurements.site(id, ProfileSiteKind::Macro, place, name) else {
            CallStack::of(state).mark_incomplete();
            return Ok(inner.clone());
        };
        let given: Vec<&str> = parameters.split(' ').chain([CALLER]).collect();
        let of = hash(&[&version.to_le_bytes(), parameters.as_bytes(), paths.as_bytes()]);
        let read = paths.split(' ').filter(|path| !path.is_empty());
        let plan = measurements.plan(of, || Some(Plan::of_macro(read, &given, version)));
        let Some(plan) = plan else { return Ok(inner.clone()) };
        let captured = |root: &str| match given.contains(&root) {
            true => Value::UNDEFINED,
            false => untouched(state, root),
        };
        let captured = plan.roots.iter().map(|root| captured(root)).collect();
        let parameters = parameters.split(' ').map(Into::into).collect();
        Ok(Value::from_object(MeasuredMacro { inner: inner.clone(), measurements, site, plan, captured, parameters }))
    }

    /// The names that the included template reads. `None` if there is no such template, or if finding it would read an
    /// object that may be readable only once.
    fn plan_of_include(&self, state: &State<'_, '_>, target: &Value) -> Option<Arc<Plan>> {
        let known = |name: &Value| self.plan_of(state, name.as_str()?);
        match target.as_object() {
            None => known(target),
            Some(object) if is_plain_list(object) => target.try_iter().ok()?.find_map(|name| known(&name)),
            Some(_) => None,
        }
    }

    fn plan_of(&self, state: &State<'_, '_>, name: &str) -> Option<Arc<Plan>> {
        // A path-join callback may map the name depending on the including template, so both names are in the hash.
        let of = hash(&[&self.environment.to_le_bytes(), state.name().as_bytes(), name.as_bytes()]);
        self.cache.inner.measurements()?.plan(of, || {
            // No dependency is recorded here that the fragment would not have: the include looks the template up next.
            let template = state.get_template(name).ok()?;
            let paths = free_paths(template.source(), state.env().syntax())?;
            let inherits = extends_another(template.source(), state.env().syntax());
            let version = hash(&[template.name().as_bytes(), template.source().as_bytes()]);
            Some(Plan::of_include(&paths, version as u64, inherits))
        })
    }

    /// Whether the environment prints captured text unchanged. A formatter cannot be inspected, so it is tried once
    /// with [`CANARY`].
    fn shows_as_is(&self, state: &mut State<'_, '_>) -> bool {
        let escape = state.auto_escape().clone();
        let ask = || {
            let captured = match escape {
                AutoEscape::None => Value::from(CANARY),
                _ => Value::from_safe_string(CANARY.to_owned()),
            };
            state.format(captured).is_ok_and(|shown| shown == CANARY)
        };
        self.cache.inner.measurements().is_some_and(|all| all.shows_as_is(self.environment, &escape, ask))
    }
}

/// The value of a name, without computing it if it is lazy.
fn untouched(state: &State<'_, '_>, name: &str) -> Value {
    lazy::untouched(|| state.lookup(name)).unwrap_or_default()
}

fn number(value: &Value) -> Option<u64> {
    u64::try_from(value.clone()).ok()
}

/// A hash of the parts in order. Each part is hashed with the hash of the parts before it as seed.
fn hash(parts: &[&[u8]]) -> u128 {
    parts.iter().fold(0, |before, part| xxh3_128_with_seed(part, before as u64 ^ (before >> 64) as u64))
}
