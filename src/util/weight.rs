//! What a piece of memory takes of the process, as entries weigh it.

/// What the allocator takes for so many bytes: glibc's, whose pieces are multiples of 16, with 8 bytes of its own in
/// each. Others round in steps that are as small or smaller, up to some hundred bytes.
pub(crate) fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// The same for bytes in an `Arc`, which has two counters.
pub(crate) fn shared(bytes: usize) -> usize {
    allocated(bytes + 16)
}
