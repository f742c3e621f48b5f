//! What has to be read at a call: names, and what of their values matters.

use std::sync::Arc;

use super::inputs::InputKind;
use crate::compile::CALLED_SUFFIX;

/// Names that MiniJinja gives a meaning where there is a loop or a block.
const GIVEN: [&str; 2] = ["loop", "self"];

/// The inputs of an include or a macro, by name.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What is looked up.
    pub(crate) roots: Vec<Box<str>>,
    pub(crate) paths: Vec<Path>,
    /// How many of the paths, the first ones, are read from outside: not given by whoever calls.
    pub(crate) outside: usize,
    /// A hash of what is rendered: another text gives another output.
    pub(crate) version: u64,
    /// Whether there is text that the paths do not cover: that of a template which it extends.
    pub(crate) inherits: bool,
}

/// One input.
#[derive(Debug)]
pub(crate) struct Path {
    /// As the author would write it.
    pub(crate) name: Arc<str>,
    /// Which of the roots it begins with.
    pub(crate) root: usize,
    pub(crate) attributes: Vec<Box<str>>,
    /// Whether it is called and nothing else: what it gives cannot be known beforehand.
    pub(crate) called: bool,
}

impl Plan {
    /// The plan of an include: everything is read from outside.
    pub(crate) fn of_include(paths: &[String], version: u64, inherits: bool) -> Plan {
        Plan { inherits, ..Plan::of_macro(paths.iter().map(String::as_str), &[], version) }
    }

    /// The inputs that are not given by whoever calls.
    pub(crate) fn read_outside(&self) -> &[Path] {
        &self.paths[..self.outside]
    }

    /// The plan of a macro: what begins with a parameter is given.
    pub(crate) fn of_macro<'p>(paths: impl Iterator<Item = &'p str>, parameters: &[&str], version: u64) -> Plan {
        let given = |path: &str| parameters.contains(&first(path));
        let (given, outside): (Vec<&str>, Vec<&str>) = paths.partition(|path| given(path));
        let mut plan = Plan { outside: outside.len(), version, ..Plan::default() };
        outside.into_iter().chain(given).for_each(|path| plan.add(path));
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
        self.paths.push(Path { name: name.into(), root, attributes, called });
    }
}

impl Path {
    /// What it is where its root is undefined. A function that was not called does not show.
    pub(crate) fn missing(&self) -> InputKind {
        match first(&self.name) {
            _ if self.called => InputKind::Code,
            name if GIVEN.contains(&name) => InputKind::NoValue,
            _ => InputKind::Missing,
        }
    }
}

/// The name that a path begins with.
fn first(path: &str) -> &str {
    let path = path.strip_suffix(CALLED_SUFFIX).unwrap_or(path);
    path.split('.').next().unwrap_or_default()
}
