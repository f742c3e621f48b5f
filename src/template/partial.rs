//! Partials: whole templates that are rendered and cached.
//!
//! Owns `FragmentCache::render`, and the limit on renders that the crate starts inside of one another.

use minijinja::{AutoEscape, Environment, Value};
use serde::Serialize;

use crate::cache::computation::Computation;
use crate::cache::get_or_set::{text_of, text_value, verify_text};
use crate::cache::lookup::Lookup;
use crate::cache::options::Options;
use crate::cache::{Engine, FragmentCache};
use crate::invalidation::dependencies::{Dependency, Tag};
use crate::invalidation::template_version::{TemplateVersion, Used};
use crate::invalidation::templates::BY_NAME;
use crate::key::identity::Kind;
use crate::store::entry::Fragment;
use crate::store::request::RequestBuilder;
use crate::template::lazy;
use crate::template::runtime::{self, EnvironmentCaller, look_ups, renders};

impl FragmentCache {
    /// Renders a template once and serves it from the cache afterwards: a whole partial in one call. The result is
    /// markup where the template is auto-escaped. `cache_partial(…)` in a template shares these entries.
    ///
    /// # Errors
    ///
    /// The render's own; a bad key; an environment that [`add_to_environment`](FragmentCache::add_to_environment)
    /// was not called for, or one with auto-reload off.
    pub fn render<K: Serialize>(
        &self,
        env: &Environment<'_>,
        template: &str,
        context: impl Into<Value>,
        key: K,
        options: Options,
    ) -> Result<Fragment, minijinja::Error> {
        let environment = runtime::environment_id(env, &self.inner)?;
        let mut question = RequestBuilder::new(Kind::Partial, &self.namespace);
        question.partial(environment, template);
        question
            .handler_key(&key, &options)
            .map_err(|reason| invalid(format!("render of {template:?}: the key {reason}")))?;
        let name = options.label.as_deref().unwrap_or(template);
        let mut caller = EnvironmentCaller { cache: &self.inner, env, name };
        if self.bypassed(options.bypass(), question.key(), &mut caller) {
            let mark = self.inner.telemetry.take_mark();
            return Ok(Fragment::new(render_partial(&self.inner, env, template, context.into())?).marked(mark));
        }
        question.lifetime(options.ttl, self.inner.settings.default_ttl);
        let wanted = question.request_with(self.declared(&options.tags));
        match self.lookup(&wanted, &mut caller) {
            Lookup::Hit(found) => {
                let cached = text_of(found.body).marked(self.inner.telemetry.take_mark());
                Ok(match self.verify(&wanted, &mut caller, found.began) {
                    None => cached,
                    Some(verifying) => {
                        let render = || render_partial(&self.inner, env, template, context.into());
                        Fragment::new(verify_text(cached.into_value(), verifying, render))
                    }
                })
            }
            Lookup::Compute(mut work) => {
                work.set_grace(options.stale, options.stale);
                self.depend_by_name(&mut work, environment, template);
                work.enter();
                let text = render_partial(&self.inner, env, template, context.into())?;
                let mark = work.mark();
                Ok(work.finish_rendered(text)?.marked(mark))
            }
        }
    }

    /// Lets [`invalidate_template`](FragmentCache::invalidate_template) reach a partial whose template no loader of
    /// ours has seen.
    pub(crate) fn depend_by_name(&self, work: &mut Computation, environment: u64, template: &str) {
        let environment = Tag::environment(environment);
        let template = self.inner.templates.get(BY_NAME, template, None);
        let seen = TemplateVersion { generation: template.generation(), load: None };
        work.note(|record| {
            record.tag(environment);
            record.depend(Dependency { template, seen, used: Used::Whole });
        });
    }
}

/// Renders a partial; markup unless its name says plain text. Its template is looked up again where MiniJinja may have
/// answered with an older text.
pub(crate) fn render_partial(
    cache: &Engine,
    env: &Environment<'_>,
    name: &str,
    context: Value,
) -> Result<Value, minijinja::Error> {
    let _inside = Nested::begin()?;
    let (template, _) = look_ups::look_up(cache.id, || env.get_template(name));
    let captured = template?.render_captured(lazy::resolving(context))?;
    let markup = !matches!(captured.state().auto_escape(), AutoEscape::None);
    Ok(text_value(captured.into_output(), markup))
}

/// How many renders that the crate starts may be inside one another, as many as includes: MiniJinja's own limit begins
/// anew with each render.
const MOST_LEVELS: usize = 50;

/// The same in bytes of stack, because a build without optimisation needs 25 kB for a partial and 17 for a macro in it:
/// half of what a thread has by default.
const MOST_STACK: usize = 1 << 20;

/// A render that the crate starts, perhaps inside another one.
pub(crate) struct Nested(());

impl Nested {
    pub(crate) fn begin() -> Result<Nested, minijinja::Error> {
        let nested = Nested(());
        let nesting = renders::nest();
        if nesting.levels > MOST_LEVELS || nesting.stack() > MOST_STACK {
            // In the words of MiniJinja for an include.
            return Err(invalid("recursion limit exceeded".into()));
        }
        Ok(nested)
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        renders::unnest();
    }
}

fn invalid(message: String) -> minijinja::Error {
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message)
}
