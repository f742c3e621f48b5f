//! Parameters of forms and queries, and links with changed parameters.

use form_urlencoded::{Serializer, parse};

/// Names and values, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn read(text: &str) -> Params {
        Params(parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a name, trimmed; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of a name, as it was typed; empty if there is none.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The page number, from 1. Default: 1.
    pub(super) fn page(&self) -> usize {
        self.get("page").parse().ok().filter(|page| *page > 0).unwrap_or(1)
    }

    /// A relative URL with these parameters, some of them changed. Empty values are left out.
    pub(super) fn link(&self, changes: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        let kept = self.0.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in kept.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        format!("?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_what_it_does_not_change() {
        let params = Params::read("q=a%20b&sort=hits&page=3&q=second&empty=");
        assert_eq!((params.get("q"), params.get("none"), params.page()), ("a b", "", 3));
        assert_eq!(params.link(&[("page", "4")]), "?q=a+b&sort=hits&q=second&page=4");
        assert_eq!(params.link(&[("q", ""), ("page", ""), ("sort", "<&\"")]), "?sort=%3C%26%22");
    }

    #[test]
    fn an_invalid_page_number_is_the_first_page() {
        for text in ["", "page=0", "page=-1", "page=x", "page=99999999999999999999999"] {
            assert_eq!(Params::read(text).page(), 1, "{text}");
        }
        assert_eq!(Params::read("%ff=%fe&&=&a").get("a"), "");
    }
}
