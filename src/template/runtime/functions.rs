//! The functions that authors call: `cache_tag`, `cache_ttl` and `cache_skip` in a cached body, `cache_hole` and
//! `cache_partial`.
//!
//! Leaves the rendering of a partial to `partial.rs`, holes to `cache/hole.rs`, and the text of errors in arguments to
//! `arguments.rs`.

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Error, State};

use super::arguments::{block_options, computed_ttl, given, in_call, positional_ttl, tag_names};
use super::binding::Binding;
use super::caller::{Named, TemplateCaller};
use super::lazy_key::LazyKey;
use crate::cache::Engine;
use crate::cache::get_or_set::verify_text;
use crate::cache::hole::HoleCall;
use crate::cache::hole::{self, NoHole};
use crate::cache::lookup::Lookup;
use crate::cache::options::Options;
use crate::compile::spelling::Form;
use crate::invalidation::declared_tags::DeclaredTags;
use crate::invalidation::dependencies::FOREVER;
use crate::invalidation::stack;
use crate::key::identity::Kind;
use crate::store::entry::{Body, Found};
use crate::store::request::RequestBuilder;
use crate::telemetry::Bypass;
use crate::template::lazy;
use crate::template::partial::render_partial;

const NO_CONTEXT: [(&str, Value); 0] = [];

impl Binding {
    pub(super) fn cache_tag(&self, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let tags = tag_names(args.iter().cloned()).map_err(|error| in_call("cache_tag", error))?;
        stack::gather(|record| tags.into_iter().for_each(|tag| record.tag(self.cache.tag(tag))));
        Ok(nothing())
    }

    pub(super) fn cache_ttl(&self, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (ttl,) = from_args::<(&Value,)>(args)?;
        let ttl = computed_ttl(ttl).map_err(|message| in_call("cache_ttl", message))?;
        stack::gather(|record| match ttl {
            Some(0) => record.uncacheable = true,
            Some(FOREVER) | None => {}
            Some(ttl) => record.expires = record.expires.min(record.begin.at.saturating_add(ttl)),
        });
        Ok(nothing())
    }

    pub(super) fn cache_skip(&self, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let () = from_args::<()>(args)?;
        stack::gather(|record| record.uncacheable = true);
        Ok(nothing())
    }

    /// `cache_hole(name, …)`: prints a placeholder that the page fills for each request.
    pub(super) fn cache_hole(&self, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let refuse = |message: &str| Err(in_call("cache_hole", message));
        let [name, arguments @ ..] = args else { return refuse("give the name of a hole") };
        let Some(name) = name.as_str() else {
            return Err(in_call("cache_hole", format!("the name is {}, but must be a string", name.kind())));
        };
        let plain = |value: &Value| matches!(value.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool);
        if let Some(value) = arguments.iter().find(|value| !plain(value)) {
            let message = format!("{name:?} is given {}, but takes strings, numbers and booleans", value.kind());
            return Err(in_call("cache_hole", message));
        }
        let call = HoleCall { name: name.to_owned(), arguments: arguments.iter().map(Value::to_string).collect() };
        match hole::holes() {
            Ok(holes) => Ok(Value::from_safe_string(holes.add(call))),
            Err(NoHole::InFragment) => refuse(
                "a hole cannot stand inside a cached fragment, which is shown on other pages too; put it outside",
            ),
            Err(NoHole::InPage) => {
                refuse("a CacheLayer without holes would store it; give that layer the hole, and not one outside of it")
            }
            Err(NoHole::NoPage) => refuse("no http::CacheLayer with holes is around this render to fill it"),
        }
    }

