//! The tests and filters of a lowered cache block.
//!
//! A block runs in three steps (`compile/lower.rs` writes the text). The test `_f.miss` looks the fragment up. On a
//! hit, `_f.hit` prints the fragment. On a miss, `_f.open` opens a frame and returns a ticket, the body renders into a
//! capture, and `_f.store` stores the capture. An open computation is part of a `State` extension. MiniJinja drops that
//! extension before an error reaches the caller, which releases the followers.
//!
//! Leaves arguments to `arguments.rs`, keys to `key.rs`, and the state of a render to `rendering.rs`.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Error, ErrorKind, State};

use super::arguments::{
    block_options, declared_names, foreign_call, in_block, literal_ttl, positional_ttl, split_tags,
};
use super::binding::Binding;
use super::body::{MARKED, NO_TICKET, NextBody, OpenBody, VerifiedBody};
use super::caller::{Named, TemplateCaller};
use super::captured::{PrintedFragment, is_captured};
use super::lazy_key::LazyKey;
use super::look_ups;
use super::rendering::{Imported, Loads, OpenedBody, RenderStart, Rendering};
use crate::cache::computation::Computation;
use crate::cache::lookup::Lookup;
use crate::compile::names;
use crate::compile::spelling::Form;
use crate::invalidation::declared_tags::DeclaredTags;
use crate::invalidation::stack;
use crate::key::KeyError;
use crate::key::identity::Kind;
use crate::store::entry::{Body, Found};
use crate::store::request::Request;
use crate::store::request::RequestBuilder;
use crate::telemetry::{Bypass, marked};
use crate::template::lazy;

thread_local! {
    /// The text of the last hit, until `_f.hit` prints it.
    static HIT: Cell<Option<Value>> = const { Cell::new(None) };
}

impl Binding {
    /// `KEY is _f.miss(SITE, TTL, …)`. The arguments are the first operand of the key, the block digest, a literal
    /// lifetime, the other operands of the key, and the tags if the block declares any.
    pub(super) fn miss<const TAGGED: bool>(&self, state: &mut State<'_, '_>, args: &[Value]) -> Result<bool, Error> {
        let [key, site, ttl, rest @ ..] = args else { return Err(foreign_call(names::MISS)) };
        let Some(ttl) = literal_ttl(ttl) else { return Err(foreign_call(names::MISS)) };
        let Some((tags, rest)) = split_tags::<TAGGED>(rest) else { return Err(foreign_call(names::MISS)) };
        let (mut question, site) = self.question(state, site)?;
        if let Err(reason) = self.key(state, &mut question, key, rest) {
            return Ok(self.refuse(state, format!("the key {reason}")));
        }
        let bypass = (ttl == Some(0)).then_some(Bypass::Lifetime);
        let names = match declared_names(tags, bypass) {
            Ok(names) => names,
            Err(message) => return Ok(self.refuse(state, message)),
        };
        question.lifetime(ttl, self.cache.inner.settings.default_ttl);
        let declared = DeclaredTags::of_template(&names, self.cache.namespace.id);
        let lazy_key = LazyKey::of(state, Named::Site(site), key);
        let missed = self.ask(state, &question.request_with(declared), site, bypass);
        lazy_key.iter().for_each(|key| self.tell_lazy_key(Named::Site(site), key));
        Ok(missed)
    }

    /// As `miss`, for a block with a computed lifetime, a condition, a version or `vary`.
    pub(super) fn miss_with<const TAGGED: bool>(
        &self,
        state: &mut State<'_, '_>,
        args: &[Value],
    ) -> Result<bool, Error> {
        let [key, site, ttl, literal, condition, version, vary, rest @ ..] = args else {
            return Err(foreign_call(names::MISS_WITH));
        };
        let Some((tags, rest)) = split_tags::<TAGGED>(rest) else { return Err(foreign_call(names::MISS_WITH)) };
        let (mut question, site) = self.question(state, site)?;
        if let Err(reason) = self.key(state, &mut question, key, rest) {
            return Ok(self.refuse(state, format!("the key {reason}")));
        }
        let ttl = if literal.is_true() {
            literal_ttl(ttl).ok_or_else(|| foreign_call(names::MISS_WITH))?
        } else {
            match positional_ttl(ttl, rest.is_empty().then_some(key), Form::Tag) {
                Ok(ttl) => ttl,
                Err(message) => return Ok(self.refuse(state, message)),
            }
        };
        if !vary.is_none()
            && let Err(reason) = question.vary(vary)
        {
            return Ok(self.refuse(state, format!("vary {reason}")));
        }
        // The argument is a list of one item, which distinguishes the version `none` from no version.
        if !version.is_none()
            && let Err(reason) = question.version(&version.get_item_by_index(0).unwrap_or_default())
        {
            return Ok(self.refuse(state, format!("the version {reason}")));
        }
        let bypass = match condition.is_true() {
            true => (ttl == Some(0)).then_some(Bypass::Lifetime),
            false => Some(Bypass::Condition),
        };
        let names = match declared_names(tags, bypass) {
            Ok(names) => names,
            Err(message) => return Ok(self.refuse(state, message)),
        };
        question.lifetime(ttl, self.cache.inner.settings.default_ttl);
        let declared = DeclaredTags::of_template(&names, self.cache.namespace.id);
        let lazy_key = LazyKey::of(state, Named::Site(site), key);
        let missed = self.ask(state, &question.request_with(declared), site, bypass);
        lazy_key.iter().for_each(|key| self.tell_lazy_key(Named::Site(site), key));
        Ok(missed)
    }

