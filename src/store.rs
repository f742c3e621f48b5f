//! Where entries live. One tier: memory, bounded in bytes.

pub(crate) mod memory;
