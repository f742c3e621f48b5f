//! The cache tag that would fit.

use super::Kind;
use super::inputs::InputKind;

/// How many attributes of one value stand in a key by themselves; of more, the value does.
const ATTRIBUTES: usize = 3;

/// The opening tag of a cache block around an include, or around the body of a macro. The inputs are sorted.
pub(crate) fn tag(kind: Kind, what: &str, inputs: &[(&str, InputKind)]) -> String {
    let name = match kind {
        Kind::Include => what.to_owned(),
        Kind::Macro => format!("'{what}'"),
    };
    let mut key = vec![name];
    for &(input, kind) in inputs {
        let part = part(input, kind, inputs);
        if key.last() != Some(&part) {
            key.push(part);
        }
    }
    format!("{{% cache [{}] %}}", key.join(", "))
}

/// An input as a part of a key, or as two: nothing in it may be undefined.
fn part(input: &str, kind: InputKind, inputs: &[(&str, InputKind)]) -> String {
    let root = root_of(input);
    let of_root = || inputs.iter().filter(|(other, _)| root_of(other) == root);
    let worst = of_root().map(|(_, kind)| *kind).max().unwrap_or(kind);
    match (kind, worst) {
        (_, InputKind::Lazy) => format!("key_of_{root}"),
        (_, InputKind::Missing) => optional(root),
        _ if of_root().count() > ATTRIBUTES => root.to_owned(),
        (InputKind::MissingAttribute, _) => optional(input),
        _ => input.to_owned(),
    }
}

/// Undefined is told from `none`, as a template tells them.
fn optional(input: &str) -> String {
    format!("{input} is defined, {input}|default(none)")
}

fn root_of(input: &str) -> &str {
    input.split('.').next().unwrap_or_default()
}
