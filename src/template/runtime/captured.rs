//! Finds the fragments whose output a template can read. Such fragments get no debug marks, because the template would
//! see the marks.
//!
//! MiniJinja does not show whether output is captured. So this file reads all templates that the environment has
//! loaded: a template that runs was loaded before, and so was each template that captures its output. The findings for
//! one source come from `compile/output_capture.rs`; `marking.rs` sets the marks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use minijinja::{Environment, State};
use xxhash_rust::xxh3::xxh3_128;

use crate::compile::{OutputCaptures, OutputPosition, TemplateNames, output_captures};
use crate::util::sync::lock;

/// Maximum number of sources whose captures are stored.
const KEPT: usize = 4096;

/// The captures of each source, by its digest; see [`KEPT`].
static READ: LazyLock<Mutex<HashMap<u128, Arc<OutputCaptures>>>> = LazyLock::new(Mutex::default);

/// The origin of printed output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PrintedFragment {
    /// A block, by its block digest.
    Block(u128),
    /// The result of `cache_partial` in the running template.
    Partial,
}

/// The captures of an environment, stored in the state of a render.
#[derive(Debug, Default)]
struct Captured {
    /// Number of loaded templates when this was computed.
    loaded: usize,
    known: HashSet<u128>,
    captured: HashSet<u128>,
    /// Templates that print the result of each `cache_partial` call directly.
    printing: HashSet<String>,
}

/// Whether a template can read this output. A block that no loaded template contains may be captured anywhere, so it
/// counts as captured.
#[cold]
pub(crate) fn is_captured(state: &mut State<'_, '_>, printed: PrintedFragment) -> bool {
    let env = state.env();
    let loaded = env.templates().count();
    let name = state.name().to_owned();
    let captured = state.get_or_insert_extension_with(Captured::default);
    if captured.loaded != loaded {
        *captured = Captured::of(env, loaded);
    }
    match printed {
        PrintedFragment::Block(site) => !captured.known.contains(&site) || captured.captured.contains(&site),
        PrintedFragment::Partial => !captured.printing.contains(&name),
    }
}

impl Captured {
    fn of(env: &Environment<'_>, loaded: usize) -> Captured {
        let all: Vec<(&str, Arc<OutputCaptures>)> = env
            .templates()
            .map(|(name, template)| {
                (name, read(template.source(), || output_captures(template.source(), env.syntax())))
            })
            .collect();
        let mut reached = Reached::default();
        while reached.spread(&all) {}
        let mut captured = Captured { loaded, ..Captured::default() };
        for (name, source) in &all {
            let is_captured = |stand: &OutputPosition| reached.is_captured(name, stand);
            captured.known.extend(source.bodies.iter().map(|(site, _)| *site));
            let sites = source.bodies.iter().filter(|(_, stand)| is_captured(stand));
            captured.captured.extend(sites.map(|(site, _)| *site));
            if !source.partials.iter().any(is_captured) && !source.partials.is_empty() {
                captured.printing.insert((*name).to_owned());
            }
        }
        captured
    }
}

fn read(source: &str, read: impl FnOnce() -> OutputCaptures) -> Arc<OutputCaptures> {
    let digest = xxh3_128(source.as_bytes());
    let mut known = lock(&*READ);
    if known.len() >= KEPT {
        known.clear();
    }
    Arc::clone(known.entry(digest).or_insert_with(|| Arc::new(read())))
}

/// The templates and blocks whose output is captured by a template that includes or calls them.
#[derive(Debug, Default)]
struct Reached {
    /// Templates by the last part of their name, because joining paths keeps that part.
    templates: BTreeSet<String>,
    blocks: BTreeSet<Box<str>>,
    any_template: bool,
    any_block: bool,
}

impl Reached {
    fn is_captured(&self, template: &str, stand: &OutputPosition) -> bool {
        let block = stand.block.as_ref().is_some_and(|block| self.any_block || self.blocks.contains(block));
        stand.captured || block || self.is_template(template)
    }

    fn is_template(&self, name: &str) -> bool {
        self.any_template || self.templates.contains(last_part(name))
    }

    /// Adds the templates and blocks that are reached from those known. Returns whether any were added.
    fn spread(&mut self, all: &[(&str, Arc<OutputCaptures>)]) -> bool {
        let before = self.size();
        for (name, source) in all {
            self.any_block |= source.calls_any_block;
            for (block, stand) in &source.blocks {
                if self.is_captured(name, stand) {
                    self.blocks.insert(block.clone());
                }
            }
            for (names, stand) in &source.includes {
                if self.is_captured(name, stand) {
                    self.add(names);
                }
            }
            if self.is_template(name) {
                source.extends.iter().for_each(|names| self.add(names));
            }
        }
        self.size() != before
    }

    fn add(&mut self, names: &TemplateNames) {
        match names {
            Some(names) => self.templates.extend(names.iter().map(|name| last_part(name).to_owned())),
            None => self.any_template = true,
        }
    }

    fn size(&self) -> (usize, usize, bool, bool) {
        (self.templates.len(), self.blocks.len(), self.any_template, self.any_block)
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

#[cfg(all(test, not(shuttle)))]
mod tests;
