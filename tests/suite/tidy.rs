//! Which part of the crate may know which: read off the `use` lines, so that a forbidden edge is named.

use std::fs;
use std::path::{Path, PathBuf};

/// A part, and what it must not import.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    (
        "src/compile",
        &[
            "crate::cache",
            "crate::context",
            "crate::floors",
            "crate::lookup",
            "crate::runtime",
            "crate::shared",
            "crate::store",
        ],
    ),
    ("src/store", &["minijinja", "crate::cache", "crate::context", "crate::lookup", "crate::runtime", "crate::shared"]),
    ("src/debug", &["minijinja", "crate::cache", "crate::context", "crate::http", "crate::lookup", "crate::observe"]),
    ("src/key", &["crate::cache", "crate::lookup", "crate::store"]),
    ("src/watch", &["minijinja", "crate::cache", "crate::templates", "crate::floors", "crate::store"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn parts_import_only_what_they_may_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut edges = Vec::new();
    for (part, forbidden) in FORBIDDEN {
        let mut files = vec![root.join(part).with_extension("rs")];
        sources(&root.join(part), &mut files);
        assert!(files.len() > 1, "{part}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let imports = text.lines().filter_map(|line| line.trim().strip_prefix("use "));
            for import in imports {
                if forbidden
                    .iter()
                    .any(|name| import.strip_prefix(name).is_some_and(|rest| rest.starts_with([':', ';'])))
                {
                    edges.push(format!("{} uses {import}", file.strip_prefix(root).unwrap().display()));
                }
            }
        }
    }
    assert!(edges.is_empty(), "{}", edges.join("\n"));
}

/// The edges know the cache, and not the other way round; nor do they know each other.
#[test]
fn nothing_imports_an_edge() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for edge in ["http", "dashboard"] {
        let inside =
            |file: &PathBuf| file.starts_with(root.join(edge)) || *file == root.join(edge).with_extension("rs");
        assert!(files.iter().filter(|file| inside(file)).count() > 1, "{edge}");
        for file in files.iter().filter(|file| !inside(file)) {
            let text = fs::read_to_string(file).unwrap();
            let imports = text.lines().any(|line| line.trim().starts_with(&format!("use crate::{edge}")));
            assert!(!imports, "{} uses {edge}", file.display());
        }
    }
}
