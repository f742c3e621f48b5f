//! `Cache-Control` and `Pragma` of requests (RFC 9111 §5.2.1), which the layer obeys with `honor_reload`.
//!
//! By default it does not, because any client could then make the handler render with every request.

use super::scenario::reload;
use super::steps::*;

/// A page with a long life.
fn fresh() -> Exchange {
    given(&["cache-control: max-age=100000", "expires: @100000", "last-modified: @0", "date: @0"])
}

scenarios! {
    Optional "ccreq-ma0" rfc9111_5_2_1_1_a_client_that_wants_no_age_at_all_gets_a_new_page with reload() =>
        [fresh(), wait(3), asked().with("cache-control: max-age=0").text("answer 2")];
    Optional "ccreq-ma0" rfc9111_5_2_1_1_a_client_cannot_force_a_render_with_max_age_0
        differs "ignored, so that nobody can force renders" =>
        [fresh(), wait(3), served().with("cache-control: max-age=0")];
    Optional "ccreq-ma1" rfc9111_5_2_1_1_a_client_that_wants_a_younger_page_gets_one with reload() =>
        [fresh(), wait(3), asked().with("cache-control: max-age=1")];
    Optional "ccreq-ma1" rfc9111_5_2_1_1_a_client_cannot_force_a_render_with_max_age
        differs "ignored, so that nobody can force renders" =>
        [fresh(), wait(3), served().with("cache-control: max-age=1")];
    Optional "ccreq-magreaterage" rfc9111_5_2_1_1_an_age_the_page_came_with_counts_for_the_client with reload() =>
        [given(&["cache-control: max-age=3600", "age: 1800"]), asked().with("cache-control: max-age=600")];
    Optional "ccreq-magreaterage" rfc9111_5_2_1_1_a_client_cannot_force_a_render_of_an_aged_page
        differs "ignored, so that nobody can force renders" =>
        [given(&["cache-control: max-age=3600", "age: 1800"]), served().with("cache-control: max-age=600")];
    Optional rfc9111_5_2_1_1_a_page_young_enough_for_the_client_is_served with reload() =>
        [fresh(), wait(3), served().with("cache-control: max-age=600")];
    Optional "ccreq-max-stale" rfc9111_5_2_1_2_a_client_that_would_take_a_stale_page_gets_a_new_one
        differs "max-stale is not obeyed; the handler's own windows decide" with reload() =>
        [given(&["cache-control: max-age=2"]), wait(3), asked().with("cache-control: max-stale=1000")];
    Optional "ccreq-max-stale" rfc9111_5_2_1_2_a_client_is_not_asked_whether_it_takes_a_stale_page
        differs "ignored; the handler's own windows decide" =>
        [given(&["cache-control: max-age=2"]), wait(3), asked().with("cache-control: max-stale=1000")];
    Optional "ccreq-max-stale-age" rfc9111_5_2_1_2_a_client_that_would_take_what_came_stale_gets_a_new_one
        differs "max-stale is not obeyed; the handler's own windows decide" with reload() =>
        [given(&["cache-control: max-age=1500", "age: 2000"]), asked().with("cache-control: max-stale=1000")];
    Optional "ccreq-max-stale-age" rfc9111_5_2_1_2_a_page_that_came_stale_is_asked_again
        differs "ignored; the handler's own windows decide" =>
        [given(&["cache-control: max-age=1500", "age: 2000"]), asked().with("cache-control: max-stale=1000")];
    Required rfc9111_5_2_1_2_a_client_gets_no_page_that_is_staler_than_it_takes with reload() =>
        [given(&["cache-control: max-age=2"]), wait(30), asked().with("cache-control: max-stale=10")];
    Required rfc9111_5_2_2_2_a_client_gets_no_stale_page_that_must_be_revalidated with reload() =>
        [given(&["cache-control: max-age=2, must-revalidate"]), wait(3), asked().with("cache-control: max-stale=1000")];
    Optional "ccreq-min-fresh" rfc9111_5_2_1_3_a_client_that_wants_a_page_to_last_gets_a_new_one with reload() =>
        [given(&["cache-control: max-age=1500"]), asked().with("cache-control: min-fresh=2000")];
    Optional "ccreq-min-fresh" rfc9111_5_2_1_3_a_client_cannot_force_a_render_with_min_fresh
        differs "ignored, so that nobody can force renders" =>
        [given(&["cache-control: max-age=1500"]), served().with("cache-control: min-fresh=2000")];
    Optional "ccreq-min-fresh-age" rfc9111_5_2_1_3_an_age_the_page_came_with_shortens_how_long_it_lasts with reload() =>
        [given(&["cache-control: max-age=1500", "age: 1000"]), asked().with("cache-control: min-fresh=1000")];
    Optional "ccreq-min-fresh-age" rfc9111_5_2_1_3_a_client_cannot_force_a_render_of_an_aged_page_with_min_fresh
        differs "ignored, so that nobody can force renders" =>
        [given(&["cache-control: max-age=1500", "age: 1000"]), served().with("cache-control: min-fresh=1000")];
    Optional rfc9111_5_2_1_3_a_page_that_lasts_long_enough_is_served with reload() =>
        [given(&["cache-control: max-age=1500"]), wait(3), served().with("cache-control: min-fresh=1000")];
    Optional "ccreq-no-cache" rfc9111_5_2_1_4_a_reload_gets_a_new_page with reload() =>
        [given(&["cache-control: max-age=3600"]), asked().with("cache-control: no-cache").text("answer 2")];
    Optional "ccreq-no-cache" rfc9111_5_2_1_4_a_client_cannot_force_a_render_with_a_reload
        differs "ignored, so that nobody can force renders" =>
        [given(&["cache-control: max-age=3600"]), served().with("cache-control: no-cache")];
    Optional rfc9111_5_2_1_4_a_reload_replaces_the_stored_page with reload() =>
        [
            given(&["cache-control: max-age=3600"]),
            given(&["cache-control: max-age=3600"]).with("cache-control: no-cache"),
            served().text("answer 2"),
        ];
    Optional "ccreq-no-cache-lm" rfc9111_5_2_1_4_a_reload_asks_for_the_whole_page_beside_a_last_modified
        differs "the handler is asked, but for the whole page instead of a 304" with reload() =>
        [
            given(&["cache-control: max-age=3600", "last-modified: @-10000", "date: @0"]),
            asked().with("cache-control: no-cache").handler_saw_no("if-modified-since"),
        ];
    Optional "ccreq-no-cache-etag" rfc9111_5_2_1_4_a_reload_asks_for_the_whole_page_beside_an_etag
        differs "the handler is asked, but for the whole page instead of a 304" with reload() =>
        [
            given(&["cache-control: max-age=3600", "etag: \"abc\""]),
            asked().with("cache-control: no-cache").handler_saw_no("if-none-match"),
        ];
    Optional "ccreq-no-store" rfc9111_5_2_1_5_a_no_store_request_may_be_answered_from_the_store
        differs "it does not concern what is stored already (RFC 9111 §5.2.1.5); nobody can force renders with it" =>
        [fresh(), served().with("cache-control: no-store")];
    Required rfc9111_5_2_1_5_the_answer_to_a_no_store_request_is_not_stored =>
        [fresh().with("cache-control: no-store"), asked()];
    Optional "ccreq-oic" rfc9111_5_2_1_7_only_if_cached_without_a_stored_page_is_a_504 =>
        [refused(504).with("cache-control: only-if-cached")];
    Required rfc9111_5_2_1_7_only_if_cached_gets_a_stored_page =>
        [fresh(), served().with("cache-control: only-if-cached").status(200)];
    Required rfc9111_5_2_1_7_only_if_cached_with_a_stale_page_is_a_504 =>
        [given(&["cache-control: max-age=2"]), wait(3), refused(504).with("cache-control: only-if-cached")];
    Optional rfc9111_5_2_1_directives_of_a_request_are_read_in_any_case with reload() =>
        [given(&["cache-control: max-age=3600"]), asked().with("cache-control: foo, No-CaChE")];
    Optional "pragma-request-no-cache" rfc9111_5_4_pragma_of_a_client_says_nothing =>
        [given(&["cache-control: max-age=3600"]), served().with("pragma: no-cache")];
    Optional "pragma-request-extension" rfc9111_5_4_an_unknown_pragma_of_a_client_says_nothing =>
        [given(&["cache-control: max-age=3600"]), served().with("pragma: unrecognised-extension")];
    Optional rfc9111_5_2_1_4_a_reload_a_second_later_replaces_the_stored_page with reload() =>
        [
            given(&["cache-control: max-age=3600"]),
            wait(1),
            given(&["cache-control: max-age=3600"]).with("cache-control: no-cache").text("answer 2"),
            wait(1),
            served().text("answer 2").age(1),
        ];
    Optional rfc9111_5_2_1_4_two_reloads_both_get_a_new_page with reload() =>
        [
            given(&["cache-control: max-age=3600"]),
            given(&["cache-control: max-age=3600"]).with("cache-control: no-cache").text("answer 2"),
            given(&["cache-control: max-age=3600"]).with("cache-control: no-cache").text("answer 3"),
        ];
    Optional rfc9111_5_2_1_4_a_reload_that_finds_an_error_leaves_no_error_behind with reload() =>
        [
            given(&["cache-control: max-age=3600"]),
            wait(1),
            asked().answers(500, &[]).with("cache-control: no-cache").status(500),
            either().status(200),
        ];
    Optional rfc9111_5_4_pragma_is_a_reload_where_it_is_honoured_and_nothing_else_is_said with reload() =>
        [
            given(&["cache-control: max-age=3600"]),
            asked().with("pragma: no-cache"),
            given(&["cache-control: max-age=3600"]).at("/b"),
            served().at("/b").with("pragma: no-cache").with("cache-control: max-age=600"),
        ];
    Optional rfc9111_5_2_1_7_only_if_cached_with_a_cookie_asks_no_handler =>
        [refused(504).with("cache-control: only-if-cached").with("cookie: a=b")];
    Required rfc9111_5_2_1_7_only_if_cached_beside_a_reload_is_a_504 with reload() =>
        [fresh(), refused(504).with("cache-control: only-if-cached, no-cache")];
}
