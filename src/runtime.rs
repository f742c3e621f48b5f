//! What lowered templates call: the tests and filters behind a cache block, the functions inside one, and
//! `cache_partial`. The one place where the compile side's output meets the cache.
//!
//! A block runs in three steps (see `lower.rs` for the text): the test `fragment.miss` looks up; on a hit
//! `fragment.hit` prints; on a miss `fragment.open` starts gathering and gives a ticket, the body renders into a
//! capture, and `fragment.store` takes it. Work under way lives in a `State` extension, which MiniJinja drops before
//! an error reaches the caller, so nobody who waits is left waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use crate::cache::{FragmentCache, Inner};
use crate::clock::{Nanos, nanos};
use crate::compile::Extends;
use crate::context::{self, RenderId};
use crate::entry::Body;
use crate::handler::render_partial;
use crate::identity::{Kind, TagClass, tag_hash};
use crate::loader;
use crate::names;
use crate::options::Options;
use crate::question::Question;
use crate::record::FOREVER;
use crate::ttl::{Ttl, parse_ttl_value};
use crate::work::{Lookup, Work};

/// Filter: the ids by which the cache knows an environment.
const ENVIRONMENT: &str = "fragment.environment";

/// An environment's tie to a cache.
#[derive(Clone)]
struct Binding {
    cache: FragmentCache,
    environment: u64,
}

/// What a render has under way; lives as long as MiniJinja's `State`.
struct Rendering {
    render: RenderId,
    /// What the last look-up left to be opened.
    next: Option<Next>,
    open: Vec<(u64, Work)>,
    tickets: u64,
}

enum Next {
    Compute(Work),
    Bypass,
    Refused(String),
}

/// The ticket of a body that is not cached.
const NO_TICKET: u64 = 0;

impl FragmentCache {
    /// Registers the cache with an environment: what cache blocks are lowered to, `cache_partial` and the
    /// functions `cache_tag`, `cache_ttl` and `cache_skip`.
    ///
    /// Each call makes the environment one of its own: it shares no fragment with another. Clones made afterwards
    /// count as the same.
    pub fn add_to_environment(&self, env: &mut Environment<'_>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        self.register(env, tag_hash(TagClass::Environment, 1, &unique.to_le_bytes()));
    }

    /// The same with a name: environments registered under one name share fragments, in this process and, with a
    /// shared store, with others.
    pub fn add_to_environment_as(&self, name: &str, env: &mut Environment<'_>) {
        self.register(env, tag_hash(TagClass::Environment, 0, name.as_bytes()));
    }

    fn register(&self, env: &mut Environment<'_>, environment: u64) {
        let binding = Binding { cache: self.clone(), environment };
        let bound = |f: fn(&Binding, &mut State<'_, '_>, &[Value]) -> Result<Value, Error>| {
            let binding = binding.clone();
            move |state: &mut State<'_, '_>, args: &[Value]| f(&binding, state, args)
        };
        let with_options = |f: fn(&Binding, &mut State<'_, '_>, &[Value], &Kwargs) -> Result<Value, Error>| {
            let binding = binding.clone();
            move |state: &mut State<'_, '_>, args: &[Value], options: Kwargs| f(&binding, state, args, &options)
        };
        let (miss, miss_with) = (binding.clone(), binding.clone());
        env.add_test(names::MISS, move |state: &mut State<'_, '_>, args: &[Value]| miss.miss(state, args));
        env.add_test(names::MISS_WITH, move |state: &mut State<'_, '_>, args: &[Value]| {
            miss_with.miss_with(state, args)
        });
        env.add_filter(names::OPEN, with_options(Binding::open));
        env.add_filter(names::STORE, store);
        env.add_filter(names::HIT, hit);
        env.add_filter(names::DEFINED, defined);
        env.add_filter(names::LOAD, bound(Binding::load));
        env.add_test(names::USED, {
            let binding = binding.clone();
            move |_: &Value, id: u64, generation: u64| binding.used(id, generation)
        });
        let ids = [self.inner.id, environment].map(Value::from);
        env.add_filter(ENVIRONMENT, move |_: &Value| Value::from_iter(ids.clone()));
        env.add_function("cache_partial", with_options(Binding::partial));
        env.add_function("cache_tag", bound(Binding::cache_tag));
        env.add_function("cache_ttl", bound(Binding::cache_ttl));
        env.add_function("cache_skip", bound(Binding::cache_skip));
    }
}

