//! Partials: whole templates that are rendered and cached in one call.
//!
//! Owns `FragmentCache::render` and the nesting limit of renders that the cache starts. `cache_partial` in templates is
//! in `runtime/functions.rs`; it renders through this file.

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
    /// Renders a template and caches the result under `key`: a whole partial in one call. Later calls return the cached
    /// text. The result is markup if the template is auto-escaped. `cache_partial(…)` in a template shares these
    /// entries.
    ///
    /// # Errors
    ///
    /// - Rendering the template failed.
    /// - The key is not valid.
    /// - The environment was not registered with [`add_to_environment`](FragmentCache::add_to_environment), or
    ///   auto-reload is off in it.
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

    /// Lets [`invalidate_template`](FragmentCache::invalidate_template) invalidate a partial whose template was not
    /// loaded by a loader of this cache.
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

/// Renders a partial. The result is markup, unless auto-escaping is off for the template's name. If MiniJinja may have
/// returned an older text of the template, the template is looked up again.
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

/// Maximum number of nested renders that the crate starts; the same as MiniJinja's limit for includes. MiniJinja counts
/// anew in each render, so its own limit does not cover them.
const MOST_LEVELS: usize = 50;

/// Maximum stack that nested renders may use, in bytes: half of a thread's default. The limit on levels is not enough,
/// because a build without optimisation needs 25 kB for a partial and 17 kB for a macro in it.
const MOST_STACK: usize = 1 << 20;

/// A render that the crate starts. It may be nested in another one; both limits are checked when it begins.
pub(crate) struct Nested(());

impl Nested {
    pub(crate) fn begin() -> Result<Nested, minijinja::Error> {
        let nested = Nested(());
        let nesting = renders::nest();
        if nesting.levels > MOST_LEVELS || nesting.stack() > MOST_STACK {
            // The text is that of MiniJinja's error for includes.
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
