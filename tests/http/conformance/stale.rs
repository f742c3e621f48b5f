//! Pages past their life: only in the windows the handler gave (RFC 9111 §4.2.4, RFC 5861).

use super::steps::*;

/// A page that is stale after two seconds.
fn brief(cache_control: &'static str) -> Exchange {
    given(&[cache_control, "etag: \"abc\""])
}

/// The handler is called and fails; the stored page is served instead.
fn rescued(status: u16) -> Exchange {
    asked().answers(status, &[]).status(200).text("answer 1")
}

const NO_WARNING: &str = "no stale page is served outside a window, and RFC 9111 §5.5 has done away with `Warning`";

scenarios! {
    Optional "stale-close" rfc9111_4_2_4_a_stale_page_does_not_stand_in_for_a_handler_that_fails
        differs "a page is served stale only where `stale-if-error` allows it" =>
        [brief("cache-control: max-age=2"), wait(3), asked().fails().failing()];
    Optional "stale-503" rfc9111_4_2_4_a_stale_page_does_not_stand_in_for_a_503
        differs "a page is served stale only where `stale-if-error` allows it" =>
        [brief("cache-control: max-age=2"), wait(3), asked().answers(503, &[]).status(503)];
    Optimal "stale-while-revalidate" rfc5861_3_a_stale_page_is_served_while_a_new_one_is_made =>
        [brief("cache-control: max-age=1, stale-while-revalidate=3600"), wait(3), refreshed().text("answer 1").age(3)];
    Required "stale-while-revalidate-window" rfc5861_3_after_its_window_a_stale_page_is_not_served =>
        [
            brief("cache-control: max-age=1, stale-while-revalidate=4"),
            wait(3),
            refreshed().answers(200, &["cache-control: no-cache", "etag: \"def\""]).text("answer 1"),
            wait(3),
            asked().text("answer 3"),
        ];
    Optimal rfc5861_3_the_page_made_behind_begins_a_new_life =>
        [
            brief("cache-control: max-age=1, stale-while-revalidate=3600"),
            wait(3),
            refreshed().answers(200, &["cache-control: max-age=3600", "etag: \"def\""]).has("etag: \"abc\""),
            served().text("answer 2").has("etag: \"def\"").has("cache-control: max-age=3600"),
        ];
    Required rfc5861_3_a_page_that_must_be_revalidated_has_no_window =>
        [
            brief("cache-control: max-age=1, stale-while-revalidate=60, must-revalidate"),
            wait(3),
            asked().text("answer 2"),
            brief("cache-control: max-age=1, stale-while-revalidate=60, proxy-revalidate").at("/proxy"),
            wait(3),
            asked().at("/proxy").text("answer 4"),
        ];
    Required rfc5861_3_a_fresh_page_is_not_made_anew =>
        [brief("cache-control: max-age=100, stale-while-revalidate=3600"), wait(50), served().text("answer 1")];
    Optimal rfc5861_3_a_page_of_no_life_may_be_served_in_its_window =>
        [brief("cache-control: max-age=0, stale-while-revalidate=3600"), wait(3), refreshed().text("answer 1")];
    Optional "stale-sie-close" rfc5861_4_a_stale_page_stands_in_for_a_handler_that_fails =>
        [
            brief("cache-control: max-age=2, stale-if-error=60"),
            wait(3),
            asked().fails().status(200).text("answer 1").age(3),
        ];
    Optional "stale-sie-503" rfc5861_4_a_stale_page_stands_in_for_a_503 =>
        [brief("cache-control: max-age=2, stale-if-error=60"), wait(3), rescued(503).age(3)];
    Optional rfc5861_4_a_stale_page_stands_in_for_a_500 =>
        [given(&["cache-control: max-age=0, stale-if-error=3600"]), rescued(500)];
    Required rfc5861_4_after_its_window_a_stale_page_stands_in_for_nothing =>
        [given(&["cache-control: max-age=0, stale-if-error=1"]), wait(3), asked().answers(500, &[]).status(500)];
    Optional rfc5861_4_a_client_cannot_ask_for_a_stale_page_in_place_of_an_error
        differs "the handler's own windows decide" =>
        [
            given(&["cache-control: max-age=0"]),
            asked().with("cache-control: stale-if-error=3600").answers(500, &[]).status(500),
        ];
    Required rfc5861_4_a_client_gets_no_page_staler_than_it_takes_in_place_of_an_error =>
        [
            given(&["cache-control: max-age=0"]),
            wait(3),
            asked().with("cache-control: stale-if-error=1").answers(500, &[]).status(500),
        ];
    Required rfc5861_4_a_stale_page_stands_in_for_each_kind_of_error =>
        [
            brief("cache-control: max-age=2, stale-if-error=60"),
            wait(3),
            rescued(500),
            wait(3),
            rescued(502),
            wait(3),
            rescued(503),
            wait(3),
            rescued(504),
        ];
    Required rfc5861_4_a_page_that_is_gone_is_no_error =>
        [brief("cache-control: max-age=2, stale-if-error=60"), wait(3), asked().answers(404, &[]).status(404)];
    Required rfc5861_4_an_error_replaces_no_page_it_stood_in_for =>
        [
            brief("cache-control: max-age=2, stale-if-error=60"),
            wait(3),
            rescued(503),
            // The handler is not called again at once.
            served().text("answer 1"),
            wait(3),
            asked().status(200).text("answer 3"),
        ];
    Required rfc5861_4_the_windows_for_errors_and_for_making_anew_are_two =>
        [
            brief("cache-control: max-age=2, stale-while-revalidate=5, stale-if-error=60"),
            wait(4),
            refreshed()
                .answers(200, &["cache-control: max-age=2, stale-while-revalidate=5, stale-if-error=60"])
                .text("answer 1"),
            wait(20),
            asked().answers(503, &[]).status(200).text("answer 2"),
        ];
    Required "stale-close-must-revalidate"
        rfc9111_5_2_2_2_a_stale_page_that_must_be_revalidated_stands_in_for_nothing =>
        [brief("cache-control: max-age=2, must-revalidate"), wait(3), asked().fails().failing()];
    Required "stale-close-proxy-revalidate"
        rfc9111_5_2_2_8_a_stale_page_that_proxies_must_revalidate_stands_in_for_nothing =>
        [brief("cache-control: max-age=2, proxy-revalidate"), wait(3), asked().fails().failing()];
    Required "stale-close-no-cache" rfc9111_5_2_2_4_a_no_cache_page_stands_in_for_nothing =>
        [brief("cache-control: max-age=2, no-cache"), wait(3), asked().fails().failing()];
    Required "stale-close-s-maxage=2" rfc9111_5_2_2_10_a_stale_s_maxage_page_stands_in_for_nothing =>
        [brief("cache-control: max-age=2, s-maxage=2"), wait(3), asked().fails().failing()];
    Required rfc5861_4_must_revalidate_wins_over_the_window_for_errors =>
        [
            brief("cache-control: max-age=2, stale-if-error=60, must-revalidate"),
            wait(3),
            asked().fails().failing(),
            asked().answers(503, &[]).status(503),
        ];
    Required rfc5861_4_proxy_revalidate_wins_over_the_window_for_errors =>
        [
            brief("cache-control: max-age=2, stale-if-error=60, proxy-revalidate"),
            wait(3),
            asked().answers(503, &[]).status(503),
        ];
    Optional "stale-warning-stored" rfc9111_5_5_a_page_stored_stale_brings_no_warning
        differs NO_WARNING =>
        [given(&["expires: @-5000", "last-modified: @-100000", "date: @0"]), asked().fails().failing()];
    Optional "stale-warning-become" rfc9111_5_5_a_page_that_became_stale_brings_no_warning
        differs NO_WARNING =>
        [brief("cache-control: max-age=2"), wait(3), asked().fails().failing()];
    Optional rfc9111_5_5_a_stale_page_in_its_window_brings_no_warning =>
        [brief("cache-control: max-age=2, stale-if-error=60"), wait(3), rescued(503).lacks("warning")];
    Required rfc5861_3_a_client_with_a_condition_has_a_whole_page_made_behind =>
        [
            brief("cache-control: max-age=1, stale-while-revalidate=60"),
            wait(3),
            refreshed()
                .with("if-none-match: \"abc\"")
                .answers(200, &["cache-control: max-age=3600", "etag: \"def\""])
                .status(304)
                .handler_saw_no("if-none-match"),
            served().status(200).text("answer 2"),
        ];
    Required rfc9111_4_4_what_was_invalidated_is_not_served_while_a_new_page_is_made =>
        [brief("cache-control: max-age=1, stale-while-revalidate=60"), wait(3), sent("POST"), asked().text("answer 3")];
    Required rfc9111_4_4_what_was_invalidated_stands_in_for_no_error =>
        [
            brief("cache-control: max-age=1, stale-if-error=60"),
            wait(3),
            sent("POST"),
            asked().answers(503, &[]).status(503),
        ];
    Required rfc5861_4_a_variant_stands_in_for_no_other =>
        [
            given(&["cache-control: max-age=2, stale-if-error=60", "vary: foo"]).with("foo: 1"),
            wait(3),
            asked().with("foo: 2").answers(503, &[]).status(503),
            rescued(503).with("foo: 1"),
        ];
    Required rfc9111_3_5_a_page_that_is_not_public_stands_in_for_no_error_of_one_who_signed_in =>
        [
            brief("cache-control: max-age=2, stale-if-error=60"),
            wait(3),
            asked().with("authorization: Basic YWxpY2U6c2VjcmV0").answers(503, &[]).status(503),
        ];
    Required rfc5861_4_a_body_that_breaks_off_is_an_error_for_the_client_and_replaces_nothing =>
        [
            brief("cache-control: max-age=2, stale-if-error=60"),
            wait(3),
            given(&["cache-control: max-age=3600"]).breaks_off().failing(),
            asked().text("answer 3"),
        ];
}