/// The id under which an environment was registered with a cache.
pub(crate) fn environment_id(env: &Environment<'_>, cache: &Inner) -> Result<u64, Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidOperation, why.to_owned()));
    let Ok(ids) = env.empty_state().apply_filter(ENVIRONMENT, &[Value::from(())]) else {
        return refuse("the environment is not registered with a fragment cache: call add_to_environment first");
    };
    let id = |at| ids.get_item_by_index(at).ok().and_then(|id| u64::try_from(id).ok());
    match (id(0), id(1)) {
        (Some(of), Some(environment)) if of == cache.id => {
            cache.check_auto_reload(env)?;
            Ok(environment)
        }
        _ => refuse("the environment is registered with another fragment cache"),
    }
}

impl Binding {
    /// `KEY is fragment.miss(SITE, TTL, …)`: arguments are the first operand of the key, the site, a literal
    /// lifetime, and the key's other operands.
    fn miss(&self, state: &mut State<'_, '_>, args: &[Value]) -> Result<bool, Error> {
        let [key, site, ttl, rest @ ..] = args else { return Err(foreign_call(names::MISS)) };
        let Some(ttl) = literal_ttl(ttl) else { return Err(foreign_call(names::MISS)) };
        let mut question = self.question(state, site)?;
        if let Err(reason) = self.key(state, &mut question, key, rest) {
            return Ok(self.refuse(state, format!("the key {reason}")));
        }
        Ok(self.ask(state, question, ttl))
    }

    /// The same with what few blocks have: a computed lifetime, a condition, a version, variants.
    fn miss_with(&self, state: &mut State<'_, '_>, args: &[Value]) -> Result<bool, Error> {
        let [key, site, ttl, literal, condition, version, vary, rest @ ..] = args else {
            return Err(foreign_call(names::MISS_WITH));
        };
        let mut question = self.question(state, site)?;
        if let Err(reason) = self.key(state, &mut question, key, rest) {
            return Ok(self.refuse(state, format!("the key {reason}")));
        }
        let ttl = if literal.is_true() {
            literal_ttl(ttl).ok_or_else(|| foreign_call(names::MISS_WITH))?
        } else {
            match computed_ttl(ttl) {
                Ok(ttl) => ttl,
                Err(message) if key.is_number() => {
                    return Ok(self.refuse(state, format!("{message} (the key comes first, then the lifetime)")));
                }
                Err(message) => return Ok(self.refuse(state, message)),
            }
        };
        if !vary.is_none()
            && let Err(reason) = question.vary(vary)
        {
            return Ok(self.refuse(state, format!("vary {reason}")));
        }
        // A list of one, so that a version that is none is told from no version.
        if !version.is_none()
            && let Err(reason) = question.version(&version.get_item_by_index(0).unwrap_or_default())
        {
            return Ok(self.refuse(state, format!("the version {reason}")));
        }
        Ok(self.ask(state, question, if condition.is_true() { ttl } else { Some(0) }))
    }

    /// Looks up, and leaves what was found for the filter that comes next. Returns whether the body must run.
    fn ask(&self, state: &mut State<'_, '_>, mut question: Question, ttl: Option<Nanos>) -> bool {
        let next = if self.cache.bypassed(ttl == Some(0)) {
            Next::Bypass
        } else {
            question.lifetime(ttl, &self.cache.inner.settings);
            match self.cache.lookup(&question.wanted(), || self.cache.inner.render_begin()) {
                Lookup::Hit(Body::Text(text)) => {
                    context::set_hit(text);
                    Rendering::see_end(state);
                    return false;
                }
                // Blocks hold texts; an identity of theirs is never a value's.
                Lookup::Hit(Body::Data(_)) => Next::Bypass,
                Lookup::Compute(work) => Next::Compute(work),
            }
        };
        Rendering::of(state).next = Some(next);
        true
    }

    /// Leaves a refusal for `fragment.open`, which knows what the author wrote.
    fn refuse(&self, state: &mut State<'_, '_>, message: String) -> bool {
        Rendering::of(state).next = Some(Next::Refused(message));
        true
    }

    fn question(&self, state: &State<'_, '_>, site: &Value) -> Result<Question, Error> {
        self.cache.inner.check_auto_reload(state.env())?;
        let site = u128::try_from(site.clone()).map_err(|_| foreign_call(names::MISS))?;
        let mut question = Question::new(Kind::Block, self.cache.namespace.id);
        question.block(self.environment, site, state.auto_escape());
        Ok(question)
    }

