//! Marks: where in a text each fragment begins and ends, for whoever turns them into comments or takes them out.
//!
//! A mark is letters and digits, so that no way of escaping changes it, and holds a number nobody can guess, so that no
//! text a visitor wrote is taken for one. What is stored has none.

use std::fmt::Write as _;
use std::sync::LazyLock;

use minijinja::Value;

use crate::cache::Inner;
use crate::context;
use crate::entry::Fragment;

/// What every mark of this process begins with.
static PREFIX: LazyLock<String> = LazyLock::new(|| {
    let random = ahash::RandomState::new().hash_one(std::process::id());
    format!("mjc{random:016x}")
});

pub(crate) fn prefix() -> &'static str {
    &PREFIX
}

/// The text between the marks of a number, if there is one; nothing is marked where there is nothing to see.
pub(crate) fn marked(text: Value, mark: Option<u64>) -> Value {
    let Some((mark, inside)) = mark.zip(text.as_str().filter(|text| !text.is_empty())) else { return text };
    let prefix = prefix();
    let mut out = String::with_capacity(inside.len() + 2 * prefix.len() + 16);
    let written = write!(out, "{prefix}b{mark:x};{inside}{prefix}e{mark:x};");
    debug_assert!(written.is_ok(), "writing to memory");
    if text.is_safe() { Value::from_safe_string(out) } else { Value::from(out) }
}

/// A text without marks.
pub(crate) fn unmarked(text: &Value) -> Value {
    match text.as_str().and_then(without_marks) {
        Some(plain) if text.is_safe() => Value::from_safe_string(plain),
        Some(plain) => Value::from(plain),
        None => text.clone(),
    }
}

/// The text without marks; `None` if it has none.
fn without_marks(text: &str) -> Option<String> {
    let prefix = prefix();
    let mut parts = text.split(prefix);
    let first = parts.next()?;
    let mut out = String::with_capacity(text.len());
    out.push_str(first);
    let mut any = false;
    for part in parts {
        any = true;
        let number = part.strip_prefix(['b', 'e']).and_then(|rest| rest.split_once(';'));
        match number {
            Some((digits, rest)) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => out.push_str(rest),
            // Cut short by a filter: what is left of it is no mark any more.
            _ => out.push_str(part),
        }
    }
    any.then_some(out)
}

impl Inner {
    /// A hit as it is printed.
    pub(crate) fn marked_hit(&self, text: Value) -> Value {
        if self.observers.collectors.marking() { marked(text, context::take_mark()) } else { text }
    }

    /// The same for a handler.
    pub(crate) fn marked_fragment(&self, text: Fragment) -> Fragment {
        if self.observers.collectors.marking() { text.marked(context::take_mark()) } else { text }
    }

    /// A text as it is stored.
    pub(crate) fn unmarked_text(&self, text: Value) -> Value {
        if self.observers.collectors.marking() { unmarked(&text) } else { text }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_whole_again_without_marks() {
        let inner = marked(Value::from_safe_string("<b>in</b>".into()), Some(0xa1));
        let outer = marked(Value::from(format!("a {inner} ü")), Some(7));
        assert!(inner.is_safe() && !outer.is_safe());
        assert_eq!(unmarked(&outer).as_str().unwrap(), "a <b>in</b> ü");
        assert_eq!(without_marks("nothing to see"), None);
        assert_eq!(marked(Value::from(""), Some(1)).as_str(), Some(""));
    }

    #[test]
    fn a_mark_that_was_cut_short_leaves_the_text_around_it() {
        let prefix = prefix();
        assert_eq!(without_marks(&format!("a{prefix}b1")).unwrap(), "ab1");
        assert_eq!(without_marks(&format!("a{prefix}zzz; c")).unwrap(), "azzz; c");
    }
}
