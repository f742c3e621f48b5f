//! The cache tag that the report suggests.

use super::input_kind::InputKind;

/// A key lists up to this many attributes of one value. If there are more, it holds the whole value.
const ATTRIBUTES: usize = 3;

/// The opening tag of a cache block around an include, or around the body of a macro. `subject` is the first part of
/// its key. The inputs are sorted.
pub(super) fn tag(subject: String, inputs: &[(&str, InputKind)]) -> String {
    let mut key = vec![subject];
    for &(input, kind) in inputs {
        let part = part(input, kind, inputs);
        if key.last() != Some(&part) {
            key.push(part);
        }
    }
    format!("{{% cache [{}] %}}", key.join(", "))
}

/// An input as one or two parts of a key. No part of a key may be undefined.
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

/// Two parts of a key that tell undefined from `none`, because templates can tell them apart.
fn optional(input: &str) -> String {
    format!("{input} is defined, {input}|default(none)")
}

fn root_of(input: &str) -> &str {
    input.split('.').next().unwrap_or_default()
}
