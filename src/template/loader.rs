//! Loads templates: owns the loaders, which lower cache blocks, and records every look-up of a template.
//!
//! MiniJinja calls the freshness check of a template at each look-up. So the check records which templates a fragment
//! used. It reads one atomic and never the file system. A look-up of a missing template runs no check, so the loader
//! records that name itself. A template added in memory has no check either, so a test at its start records its use;
//! the test prints nothing.
//!
//! Leaves the lowering to `compile`, the state of each template to `invalidation/templates.rs`, and the record of
//! look-ups to `runtime/look_ups.rs`. Files are read by `folder.rs`.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, TemplateSource};
use xxhash_rust::xxh3::xxh3_128;

use super::folder::{inside, read, template_folder};
use crate::cache::{Engine, FragmentCache, Look};
use crate::compile::names;
use crate::compile::{
    Layout, LoweredTemplate, lower, lower_measured, minijinja_error, start_test, syntax_trap, with_start_mark,
};
use crate::error;
use crate::invalidation::dependencies::Dependency;
use crate::invalidation::template_version::{TemplateVersion, Used};
use crate::invalidation::templates::{BY_NAME, SourceId, Template};
use crate::key::identity::{TagClass, is_named, tag_hash};
use crate::telemetry::stats::Counter;
use crate::template::runtime::{self, look_ups};
use crate::util::sync::lock;

