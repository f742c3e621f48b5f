//! Marks in a streamed text, in which a chunk may end inside of a mark.

use crate::telemetry::mark_text::{ENDS, MAX_DIGITS, Marks, common_length, parse_number};

/// The length of the longest [`ENDS`].
const LONGEST_END: usize = 3;

impl Marks {
    /// The length of the text in which marks can be found without knowing what follows. It is shorter than the text if
    /// that may end inside of a mark.
    pub(crate) fn decidable_length(&self, text: &[u8]) -> usize {
        let longest = self.prefix.len() + 1 + MAX_DIGITS + LONGEST_END - 1;
        let from = text.len().saturating_sub(longest);
        let open = (from..text.len()).find(|at| self.may_be_start(&text[*at..]));
        open.unwrap_or(text.len())
    }

    fn may_be_start(&self, text: &[u8]) -> bool {
        let same = common_length(self.prefix.as_bytes(), text);
        match text.get(same..) {
            Some([]) => true,
            Some(rest) if same == self.prefix.len() => match parse_number(rest) {
                Some(number) => !number.ended && may_be_start_of_end(&rest[number.length..]),
                None => false,
            },
            _ => false,
        }
    }
}

/// Whether the text is the start of a mark's end.
fn may_be_start_of_end(text: &[u8]) -> bool {
    ENDS.iter().any(|end| end.starts_with(text))
}
