//! Which version of a template was used, and how much of the template. The templates themselves are in `templates.rs`.

/// Which state of a template a look-up returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TemplateVersion {
    pub(crate) generation: u64,
    /// The number of the load, if the look-up itself loaded the template. MiniJinja may then have returned a template
    /// that another thread loaded in the meantime; see
    /// [`Template::still`](crate::invalidation::templates::Template::still).
    pub(crate) load: Option<u64>,
}
/// How much of a template was used. Each variant includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Used {
    /// The part that a block of an extending template can reach: the statements outside of blocks.
    Statements,
    /// The part that an included template can reach, whether this template or its layout includes it: all statements.
    AllStatements,
    Whole,
}

impl Used {
    /// The part that a digest covers.
    #[cfg(feature = "shared")]
    pub(crate) fn of(digest: u128) -> Used {
        match digest & PART {
            1 => Used::Statements,
            2 => Used::AllStatements,
            _ => Used::Whole,
        }
    }
}

/// The bits of a digest that encode which part it covers.
pub(super) const PART: u128 = 3;
