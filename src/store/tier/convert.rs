//! Converts an entry into its envelope for the store, and an envelope into an entry. The bytes of an envelope are in
//! `store/envelope.rs`.

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::Value;
use serde_bytes::Bytes;

use super::core::Core;
use crate::invalidation::dependencies::{Dependencies, Dependency, FOREVER, StartStamp, Tag};
use crate::invalidation::floors::{Stamp, TagHash};
use crate::invalidation::template_version::Used;
use crate::key::identity::{self, is_of, template_tag};
use crate::store::SyncPosition;
use crate::store::caller::Caller;
use crate::store::entry::{Body, Entry, EntryParts};
use crate::store::envelope::{BodyKind, Envelope, EnvelopeHead, EnvelopeTag, EnvelopeTemplate};
use crate::store::request::Request;

/// Why an envelope cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It has another identity: two identities share one hash, or values were moved within the store.
    Foreign,
    /// It is of another epoch or was invalidated, or its content is of a type that this request does not accept.
    Invalid,
    /// It was made from other templates than this node has: those of another deployment. Holds their names, and how
    /// much of each was used.
    Templates(Vec<(Box<str>, Used)>),
}

impl Core {
    /// The envelope of an entry. `None` if no other node could use it: the computation began before the current epoch,
    /// or it used a template whose source this cache has not seen.
    pub(super) fn seal(&self, entry: &Entry) -> Option<Vec<u8>> {
        let SyncPosition { epoch, seq } = self.replica.sent(entry.record.begin.shared)?;
        let templates = digests(entry.record.dependencies())?;
        let (kind, body) = match &entry.body {
            Body::Text(text) => {
                let text_kind = if text.is_safe() { BodyKind::Markup } else { BodyKind::Text };
                (text_kind, Cow::Borrowed(text.as_str().unwrap_or_default().as_bytes()))
            }
            Body::Data(bytes) => (BodyKind::Data, Cow::Borrowed(&**bytes)),
            Body::Page(page) => (BodyKind::Data, Cow::Owned(page.encode()?)),
        };
        if body.len() > self.seal.max_body() {
            return None;
        }
        let begin = entry.record.begin.at;
        let head = EnvelopeHead {
            identity: Bytes::new(&entry.identity),
            version: entry.version.map(Into::into),
            epoch: epoch.into(),
            seq,
            born: self.replica.to_store(begin),
            lifetime: match entry.record.expires {
                FOREVER => FOREVER,
                expires => expires.saturating_sub(begin),
            },
            stale: entry.stale.min(entry.record.grace_ends.saturating_sub(entry.record.expires)),
            cost: entry.cost,
            length: u32::try_from(body.len()).ok()?,
            tags: entry.record.tags().iter().map(|tag| EnvelopeTag(tag.hash, tag.name.as_deref())).collect(),
            templates: templates.iter().map(|(name, digest)| EnvelopeTemplate(name, (*digest).into())).collect(),
        };
        self.seal.encode(&Envelope { head, kind, body })
    }

