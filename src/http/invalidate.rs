//! Invalidation of pages: by path, and by unsafe requests (RFC 9111 §4.4).

use std::borrow::Cow;

use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};

use super::policy::Policy;
use super::request;
use crate::cache::FragmentCache;
use crate::cache::invalidate::Invalidated;
use crate::cache::invalidation::Invalidation;
use crate::invalidation::dependencies::Tag;
use crate::invalidation::floors::TagHash;
use crate::key::identity::{TagClass, tag_hash};
use crate::telemetry::By;

impl FragmentCache {
    /// Invalidates the stored pages of a path in this namespace: for all hosts, queries and visitors. The path is
    /// percent-encoded, as clients send it.
    ///
    /// The pages of one host are invalidated with `invalidate(("example.org", "/film/7"))`.
    pub fn invalidate_page(&self, path: &str) -> Invalidation {
        self.invalidate_page_by(path, By::Call)
    }

    pub(crate) fn invalidate_page_by(&self, path: &str, by: By) -> Invalidation {
        let invalidation = self.inner.raise(path_hash(self, "", path));
        self.inner.notify_invalidated(Invalidated::Page(path), by);
        invalidation
    }
}

/// The tags by which a page is invalidated with its path: on all hosts, and on its own. Two percent-encodings of a path
/// have the same tags, because the resource is the same.
pub(super) fn path_tags(policy: &Policy, request: &Parts) -> impl Iterator<Item = Tag> {
    let path = request::path(policy, request);
    let host = host_of(request).unwrap_or_default();
    let hashes = [path_hash(&policy.cache, "", &path), path_hash(&policy.cache, &host, &path)];
    hashes.into_iter().map(|hash| Tag { hash, name: None })
}

fn path_hash(cache: &FragmentCache, host: &str, path: &str) -> TagHash {
    let mut bytes = Vec::with_capacity(host.len() + path.len() + 1);
    bytes.extend_from_slice(host.as_bytes());
    // Neither a host nor a path contains a space.
    bytes.push(b' ');
    percent_decode(path, &mut bytes);
    tag_hash(TagClass::Path, cache.namespace.id, &bytes)
}

/// Decodes percent-encoding.
fn percent_decode(path: &str, out: &mut Vec<u8>) {
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().and_then(|digits| std::str::from_utf8(digits).ok());
        let coded = digits.filter(|_| *byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(coded.unwrap_or(*byte));
        rest = if coded.is_some() { &after[2..] } else { after };
    }
}

fn host_of(request: &Parts) -> Option<Cow<'_, str>> {
    request::host(request::original_uri(request), request.headers.get(HOST))
}

/// A running request with an unsafe method. If it is dropped before its end, it invalidates its target, because the
/// handler may have changed it.
pub(super) struct UnsafeRequest {
    cache: FragmentCache,
    host: String,
    path: String,
    ended: bool,
}

impl UnsafeRequest {
    /// `None` if the host is ambiguous.
    pub(super) fn begin(policy: &Policy, request: &Parts) -> Option<UnsafeRequest> {
        let host = host_of(request)?.into_owned();
        let path = request::path(policy, request).into_owned();
        Some(UnsafeRequest { cache: policy.cache.clone(), host, path, ended: false })
    }

    /// Invalidates the target and the pages in `Location` and `Content-Location`, if the response is no error.
    pub(super) fn end(mut self, status: StatusCode, response: &HeaderMap) {
        self.ended = true;
        if !status.is_success() && !status.is_redirection() {
            return;
        }
        self.invalidate(&self.path);
        for name in [LOCATION, CONTENT_LOCATION] {
            let named = response.get_all(name).iter().filter_map(|line| line.to_str().ok());
            named.filter_map(|reference| self.resolve(reference)).for_each(|path| self.invalidate(&path));
        }
    }

    fn invalidate(&self, path: &str) {
        self.cache.inner.raise(path_hash(&self.cache, &self.host, path));
        self.cache.inner.notify_invalidated(Invalidated::Page(path), By::Request);
    }

    /// The path of a URI reference. `None` for another host, whose pages the response must not invalidate.
    fn resolve(&self, reference: &str) -> Option<String> {
        let reference = reference.split('#').next().unwrap_or_default();
        let absolute = reference.strip_prefix("//").map(|rest| format!("http://{rest}"));
        let reference = absolute.as_deref().unwrap_or(reference);
        if reference.contains("://")
            && let Ok(uri) = reference.parse::<Uri>()
            && let Some(authority) = uri.authority()
        {
            return authority.as_str().eq_ignore_ascii_case(&self.host).then(|| uri.path().to_owned());
        }
        let path = reference.split('?').next().unwrap_or_default();
        match path {
            "" => Some(self.path.clone()),
            _ if path.starts_with('/') => Some(remove_dot_segments(path)),
            _ if path.split('/').next().unwrap_or_default().contains(':') => None,
            _ => {
                let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                Some(remove_dot_segments(&format!("{folder}/{path}")))
            }
        }
    }
}

impl Drop for UnsafeRequest {
    fn drop(&mut self) {
        if !self.ended {
            self.invalidate(&self.path);
        }
    }
}

/// Removes dot segments from a path (RFC 3986 §5.2.4).
fn remove_dot_segments(path: &str) -> String {
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
