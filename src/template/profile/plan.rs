//! Input plans: the names that an include or a macro reads, known before a call. `inputs.rs` reads their values at a
//! call.

use std::sync::Arc;

use super::input_kind::InputKind;
use crate::compile::CALLED_SUFFIX;

/// The name under which a macro receives the body of a call block. It is an input that is not among the parameters.
pub(crate) const CALLER: &str = "caller";

/// Names that MiniJinja defines only in a loop or a block.
const IMPLICIT: [&str; 2] = ["loop", "self"];

/// The inputs of an include or a macro, by name.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The names that are looked up. Each path begins with one.
    pub(crate) roots: Vec<Box<str>>,
    pub(super) paths: Vec<InputPath>,
    /// The number of paths that are read from the surroundings instead of the caller's arguments. They come first.
    pub(super) outside: usize,
    /// A hash of the source text: another text gives another output.
    pub(super) version: u64,
    /// Whether the template extends another one, whose inputs the paths do not cover.
    pub(super) inherits: bool,
}

/// One input.
#[derive(Debug)]
pub(super) struct InputPath {
    /// As the template's author would write it.
    pub(super) name: Arc<str>,
    /// The index of the root that it begins with.
    pub(super) root: usize,
    pub(super) attributes: Vec<Box<str>>,
    /// Whether the template only calls it. The result of the call is unknown before the call.
    pub(super) called: bool,
}

impl Plan {
    /// The plan of an include: all its inputs are read from the surroundings.
    pub(crate) fn of_include(paths: &[String], version: u64, inherits: bool) -> Plan {
        Plan { inherits, ..Plan::of_macro(paths.iter().map(String::as_str), &[], version) }
    }

    /// The inputs that are read from the surroundings instead of the caller's arguments.
    pub(super) fn read_outside(&self) -> &[InputPath] {
        &self.paths[..self.outside]
    }

    /// The plan of a macro: paths that begin with a parameter are read from the caller's arguments.
    pub(crate) fn of_macro<'p>(paths: impl Iterator<Item = &'p str>, parameters: &[&str], version: u64) -> Plan {
        let is_argument = |path: &str| parameters.contains(&first(path));
        let (arguments, outside): (Vec<&str>, Vec<&str>) = paths.partition(|path| is_argument(path));
        let mut plan = Plan { outside: outside.len(), version, ..Plan::default() };
        outside.into_iter().chain(arguments).for_each(|path| plan.add(path));
        plan
    }

    fn add(&mut self, path: &str) {
        let (name, called) = path.strip_suffix(CALLED_SUFFIX).map_or((path, false), |name| (name, true));
        let known = self.roots.iter().position(|known| **known == *first(name));
        let root = known.unwrap_or_else(|| {
            self.roots.push(first(name).into());
            self.roots.len() - 1
        });
        let attributes = name.split('.').skip(1).map(Into::into).collect();
        self.paths.push(InputPath { name: name.into(), root, attributes, called });
    }
}

impl InputPath {
    /// The kind of this input where its root is undefined. A function that was not called does not show in the output.
    pub(super) fn kind_if_missing(&self) -> InputKind {
        match first(&self.name) {
            _ if self.called => InputKind::Code,
            name if IMPLICIT.contains(&name) => InputKind::NoValue,
            _ => InputKind::Missing,
        }
    }
}

/// The name that a path begins with.
fn first(path: &str) -> &str {
    let path = path.strip_suffix(CALLED_SUFFIX).unwrap_or(path);
    path.split('.').next().unwrap_or_default()
}
