//! The client for HTTP, against answers written by hand.

use std::io::ErrorKind;

use super::upstream::{Upstream, reply};
use crate::servers::http::Client;

/// A server that always says this, and a client of it.
fn saying(answer: &'static str) -> (Upstream, Client) {
    let upstream = Upstream::start(move |_| answer.into());
    let client = Client::new(upstream.address());
    (upstream, client)
}

#[test]
fn headers_have_any_case_and_come_more_than_once() {
    let (_upstream, client) = saying(
        "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nVary:Cookie\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nhello",
    );
    let reply = client.get("/").send();
    assert_eq!((reply.status, reply.header("VARY"), reply.header("etag")), (200, Some("Cookie"), None));
    assert_eq!(reply.headers.all("Set-Cookie"), ["a=1", "b=2"]);
    assert_eq!(reply.text(), "he");
}

#[test]
fn chunks_become_one_body() {
    let (_upstream, client) = saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         6;name=value\r\nhello \r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n",
    );
    assert_eq!(client.get("/").send().text(), "hello 0123456789");
}

#[test]
fn body_without_a_length_ends_with_the_connection() {
    let (_upstream, client) = saying("HTTP/1.0 200 OK\r\n\r\nall of it");
    assert_eq!(client.get("/").send().text(), "all of it");
}

#[test]
fn replies_without_a_body_do_not_wait_for_one() {
    let (_upstream, client) = saying("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.get("/").send().status, 304);
    let (_upstream, client) = saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert!(client.head("/").send().body.is_empty());
}

#[test]
fn early_hints_are_passed_over() {
    let (_upstream, client) =
        saying("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n");
    let reply = client.get("/").send();
    assert_eq!((reply.status, reply.header("link"), reply.header("a")), (204, None, Some("b")));
}

#[test]
fn torn_and_strange_replies_are_errors() {
    for (answer, kind) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", ErrorKind::UnexpectedEof),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ErrorKind::UnexpectedEof),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", ErrorKind::InvalidData),
        ("HTTP/1.1 2", ErrorKind::UnexpectedEof),
        ("+PONG\r\n", ErrorKind::InvalidData),
        ("", ErrorKind::UnexpectedEof),
    ] {
        let (_upstream, client) = saying(answer);
        assert_eq!(client.get("/").try_send().unwrap_err().kind(), kind, "{answer:?}");
    }
}

#[test]
fn what_is_given_replaces_what_would_come_by_itself() {
    let upstream = Upstream::start(|_| reply("200 OK", &[], ""));
    let client = Client::new(upstream.address());
    client.post("/form?a=b", &[("title", "a & b")]).header("host", "example.test").send();
    let asked = &upstream.asked()[0];
    assert_eq!((asked.path(), asked.header("host")), ("/form?a=b", Some("example.test")));
    assert_eq!(asked.header("content-length"), Some("17"));
    client.get("/").send();
    let host = upstream.address().to_string();
    let asked = &upstream.asked()[1];
    assert_eq!((asked.header("host"), asked.header("content-length")), (Some(host.as_str()), None));
}
