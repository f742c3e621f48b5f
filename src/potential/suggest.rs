//! The cache tag that would fit.

use super::{Kind, Potential};

/// How many attributes of one value stand in a key by themselves; of more, the value does.
const ATTRIBUTES: usize = 3;

/// The opening tag of a cache block around an include, or around the body of a macro, if one would help.
pub(crate) fn tag(kind: Kind, what: &str, measured: &Potential) -> Option<String> {
    if measured.conflicts > 0 || measured.repeats == 0 {
        return None;
    }
    let name = match kind {
        Kind::Include => what.to_owned(),
        Kind::Macro => format!("'{what}'"),
    };
    let key: Vec<String> = std::iter::once(name).chain(parts(&measured.inputs)).collect();
    Some(format!("{{% cache [{}] %}}", key.join(", ")))
}

/// The inputs as parts of a key, sorted.
fn parts(inputs: &[String]) -> Vec<String> {
    let root = |input: &str| input.split('.').next().unwrap_or_default().to_owned();
    let mut parts: Vec<String> = inputs
        .iter()
        .map(|input| {
            let attributes = inputs.iter().filter(|other| root(other) == root(input)).count();
            if attributes > ATTRIBUTES { root(input) } else { input.clone() }
        })
        .collect();
    parts.dedup();
    parts
}
