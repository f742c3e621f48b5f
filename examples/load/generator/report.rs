//! What is told at the end: a table for people, a page with plots, and JSON for machines.

mod html;
mod plot;
mod table;

pub(crate) use html::html;
pub(crate) use table::{faults, table};

use super::summary::Report;

/// All figures, for machines.
pub(crate) fn json(report: &Report) -> Result<String, String> {
    serde_json::to_string_pretty(report).map_err(|error| format!("cannot write the figures as JSON: {error}"))
}