    /// Looks the fragment up and stores the result for the filter that runs next. Returns whether the body must run.
    pub(super) fn ask(
        &self,
        state: &mut State<'_, '_>,
        wanted: &Request<'_>,
        site: u128,
        bypass: Option<Bypass>,
    ) -> bool {
        if let Some(rendering) = state.get_extension_mut::<Rendering>() {
            // `next` is left over if evaluating the options of a block failed and the application swallowed the error.
            // Dropping it ends its flight.
            rendering.next = None;
        }
        let mut caller = TemplateCaller { binding: self, state, named: Named::Site(site) };
        let printed = PrintedFragment::Block(site);
        let next = if self.cache.bypassed(bypass, wanted.key, &mut caller) {
            NextBody::Bypass(self.mark(state, printed))
        } else {
            match self.cache.lookup(wanted, &mut caller) {
                Lookup::Hit(Found { body: Body::Text(text), began, .. }) => {
                    match self.cache.verify(wanted, &mut caller, began) {
                        None => {
                            HIT.set(Some(marked(text, self.mark(state, printed))));
                            return false;
                        }
                        Some(verifying) => {
                            let mark = self.mark(state, printed);
                            NextBody::Open(OpenBody::Verify(Box::new(VerifiedBody { verifying, cached: text, mark })))
                        }
                    }
                }
                // Entries of blocks hold text, and no other kind of fragment has the identity of a block.
                Lookup::Hit(_) => NextBody::Bypass(None),
                Lookup::Compute(mut work) => {
                    if work.mark().is_some() && is_captured(state, printed) {
                        work.unmark();
                    }
                    NextBody::Open(OpenBody::Compute(Box::new(work)))
                }
            }
        };
        Rendering::of(state, &self.cache.inner).next = Some(next);
        true
    }

    /// Stores an error for `_f.open`, which has the author's text of the key.
    pub(super) fn refuse(&self, state: &mut State<'_, '_>, message: String) -> bool {
        Rendering::of(state, &self.cache.inner).next = Some(NextBody::Refused(message));
        true
    }

    /// A request builder for a block, and the block digest.
    pub(super) fn question(&self, state: &State<'_, '_>, site: &Value) -> Result<(RequestBuilder, u128), Error> {
        self.cache.inner.check_auto_reload(state.env())?;
        let site = u128::try_from(site.clone()).map_err(|_| foreign_call(names::MISS))?;
        let mut question = RequestBuilder::new(Kind::Block, &self.cache.namespace);
        question.block(self.environment, site, state.auto_escape());
        Ok((question, site))
    }

    pub(super) fn key(
        &self,
        state: &State<'_, '_>,
        question: &mut RequestBuilder,
        key: &Value,
        rest: &[Value],
    ) -> Result<(), KeyError> {
        if rest.is_empty() {
            question.template_key(key)
        } else {
            question.joined_key(key, rest, !matches!(state.auto_escape(), AutoEscape::None))
        }
    }

    /// `none|_f.open(LINE, KEY TEXT, FLAGS, PARENT, stale=…, name=…)`.
    pub(super) fn open(&self, state: &mut State<'_, '_>, args: &[Value], options: &Kwargs) -> Result<Value, Error> {
        let [_, _line, quoted, flags, parent] = args else { return Err(foreign_call(names::OPEN)) };
        let source = quoted.as_str().unwrap_or_default();
        let flags = u32::try_from(flags.clone()).unwrap_or_default();
        let rendering = Rendering::of(state, &self.cache.inner);
        let mut open = match rendering.next.take() {
            Some(NextBody::Open(open)) => open,
            Some(NextBody::Bypass(mark)) => return Ok(Value::from(mark.map_or(NO_TICKET, |mark| mark | MARKED))),
            Some(NextBody::Refused(message)) => {
                return Err(Error::new(ErrorKind::InvalidOperation, format!("cache `{source}`: {message}")));
            }
            None => return Err(foreign_call(names::OPEN)),
        };
        let mut others = Vec::new();
        if flags & names::FLAG_SUPER != 0 {
            others = self.parents_of_super(state, source, parent)?;
        }
        let options = block_options(options).map_err(|error| in_block(source, error))?;
        match &mut open {
            OpenBody::Compute(work) => {
                options.label.iter().for_each(|name| work.call(name));
                work.set_grace(options.stale, options.stale);
                others.extend(self.includers(state));
                self.depend_on_render(work, &Rendering::of(state, &self.cache.inner).imported, others);
                work.enter();
            }
            OpenBody::Verify(verify) => verify.verifying.work().into_iter().for_each(Computation::enter),
        }
        let rendering = Rendering::of(state, &self.cache.inner);
        rendering.tickets += 1;
        let shows_caller = flags & names::FLAG_CALLER != 0;
        rendering.open.push(OpenedBody { ticket: rendering.tickets, open, source: quoted.clone(), shows_caller });
        Ok(Value::from(rendering.tickets))
    }

