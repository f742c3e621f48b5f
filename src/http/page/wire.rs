//! The encoding of pages in a shared store: MessagePack.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::{BodySegment, Grace, Page, StoredResponse};
use crate::cache::hole::HoleCall;
use crate::store::payload::Payload;
use crate::util::clock::Nanos;

/// The encoded form of a page. Variants are encoded by name, fields by position; times are nanoseconds.
#[derive(Serialize, Deserialize)]
enum WirePage<'a> {
    Varies(#[serde(borrow)] Vec<&'a str>),
    Response(#[serde(borrow)] WireResponse<'a>),
}

#[derive(Serialize, Deserialize)]
struct WireResponse<'a> {
    status: u16,
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a serde_bytes::Bytes)>,
    #[serde(borrow)]
    body: Vec<WireSegment<'a>>,
    age: Nanos,
    grace: Grace,
    allows_authorization: bool,
}

#[derive(Serialize, Deserialize)]
enum WireSegment<'a> {
    Text(#[serde(borrow)] &'a serde_bytes::Bytes),
    Hole(HoleCall),
}

impl Page {
    /// Encodes the page. `None` if it is too large for the encoding.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let wire = match self {
            Page::VaryIndex(names) => WirePage::Varies(names.iter().map(HeaderName::as_str).collect()),
            Page::Response(stored) => WirePage::Response(WireResponse {
                status: stored.status.as_u16(),
                headers: stored
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), serde_bytes::Bytes::new(value.as_bytes())))
                    .collect(),
                body: stored
                    .body
                    .iter()
                    .map(|piece| match piece {
                        BodySegment::Text(bytes) => WireSegment::Text(serde_bytes::Bytes::new(bytes)),
                        BodySegment::Hole(call) => WireSegment::Hole(call.clone()),
                    })
                    .collect(),
                age: stored.age,
                grace: stored.grace,
                allows_authorization: stored.allows_authorization,
            }),
        };
        rmp_serde::to_vec(&wire).ok()
    }

    /// As [`Page::decode`], for the store.
    pub(crate) fn decode_payload(bytes: &[u8]) -> Option<Arc<dyn Payload>> {
        Page::decode(bytes).map(|page| Arc::new(page) as Arc<dyn Payload>)
    }

    /// Decodes a page. `None` if the bytes are damaged.
    fn decode(bytes: &[u8]) -> Option<Page> {
        Some(match rmp_serde::from_slice(bytes).ok()? {
            WirePage::Varies(names) => {
                let names: Result<Vec<HeaderName>, _> = names.iter().map(|name| name.parse()).collect();
                Page::VaryIndex(names.ok()?)
            }
            WirePage::Response(WireResponse { status, headers: fields, body, age, grace, allows_authorization }) => {
                let mut headers = HeaderMap::with_capacity(fields.len());
                for (name, value) in fields {
                    let name: HeaderName = name.parse().ok()?;
                    headers.append(name, HeaderValue::from_bytes(value).ok()?);
                }
                let body = body.into_iter().map(|piece| match piece {
                    WireSegment::Text(bytes) => BodySegment::Text(Bytes::copy_from_slice(bytes)),
                    WireSegment::Hole(call) => BodySegment::Hole(call),
                });
                let status = StatusCode::from_u16(status).ok()?;
                Page::Response(StoredResponse {
                    status,
                    headers,
                    body: body.collect(),
                    age,
                    grace,
                    allows_authorization,
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredResponse {
        let mut headers = HeaderMap::new();
        headers.append("set-thing", HeaderValue::from_bytes(b"\xff\x80 a").unwrap());
        headers.append("set-thing", HeaderValue::from_static("b"));
        headers.insert("etag", HeaderValue::from_static("W/\"x\""));
        StoredResponse {
            status: StatusCode::NOT_FOUND,
            headers,
            body: vec![
                BodySegment::Text(Bytes::from_static(b"a\0\xffb")),
                BodySegment::Hole(HoleCall { name: "cart".into(), arguments: vec!["7".into()] }),
            ],
            age: 3,
            grace: Grace { while_revalidating: 5, if_error: 7 },
            allows_authorization: true,
        }
    }

    #[test]
    fn a_response_is_the_same_after_encoding_and_decoding() {
        let page = Page::Response(stored());
        let Some(Page::Response(back)) = Page::decode(&page.to_bytes().unwrap()) else {
            panic!("another kind of page")
        };
        let before = stored();
        assert_eq!((back.status, &back.headers, &back.body), (before.status, &before.headers, &before.body));
        assert_eq!(
            (back.age, back.grace, back.allows_authorization),
            (before.age, before.grace, before.allows_authorization)
        );
    }

    #[test]
    fn a_vary_index_is_the_same_after_encoding_and_decoding() {
        let page = Page::VaryIndex(vec![HeaderName::from_static("accept"), HeaderName::from_static("x-tenant")]);
        let Some(Page::VaryIndex(names)) = Page::decode(&page.to_bytes().unwrap()) else {
            panic!("another kind of page")
        };
        assert_eq!(names, ["accept", "x-tenant"]);
    }

    #[test]
    fn damaged_bytes_are_not_decoded() {
        let bytes = Page::Response(stored()).to_bytes().unwrap();
        for cut in 0..bytes.len() {
            assert!(Page::decode(&bytes[..cut]).is_none());
        }
        assert!(Page::decode(b"").is_none());
    }
}
