//! `HEAD`: answered from a stored `GET`, and sent to the handler as `GET` (RFC 9110 §9.3.2).

use super::steps::*;

/// A page that is stale after two seconds.
fn brief() -> Exchange {
    given(&["cache-control: max-age=2", "template-a: 1"])
}

scenarios! {
    Optional "head-writethrough" rfc9111_4_3_5_a_head_for_a_stale_page_is_asked_as_a_get
        differs "the handler is asked with `GET`, so that the page can be stored whole" =>
        [brief(), wait(3), asked().head().handler_got("GET").status(200).text("")];
    Optional "head-200-retain" rfc9111_4_3_5_a_head_keeps_no_header_of_the_old_page
        differs "the handler is asked with `GET`; its whole page replaces the old one" =>
        [brief(), wait(3), given(&["cache-control: max-age=1000"]).head().lacks("template-a")];
    Optional "head-200-freshness-update" rfc9111_4_3_5_the_answer_to_a_head_begins_no_new_life
        differs "a HEAD makes no page: another handler may answer it than a GET" =>
        [brief(), wait(3), given(&["cache-control: max-age=1000"]).head().text(""), asked().text("answer 3")];
    Optional "head-200-update" rfc9111_4_3_5_the_answer_to_a_head_replaces_no_headers
        differs "a HEAD makes no page: another handler may answer it than a GET" =>
        [
            brief(),
            wait(3),
            given(&["template-a: 2", "cache-control: max-age=1000"]).head(),
            asked().lacks("template-a"),
        ];
    Optional "head-410-update" rfc9111_4_3_5_a_410_to_a_head_replaces_no_page
        differs "a HEAD makes no page: another handler may answer it than a GET" =>
        [
            brief(),
            wait(3),
            asked().answers(410, &["template-a: 2", "cache-control: max-age=1000"]).head().status(410),
            asked().status(200),
        ];
    Required rfc9110_9_3_2_a_head_is_served_from_a_stored_get =>
        [
            given(&["cache-control: max-age=3600", "content-type: text/html", "x-a: 1"]),
            wait(3),
            served().head().status(200).text("").has("content-type: text/html").has("x-a: 1").age(3),
        ];
    Required rfc9110_9_3_2_a_head_before_the_first_get_leaves_no_empty_page =>
        [given(&["cache-control: max-age=3600"]).head().text(""), asked().text("answer 2")];
    Required rfc9110_9_3_2_a_head_for_a_page_that_is_not_stored_has_no_body =>
        [given(&["cache-control: no-store"]).head().text(""), asked().text("answer 2")];
    Optimal rfc9110_13_1_2_a_head_with_the_pages_tag_gets_a_304 =>
        [
            given(&["cache-control: max-age=3600", "etag: \"a\""]),
            served().head().with("if-none-match: \"a\"").status(304).has("etag: \"a\""),
        ];
    Required rfc9110_8_6_a_head_says_the_length_of_the_whole_page =>
        [
            given(&["cache-control: max-age=3600", "content-length: 10"]).body("0123456789"),
            served().head().has("content-length: 10").text(""),
        ];
    Optimal rfc5861_3_a_head_for_a_stale_page_asks_the_handler =>
        [
            given(&["cache-control: max-age=1, stale-while-revalidate=60"]),
            wait(3),
            asked().head().answers(200, &["cache-control: max-age=3600"]).text(""),
        ];
}
