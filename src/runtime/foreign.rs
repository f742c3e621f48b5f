//! Text that other templates fill in: what a body shows of its parents, and what is refused at render because one file
//! does not show it.

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State};

use super::Binding;
use super::rendering::{Imported, Loads, Rendering};
use crate::compile::Extends;
use crate::names;
use crate::record::{Dependency, Tag, Used};
use crate::work::Work;

pub(super) fn register(env: &mut Environment<'_>) {
    env.add_filter(names::CALLING, |state: &mut State<'_, '_>, _: &Value| {
        state.get_extension::<Rendering>().map_or(0, |rendering| rendering.tickets)
    });
    env.add_test(names::CALLED_BACK, |state: &mut State<'_, '_>, began: u64| {
        refuse(state, |ticket, shows_caller| ticket > began && !shows_caller, CALLED_BACK)
    });
    env.add_test(names::FILLED, |state: &mut State<'_, '_>, _: &Value| refuse(state, |_, _| true, FILLED));
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
    /// A fragment depends on what its render imported before it, on what it can reach of the templates that are
    /// extended, and on its environment. `parents` are those that it shows by `super()`.
    pub(super) fn depend_on_render(&self, work: &mut Work, imported: &[Imported], parents: Vec<Dependency>) {
        let environment = Tag::environment(self.environment);
        let imported = imported.iter().map(|imported| match imported.loads {
            Loads::Import => imported.dependency.clone(),
            Loads::Parent { .. } => Dependency { used: Used::Statements, ..imported.dependency.clone() },
        });
        work.note(|record| {
            record.tag(environment);
            imported.chain(parents).for_each(|dependency| record.depend(dependency));
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
            if let Some(line) = own.and_then(|own| own.filled) {
                return refuse(format!(
                    "shows a block inside of {block:?} ({name}:{line}), whose text depends on the template \
                     that extends this one; call it outside, or put the cache tag inside that block"
                ));
            }
            if own.is_some_and(|own| !own.calls_super) {
                return Ok(parents);
            }
            match &layout.extends {
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
