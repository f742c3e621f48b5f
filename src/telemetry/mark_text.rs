//! The format of marks: the text before and after a fragment that shows its position in the page.
//!
//! `mark.rs` decides which fragments get marks.
//!
//! A mark is `mjc`, 16 hexadecimal digits of this process, `b` or `e`, the number of the fragment in hexadecimal, and a
//! semicolon. Escaping does not change a mark, but filters may. The rest of a changed mark is removed if it can be
//! distinguished from the page's own text.

/// The start of every mark.
const NAME: &str = "mjc";

/// The shortest start of a mark that counts as a truncated mark: `mjc` and two digits.
const MIN_HEAD: usize = NAME.len() + 2;

/// The least number of process digits in the rest of a mark whose start is missing.
const MIN_TAIL: usize = 6;

/// The largest number of digits of a fragment's number.
pub(crate) const MAX_DIGITS: usize = 16;

/// The end of a mark: a semicolon, plain or percent-encoded.
pub(crate) const ENDS: [&[u8]; 3] = [b";", b"%3B", b"%3b"];

/// Marks with the digits of one process.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) prefix: Box<str>,
}

/// The side of its fragment that a mark is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkSide {
    Begin,
    End,
}

/// A complete mark in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FragmentMark {
    /// The position in the text without marks.
    pub(crate) at: usize,
    pub(crate) side: MarkSide,
    pub(crate) id: u64,
}

/// The text without marks, and the complete marks in order.
#[derive(Debug)]
pub(crate) struct FoundMarks {
    pub(crate) text: Vec<u8>,
    pub(crate) marks: Vec<FragmentMark>,
}

/// The result of matching a mark at a position.
enum MarkMatch {
    Whole {
        side: MarkSide,
        id: u64,
        length: usize,
    },
    /// The start of a mark.
    Truncated {
        length: usize,
    },
    None,
}

impl Marks {
    /// Marks with the digits of the number `process`.
    pub(crate) fn new(process: u64) -> Marks {
        Marks { prefix: format!("{NAME}{process:016x}").into() }
    }

    /// Puts the marks of a fragment around its text.
    pub(crate) fn around(&self, text: &str, id: u64) -> String {
        let prefix = &self.prefix;
        format!("{prefix}b{id:x};{text}{prefix}e{id:x};")
    }

    /// Removes complete and truncated marks. `None` if there are none.
    pub(crate) fn strip(&self, text: &[u8]) -> Option<Vec<u8>> {
        let found = self.find(text);
        (found.text.len() != text.len()).then_some(found.text)
    }

    pub(crate) fn find(&self, text: &[u8]) -> FoundMarks {
        let mut found = FoundMarks { text: Vec::with_capacity(text.len()), marks: Vec::new() };
        let tail = &self.prefix.as_bytes()[self.prefix.len() - MIN_TAIL..];
        let first = [NAME.as_bytes()[0], tail[0]];
        let mut at = 0;
        while at < text.len() {
            let next = text[at..].iter().position(|byte| first.contains(&byte.to_ascii_lowercase()));
            let Some(next) = next.map(|ahead| at + ahead) else { break };
            found.text.extend_from_slice(&text[at..next]);
            at = next;
            match self.match_mark(&text[at..]) {
                MarkMatch::Whole { side, id, length } => {
                    found.marks.push(FragmentMark { at: found.text.len(), side, id });
                    at += length;
                }
                MarkMatch::Truncated { length } => at += length,
                MarkMatch::None => match self.match_tail(tail, &text[at..]) {
                    Some(length) => {
                        self.remove_start_of_tail(&mut found);
                        at += length;
                    }
                    None => {
                        found.text.push(text[at]);
                        at += 1;
                    }
                },
            }
        }
        found.text.extend_from_slice(&text[at..]);
        found
    }

    fn match_mark(&self, text: &[u8]) -> MarkMatch {
        let same = common_length(self.prefix.as_bytes(), text);
        if same < MIN_HEAD {
            return MarkMatch::None;
        }
        if same < self.prefix.len() {
            return MarkMatch::Truncated { length: same };
        }
        match parse_number(&text[same..]) {
            Some(MarkNumber { side, id: Some(id), length, ended: true }) => {
                MarkMatch::Whole { side, id, length: same + length }
            }
            Some(MarkNumber { length, .. }) => MarkMatch::Truncated { length: same + length },
            None => MarkMatch::Truncated { length: same },
        }
    }

    /// The length of the rest of a mark whose start is missing.
    fn match_tail(&self, tail: &[u8], text: &[u8]) -> Option<usize> {
        let rest = (common_length(tail, text) == tail.len()).then(|| &text[tail.len()..])?;
        parse_number(rest).filter(|number| number.ended).map(|number| tail.len() + number.length)
    }

    /// Removes the start of a mark whose rest matched from the text found so far.
    fn remove_start_of_tail(&self, found: &mut FoundMarks) {
        let before = &self.prefix.as_bytes()[..self.prefix.len() - MIN_TAIL];
        let since = found.marks.last().map_or(0, |mark| mark.at);
        let kept = found.text[since..].iter().rev();
        let same = kept.zip(before.iter().rev()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        found.text.truncate(found.text.len() - same);
    }
}

/// The length of the common start of two texts, compared without case.
pub(crate) fn common_length(prefix: &[u8], text: &[u8]) -> usize {
    prefix.iter().zip(text).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
}

/// The part of a mark behind the digits of the process.
pub(crate) struct MarkNumber {
    side: MarkSide,
    /// `None` without digits, or if the number is too large.
    id: Option<u64>,
    pub(crate) length: usize,
    /// True if the number has digits and an end.
    pub(crate) ended: bool,
}

pub(crate) fn parse_number(text: &[u8]) -> Option<MarkNumber> {
    let side = match text.first()?.to_ascii_lowercase() {
        b'b' => MarkSide::Begin,
        b'e' => MarkSide::End,
        _ => return None,
    };
    let digits = text[1..].iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let written = std::str::from_utf8(&text[1..1 + digits]).ok();
    let id = written.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let rest = &text[1 + digits..];
    let end = ENDS.into_iter().find(|end| rest.starts_with(end));
    Some(MarkNumber { side, id, length: 1 + digits + end.map_or(0, <[u8]>::len), ended: end.is_some() && digits > 0 })
}