impl FragmentCache {
    /// A loader for the templates of a folder, for `Environment::set_loader`. Names are relative paths with `/`. Names
    /// that would leave the folder are not found, and neither are files or folders whose names start with a dot.
    ///
    /// The loader does not access the file of an unchanged template again. A change takes effect when
    /// [`watch`](FragmentCache::watch) detects it or the application calls
    /// [`invalidate_template`](FragmentCache::invalidate_template).
    ///
    /// A template is a regular file of at most 64 MiB. Loading a named pipe, a socket or a device returns an error that
    /// names the file. A folder counts as not found.
    ///
    /// # Errors
    ///
    /// The folder does not exist, or is not a folder.
    pub fn path_loader(
        &self,
        folder: impl AsRef<Path>,
    ) -> Result<impl Fn(&str) -> Result<Option<TemplateSource>, Error> + Send + Sync + 'static, error::Error> {
        let folder = template_folder(folder.as_ref())?;
        let (source, inner) = self.new_source();
        let look = self.look_with({
            let (inner, folder) = (Arc::downgrade(&inner), folder.clone());
            move |name| {
                let path = inside(&folder, name)?;
                let template = inner.upgrade()?.templates.get(source, name, Some(&path));
                look_at(template, || read(&path))
            }
        });
        Ok(move |name: &str| {
            // The closure owns `look`, so `look` lives as long as the loader does.
            let _look = &look;
            let Some(path) = inside(&folder, name) else { return Ok(None) };
            let template = inner.templates.get(source, name, Some(&path));
            serve(&inner, &template, || read(&path))
        })
    }

    /// A loader around a function that returns a template's source, for `Environment::set_loader`. The function is
    /// called once per name, and again after [`invalidate_template`](FragmentCache::invalidate_template). For a name
    /// that it does not know, the function is called at each look-up.
    pub fn loader<F>(&self, load: F) -> impl Fn(&str) -> Result<Option<TemplateSource>, Error> + Send + Sync + 'static
    where
        F: Fn(&str) -> Result<Option<String>, Error> + Send + Sync + 'static,
    {
        let (source, inner) = self.new_source();
        let load = Arc::new(load);
        let look = self.look_with({
            let (inner, load) = (Arc::downgrade(&inner), Arc::clone(&load));
            move |name| look_at(inner.upgrade()?.templates.get(source, name, None), || load(name))
        });
        move |name: &str| {
            let _look = &look;
            let template = inner.templates.get(source, name, None);
            serve(&inner, &template, || load(name))
        }
    }

    /// Adds a template from memory to an environment, in the environment's own syntax. Adding a template under a name
    /// that is taken replaces the template and invalidates the fragments that used it.
    ///
    /// With a shared tier, processes share fragments only while their named environments have the same templates from
    /// memory. So add all of them at the start.
    ///
    /// # Errors
    ///
    /// The template, or a cache block in it, has a syntax error.
    pub fn add_template(&self, env: &mut Environment<'_>, name: &str, source: &str) -> Result<(), Error> {
        let environment = runtime::environment_id(env, &self.inner)?;
        let rewritten = self.inner.lower(source, name, env.syntax())?;
        self.inner.telemetry.labels.note_blocks(environment, name, rewritten.block_sites());
        let template = self.inner.templates.get(environment, name, None);
        // Compares with this environment only: a clone of it may not have the template yet.
        let replaced = env.templates().any(|(known, _)| known == name);
        // Another environment of this name may have the same text. Its start mark holds the generation, so the
        // generation must not change.
        let same = template.is_added_as(source);
        let generation = template.generation() + u64::from(!same);
        let seen = TemplateVersion { generation, load: None };
        let (id, used) = (id_of(environment, name), names::ADDED_RENDER_START);
        let text = rewritten.text.as_deref().unwrap_or(source);
        let shares = rewritten.layout.all_statements().is_some();
        let marked = with_start_mark(text, env.syntax(), &format!("none is {used}({id}, {generation}, {shares})"));
        env.add_template_owned(name.to_owned(), marked)
            .map_err(|error| minijinja_error(source, text, name, env.syntax()).unwrap_or(error))?;
        self.inner.templates.add(id, &template);
        if !same {
            template.change(&self.inner.floors);
        }
        template.note_content(Some(source), rewritten.layout, seen, &self.inner.floors);
        if let Some(shared) = self.inner.shared.as_ref().filter(|_| is_named(environment)) {
            let share = xxh3_128(format!("{environment}:{}:{name}{source}", name.len()).as_bytes());
            shared.note_added(share.wrapping_sub(template.set_share(share)));
        }
        if replaced {
            self.inner.counters.count(Counter::invalidations);
        }
        self.refresh_others(&template, environment, replaced);
        self.inner.measurements().into_iter().for_each(|measurements| measurements.loaded());
        Ok(())
    }

    /// Returns the plain MiniJinja text of a template, for applications with their own loader: its cache blocks are
    /// lowered, and a mark at its start records when a render of it begins. Pass pages without cache blocks through
    /// this function as well. Fragments of such templates do not depend on the templates they include.
    ///
    /// # Errors
    ///
    /// A `SyntaxError` of a cache block, with the template's name and the line in its text.
    pub fn rewrite<'a>(&self, source: &'a str, name: &str, syntax: &SyntaxConfig) -> Result<Cow<'a, str>, Error> {
        let rewritten = lower(source, name, syntax)?;
        self.inner.telemetry.labels.note_blocks(BY_NAME, name, rewritten.block_sites());
        let text = rewritten.text.as_deref().unwrap_or(source);
        Ok(with_start_mark(text, syntax, &start_test(false, &rewritten.layout)).into())
    }

    /// Registers a function that looks a template up in a loader without loading it into an environment. The registry
    /// holds a weak reference, so the function is dropped with the loader.
    fn look_with(&self, look: impl Fn(&str) -> Option<Dependency> + Send + Sync + 'static) -> Arc<Look> {
        let look: Arc<Look> = Arc::new(look);
        let mut looks = lock(&self.inner.looks);
        looks.retain(|known| known.strong_count() > 0);
        looks.push(Arc::downgrade(&look));
        look
    }

    fn new_source(&self) -> (SourceId, Arc<Engine>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.inner.loaders.fetch_add(1, Ordering::Relaxed);
        (NEXT.fetch_add(1, Ordering::Relaxed), Arc::clone(&self.inner))
    }

    /// Invalidates fragments that looked this name up before the template was added and did not find it. A loader of
    /// this cache recorded such look-ups by name. Without a loader there is no record, so all fragments of the
    /// environment are invalidated.
    fn refresh_others(&self, template: &Arc<Template>, environment: u64, replaced: bool) {
        let inner = &self.inner;
        for other in inner.templates.named(template.name()) {
            if !Arc::ptr_eq(&other, template) {
                other.invalidate(&inner.floors);
            }
        }
        if !replaced && inner.loaders.load(Ordering::Relaxed) == 0 {
            inner.floors.raise(environment);
        }
    }
}

