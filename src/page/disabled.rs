//! What stands in for stored responses without the `http` feature: a type that has no value.

#[derive(Debug)]
pub(crate) enum Page {}

impl Page {
    pub(crate) fn is_direction(&self) -> bool {
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
