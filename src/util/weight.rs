//! Estimates the memory that an allocation takes. Entries compute their weight with it.

/// The bytes that the allocator takes for a request of `bytes`. The formula is glibc's: chunks are multiples of 16
/// bytes and contain a header of 8. Up to a few hundred bytes, other allocators round in steps that are not larger.
pub(crate) fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// The same for bytes in an `Arc`, which has two counters of 8 bytes.
pub(crate) fn shared(bytes: usize) -> usize {
    allocated(bytes + 16)
}
