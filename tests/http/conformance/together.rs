//! Concurrent requests (RFC 9111 §4): one render for all requests that may share the page, one each for the others.

use super::scenario::reload;
use super::steps::*;

scenarios! {
    Optional rfc9111_4_two_requests_at_the_same_time_share_a_render =>
        [together(2, 1, &["cache-control: max-age=100000", "last-modified: @0", "date: @0"])];
    Optional rfc9111_4_twenty_requests_at_the_same_time_share_a_render =>
        [together(20, 1, &["cache-control: max-age=3600"]), served().text("answer 1")];
    Required rfc9111_4_requests_at_the_same_time_share_no_private_page =>
        [together(5, 5, &["cache-control: private, max-age=3600"])];
    Required rfc9111_4_requests_at_the_same_time_share_no_page_that_is_not_stored =>
        [together(5, 5, &["cache-control: no-store"])];
    Required rfc9111_4_requests_at_the_same_time_share_no_cookie =>
        [together(5, 5, &["cache-control: max-age=3600", "set-cookie: a=b"])];
    Required rfc9111_4_requests_at_the_same_time_share_no_page_that_varies_by_everything =>
        [together(5, 5, &["cache-control: max-age=3600", "vary: *"])];
    Required rfc9111_4_requests_at_the_same_time_share_no_page_without_a_lifetime with reload() =>
        [together(5, 5, &[])];
}