    /// The entry of an envelope, if it has this identity, is valid, and was made from the templates of this node.
    /// `local` is the local stamp from before the store was read.
    pub(super) fn open(
        &self,
        envelope: &Envelope<'_>,
        request: &Request<'_>,
        local: Stamp,
        now: u64,
        caller: &mut dyn Caller,
    ) -> Result<Entry, Mismatch> {
        let (head, identity) = (&envelope.head, request.identity.bytes);
        if **head.identity != *identity || (envelope.kind == BodyKind::Data) == is_of_text(identity) {
            return Err(Mismatch::Foreign);
        }
        let known = SyncPosition { epoch: head.epoch.into(), seq: head.seq };
        let shared = self.replica.received(known).ok_or(Mismatch::Invalid)?;
        let of_templates = head.templates.iter().map(|EnvelopeTemplate(name, _)| template_tag(name));
        let tags: Vec<TagHash> = head.tags.iter().map(|EnvelopeTag(hash, _)| *hash).chain(of_templates).collect();
        // Look up the templates before checking the floors. An invalidation of a template in between either reaches the
        // templates known here, or is found by the check of the floors below.
        let templates = self.same_templates(head, caller)?;
        if !self.replica.admits(shared, tags.iter().copied()) {
            return Err(Mismatch::Invalid);
        }
        let age = self.replica.age(head.born, now).ok_or(Mismatch::Invalid)?;
        let at = now.checked_sub(age).ok_or(Mismatch::Invalid)?;
        let mut record = Dependencies::new(self.cache, StartStamp { stamp: local, shared, at });
        record.heard = self.heard();
        templates.into_iter().for_each(|dependency| record.depend(dependency));
        for EnvelopeTag(hash, name) in &head.tags {
            record.tag(Tag { hash: *hash, name: name.map(Arc::from) });
        }
        if head.lifetime != FOREVER {
            record.expires = at.saturating_add(head.lifetime);
        }
        let body = body(envelope, request).ok_or(Mismatch::Invalid)?;
        let kept = match &body {
            Body::Page(page) => head.stale.max(page.longest_grace()),
            _ => head.stale,
        };
        record.grace_ends = record.expires.saturating_add(kept);
        let terms = EntryParts {
            identity: identity.into(),
            version: head.version.map(Into::into),
            stale: head.stale,
            kept,
            cost: head.cost,
            label: caller.label(),
        };
        Ok(Entry::new(terms, body, record))
    }

    /// The versions on this node of the templates that an entry was made from, if their digests are equal.
    fn same_templates(&self, head: &EnvelopeHead<'_>, caller: &mut dyn Caller) -> Result<Vec<Dependency>, Mismatch> {
        let same = |EnvelopeTemplate(name, digest): &EnvelopeTemplate<'_>| {
            let digest = u128::from(*digest);
            let here = Dependency { used: Used::of(digest), ..caller.template(name)? };
            (here.digest()? == digest).then_some(here)
        };
        let found: Option<Vec<Dependency>> = head.templates.iter().map(same).collect();
        found.ok_or_else(|| {
            let used =
                |EnvelopeTemplate(name, digest): &EnvelopeTemplate<'_>| ((*name).into(), Used::of((*digest).into()));
            Mismatch::Templates(head.templates.iter().map(used).collect())
        })
    }
}

/// Name and digest of each template, or of its used part. A template may occur twice: by its name alone (a handler
/// passed the name) and by the text that its loader read.
fn digests(dependencies: &[Dependency]) -> Option<Vec<(&str, u128)>> {
    let mut digests: Vec<(&str, u128)> = Vec::with_capacity(dependencies.len());
    for dependency in dependencies {
        let template = &dependency.template;
        match dependency.digest() {
            Some(digest) if digests.contains(&(template.name(), digest)) => {}
            Some(digest) => digests.push((template.name(), digest)),
            None if template.is_by_name() => {}
            // The template changed after it was used.
            None => return None,
        }
    }
    let seen = |template: &str| digests.iter().filter(|(name, _)| *name == template).count() == 1;
    // A name with two digests means two sources with different texts. A reader could not match the digests to its own
    // sources.
    dependencies.iter().all(|dependency| seen(dependency.template.name())).then_some(digests)
}

fn is_of_text(identity: &[u8]) -> bool {
    !is_of(identity::Kind::Value, identity) && !is_of(identity::Kind::Page, identity)
}

fn body(envelope: &Envelope<'_>, request: &Request<'_>) -> Option<Body> {
    let text = std::str::from_utf8(&envelope.body);
    Some(match envelope.kind {
        BodyKind::Text => Body::Text(Value::from(text.ok()?)),
        BodyKind::Markup => Body::Text(Value::from_safe_string(text.ok()?.to_owned())),
        BodyKind::Data if request.is_page() => Body::Page(request.decode?(&envelope.body)?),
        BodyKind::Data => Body::Data((&*envelope.body).into()),
    })
}
