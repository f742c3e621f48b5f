//! What a comment says, as JSON that a comment can hold in any page.

use std::fmt::Write;

/// A JSON object in ASCII, without `<` and `>`, without two hyphens in a row: no text in it can end the comment that it
/// stands in, whatever the encoding of the page.
#[derive(Debug)]
pub(crate) struct CommentObject {
    json: String,
}

impl CommentObject {
    pub(crate) fn new() -> CommentObject {
        CommentObject { json: String::from("{") }
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> CommentObject {
        self.name(name);
        string(&mut self.json, value);
        self
    }

    /// A number, of thousandths at most. JSON has none that is not finite; it is left out.
    pub(crate) fn number(mut self, name: &str, value: f64) -> CommentObject {
        if value.is_finite() {
            self.name(name);
            // Writing to a string cannot fail.
            let _ = write!(self.json, "{}", (value * 1000.0).round() / 1000.0);
        }
        self
    }

    /// A list, left out if it is empty.
    pub(crate) fn list<'a>(mut self, name: &str, values: impl IntoIterator<Item = &'a str>) -> CommentObject {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return self;
        }
        self.name(name);
        for (at, value) in values.enumerate() {
            self.json.push(if at == 0 { '[' } else { ',' });
            string(&mut self.json, value);
        }
        self.json.push(']');
        self
    }

    pub(crate) fn object(mut self, name: &str, value: CommentObject) -> CommentObject {
        self.name(name);
        self.json.push_str(&value.finish());
        self
    }

    /// A list of them, left out if it is empty.
    pub(crate) fn objects(mut self, name: &str, values: impl IntoIterator<Item = CommentObject>) -> CommentObject {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return self };
        self.name(name);
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

    fn name(&mut self, name: &str) {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        string(&mut self.json, name);
        self.json.push(':');
    }
}

fn string(json: &mut String, value: &str) {
    json.push('"');
    for unit in value.encode_utf16() {
        match u8::try_from(unit) {
            Ok(plain @ (b' ' | b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']'..=b'~')) => {
                let second = plain == b'-' && json.ends_with('-');
                match second {
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
