//! Which state of a template was used, and how much of it.

/// Which state of a template a look-up was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TemplateVersion {
    pub(crate) generation: u64,
    /// Set when the look-up itself loaded the template: MiniJinja may then have answered with what another thread
    /// loaded meanwhile, see [`Template::still`].
    pub(crate) load: Option<u64>,
}
/// How much of a template was used; each holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Used {
    /// What a block of a template that extends it can reach: the statements outside of its blocks.
    Statements,
    /// What a template that it includes, or that its layout includes, can reach: all its statements.
    AllStatements,
    Whole,
}

impl Used {
    /// What a digest is of.
    #[cfg(feature = "shared")]
    pub(crate) fn of(digest: u128) -> Used {
        match digest & PART {
            1 => Used::Statements,
            2 => Used::AllStatements,
            _ => Used::Whole,
        }
    }
}

/// The bits of a digest that say which part it is of.
pub(super) const PART: u128 = 3;
