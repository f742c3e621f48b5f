//! Decodes an encoded key into text for reports.
//!
//! The format is defined in `key/format.rs`.

use std::fmt::{self, Write};

use super::format::{BYTES, FALSE, FLOAT, LIST, MAP, MAX_DEPTH, NEGATIVE, NONE, POSITIVE, TEXT, TRUE};

/// Writes a key as a template would, followed by the query of a page. Bytes that are no key are written as `?`. The
/// text may contain private data.
pub(crate) fn readable(named: &[u8]) -> String {
    let mut text = String::new();
    let mut reader = KeyReader { rest: named };
    if reader.item(&mut text, 0).is_none() {
        text.push('?');
    } else if !reader.rest.is_empty() {
        text.push_str(" ?");
        text.push_str(reader.query().unwrap_or_default());
    }
    text
}

/// The length of the key at the start of `bytes`; `None` if `bytes` does not start with a key.
pub(crate) fn extent(bytes: &[u8]) -> Option<usize> {
    struct Nowhere;
    impl Write for Nowhere {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Ok(())
        }
    }
    let mut reader = KeyReader { rest: bytes };
    reader.item(&mut Nowhere, 0)?;
    Some(bytes.len() - reader.rest.len())
}

struct KeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    fn item(&mut self, out: &mut impl Write, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let kind = *self.rest.split_off_first()?;
        match kind {
            NONE => out.write_str("none"),
            FALSE => out.write_str("false"),
            TRUE => out.write_str("true"),
            POSITIVE | NEGATIVE => {
                let sign = if kind == NEGATIVE { "-" } else { "" };
                write!(out, "{sign}{}", self.magnitude()?)
            }
            FLOAT => write!(out, "{:?}", f64::from_le_bytes(self.array()?)),
            TEXT => {
                let length = self.length()?;
                write!(out, "{:?}", std::str::from_utf8(self.take(length)?).ok()?)
            }
            BYTES => {
                let length = self.length()?;
                write!(out, "{} bytes", self.take(length)?.len())
            }
            LIST => return self.items(out, ["[", "]"], |reader, out| reader.item(out, depth + 1)),
            MAP => {
                return self.items(out, ["{", "}"], |reader, out| {
                    reader.item(out, depth + 1)?;
                    out.write_str(": ").ok()?;
                    reader.item(out, depth + 1)
                });
            }
            _ => return None,
        }
        .ok()
    }

    /// The query of a page, as [`RequestBuilder::query`](crate::store::request::RequestBuilder) wrote it.
    fn query(&mut self) -> Option<&'a str> {
        self.take(1)?;
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn items<W: Write>(
        &mut self,
        out: &mut W,
        [open, close]: [&str; 2],
        each: impl Fn(&mut Self, &mut W) -> Option<()>,
    ) -> Option<()> {
        let count = self.length()?;
        out.write_str(open).ok()?;
        for at in 0..count {
            if at > 0 {
                out.write_str(", ").ok()?;
            }
            each(self, out)?;
        }
        out.write_str(close).ok()
    }

    fn magnitude(&mut self) -> Option<u128> {
        let length = *self.rest.split_off_first()?;
        let digits = self.take(usize::from(length))?;
        let mut whole = [0; 16];
        whole.get_mut(..digits.len())?.copy_from_slice(digits);
        Some(u128::from_le_bytes(whole))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).ok()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        self.rest.split_off(..count)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::collections::BTreeMap;

    use super::super::encode_handler;
    use super::*;

    fn shown(key: impl serde::Serialize) -> String {
        let mut bytes = Vec::new();
        encode_handler(&key, &mut bytes).unwrap();
        assert_eq!(extent(&[&bytes[..], b"more"].concat()), Some(bytes.len()));
        readable(&bytes)
    }

    #[test]
    fn a_key_reads_as_a_template_writes_it() {
        assert_eq!(shown("bio"), "\"bio\"");
        assert_eq!(shown(("user", 7, -3, 1.5, true)), "[\"user\", 7, -3, 1.5, true]");
        assert_eq!(shown(("q\"<", None::<u8>)), "[\"q\\\"<\", none]");
        assert_eq!(shown(u128::MAX), u128::MAX.to_string());
        assert_eq!(shown(BTreeMap::from([("b", vec![1]), ("a", vec![2, 3])])), "{\"a\": [2, 3], \"b\": [1]}");
    }

    #[test]
    fn what_is_no_key_is_read_without_harm() {
        for bytes in
            [&b""[..], &[99], &[TEXT, 9, 0, 0], &[TEXT, 255, 255, 255, 255, 255, 255, 255, 255], &[POSITIVE, 17]]
        {
            assert!(readable(bytes).ends_with('?'), "{bytes:?}");
            assert_eq!(extent(bytes), None);
        }
        assert_eq!(extent(&[[LIST, 1, 0, 0, 0, 0, 0, 0, 0]; 80].concat()), None);
        assert_eq!(extent(&[LIST, 255, 255, 255, 255, 255, 255, 255, 127]), None);
    }
}
