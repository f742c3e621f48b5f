//! Marks: what stands around a fragment's text until it is known where the text ends up.
//!
//! A mark is `mjc`, 16 hexadecimal digits of this process, `b` or `e`, the fragment's number in hexadecimal, and a
//! semicolon. No escaping changes it. Filters may: what they leave of a mark is found as far as it can be told from
//! the page's own words.

/// How a mark starts, before the digits.
const NAME: &str = "mjc";

/// Fewer letters than these are not taken for a mark that was cut: `mjc` and two digits.
const HEAD: usize = NAME.len() + 2;

/// Nor is the end of one without so many of the process's digits.
const TAIL: usize = 6;

/// As many digits as a number can have.
pub(super) const DIGITS: usize = 16;

/// What a mark ends with; the others are what an address makes of it.
pub(super) const ENDS: [&[u8]; 3] = [b";", b"%3B", b"%3b"];

/// The marks of this process.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(super) prefix: Box<str>,
}

/// Whether a mark stands before or after its fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkSide {
    Begin,
    End,
}

/// A whole mark that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FragmentMark {
    /// Where it was, in the text without any marks.
    pub(super) at: usize,
    pub(super) side: MarkSide,
    pub(super) id: u64,
}

/// Text without marks, and those that were whole, in order.
#[derive(Debug)]
pub(super) struct FoundMarks {
    pub(super) text: Vec<u8>,
    pub(super) marks: Vec<FragmentMark>,
}

/// What stands at a place of the text.
enum MarkMatch {
    Whole { side: MarkSide, id: u64, length: usize },
    Cut { length: usize },
    Text,
}

impl Marks {
    /// Marks with these digits.
    pub(crate) fn new(process: u64) -> Marks {
        Marks { prefix: format!("{NAME}{process:016x}").into() }
    }

    /// A text between the marks of a fragment.
    pub(crate) fn around(&self, text: &str, id: u64) -> String {
        let prefix = &self.prefix;
        format!("{prefix}b{id:x};{text}{prefix}e{id:x};")
    }

    /// Removes every mark, and what is left of those that were cut. `None` if there is none.
    pub(crate) fn strip(&self, text: &[u8]) -> Option<Vec<u8>> {
        let found = self.find(text);
        (found.text.len() != text.len()).then_some(found.text)
    }

    pub(super) fn find(&self, text: &[u8]) -> FoundMarks {
        let mut found = FoundMarks { text: Vec::with_capacity(text.len()), marks: Vec::new() };
        let tail = &self.prefix.as_bytes()[self.prefix.len() - TAIL..];
        let first = [NAME.as_bytes()[0], tail[0]];
        let mut at = 0;
        while at < text.len() {
            let next = text[at..].iter().position(|byte| first.contains(&byte.to_ascii_lowercase()));
            let Some(next) = next.map(|ahead| at + ahead) else { break };
            found.text.extend_from_slice(&text[at..next]);
            at = next;
            match self.see(&text[at..]) {
                MarkMatch::Whole { side, id, length } => {
                    found.marks.push(FragmentMark { at: found.text.len(), side, id });
                    at += length;
                }
                MarkMatch::Cut { length } => at += length,
                MarkMatch::Text => match self.see_tail(tail, &text[at..]) {
                    Some(length) => {
                        self.take_back(&mut found);
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

    fn see(&self, text: &[u8]) -> MarkMatch {
        let same = common(self.prefix.as_bytes(), text);
        if same < HEAD {
            return MarkMatch::Text;
        }
        if same < self.prefix.len() {
            return MarkMatch::Cut { length: same };
        }
        match number(&text[same..]) {
            Some(MarkNumber { side, id: Some(id), length, ended: true }) => {
                MarkMatch::Whole { side, id, length: same + length }
            }
            Some(MarkNumber { length, .. }) => MarkMatch::Cut { length: same + length },
            None => MarkMatch::Cut { length: same },
        }
    }

    /// The length of the rest of a mark whose beginning was cut off, from the last of the process's digits on.
    fn see_tail(&self, tail: &[u8], text: &[u8]) -> Option<usize> {
        let rest = (common(tail, text) == tail.len()).then(|| &text[tail.len()..])?;
        number(rest).filter(|number| number.ended).map(|number| tail.len() + number.length)
    }

    /// Removes what was taken for text before the rest of a mark was recognised.
    fn take_back(&self, found: &mut FoundMarks) {
        let before = &self.prefix.as_bytes()[..self.prefix.len() - TAIL];
        let since = found.marks.last().map_or(0, |mark| mark.at);
        let kept = found.text[since..].iter().rev();
        let same = kept.zip(before.iter().rev()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        found.text.truncate(found.text.len() - same);
    }
}

/// How many bytes are the same from the start, whatever their case.
pub(super) fn common(prefix: &[u8], text: &[u8]) -> usize {
    prefix.iter().zip(text).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
}

/// What follows the process's digits.
pub(super) struct MarkNumber {
    side: MarkSide,
    /// `None` if there are no digits, or more than a number can have.
    id: Option<u64>,
    pub(super) length: usize,
    /// Whether the semicolon is there.
    pub(super) ended: bool,
}

pub(super) fn number(text: &[u8]) -> Option<MarkNumber> {
    let side = match text.first()?.to_ascii_lowercase() {
        b'b' => MarkSide::Begin,
        b'e' => MarkSide::End,
        _ => return None,
    };
    let digits = text[1..].iter().take(DIGITS).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let written = std::str::from_utf8(&text[1..1 + digits]).ok();
    let id = written.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let rest = &text[1 + digits..];
    let end = ENDS.into_iter().find(|end| rest.starts_with(end));
    Some(MarkNumber { side, id, length: 1 + digits + end.map_or(0, <[u8]>::len), ended: end.is_some() && digits > 0 })
}