    fn key(
        &self,
        state: &State<'_, '_>,
        question: &mut Question,
        key: &Value,
        rest: &[Value],
    ) -> Result<(), crate::key::KeyError> {
        if rest.is_empty() {
            question.template_key(key)
        } else {
            question.joined_key(key, rest, !matches!(state.auto_escape(), AutoEscape::None))
        }
    }

    /// `none|fragment.open(LINE, KEY TEXT, FLAGS, PARENT, tags=…, stale=…, name=…)`.
    fn open(&self, state: &mut State<'_, '_>, args: &[Value], options: &Kwargs) -> Result<Value, Error> {
        let [_, _line, source, flags, parent] = args else { return Err(foreign_call(names::OPEN)) };
        let source = source.as_str().unwrap_or_default();
        let flags = flags.as_usize().unwrap_or_default();
        let rendering = Rendering::of(state);
        let mut work = match rendering.next.take() {
            Some(Next::Compute(work)) => work,
            Some(Next::Bypass) => return Ok(Value::from(NO_TICKET)),
            Some(Next::Refused(message)) => {
                return Err(Error::new(ErrorKind::InvalidOperation, format!("cache `{source}`: {message}")));
            }
            None => return Err(foreign_call(names::OPEN)),
        };
        if flags & names::FLAG_SUPER as usize != 0 {
            self.check_parents(source, parent)?;
        }
        let options = block_options(options).map_err(|error| in_block(source, error))?;
        self.cache.prepare(&mut work, &options);
        self.depend_on_render(&mut work);
        work.enter();
        let rendering = Rendering::of(state);
        rendering.tickets += 1;
        rendering.open.push((rendering.tickets, work));
        Ok(Value::from(rendering.tickets))
    }

    /// A fragment depends on what its render imported or extended before it, and on its environment.
    fn depend_on_render(&self, work: &mut Work) {
        let imported = context::imported(self.cache.inner.id);
        let environment = self.cache.environment_tag(self.environment);
        work.note(|record| {
            record.tag(environment);
            imported.into_iter().for_each(|dependency| record.depend(dependency));
        });
    }

    /// A body that calls `super()` may be cached only if every `extends` above it is a literal: the chain is then
    /// part of what its template is.
    fn check_parents(&self, source: &str, parent: &Value) -> Result<(), Error> {
        let refuse = |why: String| {
            Err(Error::new(ErrorKind::InvalidOperation, format!("cache `{source}`: super() in a cached body {why}")))
        };
        let parents = context::imported(self.cache.inner.id);
        if parents.is_empty() {
            return refuse(format!(
                "needs the parent {parent} to be loaded through the cache (loader or add_template)"
            ));
        }
        match parents.iter().find(|known| known.template.extends() == Some(Extends::Dynamic)) {
            Some(dynamic) => refuse(format!(
                "depends on which template {:?} extends, which it computes; write the name as a literal, or cache inside that template",
                dynamic.template.name()
            )),
            None => Ok(()),
        }
    }

    /// `NAME|fragment.load`, around the name of an import or an `extends`: looks the template up once more, so that
    /// fragments opened later depend on it.
    fn load(&self, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let [name, ..] = args else { return Err(foreign_call(names::LOAD)) };
        Rendering::of(state);
        if let Some(wanted) = name.as_str() {
            context::import(|| {
                // A failure is the import's own to report.
                if let Ok(template) = state.get_template(wanted)
                    && let Some((id, generation)) = loader::added_mark(template.source())
                {
                    self.used(id, generation);
                }
            });
        }
        Ok(name.clone())
    }

    /// `none is fragment.used(ID, GENERATION)`, at the end of each template added in memory.
    fn used(&self, id: u64, generation: u64) -> bool {
        let inner = &self.cache.inner;
        if let Some(dependency) = inner.added(id, generation) {
            context::looked_up(inner.id, dependency, || inner.begin());
        }
        false
    }

    fn cache_tag(&self, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let tags = tag_names(args.iter().cloned()).map_err(|error| in_call("cache_tag", error))?;
        context::gather(|record| tags.into_iter().for_each(|tag| record.tag(self.cache.tag(tag))));
        Ok(nothing())
    }