impl Engine {
    /// Lowers a template that this cache loads.
    fn lower(&self, source: &str, name: &str, syntax: &SyntaxConfig) -> Result<LoweredTemplate, Error> {
        match self.measurements() {
            Some(_) => lower_measured(source, name, syntax),
            None => lower(source, name, syntax),
        }
    }

    /// Fails if auto-reload is off. MiniJinja then runs no freshness checks, so the templates that a fragment uses
    /// would not be recorded.
    pub(crate) fn check_auto_reload(&self, env: &Environment<'_>) -> Result<(), Error> {
        if env.auto_reload() || self.loaders.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidOperation,
            "set_auto_reload(false) hides from the fragment cache which templates are used; leave it on, an unchanged \
             template costs no file access",
        ))
    }

    /// The template of a name outside of any environment, if the name is unambiguous: one source has it, or none has it
    /// and one source was searched.
    pub(crate) fn only_template(&self, name: &str) -> Option<Dependency> {
        let looks: Vec<Arc<Look>> = {
            let looks = lock(&self.looks);
            looks.iter().filter_map(Weak::upgrade).collect()
        };
        let loaded = looks.iter().filter_map(|look| look(name));
        let whole = |template: Arc<Template>| Dependency {
            seen: TemplateVersion { generation: template.generation(), load: None },
            template,
            used: Used::Whole,
        };
        let added = self.templates.added_as(name).into_iter().map(whole);
        let (found, missing): (Vec<Dependency>, Vec<Dependency>) =
            loaded.chain(added).partition(|known| known.template.exists());
        match (&found[..], &missing[..]) {
            ([only], _) | ([], [only]) => Some(only.clone()),
            _ => None,
        }
    }

    /// Records the look-up of a template that was added in memory, because such a template has no freshness check.
    pub(crate) fn note_added(&self, template: &minijinja::Template<'_, '_>) {
        let mark = added_mark(template.source());
        if let Some(dependency) = mark.and_then(|(id, generation)| self.added(id, generation)) {
            look_ups::looked_up(self.id, dependency);
        }
    }

    /// Fails if the environment's syntax differs from the syntax in which the loaders lower templates.
    pub(crate) fn check_syntax(&self, env: &Environment<'_>) -> Result<(), Error> {
        if is_same_syntax(&self.settings.syntax, env.syntax()) { Ok(()) } else { Err(wrong_syntax()) }
    }

    /// Records the syntax of an environment. A loader of this cache may serve that environment later.
    pub(crate) fn note_syntax(&self, syntax: &SyntaxConfig) {
        let mut known = lock(&self.syntaxes);
        if !known.iter().any(|known| is_same_syntax(known, syntax)) {
            known.push(syntax.clone());
        }
    }

    /// The text that a loader puts before a template, so that a render in an environment with another syntax fails.
    fn traps(&self) -> String {
        let ours = &self.settings.syntax;
        let mut others = lock(&self.syntaxes).clone();
        others.push(SyntaxConfig::default());
        others.retain(|other| other.block_delimiters() != ours.block_delimiters());
        others.iter().map(|other| syntax_trap(ours, other)).collect()
    }

    /// The template added in memory under an id.
    pub(crate) fn added(&self, id: u64, generation: u64) -> Option<Dependency> {
        let template = self.templates.added(id)?;
        Some(Dependency { template, seen: TemplateVersion { generation, load: None }, used: Used::Whole })
    }
}

