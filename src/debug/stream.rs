//! Marks in a text that comes piece by piece.

use super::marks::{DIGITS, ENDS, Marks, common, number};

/// Of what a mark ends with.
const LONGEST_END: usize = 3;

impl Marks {
    /// How much of a text can be told marks from without what follows it: less than all where it ends within what
    /// could become a mark.
    pub(crate) fn decided(&self, text: &[u8]) -> usize {
        let longest = self.prefix.len() + 1 + DIGITS + LONGEST_END - 1;
        let from = text.len().saturating_sub(longest);
        let open = (from..text.len()).find(|at| self.could_become(&text[*at..]));
        open.unwrap_or(text.len())
    }

    fn could_become(&self, text: &[u8]) -> bool {
        let same = common(self.prefix.as_bytes(), text);
        match text.get(same..) {
            Some([]) => true,
            Some(rest) if same == self.prefix.len() => match number(rest) {
                Some(number) => !number.ended && is_end_begun(&rest[number.length..]),
                None => false,
            },
            _ => false,
        }
    }
}

/// Whether a mark's end may have begun, but for what is to come.
fn is_end_begun(text: &[u8]) -> bool {
    ENDS.iter().any(|end| end.starts_with(text))
}
