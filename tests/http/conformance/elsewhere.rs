//! Scenarios of the public suite that have no counterpart in a shared cache at the origin, and why.

use super::scenario::Level::{self, Optimal, Optional, Required};

const INTERIM: &str = "a tower service gives one response: interim ones are the server's";
const UPDATE: &str = "no conditional request is made, so no 304 of the handler updates a stored page";

/// A scenario that does not apply: id, section, level, why.
pub(super) type Row = (&'static str, &'static str, Level, &'static str);

pub(super) const ROWS: &[Row] = &[
    ("interim-102", "RFC 9110 §15.2", Optimal, INTERIM),
    ("interim-103", "RFC 9110 §15.2", Optimal, INTERIM),
    ("interim-not-cached", "RFC 9111 §3", Required, INTERIM),
    ("interim-no-header-reuse", "RFC 9110 §15.2", Optimal, INTERIM),
    ("304-lm-use-stored-Test-Header", "RFC 9111 §4.3.4", Required, UPDATE),
    ("304-etag-update-response-Test-Header", "RFC 9111 §4.3.4", Required, UPDATE),
    ("304-etag-update-response-X-Test-Header", "RFC 9111 §4.3.4", Required, UPDATE),
    ("304-etag-update-response-Content-Foo", "RFC 9111 §4.3.4", Required, UPDATE),
    ("304-etag-update-response-X-Content-Foo", "RFC 9111 §4.3.4", Required, UPDATE),
    ("304-etag-update-response-Cache-Control", "RFC 9111 §4.3.4", Required, UPDATE),
    ("304-etag-update-response-Content-Encoding", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Content-Length", "RFC 9111 §4.3.4", Required, UPDATE),
    ("304-etag-update-response-Content-Location", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Content-MD5", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Content-Range", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Content-Security-Policy", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Content-Type", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Clear-Site-Data", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-ETag", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Expires", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Public-Key-Pins", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Set-Cookie", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-Set-Cookie2", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-X-Frame-Options", "RFC 9111 §4.3.4", Optional, UPDATE),
    ("304-etag-update-response-X-XSS-Protection", "RFC 9111 §4.3.4", Optional, UPDATE),
];