    /// `NAME|_f.load` and `NAME|_f.extend`, around the name of an import or an `extends`. Looks the template up once
    /// more, so that fragments opened later depend on it.
    pub(super) fn load(&self, state: &mut State<'_, '_>, args: &[Value], loads: Loads) -> Result<Value, Error> {
        let [name, ..] = args else { return Err(foreign_call(names::NOTE_IMPORT)) };
        if let Some(wanted) = name.as_str() {
            let seen = self.look_up(state, wanted);
            let imported = seen.into_iter().map(|dependency| Imported { dependency, loads: loads.clone() });
            Rendering::of(state, &self.cache.inner).imported.extend(imported);
        }
        Ok(name.clone())
    }

    /// `LOADED is _add_to_environment(SHARES)`, at the start of each template. `LOADED` is whether a loader of the
    /// cache provides the template. `SHARES` is whether templates that it includes can read the names that it binds.
    pub(super) fn begins(&self, state: &mut State<'_, '_>, loaded: &Value, shares: bool) -> Result<bool, Error> {
        if loaded.is_true() && !self.syntax_checked.load(Ordering::Relaxed) {
            self.cache.inner.check_syntax(state.env())?;
            self.syntax_checked.store(true, Ordering::Relaxed);
        }
        RenderStart::note(state, &self.cache.inner, shares);
        Ok(false)
    }

    /// `none is _f.used(ID, GENERATION, SHARES)`, at the start of each template that was added in memory.
    pub(super) fn used(&self, state: &mut State<'_, '_>, id: u64, generation: u64, shares: bool) -> bool {
        let inner = &self.cache.inner;
        RenderStart::note(state, inner, shares);
        if stack::is_enclosed()
            && let Some(dependency) = inner.added(id, generation)
        {
            look_ups::looked_up(inner.id, dependency);
        }
        false
    }
}

/// `none|_f.captured("NAME …")`: the variables that a macro or a call block captures at its declaration, with lazy
/// values uncomputed.
pub(super) fn captured(state: &State<'_, '_>, _: &Value, names: &str) -> Value {
    let values = names.split(' ').filter_map(|name| Some((name, lazy::untouched(|| state.lookup(name))?)));
    lazy::resolving(Value::from_pairs(values))
}

/// `none|_f.untouched(NAME)`, or the same filter on the map that a macro captured: a value that is passed on without
/// computing it if it is lazy.
pub(super) fn untouched(state: &State<'_, '_>, captured: &Value, name: &str) -> Value {
    let value = lazy::untouched(|| match captured.is_none() {
        true => state.lookup(name),
        false => captured.get_attr(name).ok(),
    });
    value.unwrap_or_default()
}

/// `BODY|_f.store(TICKET)`.
pub(super) fn store(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let [body, ticket] = args else { return Err(foreign_call(names::STORE)) };
    let ticket = u64::try_from(ticket.clone()).map_err(|_| foreign_call(names::STORE))?;
    if ticket == NO_TICKET {
        return Ok(body.clone());
    }
    if ticket & MARKED != 0 {
        return Ok(marked(body.clone(), Some(ticket & !MARKED)));
    }
    let Some(rendering) = state.get_extension_mut::<Rendering>() else { return Err(foreign_call(names::STORE)) };
    let at = rendering.open.iter().rposition(|open| open.ticket == ticket);
    let Some(at) = at else { return Err(foreign_call(names::STORE)) };
    // Bodies above it were left open by an error that a function of the application swallowed. Dropped innermost first.
    while rendering.open.len() > at + 1 {
        rendering.open.pop();
    }
    let mut work = match rendering.open.pop().map(|opened| opened.open) {
        Some(OpenBody::Compute(work)) => work,
        Some(OpenBody::Verify(verify)) => {
            let VerifiedBody { verifying, cached, mark } = *verify;
            // Discarded output is not a string, so there is nothing to compare.
            if let Some((cached, computed)) = cached.as_str().zip(body.as_str()) {
                verifying.compare(cached, computed);
            }
            return Ok(marked(body.clone(), mark));
        }
        None => return Err(foreign_call(names::STORE)),
    };
    let mut unresolved = false;
    work.note(|record| unresolved = record.unresolved > 0);
    if unresolved {
        return Err(Error::new(ErrorKind::InvalidOperation, lazy::UNRESOLVED));
    }
    if body.is_undefined() {
        // The output is discarded (at the top level of a child template), so there is no text to store.
        work.note(|record| record.uncacheable = true);
    }
    let mark = work.mark();
    work.finish_rendered(body.clone())?;
    Ok(marked(body.clone(), mark))
}

/// `none|_f.hit`.
pub(super) fn hit(_: &Value) -> Result<Value, Error> {
    HIT.take().ok_or_else(|| foreign_call(names::HIT))
}
