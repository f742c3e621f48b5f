//! Finds the parts of a template that can be measured: its includes and macros.
//!
//! Owns their positions and whether their output can be discarded. `probe` writes the replacements.

use crate::compile::scan::Scan;
use crate::compile::statement::{closes_block, keyword, opens_block};
use crate::compile::template::{Extends, Outline};

/// A measurable part, by the spans of its tags.
#[derive(Debug)]
pub(super) enum MeasuredPart {
    /// An include whose output is printed. If it is `outermost`, no statement around it captures the output, so the
    /// output is discarded when the output of the whole template is.
    Include { span: usize, outermost: bool },
    /// A macro, from its opening to its closing tag.
    Macro { open: usize, close: usize },
    /// A tag that renders a template and discards the output: `from`, or an include at the top level of a child
    /// template.
    Discarded { span: usize },
}

/// Finds the parts, ordered by their last tags.
pub(super) fn find_parts(scan: &Scan<'_>, outline: &Outline<'_>) -> Vec<MeasuredPart> {
    let source = scan.source;
    let child = outline.extends != Extends::None;
    let mut find_parts = Vec::new();
    let mut open: Vec<(&str, usize)> = Vec::new();
    for (index, span) in scan.spans[..outline.understood].iter().enumerate() {
        let Some(word) = keyword(source, span) else { continue };
        match word {
            "include" => {
                let outermost = !open.iter().any(|(word, _)| CAPTURING.contains(word));
                find_parts.push(match outermost && child {
                    true => MeasuredPart::Discarded { span: index },
                    false => MeasuredPart::Include { span: index, outermost },
                });
            }
            "from" => find_parts.push(MeasuredPart::Discarded { span: index }),
            _ if opens_block(source, span).is_some() => open.push((word, index)),
            _ => {
                let closes = closes_block(word);
                let Some((_, at)) = open.pop_if(|(word, _)| closes == Some(*word)) else { continue };
                if closes == Some("macro") {
                    find_parts.push(MeasuredPart::Macro { open: at, close: index });
                }
            }
        }
    }
    find_parts
}

/// Statements that capture their output or decide later whether it is printed.
const CAPTURING: [&str; 6] = ["block", "cache", "call", "filter", "macro", "set"];
