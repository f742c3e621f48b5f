//! The bytes that a stored response is in a shared store.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Grace, Page, Piece, Stored};
use crate::clock::Nanos;
use crate::hole::Call;
use crate::payload::Payload;

/// How a page is written. Times are nanoseconds.
#[derive(Serialize, Deserialize)]
enum Wire<'a> {
    Varies(#[serde(borrow)] Vec<&'a str>),
    Response(#[serde(borrow)] WireResponse<'a>),
}

#[derive(Serialize, Deserialize)]
struct WireResponse<'a> {
    status: u16,
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a serde_bytes::Bytes)>,
    #[serde(borrow)]
    body: Vec<WirePiece<'a>>,
    age: Nanos,
    stale: Grace,
    authorized: bool,
}

#[derive(Serialize, Deserialize)]
enum WirePiece<'a> {
    Text(#[serde(borrow)] &'a serde_bytes::Bytes),
    Hole(Call),
}

impl Page {
    /// The page as bytes; `None` if it is larger than the encoding allows.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let wire = match self {
            Page::Varies(names) => Wire::Varies(names.iter().map(HeaderName::as_str).collect()),
            Page::Response(stored) => Wire::Response(WireResponse {
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
                        Piece::Text(bytes) => WirePiece::Text(serde_bytes::Bytes::new(bytes)),
                        Piece::Hole(call) => WirePiece::Hole(call.clone()),
                    })
                    .collect(),
                age: stored.age,
                stale: stored.stale,
                authorized: stored.authorized,
            }),
        };
        rmp_serde::to_vec(&wire).ok()
    }

    /// The page of such bytes, as the store takes it.
    pub(crate) fn decode_payload(bytes: &[u8]) -> Option<Arc<dyn Payload>> {
        Page::decode(bytes).map(|page| Arc::new(page) as Arc<dyn Payload>)
    }

    /// The page of such bytes; `None` if they are none.
    fn decode(bytes: &[u8]) -> Option<Page> {
        Some(match rmp_serde::from_slice(bytes).ok()? {
            Wire::Varies(names) => {
                let names: Result<Vec<HeaderName>, _> = names.iter().map(|name| name.parse()).collect();
                Page::Varies(names.ok()?)
            }
            Wire::Response(WireResponse { status, headers: fields, body, age, stale, authorized }) => {
                let mut headers = HeaderMap::with_capacity(fields.len());
                for (name, value) in fields {
                    let name: HeaderName = name.parse().ok()?;
                    headers.append(name, HeaderValue::from_bytes(value).ok()?);
                }
                let body = body.into_iter().map(|piece| match piece {
                    WirePiece::Text(bytes) => Piece::Text(Bytes::copy_from_slice(bytes)),
                    WirePiece::Hole(call) => Piece::Hole(call),
                });
                let status = StatusCode::from_u16(status).ok()?;
                Page::Response(Stored { status, headers, body: body.collect(), age, stale, authorized })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let mut headers = HeaderMap::new();
        headers.append("set-thing", HeaderValue::from_bytes(b"\xff\x80 a").unwrap());
        headers.append("set-thing", HeaderValue::from_static("b"));
        headers.insert("etag", HeaderValue::from_static("W/\"x\""));
        Stored {
            status: StatusCode::NOT_FOUND,
            headers,
            body: vec![
                Piece::Text(Bytes::from_static(b"a\0\xffb")),
                Piece::Hole(Call { name: "cart".into(), arguments: vec!["7".into()] }),
            ],
            age: 3,
            stale: Grace { while_revalidating: 5, if_error: 7 },
            authorized: true,
        }
    }

    #[test]
    fn a_response_comes_back_from_its_bytes() {
        let page = Page::Response(stored());
        let Some(Page::Response(back)) = Page::decode(&page.to_bytes().unwrap()) else {
            panic!("another kind of page")
        };
        let before = stored();
        assert_eq!((back.status, &back.headers, &back.body), (before.status, &before.headers, &before.body));
        assert_eq!((back.age, back.stale, back.authorized), (before.age, before.stale, before.authorized));
    }

    #[test]
    fn directions_come_back_from_their_bytes() {
        let page = Page::Varies(vec![HeaderName::from_static("accept"), HeaderName::from_static("x-tenant")]);
        let Some(Page::Varies(names)) = Page::decode(&page.to_bytes().unwrap()) else { panic!("another kind of page") };
        assert_eq!(names, ["accept", "x-tenant"]);
    }

    #[test]
    fn damaged_bytes_are_no_page() {
        let bytes = Page::Response(stored()).to_bytes().unwrap();
        for cut in 0..bytes.len() {
            assert!(Page::decode(&bytes[..cut]).is_none());
        }
        assert!(Page::decode(b"").is_none());
    }
}
