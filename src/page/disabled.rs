//! The type of pages without the `http` feature. It has no values, because no page is ever stored.

#[derive(Debug)]
pub(crate) enum Page {}

impl Page {
    pub(crate) fn is_vary_index(&self) -> bool {
        match *self {}
    }

    pub(crate) fn len(&self) -> usize {
        match *self {}
    }

    pub(crate) fn weight(&self) -> usize {
        match *self {}
    }

    #[cfg(feature = "shared")]
    pub(crate) fn longest_grace(&self) -> u64 {
        match *self {}
    }

    #[cfg(feature = "shared")]
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        match *self {}
    }

    #[cfg(feature = "shared")]
    pub(crate) fn decode(_: &[u8]) -> Option<Page> {
        None
    }
}
