//! Which statuses are stored (RFC 9111 §3): 200, and any other final one that brings a lifetime of its own.

use super::scenario::ttl;
use super::steps::*;

/// The same status in another life: with a day to go.
fn fresh(status: u16) -> Exchange {
    asked()
        .answers(status, &["cache-control: max-age=100000", "expires: @100000", "last-modified: @0", "date: @0"])
        .status(status)
}

/// Over before it came.
fn stale(status: u16) -> Exchange {
    asked().answers(status, &["expires: @-5000", "last-modified: @-100000", "date: @0"]).status(status)
}

scenarios! {
    Optimal "status-200-fresh" rfc9111_3_a_200_with_a_lifetime_is_reused => [fresh(200), wait(3), served().status(200)];
    Required "status-200-stale" rfc9111_3_a_200_whose_lifetime_is_over_is_not_reused => [stale(200), asked()];
    Optimal "status-203-fresh" rfc9111_3_a_203_with_a_lifetime_is_reused => [fresh(203), wait(3), served().status(203)];
    Required "status-203-stale" rfc9111_3_a_203_whose_lifetime_is_over_is_not_reused => [stale(203), asked()];
    Optimal "status-204-fresh" rfc9111_3_a_204_with_a_lifetime_is_reused => [fresh(204), wait(3), served().status(204)];
    Required "status-204-stale" rfc9111_3_a_204_whose_lifetime_is_over_is_not_reused => [stale(204), asked()];
    Optimal "status-299-fresh" rfc9111_3_a_299_with_a_lifetime_is_reused => [fresh(299), wait(3), served().status(299)];
    Required "status-299-stale" rfc9111_3_a_299_whose_lifetime_is_over_is_not_reused => [stale(299), asked()];
    Optimal "status-301-fresh" rfc9111_3_a_301_with_a_lifetime_is_reused => [fresh(301), wait(3), served().status(301)];
    Required "status-301-stale" rfc9111_3_a_301_whose_lifetime_is_over_is_not_reused => [stale(301), asked()];
    Optimal "status-302-fresh" rfc9111_3_a_302_with_a_lifetime_is_reused => [fresh(302), wait(3), served().status(302)];
    Required "status-302-stale" rfc9111_3_a_302_whose_lifetime_is_over_is_not_reused => [stale(302), asked()];
    Optimal "status-303-fresh" rfc9111_3_a_303_with_a_lifetime_is_reused => [fresh(303), wait(3), served().status(303)];
    Required "status-303-stale" rfc9111_3_a_303_whose_lifetime_is_over_is_not_reused => [stale(303), asked()];
    Optimal "status-307-fresh" rfc9111_3_a_307_with_a_lifetime_is_reused => [fresh(307), wait(3), served().status(307)];
    Required "status-307-stale" rfc9111_3_a_307_whose_lifetime_is_over_is_not_reused => [stale(307), asked()];
    Optimal "status-308-fresh" rfc9111_3_a_308_with_a_lifetime_is_reused => [fresh(308), wait(3), served().status(308)];
    Required "status-308-stale" rfc9111_3_a_308_whose_lifetime_is_over_is_not_reused => [stale(308), asked()];
    Optimal "status-400-fresh" rfc9111_3_a_400_with_a_lifetime_is_reused => [fresh(400), wait(3), served().status(400)];
    Required "status-400-stale" rfc9111_3_a_400_whose_lifetime_is_over_is_not_reused => [stale(400), asked()];
    Optimal "status-404-fresh" rfc9111_3_a_404_with_a_lifetime_is_reused => [fresh(404), wait(3), served().status(404)];
    Required "status-404-stale" rfc9111_3_a_404_whose_lifetime_is_over_is_not_reused => [stale(404), asked()];
    Optimal "status-410-fresh" rfc9111_3_a_410_with_a_lifetime_is_reused => [fresh(410), wait(3), served().status(410)];
    Required "status-410-stale" rfc9111_3_a_410_whose_lifetime_is_over_is_not_reused => [stale(410), asked()];
    Optimal "status-499-fresh" rfc9111_3_a_499_with_a_lifetime_is_reused => [fresh(499), wait(3), served().status(499)];
    Required "status-499-stale" rfc9111_3_a_499_whose_lifetime_is_over_is_not_reused => [stale(499), asked()];
    Optimal "status-500-fresh" rfc9111_3_a_500_with_a_lifetime_is_reused => [fresh(500), wait(3), served().status(500)];
    Required "status-500-stale" rfc9111_3_a_500_whose_lifetime_is_over_is_not_reused => [stale(500), asked()];
    Optimal "status-502-fresh" rfc9111_3_a_502_with_a_lifetime_is_reused => [fresh(502), wait(3), served().status(502)];
    Required "status-502-stale" rfc9111_3_a_502_whose_lifetime_is_over_is_not_reused => [stale(502), asked()];
    Optimal "status-503-fresh" rfc9111_3_a_503_with_a_lifetime_is_reused => [fresh(503), wait(3), served().status(503)];
    Required "status-503-stale" rfc9111_3_a_503_whose_lifetime_is_over_is_not_reused => [stale(503), asked()];
    Optimal "status-504-fresh" rfc9111_3_a_504_with_a_lifetime_is_reused => [fresh(504), wait(3), served().status(504)];
    Required "status-504-stale" rfc9111_3_a_504_whose_lifetime_is_over_is_not_reused => [stale(504), asked()];
    Optimal "status-599-fresh" rfc9111_3_a_599_with_a_lifetime_is_reused => [fresh(599), wait(3), served().status(599)];
    Required "status-599-stale" rfc9111_3_a_599_whose_lifetime_is_over_is_not_reused => [stale(599), asked()];
    Required "status-599-must-understand" rfc9111_5_2_2_3_an_unknown_status_that_must_be_understood_is_not_stored =>
        [asked().answers(599, &["cache-control: max-age=3600, no-store, must-understand"]), asked()];
    Optimal "status-200-must-understand" rfc9111_5_2_2_3_a_known_status_that_must_be_understood_is_reused =>
        [given(&["cache-control: max-age=3600, no-store, must-understand"]), served()];
    Required rfc9111_3_a_404_gets_no_lifetime_from_the_layer with ttl(60) =>
        [
            asked().answers(404, &[]).status(404),
            asked().answers(404, &[]).status(404),
            asked().answers(200, &[]),
            served().status(200),
        ];
    Required rfc9111_3_a_500_gets_no_lifetime_from_the_layer with ttl(60) =>
        [asked().answers(500, &[]).status(500), asked()];
    Required rfc9111_3_a_redirect_gets_no_lifetime_from_the_layer with ttl(60) =>
        [asked().answers(302, &["location: /elsewhere"]).status(302), asked()];
    Required rfc9110_15_4_5_a_304_of_the_handler_is_passed_on_and_not_stored =>
        [asked().answers(304, &["cache-control: max-age=3600", "etag: \"a\""]).status(304), asked().status(200)];
    Required rfc9110_15_3_7_a_206_of_the_handler_is_passed_on_and_not_stored =>
        [
            asked()
                .answers(206, &["cache-control: max-age=3600", "content-range: bytes 0-3/10"])
                .body("0123")
                .status(206),
            asked().status(200),
        ];
    Required rfc9110_15_4_a_stored_redirect_keeps_its_location =>
        [
            asked().answers(301, &["cache-control: max-age=3600", "location: /elsewhere"]).status(301),
            served().status(301).has("location: /elsewhere"),
        ];
    Required rfc9111_3_3_a_body_that_breaks_off_is_not_stored =>
        [given(&["cache-control: max-age=3600"]).breaks_off().failing(), asked().text("answer 2")];
    Required rfc9111_3_a_handler_that_fails_leaves_nothing_behind =>
        [given(&["cache-control: max-age=3600"]).fails().failing(), asked().text("answer 2")];
}