    /// `cache_partial(name, key, ttl, context=…, tags=…, vary=…, version=…, if=…, unless=…, stale=…, name=…)`.
    pub(super) fn partial(&self, state: &mut State<'_, '_>, args: &[Value], options: &Kwargs) -> Result<Value, Error> {
        if let Some(unknown) = options.args().find(|name| !Form::Partial.knows(name)) {
            return Err(in_call("cache_partial", Form::Partial.unknown(unknown)));
        }
        // Read by hand, because MiniJinja treats an undefined argument as one that was not given.
        let (wanted, key, ttl) = match args {
            [wanted, key] => (wanted, key, None),
            [wanted, key, ttl] => (wanted, key, Some(ttl)),
            _ => return Err(in_call("cache_partial", "give a template, a key and, if you like, a lifetime")),
        };
        let Some(wanted) = wanted.as_str() else {
            return Err(in_call("cache_partial", format!("the template is {}, but must be a name", wanted.kind())));
        };
        let refuse = |message: String| in_call(&format!("cache_partial({wanted:?})"), message);
        self.cache.inner.check_auto_reload(state.env())?;
        let ttl = match (ttl, given(options, "ttl")?) {
            (Some(_), Some(_)) => return Err(refuse("the lifetime is given twice".into())),
            (Some(ttl), None) => positional_ttl(ttl, Some(key), Form::Partial).map_err(refuse)?,
            (None, Some(ttl)) => computed_ttl(&ttl).map_err(refuse)?,
            (None, None) => None,
        };
        let condition = given(options, "if")?.is_none_or(|yes| yes.is_true())
            && !given(options, "unless")?.is_some_and(|no| no.is_true());
        let context = partial_context(options).map_err(refuse)?;
        let (vary, version) = (given(options, "vary")?, given(options, "version")?);
        let prepared = block_options(options).map_err(refuse)?;

        // The template's own name, in which relative names are resolved. So a partial has one identity.
        let template = state.get_template(wanted)?.name().to_owned();
        let mut question = RequestBuilder::new(Kind::Partial, &self.cache.namespace);
        question.partial(self.environment, &template);
        question.template_key(key).map_err(|reason| refuse(format!("the key {reason}")))?;
        if let Some(vary) = vary {
            question.vary(&vary).map_err(|reason| refuse(format!("vary {reason}")))?;
        }
        if let Some(version) = version {
            question.version(&version).map_err(|reason| refuse(format!("the version {reason}")))?;
        }
        let bypass = match (condition, ttl) {
            (false, _) => Some(Bypass::Condition),
            (true, Some(0)) => Some(Bypass::Lifetime),
            (true, _) => None,
        };
        question.lifetime(ttl, self.cache.inner.settings.default_ttl);
        let named = Named::Partial(prepared.label.as_deref().unwrap_or(&template));
        let lazy_key = LazyKey::of(state, named, key);
        let options = &prepared;
        let partial =
            PartialCall { template: &template, context, options, question: &question, bypass, named, lazy_key };
        self.show_partial(state, &partial)
    }

    fn show_partial(&self, state: &mut State<'_, '_>, partial: &PartialCall<'_>) -> Result<Value, Error> {
        let inner = &self.cache.inner;
        let PartialCall { template, options, named, .. } = *partial;
        let wanted = partial.question.request_with(DeclaredTags::given(&options.tags, self.cache.namespace.id));
        let mut caller = TemplateCaller { binding: self, state, named };
        if self.cache.bypassed(partial.bypass, wanted.key, &mut caller) {
            let mark = inner.telemetry.take_mark();
            let text = partial.render(inner, state)?;
            return Ok(self.printed(state, text, mark));
        }
        let looked_up = self.cache.lookup(&wanted, &mut caller);
        partial.lazy_key.iter().for_each(|key| self.tell_lazy_key(named, key));
        match looked_up {
            Lookup::Hit(Found { body: Body::Text(text), began, .. }) => {
                let mark = inner.telemetry.take_mark();
                let text = match self.cache.verify(&wanted, &mut caller, began) {
                    None => text,
                    Some(verifying) => verify_text(text, verifying, || partial.render(inner, state)),
                };
                Ok(self.printed(state, text, mark))
            }
            Lookup::Hit(_) => partial.render(inner, state),
            Lookup::Compute(mut work) => {
                work.set_grace(options.stale, options.stale);
                self.cache.depend_by_name(&mut work, self.environment, template);
                work.enter();
                let text = partial.render(inner, state)?;
                let mark = work.mark();
                let text = work.finish_rendered(text)?.into_value();
                Ok(self.printed(state, text, mark))
            }
        }
    }
}

/// A call of `cache_partial` with its arguments read.
struct PartialCall<'a> {
    template: &'a str,
    context: Value,
    options: &'a Options,
    question: &'a RequestBuilder,
    bypass: Option<Bypass>,
    named: Named<'a>,
    lazy_key: Option<LazyKey>,
}

impl PartialCall<'_> {
    fn render(&self, cache: &Engine, state: &State<'_, '_>) -> Result<Value, Error> {
        let context = match lazy::load(&self.context) {
            None => self.context.clone(),
            Some(loaded) => {
                let refuse = |message| in_call(&format!("cache_partial({:?})", self.template), message);
                map(loaded?).map_err(refuse)?
            }
        };
        render_partial(cache, state.env(), self.template, context)
    }
}

/// The context of a partial. A lazy value is computed only if the partial is rendered.
fn partial_context(options: &Kwargs) -> Result<Value, String> {
    match given(options, "context").map_err(|error| error.to_string())? {
        None => Ok(Value::from_pairs(NO_CONTEXT)),
        Some(context) if lazy::peek(&context).is_some() => Ok(context),
        Some(context) => map(context),
    }
}

/// Refuses a context that is not a map. Only a map has names to look up: with any other value the partial would print
/// nothing for its variables, and that text would be stored.
fn map(context: Value) -> Result<Value, String> {
    match context.kind() {
        ValueKind::Map => Ok(context),
        kind => Err(format!("context is {kind}, but must be a map, as in context={{\"user\": user}}")),
    }
}

/// A value that prints as nothing under every kind of escaping.
fn nothing() -> Value {
    Value::from_safe_string(String::new())
}
