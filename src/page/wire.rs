//! The bytes that a stored response is in a shared store.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::{BodySegment, Grace, Page, StoredResponse};
use crate::clock::Nanos;
use crate::hole::Call;

/// How a page is written. Times are nanoseconds.
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
    stale: Grace,
    authorized: bool,
}

#[derive(Serialize, Deserialize)]
enum WireSegment<'a> {
    Text(#[serde(borrow)] &'a serde_bytes::Bytes),
    Hole(Call),
}

impl Page {
    /// The page as bytes; `None` if it is larger than the encoding allows.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let wire = match self {
            Page::Varies(names) => WirePage::Varies(names.iter().map(HeaderName::as_str).collect()),
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
                stale: stored.stale,
                authorized: stored.authorized,
            }),
        };
        rmp_serde::to_vec(&wire).ok()
    }

    /// The page of such bytes; `None` if they are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Page> {
        Some(match rmp_serde::from_slice(bytes).ok()? {
            WirePage::Varies(names) => {
                let names: Result<Vec<HeaderName>, _> = names.iter().map(|name| name.parse()).collect();
                Page::Varies(names.ok()?)
            }
            WirePage::Response(WireResponse { status, headers: fields, body, age, stale, authorized }) => {
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
                Page::Response(StoredResponse { status, headers, body: body.collect(), age, stale, authorized })
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
                BodySegment::Hole(Call { name: "cart".into(), arguments: vec!["7".into()] }),
            ],
            age: 3,
            stale: Grace { while_revalidating: 5, if_error: 7 },
            authorized: true,
        }
    }

    #[test]
    fn a_response_comes_back_from_its_bytes() {
        let page = Page::Response(stored());
        let Some(Page::Response(back)) = Page::decode(&page.encode().unwrap()) else { panic!("another kind of page") };
        let before = stored();
        assert_eq!((back.status, &back.headers, &back.body), (before.status, &before.headers, &before.body));
        assert_eq!((back.age, back.stale, back.authorized), (before.age, before.stale, before.authorized));
    }

    #[test]
    fn directions_come_back_from_their_bytes() {
        let page = Page::Varies(vec![HeaderName::from_static("accept"), HeaderName::from_static("x-tenant")]);
        let Some(Page::Varies(names)) = Page::decode(&page.encode().unwrap()) else { panic!("another kind of page") };
        assert_eq!(names, ["accept", "x-tenant"]);
    }

    #[test]
    fn damaged_bytes_are_no_page() {
        let bytes = Page::Response(stored()).encode().unwrap();
        for cut in 0..bytes.len() {
            assert!(Page::decode(&bytes[..cut]).is_none());
        }
        assert!(Page::decode(b"").is_none());
    }
}
