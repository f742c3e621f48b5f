//! Pages that are no longer valid: by their path, and because something was changed at their address.

use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Uri};

use super::ask;
use crate::cache::{FragmentCache, Invalidation};
use crate::identity::{TagClass, tag_hash};
use crate::invalidated::Invalidated;
use crate::record::Tag;

impl FragmentCache {
    /// Invalidates the stored pages of a path in this namespace: on every host, with every query, for every visitor.
    ///
    /// A page of one host alone goes with `invalidate(("example.org", "/film/7"))`.
    pub fn invalidate_page(&self, path: &str) -> Invalidation {
        let invalidation = self.inner.raise(tag_hash(TagClass::Path, self.namespace.id, path.as_bytes()));
        self.inner.tell_invalidated(Invalidated::Page(path));
        invalidation
    }
}

/// By which a page goes with its path.
pub(super) fn path_tag(cache: &FragmentCache, request: &Parts) -> Tag {
    let path = ask::original_uri(request).path();
    Tag { hash: tag_hash(TagClass::Path, cache.namespace.id, path.as_bytes()), name: None }
}

/// Where something is to be changed.
pub(super) struct Target {
    host: String,
    path: String,
}

impl Target {
    pub(super) fn of(request: &Parts) -> Target {
        let uri = ask::original_uri(request);
        Target { host: ask::host(uri, request.headers.get(HOST)).into_owned(), path: uri.path().to_owned() }
    }

    /// Invalidates the target and what the response names beside it (RFC 9111 §4.4), whatever their queries.
    pub(super) fn invalidate(&self, cache: &FragmentCache, response: &HeaderMap) {
        cache.invalidate((self.host.as_str(), self.path.as_str()));
        for name in [LOCATION, CONTENT_LOCATION] {
            let named = response.get_all(name).iter().filter_map(|line| line.to_str().ok());
            for path in named.filter_map(|reference| self.resolve(reference)) {
                cache.invalidate((self.host.as_str(), path.as_str()));
            }
        }
    }

    /// The path of a reference, if it is on the same host: nobody invalidates somebody else's pages.
    fn resolve(&self, reference: &str) -> Option<String> {
        let reference = reference.split('#').next().unwrap_or_default();
        let absolute = reference.strip_prefix("//").map(|rest| format!("http://{rest}"));
        let reference = absolute.as_deref().unwrap_or(reference);
        if let Ok(uri) = reference.parse::<Uri>()
            && let Some(authority) = uri.authority()
        {
            return authority.as_str().eq_ignore_ascii_case(&self.host).then(|| uri.path().to_owned());
        }
        let path = reference.split('?').next().unwrap_or_default();
        match path {
            "" => Some(self.path.clone()),
            _ if path.starts_with('/') => Some(without_dots(path)),
            _ if path.split('/').next().unwrap_or_default().contains(':') => None,
            _ => {
                let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                Some(without_dots(&format!("{folder}/{path}")))
            }
        }
    }
}

/// A path with its dots resolved (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let last = path.rsplit('/').next().unwrap_or_default();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    if matches!(last, "." | "..") {
        segments.push("");
    }
    format!("/{}", segments.join("/"))
}
