//! The shape of the code: which room may import which, and how large a file, a function or a nest may be.
//!
//! Every file of `src` is parsed. A path that begins with `crate`, `self` or `super` is an edge to the file that defines
//! what the path names. Tests are left out: files called `tests.rs` or `model.rs`, folders called `tests`, and items under
//! `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The rooms from the lowest on, and what each may import beside itself. Files beside the rooms belong to none.
const ROOMS: [(&str, &[&str]); 11] = [
    ("error", &[]),
    ("util", &["error"]),
    ("compile", &["error", "util"]),
    ("key", &["error", "util"]),
    ("invalidation", &["error", "util", "compile", "key"]),
    ("telemetry", &["error", "util", "key", "invalidation"]),
    ("store", &["error", "util", "key", "invalidation", "telemetry"]),
    ("cache", &["error", "util", "compile", "key", "invalidation", "telemetry", "store"]),
    ("template", &["error", "util", "compile", "key", "invalidation", "telemetry", "store", "cache"]),
    ("http", &["error", "util", "key", "invalidation", "telemetry", "store", "cache", "template"]),
    (
        "dashboard",
        &["error", "util", "compile", "key", "invalidation", "telemetry", "store", "cache", "template", "http"],
    ),
];

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;
const DEEPEST: usize = 4;
const MOST_PARAMETERS: usize = 5;

/// A parsed file of `src`.
struct Source {
    /// Its path below `src`.
    path: String,
    /// The segments of its module's path.
    module: Vec<String>,
    text: String,
    ast: syn::File,
}

/// An edge between two files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    /// The path that makes it.
    by: String,
}

struct Crate {
    files: Vec<Source>,
    /// Files by module path.
    modules: BTreeMap<Vec<String>, usize>,
    /// Files by the names that they define.
    definitions: BTreeMap<String, BTreeSet<usize>>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => return attribute.path().is_ident("test"),
        };
        text == "test" || text.starts_with("all (test") || text.starts_with("all(test") || text == "doctest"
    })
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "model.rs" {
            found.push(path);
        }
    }
}

impl Crate {
    fn read() -> Crate {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        sources(&root, &mut paths);
        paths.sort();
        let files: Vec<Source> = paths.iter().map(|path| Source::read(&root, path)).collect();
        let modules = files.iter().enumerate().map(|(at, file)| (file.module.clone(), at)).collect();
        let mut definitions: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (at, file) in files.iter().enumerate() {
            for name in defined(&file.ast.items) {
                definitions.entry(name).or_default().insert(at);
            }
        }
        Crate { files, modules, definitions }
    }

    /// The file that defines what a path names, seen from a file.
    fn resolve(&self, from: &Source, path: &[String]) -> Option<usize> {
        let mut module = from.module.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => (module, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    module.pop()?;
                    rest = &rest[1..];
                }
            }
            _ => return None,
        }
        while let Some(segment) = rest.first() {
            let inner: Vec<String> = module.iter().chain([segment]).cloned().collect();
            if !self.modules.contains_key(&inner) {
                break;
            }
            (module, rest) = (inner, &rest[1..]);
        }
        let here = self.modules.get(&module).copied();
        let Some(name) = rest.first() else { return here };
        let defined = self.definitions.get(name)?;
        // A module passes on what is defined in itself, else below it, else elsewhere.
        let below = |at: &&usize| self.files[**at].module.starts_with(&module);
        here.filter(|here| defined.contains(here))
            .or_else(|| defined.iter().find(below).copied())
            .or_else(|| defined.first().copied())
    }

    fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for file in &self.files {
            let mut paths = Paths::default();
            paths.visit_file(&file.ast);
            for path in paths.found {
                let Some(to) = self.resolve(file, &path) else { continue };
                let to = &self.files[to].path;
                if *to != file.path {
                    edges.insert(Edge { from: file.path.clone(), to: to.clone(), by: path.join("::") });
                }
            }
        }
        edges
    }
}

impl Source {
    fn read(root: &Path, path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap();
        let ast = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod") || path == "lib.rs" {
            module.pop();
        }
        Source { path, module, text, ast }
    }

    /// The room that it is in; `None` beside the rooms.
    fn room(&self) -> Option<&'static str> {
        room(&self.path)
    }

    /// Lines without those of tests.
    fn lines(&self) -> usize {
        let tests = self.ast.items.iter().filter(|item| is_test(attributes(item)));
        let of_tests: usize = tests.map(lines).sum();
        self.text.lines().count() - of_tests
    }
}

fn room(path: &str) -> Option<&'static str> {
    let first = path.split('/').next()?.trim_end_matches(".rs");
    ROOMS.iter().map(|(room, _)| *room).find(|room| *room == first)
}