    fn cache_ttl(&self, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (ttl,) = from_args::<(&Value,)>(args)?;
        let ttl = computed_ttl(ttl).map_err(|message| in_call("cache_ttl", message))?;
        context::gather(|record| match ttl {
            Some(0) => record.uncacheable = true,
            Some(FOREVER) | None => {}
            Some(ttl) => record.expires = record.expires.min(record.begin.at.saturating_add(ttl)),
        });
        Ok(nothing())
    }

    fn cache_skip(&self, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let () = from_args::<()>(args)?;
        context::gather(|record| record.uncacheable = true);
        Ok(nothing())
    }

    /// `cache_partial(name, key, ttl, context=…, tags=…, vary=…, version=…, if=…, unless=…, stale=…, name=…)`.
    fn partial(&self, state: &mut State<'_, '_>, args: &[Value], options: &Kwargs) -> Result<Value, Error> {
        // By hand: MiniJinja takes an undefined argument for one that was not given.
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
        Rendering::see_end(state);
        let ttl = match (ttl, given(options, "ttl")?) {
            (Some(_), Some(_)) => return Err(refuse("the lifetime is given twice".into())),
            (Some(ttl), None) => computed_ttl(ttl).map_err(refuse)?,
            (None, Some(ttl)) => computed_ttl(&ttl).map_err(refuse)?,
            (None, None) => None,
        };
        let condition = given(options, "if")?.is_none_or(|yes| yes.is_true())
            && !given(options, "unless")?.is_some_and(|no| no.is_true());
        let context = given(options, "context")?.unwrap_or_else(|| Value::from_pairs(NO_CONTEXT));
        let (vary, version) = (given(options, "vary")?, given(options, "version")?);
        let prepared = block_options(options).map_err(refuse)?;
        options.assert_all_used()?;

        // The template's own name, with relative names resolved: one partial, one identity.
        let template = state.get_template(wanted)?.name().to_owned();
        let mut question = Question::new(Kind::Partial, self.cache.namespace.id);
        question.partial(self.environment, &template);
        question.template_key(key).map_err(|reason| refuse(format!("the key {reason}")))?;
        if let Some(vary) = vary {
            question.vary(&vary).map_err(|reason| refuse(format!("vary {reason}")))?;
        }
        if let Some(version) = version {
            question.version(&version).map_err(|reason| refuse(format!("the version {reason}")))?;
        }
        if self.cache.bypassed(ttl == Some(0) || !condition) {
            return render_partial(state.env(), &template, context);
        }
        question.lifetime(ttl, &self.cache.inner.settings);
        match self.cache.lookup(&question.wanted(), || self.cache.inner.render_begin()) {
            Lookup::Hit(Body::Text(text)) => Ok(text),
            Lookup::Hit(Body::Data(_)) => render_partial(state.env(), &template, context),
            Lookup::Compute(mut work) => {
                self.cache.prepare(&mut work, &prepared);
                self.cache.depend_by_name(&mut work, self.environment, &template);
                work.enter();
                let text = render_partial(state.env(), &template, context)?;
                Ok(work.finish_text(text).into())
            }
        }
    }
}

const NO_CONTEXT: [(&str, Value); 0] = [];

impl Rendering {
    /// Has the end of this render noticed, where a beginning was noted that ends with it.
    fn see_end(state: &mut State<'_, '_>) {
        if context::render_end_unseen() {
            Rendering::of(state);
        }
    }

    /// What this render has under way; noted on first use.
    fn of<'a>(state: &'a mut State<'_, '_>) -> &'a mut Rendering {
        state.get_or_insert_extension_with(|| Rendering {
            render: context::enter_render(),
            next: None,
            open: Vec::new(),
            tickets: NO_TICKET,
        })
    }
}

impl Drop for Rendering {
    fn drop(&mut self) {
        // Innermost first, as their frames stand.
        while let Some(left_open) = self.open.pop() {
            drop(left_open);
        }
        self.next = None;
        context::leave_render(self.render);
    }
}

