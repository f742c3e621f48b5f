//! The content of an entry as plain text, which the browser never interprets as markup.

use std::fmt::Write as _;

use crate::http::page::{BodySegment, Page, StoredResponse};
use crate::store::entry::Body;

/// The largest preview, in bytes.
const SHOWN: usize = 64 << 10;

/// The beginning of the content of an entry.
pub(super) struct Preview {
    /// The kind of content: markup, text, value or response.
    pub(super) kind: &'static str,
    pub(super) text: String,
    /// Whether the content is longer.
    pub(super) cut: bool,
}

pub(super) fn of(body: &Body) -> Preview {
    let (kind, text) = match body {
        Body::Text(text) if text.is_safe() => ("markup", text.as_str().unwrap_or_default().to_owned()),
        Body::Text(text) => ("text", text.as_str().unwrap_or_default().to_owned()),
        Body::Data(bytes) => ("value", data(bytes)),
        Body::Page(_) => ("response", body.page().map(response).unwrap_or_default()),
    };
    let end = (0..=SHOWN.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let cut = end < text.len();
    Preview { kind, text: if cut { text[..end].to_owned() } else { text }, cut }
}

/// A value, as JSON.
fn data(bytes: &[u8]) -> String {
    let value = rmp_serde::from_slice::<serde_json::Value>(bytes).ok();
    let text = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    text.unwrap_or_else(|| format!("({} bytes of MessagePack that are no JSON)", bytes.len()))
}

fn response(page: &Page) -> String {
    match page {
        Page::VaryIndex(names) => {
            let names: Vec<&str> = names.iter().map(http::HeaderName::as_str).collect();
            format!("(where the responses of this address are: they vary by {})", names.join(", "))
        }
        Page::Response(stored) => stored_response(stored),
    }
}

fn stored_response(stored: &StoredResponse) -> String {
    let mut text = format!("{}\n", stored.status);
    for (name, value) in &stored.headers {
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    text.push('\n');
    for piece in &stored.body {
        if text.len() > SHOWN {
            break;
        }
        match piece {
            BodySegment::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(body) => text.push_str(body),
                Err(_) => {
                    let _ = write!(text, "({} bytes that are no text)", bytes.len());
                }
            },
            BodySegment::Hole(call) => {
                let _ = write!(text, "(hole: {})", call.name);
            }
        }
    }
    text
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use minijinja::Value;

    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        let preview = of(&Body::Text(Value::from("ü".repeat(SHOWN))));
        assert!(preview.cut && preview.text.len() == SHOWN);
        let preview = of(&Body::Text(Value::from_safe_string("<b>".into())));
        assert_eq!((preview.kind, preview.text.as_str(), preview.cut), ("markup", "<b>", false));
    }

    #[test]
    fn a_value_is_shown_as_json_if_it_has_a_json_form() {
        let shown = |bytes: Vec<u8>| of(&Body::Data(bytes.into())).text;
        assert_eq!(shown(rmp_serde::to_vec(&[1, 2]).unwrap()), "[\n  1,\n  2\n]");
        assert_eq!(shown(rmp_serde::to_vec(&f64::NAN).unwrap()), "null");
        assert!(shown(vec![0xc1]).contains("no JSON"));
    }
}
