//! Text that other templates fill in: what a body shows of its parents, and what is refused at render because one file
//! does not show it.

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

/// Refuses what is about to be shown in an open body; false, as nothing is printed.
fn refuse(state: &State<'_, '_>, foreign: impl Fn(u64, bool) -> bool, why: &str) -> Result<bool, Error> {
    let open = state.get_extension::<Rendering>().map_or(&[][..], |rendering| &rendering.open);
    match open.iter().find(|open| foreign(open.ticket, open.shows_caller)) {
        Some(open) => Err(Error::new(ErrorKind::InvalidOperation, format!("cache `{}`: the body {why}", open.source))),
        None => Ok(false),
    }
}

impl Binding {
    /// The other templates of the render whose statements a body can reach because they include its template. A template
    /// that was included before and has ended counts too: MiniJinja does not say when one ends.
    ///
    /// Looked up only now, and not when they began: if one changed since, its floor is above the render's beginning, and
    /// nothing is stored.
    pub(super) fn includers(&self, state: &State<'_, '_>) -> Vec<Dependency> {
        let sharing = state.get_extension::<RenderStart>().map_or(&[][..], |start| &start.sharing);
        let imported = state.get_extension::<Rendering>().map_or(&[][..], |rendering| &rendering.imported);
        // What a template reaches of its own parents is known already.
        let parents = successors(Some(state.name()), |child| Some(parent_of(imported, child)?.template.name()));
        let own: Vec<&str> = parents.take(imported.len() + 1).collect();
        let others = sharing.iter().filter(|name| !own.contains(&&***name));
        let seen = others.flat_map(|name| self.look_up(state, name));
        seen.map(|includer| Dependency { used: Used::AllStatements, ..includer }).collect()
    }

    /// Looks a template up once more, and gives what that shows it depends on.
    pub(super) fn look_up(&self, state: &State<'_, '_>, name: &str) -> Vec<Dependency> {
        let inner = &self.cache.inner;
        let ((), seen) = look_ups::look_up(inner.id, || {
            // A failure is for the render itself to report.
            if let Ok(template) = state.get_template(name) {
                inner.note_added(&template);
            }
        });
        seen
    }

    /// A fragment depends on what its render imported before it, on what it can reach of the templates that are
    /// extended, and on its environment. `others` are those that include its template, or that it shows by `super()`.
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

    /// The parents of the template here, up to the one in which `super()` ends. Refused unless every `extends` among
    /// them is a literal, so that the chain is part of what the template is, and no block on the way shows one that
    /// yet another template fills.
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
            // A change since is seen when the fragment is to be stored.
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