/// `BODY|fragment.store(TICKET)`.
fn store(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [body, ticket] = args else { return Err(foreign_call(names::STORE)) };
    let ticket = u64::try_from(ticket.clone()).map_err(|_| foreign_call(names::STORE))?;
    if ticket == NO_TICKET {
        return Ok(body.clone());
    }
    let rendering = Rendering::of(state);
    let at = rendering.open.iter().rposition(|(open, _)| *open == ticket);
    let Some(at) = at else { return Err(foreign_call(names::STORE)) };
    // Whatever stands above was left open by an error that a function of the application swallowed.
    while rendering.open.len() > at + 1 {
        rendering.open.pop();
    }
    let Some((_, mut work)) = rendering.open.pop() else { return Err(foreign_call(names::STORE)) };
    if body.is_undefined() {
        // The output is being discarded (a child template's top level), so there is no text to keep.
        work.note(|record| record.uncacheable = true);
    }
    work.finish(Body::Text(body.clone()));
    Ok(body.clone())
}

/// `none|fragment.hit`.
fn hit(_: &Value) -> Result<Value, Error> {
    context::take_hit().ok_or_else(|| foreign_call(names::HIT))
}

/// `OPERAND|fragment.defined(TEXT)`.
fn defined(args: &[Value]) -> Result<Value, Error> {
    let [operand, source] = args else { return Err(foreign_call(names::DEFINED)) };
    if operand.is_undefined() {
        let message = format!("`{source}` is undefined, and would make one key of many");
        return Err(Error::new(ErrorKind::UndefinedError, message));
    }
    Ok(operand.clone())
}

/// A lifetime literal, as lowered: nanoseconds, -1 without expiry, `none` for the default. `None` if it is neither.
fn literal_ttl(value: &Value) -> Option<Option<Nanos>> {
    if value.is_none() {
        return Some(None);
    }
    match value.as_i64() {
        Some(-1) => Some(Some(FOREVER)),
        Some(literal) => u64::try_from(literal).ok().map(Some),
        None => None,
    }
}

/// A lifetime as a template computes it; `None` for the default.
fn computed_ttl(value: &Value) -> Result<Option<Nanos>, String> {
    match parse_ttl_value(value) {
        Ok(Ttl::Default) => Ok(None),
        Ok(Ttl::Forever) => Ok(Some(FOREVER)),
        Ok(Ttl::Bypass) => Ok(Some(0)),
        Ok(Ttl::For(ttl)) => Ok(Some(nanos(ttl))),
        Err(error) => Err(error.to_string()),
    }
}

/// The options that only a miss needs.
fn block_options(kwargs: &Kwargs) -> Result<Options, String> {
    let read = |name| given(kwargs, name).map_err(|error| error.to_string());
    let mut options = Options::default();
    if kwargs.args().next().is_none() {
        return Ok(options);
    }
    if let Some(tags) = read("tags")? {
        options.tags = if tags.as_str().is_some() {
            return Err(format!("tags is the string {tags:?}; give a list, as in tags=[{tags:?}]"));
        } else {
            let names = tags.try_iter().map_err(|_| format!("tags is {}, but must be a list of names", tags.kind()))?;
            tag_names(names)?
        };
    }
    if let Some(stale) = read("stale")? {
        options.stale = computed_ttl(&stale)?.unwrap_or(0);
    }
    options.label = read("name")?.map(|label| label.to_string().into());
    Ok(options)
}

/// An option as it was given; `none` and undefined are values too.
fn given(kwargs: &Kwargs, name: &str) -> Result<Option<Value>, Error> {
    if kwargs.has(name) { kwargs.get(name).map(Some) } else { Ok(None) }
}

/// Tags are strings or numbers; a list is the tags in it.
fn tag_names(values: impl Iterator<Item = Value>) -> Result<Vec<Arc<str>>, String> {
    let mut names = Vec::new();
    for value in values {
        match value.kind() {
            ValueKind::String | ValueKind::Number if value.as_str() != Some("") => names.push(value.to_string().into()),
            ValueKind::Seq => {
                let inner = value.try_iter().map_err(|error| error.to_string())?;
                names.extend(tag_names(inner)?);
            }
            ValueKind::String => return Err("a tag is empty".into()),
            kind => return Err(format!("a tag is {kind}, but must be a string or a number")),
        }
    }
    Ok(names)
}

/// Prints as nothing under every kind of escaping.
fn nothing() -> Value {
    Value::from_safe_string(String::new())
}

fn in_call(call: &str, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{call}: {message}"))
}

fn in_block(source: &str, message: impl std::fmt::Display) -> Error {
    in_call(&format!("cache `{source}`"), message)
}

fn foreign_call(name: &str) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("{name} is what cache blocks are lowered to, and cannot be called by itself"),
    )
}
