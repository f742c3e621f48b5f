//! The content of comments: JSON that cannot end the comment, in a page of any encoding.

use std::fmt::Write;

/// A JSON object in ASCII without `<`, `>` and two hyphens in a row, so that no text in it can end the comment.
#[derive(Debug)]
pub(crate) struct CommentObject {
    json: String,
}

impl CommentObject {
    pub(crate) fn new() -> CommentObject {
        CommentObject { json: String::from("{") }
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> CommentObject {
        self.write_name(name);
        write_string(&mut self.json, value);
        self
    }

    /// Adds a number, rounded to thousandths. A number that is not finite is left out, because JSON has none.
    pub(crate) fn number(mut self, name: &str, value: f64) -> CommentObject {
        if value.is_finite() {
            self.write_name(name);
            // Writing to a write_string cannot fail.
            let _ = write!(self.json, "{}", (value * 1000.0).round() / 1000.0);
        }
        self
    }

    /// Adds a list, unless it is empty.
    pub(crate) fn list<'a>(mut self, name: &str, values: impl IntoIterator<Item = &'a str>) -> CommentObject {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return self;
        }
        self.write_name(name);
        for (at, value) in values.enumerate() {
            self.json.push(if at == 0 { '[' } else { ',' });
            write_string(&mut self.json, value);
        }
        self.json.push(']');
        self
    }

    pub(crate) fn object(mut self, name: &str, value: CommentObject) -> CommentObject {
        self.write_name(name);
        self.json.push_str(&value.finish());
        self
    }

    /// Adds a list of objects, unless it is empty.
    pub(crate) fn objects(mut self, name: &str, values: impl IntoIterator<Item = CommentObject>) -> CommentObject {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return self };
        self.write_name(name);
        self.json.push('[');
        self.json.push_str(&first.finish());
        for value in values {
            self.json.push(',');
            self.json.push_str(&value.finish());
        }
        self.json.push(']');
        self
    }

    pub(crate) fn finish(mut self) -> String {
        self.json.push('}');
        self.json
    }

    fn write_name(&mut self, name: &str) {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        write_string(&mut self.json, name);
        self.json.push(':');
    }
}

fn write_string(json: &mut String, value: &str) {
    json.push('"');
    for unit in value.encode_utf16() {
        match u8::try_from(unit) {
            Ok(plain @ (b' ' | b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']'..=b'~')) => {
                let after_hyphen = plain == b'-' && json.ends_with('-');
                match after_hyphen {
                    true => json.push_str("\\u002d"),
                    false => json.push(char::from(plain)),
                }
            }
            Ok(quoted @ (b'"' | b'\\')) => {
                json.push('\\');
                json.push(char::from(quoted));
            }
            _ => {
                let _ = write!(json, "\\u{unit:04x}");
            }
        }
    }
    json.push('"');
}
