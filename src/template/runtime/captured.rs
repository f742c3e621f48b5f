//! What a template can read of its own output: where it can, no fragment is marked.
//!
//! The engine does not say whether output is captured. So all that an environment has loaded is read: a template
//! that runs was loaded before, and so was every one that captures what it prints.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use minijinja::{Environment, State};
use xxhash_rust::xxh3::xxh3_128;

use crate::compile::{OutputCaptures, OutputPosition, TemplateNames, output_captures};
use crate::util::sync::lock;

/// Sources of which it is kept what they capture.
const KEPT: usize = 4096;

/// What each source captures, by its digest; see [`KEPT`].
static READ: LazyLock<Mutex<HashMap<u128, Arc<OutputCaptures>>>> = LazyLock::new(Mutex::default);

/// Something that prints a fragment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PrintedFragment {
    /// A block, by the digest of its text.
    Block(u128),
    /// What `cache_partial` gives to the template that runs.
    Partial,
}

/// What an environment captures; kept with the state of a render.
#[derive(Debug, Default)]
struct Captured {
    /// Templates loaded when this was found.
    loaded: usize,
    known: HashSet<u128>,
    captured: HashSet<u128>,
    /// Templates that print every partial that they ask for.
    printing: HashSet<String>,
}

/// Whether a template can read what is printed here. A text that no loaded template holds may be anywhere.
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

/// What is captured because of who includes or calls it.
#[derive(Debug, Default)]
struct Reached {
    /// Templates by the last part of their name: what joins paths keeps that.
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

    /// Adds what is reached from what is known; whether that was more.
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