fn lines(spanned: &impl Spanned) -> usize {
    let span = spanned.span();
    span.end().line - span.start().line + 1
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The names that a file defines.
fn defined(items: &[syn::Item]) -> Vec<String> {
    let name = |item: &syn::Item| {
        let ident = match item {
            syn::Item::Const(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Macro(item) => item.ident.as_ref()?,
            _ => return None,
        };
        Some(ident.to_string())
    };
    items.iter().filter(|item| !is_test(attributes(item))).filter_map(name).collect()
}

/// The paths into the crate that a file mentions.
#[derive(Default)]
struct Paths {
    found: BTreeSet<Vec<String>>,
}

impl Paths {
    fn tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => _ = self.found.insert(before.to_vec()),
            syn::UseTree::Name(name) => _ = self.found.insert(with(&name.ident)),
            syn::UseTree::Rename(name) if name.ident == "self" => _ = self.found.insert(before.to_vec()),
            syn::UseTree::Rename(name) => _ = self.found.insert(with(&name.ident)),
            syn::UseTree::Glob(_) => _ = self.found.insert(before.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, before)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // What a module only passes on is resolved where it is used.
        if matches!(item.vis, syn::Visibility::Inherited) {
            self.tree(&item.tree, &[]);
        }
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if matches!(segments[0].as_str(), "crate" | "super") {
            self.found.insert(segments);
        }
        visit::visit_path(self, path);
    }
}

/// Functions and methods, each with its name.
#[derive(Default)]
struct Functions {
    faults: Vec<String>,
    depth: usize,
    deepest: usize,
}

impl Functions {
    fn function(&mut self, signature: &syn::Signature, lines: usize, visit: impl FnOnce(&mut Functions)) {
        let outer = (std::mem::take(&mut self.depth), std::mem::take(&mut self.deepest));
        visit(self);
        let name = &signature.ident;
        if lines > LONGEST_FUNCTION {
            self.faults.push(format!("fn {name} has {lines} lines; at most {LONGEST_FUNCTION}"));
        }
        if self.deepest > DEEPEST {
            self.faults.push(format!("fn {name} nests {} deep; at most {DEEPEST}", self.deepest));
        }
        let parameters = signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_))).count();
        if parameters > MOST_PARAMETERS {
            self.faults.push(format!("fn {name} has {parameters} parameters; at most {MOST_PARAMETERS}"));
        }
        (self.depth, self.deepest) = outer;
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, lines(&function.block), |functions| visit::visit_item_fn(functions, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, lines(&function.block), |functions| {
            visit::visit_impl_item_fn(functions, function);
        });
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        visit::visit_block(self, block);
        self.depth -= 1;
    }
}

#[test]
fn a_room_imports_only_the_rooms_below_it() {
    let all = Crate::read();
    let may =
        |from: &str, to: &str| from == to || ROOMS.iter().any(|(room, below)| *room == from && below.contains(&to));
    let upward: Vec<String> = all
        .edges()
        .iter()
        .filter_map(|edge| Some((edge, room(&edge.from)?, room(&edge.to)?)))
        .filter(|(_, from, to)| !may(from, to))
        .map(|(edge, from, to)| format!("{} uses {} ({}): {from} may not import {to}", edge.from, edge.by, edge.to))
        .collect();
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn no_two_files_of_a_room_import_each_other_even_by_way_of_others() {
    let all = Crate::read();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let edges = all.edges();
    for edge in &edges {
        if room(&edge.from) == room(&edge.to) && room(&edge.from).is_some() {
            imports.entry(&edge.from).or_default().insert(&edge.to);
        }
    }
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(file) = next.pop() {
            for to in imports.get(file.as_str()).into_iter().flatten() {
                if seen.insert((*to).to_owned()) {
                    next.push((*to).to_owned());
                }
            }
        }
        seen
    };
    let circles: Vec<String> = edges
        .iter()
        .filter(|edge| imports.get(edge.from.as_str()).is_some_and(|to| to.contains(edge.to.as_str())))
        .filter(|edge| reached(&edge.to).contains(&edge.from))
        .map(|edge| format!("{} uses {} ({}), which leads back", edge.from, edge.by, edge.to))
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn files_functions_nests_and_parameter_lists_are_small() {
    let mut faults = Vec::new();
    for file in &Crate::read().files {
        let lines = file.lines();
        if lines > LONGEST_FILE {
            faults.push(format!("{}: {lines} lines without tests; at most {LONGEST_FILE}", file.path));
        }
        let mut functions = Functions::default();
        functions.visit_file(&file.ast);
        faults.extend(functions.faults.into_iter().map(|fault| format!("{}: {fault}", file.path)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_is_in_a_room_and_no_lint_is_off_for_the_whole_crate() {
    let all = Crate::read();
    let beside = ["lib.rs", "guide.rs"];
    for file in &all.files {
        assert!(file.room().is_some() || beside.contains(&file.path.as_str()), "{} is in no room", file.path);
    }
    let root = all.files.iter().find(|file| file.path == "lib.rs").unwrap();
    let off: Vec<String> = root
        .text
        .lines()
        .filter(|line| line.starts_with("#![") && line.contains("allow("))
        .map(str::to_owned)
        .collect();
    assert!(off.is_empty(), "lib.rs switches lints off for the whole crate: {off:?}");
}

#[test]
fn no_two_types_have_one_name() {
    let all = Crate::read();
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for file in &all.files {
        for item in file.ast.items.iter().filter(|item| !is_test(attributes(item))) {
            let name = match item {
                syn::Item::Enum(item) => &item.ident,
                syn::Item::Struct(item) => &item.ident,
                syn::Item::Trait(item) => &item.ident,
                syn::Item::Type(item) => &item.ident,
                _ => continue,
            };
            places.entry(name.to_string()).or_default().push(&file.path);
        }
    }
    let twice: Vec<String> = places
        .iter()
        .filter(|(_, files)| files.iter().filter(|file| !file.ends_with("disabled.rs")).count() > 1)
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(twice.is_empty(), "{} names are used twice:\n{}", twice.len(), twice.join("\n"));
}