/// The id and generation in the start mark of a template that was added in memory; `None` for another template.
fn added_mark(source: &str) -> Option<(u64, u64)> {
    let (_, mark) = source.split_once(names::ADDED_RENDER_START)?;
    let (numbers, _) = mark.strip_prefix('(')?.split_once(')')?;
    let mut numbers = numbers.split(", ").map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn is_same_syntax(one: &SyntaxConfig, other: &SyntaxConfig) -> bool {
    one.block_delimiters() == other.block_delimiters()
        && one.variable_delimiters() == other.variable_delimiters()
        && one.comment_delimiters() == other.comment_delimiters()
        && line_prefixes(one) == line_prefixes(other)
        && one.trim_blocks() == other.trim_blocks()
        && one.lstrip_blocks() == other.lstrip_blocks()
        && one.keep_trailing_newline() == other.keep_trailing_newline()
}

fn line_prefixes(syntax: &SyntaxConfig) -> [&str; 2] {
    [syntax.line_statement_prefix(), syntax.line_comment_prefix()].map(Option::unwrap_or_default)
}

/// The error for an environment whose syntax differs from the one its templates were lowered for.
pub(crate) fn wrong_syntax() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        "the environment's syntax is not the one its templates were loaded by: give the same to \
         FragmentCache::builder().syntax(…) and to Environment::set_syntax",
    )
}

fn id_of(environment: u64, name: &str) -> u64 {
    tag_hash(TagClass::Environment, environment, name.as_bytes())
}

/// Reads the current state of a template without compiling it.
fn look_at(template: Arc<Template>, read: impl FnOnce() -> Result<Option<String>, Error>) -> Option<Dependency> {
    let seen = template.look(read)?;
    Some(Dependency { template, seen, used: Used::Whole })
}

/// Loads and lowers a template, and records the look-up in the innermost frame.
fn serve(
    inner: &Arc<Engine>,
    template: &Arc<Template>,
    load: impl FnOnce() -> Result<Option<String>, Error>,
) -> Result<Option<TemplateSource>, Error> {
    let (under_way, seen) = template.begin_load();
    let source = load()?;
    let Some(source) = source else {
        let seen = template.note_content(None, Layout::missing(), seen, &inner.floors);
        // No template is compiled, so MiniJinja cannot return an older text that another thread loaded.
        looked_up(inner, template, TemplateVersion { load: None, ..seen });
        return Ok(None);
    };
    let rewritten = inner.lower(&source, template.name(), &inner.settings.syntax).inspect_err(|_| {
        looked_up(inner, template, seen);
    })?;
    inner.telemetry.labels.note_blocks(template.source(), template.name(), rewritten.block_sites());
    inner.measurements().into_iter().for_each(|measurements| measurements.loaded());
    let start = start_test(true, &rewritten.layout);
    let seen = template.note_content(Some(&source), rewritten.layout, seen, &inner.floors);
    looked_up(inner, template, seen);
    if seen.load != Some(1) {
        inner.reloads.fetch_add(1, Ordering::Relaxed);
    }
    // MiniJinja's own error would quote the lowered text and its start mark. This one quotes the author's text.
    let lowered = rewritten.text.as_deref().unwrap_or(&source);
    if let Some(error) = minijinja_error(&source, lowered, template.name(), &inner.settings.syntax) {
        return Err(error);
    }
    let cache = Arc::clone(inner);
    let check = move || {
        under_way.settle();
        let template = under_way.template();
        let current = template.generation() == seen.generation;
        if current {
            looked_up(&cache, template, TemplateVersion { load: None, ..seen });
        }
        current
    };
    let text = rewritten.text.unwrap_or(source);
    let text = with_start_mark(&text, &inner.settings.syntax, &start);
    Ok(Some(TemplateSource::new(inner.traps() + &text).with_uptodate_check(check)))
}

fn looked_up(inner: &Engine, template: &Arc<Template>, seen: TemplateVersion) {
    let dependency = Dependency { template: Arc::clone(template), seen, used: Used::Whole };
    look_ups::looked_up(inner.id, dependency);
}
