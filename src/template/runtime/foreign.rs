//! Foreign text at render: finds the other templates of the render that a body depends on, and rejects bodies whose
//! foreign text cannot be checked in one file. `compile/foreign.rs` checks within one file.

use std::iter::successors;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State};

use super::binding::Binding;
use super::look_ups;
use super::rendering::{Imported, Loads, RenderStart, Rendering};
use crate::cache::computation::Computation;
use crate::compile::names;
use crate::compile::{Extends, LayoutBlock};
use crate::invalidation::dependencies::{Dependency, Tag};
use crate::invalidation::template_version::Used;

pub(super) fn register(env: &mut Environment<'_>) {
    env.add_filter(names::OPEN_AT_CALL, |state: &mut State<'_, '_>, _: &Value| {
        state.get_extension::<Rendering>().map_or(0, |rendering| rendering.tickets)
    });
    env.add_test(names::REJECT_CALLER, |state: &mut State<'_, '_>, began: u64| {
        refuse(state, |ticket, shows_caller| ticket > began && !shows_caller, CALLED_BACK)
    });
    env.add_test(names::REJECT_BLOCK, |state: &mut State<'_, '_>, _: &Value| refuse(state, |_, _| true, FILLED));
}

const CALLED_BACK: &str = "shows the text of a call block that began outside of it, and would show it in the place of \
                           another; put the cache tag inside the call block";

const FILLED: &str = "calls a macro that shows a block, whose text depends on the template that extends this one; call \
                      the macro outside";

/// Fails if foreign text would be printed in an open body. Otherwise returns false, so that the test prints nothing.
fn refuse(state: &State<'_, '_>, foreign: impl Fn(u64, bool) -> bool, why: &str) -> Result<bool, Error> {
    let open = state.get_extension::<Rendering>().map_or(&[][..], |rendering| &rendering.open);
    match open.iter().find(|open| foreign(open.ticket, open.shows_caller)) {
        Some(open) => Err(Error::new(ErrorKind::InvalidOperation, format!("cache `{}`: the body {why}", open.source))),
        None => Ok(false),
    }
}

impl Binding {
    /// The other templates of the render whose statements a body can reach because they include its template. A
    /// template that was included before and has ended counts too, because MiniJinja does not show when an included
    /// template ends.
    ///
    /// These templates are looked up when the body is opened, not when they began. If one changed in between, its floor
    /// is above the start of the render, so the result is not stored.
    pub(super) fn includers(&self, state: &State<'_, '_>) -> Vec<Dependency> {
        let sharing = state.get_extension::<RenderStart>().map_or(&[][..], |start| &start.sharing);
        if sharing.is_empty() {
            return Vec::new();
        }
        let imported = state.get_extension::<Rendering>().map_or(&[][..], |rendering| &rendering.imported);
        // The statements that a template reaches in its own parents are dependencies already.
        let parents = successors(Some(state.name()), |child| Some(parent_of(imported, child)?.template.name()));
        let own: Vec<&str> = parents.take(imported.len() + 1).collect();
        let others = sharing.iter().filter(|name| !own.contains(&&***name));
        let seen = others.flat_map(|name| self.look_up(state, name));
        seen.map(|includer| Dependency { used: Used::AllStatements, ..includer }).collect()
    }

    /// Looks a template up again and returns the dependencies that this shows.
    pub(super) fn look_up(&self, state: &State<'_, '_>, name: &str) -> Vec<Dependency> {
        let inner = &self.cache.inner;
        let ((), seen) = look_ups::look_up(inner.id, || {
            // On a failure the render itself reports the error.
            if let Ok(template) = state.get_template(name) {
                inner.note_added(&template);
            }
        });
        seen
    }

    /// Adds the dependencies of a fragment on its render: the imports before it, the reachable part of the parent
    /// templates, and the environment. `others` are the templates that include its template or that it shows through
    /// `super()`.
    pub(super) fn depend_on_render(&self, work: &mut Computation, imported: &[Imported], others: Vec<Dependency>) {
        let environment = Tag::environment(self.environment);
        let imported = imported.iter().map(|imported| match imported.loads {
            Loads::Import => imported.dependency.clone(),
            Loads::Parent { .. } => Dependency { used: Used::Statements, ..imported.dependency.clone() },
        });
        work.note(|record| {
            record.tag(environment);
            imported.chain(others).for_each(|dependency| record.depend(dependency));
        });
    }

    /// The parents of the running template, up to the one at which `super()` ends. Fails unless each `extends` among
    /// them is a literal, so that the chain is determined by the templates' text. Fails also if a block on the way
    /// shows a block that another template can replace.
    pub(super) fn parents_of_super(
        &self,
        state: &State<'_, '_>,
        source: &str,
        parent: &Value,
    ) -> Result<Vec<Dependency>, Error> {
        let refuse = |why: String| {
            Err(Error::new(ErrorKind::InvalidOperation, format!("cache `{source}`: super() in a cached body {why}")))
        };
        let imported = state.get_extension::<Rendering>().map_or(&[][..], |rendering| &rendering.imported);
        let block = state.current_block().unwrap_or_default();
        let mut parents: Vec<Dependency> = Vec::new();
        let mut wanted = parent.to_string();
        loop {
            let child = parents.last().map_or(state.name(), |child| child.template.name());
            let known = parent_of(imported, child).filter(|_| parents.len() <= imported.len());
            // If the parent changed in between, storing the fragment detects that.
            let layout = known.and_then(|known| known.template.layout());
            let Some((known, layout)) = known.zip(layout) else {
                return refuse(format!(
                    "needs the parent {wanted:?} to be loaded through the cache (loader or add_template)"
                ));
            };
            let name = known.template.name();
            parents.push(known.clone());
            let own = layout.block(block);
            if let Some(line) = own.and_then(LayoutBlock::filled_line) {
                return refuse(format!(
                    "shows a block inside of {block:?} ({name}:{line}), whose text depends on the template \
                     that extends this one; call it outside, or put the cache tag inside that block"
                ));
            }
            if own.is_some_and(|own| !own.calls_super()) {
                return Ok(parents);
            }
            match layout.extends() {
                Extends::None => return Ok(parents),
                Extends::Literal(next) => wanted = next.clone(),
                Extends::Dynamic => {
                    return refuse(format!(
                        "depends on which template {name:?} extends, which it computes; write the name as a literal, or \
                         cache inside that template"
                    ));
                }
            }
        }
    }
}

/// The parent that a template extended last.
fn parent_of<'i>(imported: &'i [Imported], child: &str) -> Option<&'i Dependency> {
    let of_child = |imported: &&Imported| matches!(&imported.loads, Loads::Parent { of } if **of == *child);
    imported.iter().rev().find(of_child).map(|imported| &imported.dependency)
}
