//! Whose page it is: credentials and cookies (RFC 9111 §3.5, §7.3).

use super::steps::*;

/// The cookie of a visitor who signed in.
const ALICE: &str = "authorization: Basic YWxpY2U6c2VjcmV0";
const BOB: &str = "authorization: Basic Ym9iOnNlY3JldA==";

scenarios! {
    Required "other-authorization" rfc9111_3_5_a_page_for_one_who_signed_in_is_not_stored =>
        [
            given(&["cache-control: max-age=100000", "expires: @100000", "date: @0"]).with(ALICE).handler_saw(ALICE),
            wait(3),
            asked(),
        ];
    Required rfc9111_3_5_a_page_for_one_who_signed_in_is_not_anothers =>
        [
            given(&["cache-control: max-age=100000"]).with(ALICE),
            asked().with(BOB).text("answer 2"),
            asked().with(ALICE).text("answer 3"),
        ];
    Optimal "other-authorization-public" rfc9111_3_5_a_public_page_is_shared_also_when_asked_with_credentials =>
        [
            given(&["cache-control: max-age=3600, public", "date: @0"]).with(ALICE).handler_saw(ALICE),
            wait(3),
            served(),
            served().with(BOB),
        ];
    Optimal "other-authorization-must-revalidate"
        rfc9111_3_5_a_must_revalidate_page_is_shared_also_when_asked_with_credentials =>
        [
            given(&["cache-control: max-age=3600, must-revalidate", "date: @0"]).with(ALICE).handler_saw(ALICE),
            wait(3),
            served(),
            served().with(BOB),
        ];
    Optimal "other-authorization-smaxage" rfc9111_3_5_an_s_maxage_page_is_shared_also_when_asked_with_credentials =>
        [
            given(&["cache-control: s-maxage=3600", "date: @0"]).with(ALICE).handler_saw(ALICE),
            wait(3),
            served(),
            served().with(BOB),
        ];
    Optional rfc9111_3_5_a_stored_page_that_is_not_public_is_not_for_one_who_signed_in =>
        [given(&["cache-control: max-age=3600"]), asked().with(ALICE).text("answer 2"), served().text("answer 1")];
    Required rfc9111_3_5_private_wins_over_public =>
        [given(&["cache-control: public, private, max-age=3600"]), asked()];
    Optimal "other-set-cookie" rfc9111_7_3_a_page_with_a_life_that_sets_a_cookie_is_not_stored
        differs "a cookie is one visitor's; whoever wants the page shared sets the cookie elsewhere" =>
        [given(&["cache-control: max-age=100000", "set-cookie: a=b"]).has("set-cookie: a=b"), asked()];
    Required rfc9111_7_3_a_public_page_that_sets_a_cookie_is_not_stored =>
        [given(&["cache-control: public, s-maxage=100000", "set-cookie: a=b"]), asked().lacks("set-cookie")];
    Optimal "other-cookie" rfc9111_7_3_a_request_with_a_cookie_passes_the_cache_by
        differs "a cookie may be a session: its owner gets a page of their own" =>
        [
            given(&["cache-control: max-age=100000"]),
            asked().with("cookie: a=b").handler_saw("cookie: a=b").lacks("age").text("answer 2"),
        ];
    Required rfc9111_7_3_the_answer_to_a_request_with_a_cookie_is_not_stored =>
        [given(&["cache-control: max-age=100000"]).with("cookie: a=b"), asked().text("answer 2")];
    Required rfc9111_7_3_a_request_with_a_cookie_leaves_the_stored_page =>
        [
            given(&["cache-control: max-age=100000"]),
            given(&["cache-control: max-age=100000"]).with("cookie: a=b"),
            served().text("answer 1"),
        ];
    Required rfc9111_7_3_a_request_with_a_cookie_gets_no_304_by_anothers_page =>
        [
            given(&["cache-control: max-age=100000", "etag: \"a\""]),
            given(&["etag: \"b\""]).with("cookie: a=b").with("if-none-match: \"a\"").status(200).text("answer 2"),
        ];
}
