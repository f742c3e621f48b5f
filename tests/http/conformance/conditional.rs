//! Conditional requests of clients, answered from stored pages (RFC 9111 §4.3.2, RFC 9110 §13).
//!
//! The layer sends no conditional requests of its own: the handler renders the whole page anyway.

use super::steps::*;

/// A page with a long life and one more header.
fn fresh(header: &'static str) -> Exchange {
    given(&["cache-control: max-age=100000", "expires: @100000", "date: @0", header])
}

/// A page that is stale after two seconds.
fn brief(header: &'static str) -> Exchange {
    given(&["cache-control: max-age=2", header])
}

const TAGGED: &str = "etag: \"abcdef\"";

/// A page with all headers that concern caches, and with headers that describe its content.
const SAID: [&str; 7] = [
    "cache-control: max-age=3600",
    "date: @0",
    "expires: @3600",
    TAGGED,
    "vary: foo",
    "content-location: /page.en",
    "content-type: text/html",
];

scenarios! {
    Optimal "conditional-etag-strong-respond" rfc9110_13_1_2_a_client_that_has_the_page_gets_a_304 =>
        [fresh(TAGGED), served().with("if-none-match: \"abcdef\"").status(304).text("")];
    Required "conditional-304-etag" rfc9110_15_4_5_a_304_carries_the_etag =>
        [fresh(TAGGED), served().with("if-none-match: \"abcdef\"").status(304).has(TAGGED)];
    Required "conditional-etag-precedence" rfc9110_13_2_2_if_none_match_wins_over_if_modified_since =>
        [
            given(&["cache-control: max-age=100000", "date: @0", "last-modified: @-5000", TAGGED]),
            served().with("if-none-match: \"abcdef\"").with("if-modified-since: @-1").status(304),
        ];
    Required rfc9110_13_2_2_if_modified_since_does_not_count_beside_another_etag =>
        [
            given(&["cache-control: max-age=100000", "date: @0", "last-modified: @-5000", TAGGED]),
            served().with("if-none-match: \"other\"").with("if-modified-since: @-1").status(200).text("answer 1"),
        ];
    Optional "conditional-etag-strong-respond-obs-text" rfc9110_8_8_3_an_etag_may_have_bytes_beyond_ascii =>
        [fresh("etag: \"abcdefü\""), served().with("if-none-match: \"abcdefü\"").status(304).has("etag: \"abcdefü\"")];
    Optional "conditional-etag-quoted-respond-unquoted" rfc9110_8_8_3_a_tag_without_quotes_matches_none_with
        differs "a tag without quotes is none (RFC 9110 §8.8.3): the whole page" =>
        [fresh(TAGGED), served().with("if-none-match: abcdef").status(200)];
    Optional "conditional-etag-unquoted-respond-unquoted" rfc9110_8_8_3_two_tags_without_quotes_do_not_match
        differs "a tag without quotes is none (RFC 9110 §8.8.3): the whole page" =>
        [fresh("etag: abcdef"), served().with("if-none-match: abcdef").status(200)];
    Optional "conditional-etag-unquoted-respond-quoted" rfc9110_8_8_3_a_tag_with_quotes_matches_none_without
        differs "a tag without quotes is none (RFC 9110 §8.8.3): the whole page" =>
        [fresh("etag: abcdef"), served().with("if-none-match: \"abcdef\"").status(200)];
    Optimal "conditional-etag-weak-respond" rfc9110_8_8_3_2_two_weak_tags_match =>
        [fresh("etag: W/\"abcdef\""), served().with("if-none-match: W/\"abcdef\"").status(304)];
    Required rfc9110_8_8_3_2_a_weak_tag_matches_a_strong_one =>
        [
            fresh(TAGGED),
            served().with("if-none-match: W/\"abcdef\"").status(304),
            fresh("etag: W/\"abcdef\"").at("/weak"),
            served().at("/weak").with("if-none-match: \"abcdef\"").status(304),
        ];
    Optional "conditional-etag-weak-respond-lowercase" rfc9110_8_8_3_a_small_w_is_no_weak_tag
        differs "the mark of a weak tag is a capital letter (RFC 9110 §8.8.3): the whole page" =>
        [fresh("etag: w/\"abcdef\""), served().with("if-none-match: w/\"abcdef\"").status(200)];
    Optional "conditional-etag-weak-respond-backslash" rfc9110_8_8_3_a_backslash_is_no_mark_of_a_weak_tag
        differs "what stands before the quotes is no mark (RFC 9110 §8.8.3): the whole page" =>
        [fresh("etag: W\\\"abcdef\""), served().with("if-none-match: W\\\"abcdef\"").status(200)];
    Optional "conditional-etag-weak-respond-omit-slash" rfc9110_8_8_3_a_w_without_its_slash_is_no_weak_tag
        differs "what stands before the quotes is no mark (RFC 9110 §8.8.3): the whole page" =>
        [fresh("etag: W\"abcdef\""), served().with("if-none-match: W\"abcdef\"").status(200)];
    Optimal "conditional-etag-strong-respond-multiple-first" rfc9110_13_1_2_the_first_of_several_tags_matches =>
        [fresh(TAGGED), served().with("if-none-match: \"abcdef\", \"1234\", \"5678\"").status(304)];
    Optimal "conditional-etag-strong-respond-multiple-second" rfc9110_13_1_2_a_tag_in_the_middle_matches =>
        [fresh(TAGGED), served().with("if-none-match: \"1234\", \"abcdef\", \"5678\"").status(304)];
    Optimal "conditional-etag-strong-respond-multiple-last" rfc9110_13_1_2_the_last_of_several_tags_matches =>
        [fresh(TAGGED), served().with("if-none-match: \"1234\", \"5678\", \"abcdef\"").status(304)];
    Optimal rfc9110_13_1_2_a_tag_on_a_second_line_matches =>
        [fresh(TAGGED), served().with("if-none-match: \"1234\"").with("if-none-match: \"abcdef\"").status(304)];
    Required rfc9110_8_8_3_a_comma_inside_a_tag_parts_nothing =>
        [
            fresh("etag: \"a,b\""),
            served().with("if-none-match: \"x\", \"a,b\"").status(304),
            served().with("if-none-match: \"a\", \"b\"").status(200),
        ];
    Required rfc9110_13_1_2_a_star_matches_every_page => [fresh(TAGGED), served().with("if-none-match: *").status(304)];
    Required rfc9110_13_1_2_another_tag_gets_the_whole_page =>
        [fresh(TAGGED), served().with("if-none-match: \"other\"").status(200).has(TAGGED).text("answer 1")];
    Required rfc9110_13_1_2_a_malformed_tag_gets_the_whole_page =>
        [
            fresh(TAGGED),
            served().with("if-none-match: \"\"\"").status(200),
            served().with("if-none-match: ").status(200),
        ];
    Required "conditional-etag-vary-headers" rfc9111_4_3_1_a_stale_variant_is_asked_for_with_its_header
        differs "no conditional request is made; the client's own headers reach the handler" =>
        [
            given(&["expires: @1", TAGGED, "date: @0", "vary: Abc"]).with("abc: 123"),
            wait(3),
            asked().with("abc: 123").handler_saw("abc: 123").handler_saw_no("if-none-match"),
        ];
    Optional "conditional-etag-vary-headers-mismatch" rfc9111_4_3_1_a_variant_does_not_lend_its_tag_to_another
        differs "no conditional request is made" =>
        [
            given(&["expires: @10000", TAGGED, "date: @0", "vary: Abc"]).with("abc: 123"),
            wait(3),
            asked().with("abc: 456").handler_saw_no("if-none-match"),
        ];
    Optimal "conditional-etag-strong-generate" rfc9111_4_3_1_a_stale_page_is_asked_for_whole
        differs "no conditional request is made; the handler is asked for the whole page" =>
        [brief(TAGGED), wait(3), asked().handler_saw_no("if-none-match").text("answer 2")];
    Optimal "conditional-etag-weak-generate-weak" rfc9111_4_3_1_a_stale_page_with_a_weak_tag_is_asked_for_whole
        differs "no conditional request is made; the handler is asked for the whole page" =>
        [brief("etag: W/\"abcdef\""), wait(3), asked().handler_saw_no("if-none-match").text("answer 2")];
    Optional "conditional-etag-strong-generate-unquoted"
        rfc9111_4_3_1_a_stale_page_with_a_tag_without_quotes_is_asked_for_whole
        differs "no conditional request is made; the handler is asked for the whole page" =>
        [brief("etag: abcdef"), wait(3), asked().handler_saw_no("if-none-match").text("answer 2")];
    Optional "conditional-etag-forward" rfc9111_4_3_2_the_handler_is_asked_without_the_clients_tag
        differs "the handler makes a whole page, which can be stored; the client still gets its 304" =>
        [
            given(&["cache-control: max-age=3600", TAGGED])
                .with("if-none-match: \"abcdef\"")
                .handler_saw_no("if-none-match")
                .status(304),
            served().status(200).text("answer 1"),
        ];
    Optional "conditional-etag-forward-unquoted" rfc9111_4_3_2_the_handler_is_asked_without_a_malformed_tag
        differs "the handler makes a whole page, which can be stored" =>
        [
            given(&["cache-control: max-age=3600", TAGGED])
                .with("if-none-match: abcdef")
                .handler_saw_no("if-none-match")
                .status(200),
            served().status(200),
        ];
    Optimal "conditional-lm-fresh" rfc9110_13_1_3_a_page_not_changed_since_is_a_304 =>
        [fresh("last-modified: @-3000"), wait(3), served().with("if-modified-since: @-3000").status(304).text("")];
    Optimal "conditional-lm-fresh-earlier" rfc9110_13_1_3_a_page_changed_before_is_a_304 =>
        [fresh("last-modified: @-3000"), wait(3), served().with("if-modified-since: @-2000").status(304)];
    Required rfc9110_13_1_3_a_page_changed_after_is_sent_whole =>
        [
            fresh("last-modified: @-3000"),
            wait(3),
            served().with("if-modified-since: @-4000").status(200).text("answer 1"),
        ];
    Optimal "conditional-lm-stale" rfc9111_4_3_2_a_stale_page_is_asked_for_whole_and_the_client_gets_its_304
        differs "no conditional request is made; the client gets the 304 by the new page's date" =>
        [
            brief("last-modified: @-3000"),
            wait(3),
            brief("last-modified: @-3000")
                .with("if-modified-since: @-3000")
                .handler_saw_no("if-modified-since")
                .status(304),
        ];
    Optimal "conditional-lm-fresh-no-lm" rfc9111_4_3_2_a_page_that_was_made_after_the_date_asked_for_is_sent_whole
        differs "the page was made (`Date`) after the date that the client names, where RFC 9111 §4.3.2 asks for no 304: the client may have an older page" =>
        [
            given(&["cache-control: max-age=100000", "date: @0"]),
            wait(3),
            served().with("if-modified-since: @-3000").status(200),
        ];
    Required rfc9111_4_3_2_a_page_is_not_confirmed_by_the_second_it_was_made_in =>
        [given(&["cache-control: max-age=100000", "date: @0"]), served().with("if-modified-since: @0").status(200)];
    Optimal "conditional-lm-fresh-rfc850" rfc9110_5_6_7_a_client_may_write_its_date_as_in_rfc_850 =>
        [fresh("last-modified: @-3000"), wait(3), served().with("if-modified-since: @-3000/850").status(304)];
    Optimal rfc9110_5_6_7_a_client_may_write_its_date_as_asctime_does =>
        [fresh("last-modified: @-3000"), wait(3), served().with("if-modified-since: @-3000/asctime").status(304)];
    Required rfc9110_13_1_3_an_invalid_date_gets_the_whole_page =>
        [fresh("last-modified: @-3000"), served().with("if-modified-since: Mon, 32 Oct 2010 00:00:00 GMT").status(200)];
    Required rfc9110_15_4_5_a_304_carries_what_the_200_would_say_of_caching =>
        [
            given(&SAID),
            served()
                .with("if-none-match: \"abcdef\"")
                .status(304)
                .text("")
                .has("cache-control: max-age=3600")
                .has("date: @0")
                .has("expires: @3600")
                .has(TAGGED)
                .varies("foo")
                .has("content-location: /page.en")
                .lacks("content-type"),
        ];
    Required rfc9110_13_2_1_a_stored_redirect_is_never_a_304 =>
        [
            asked().answers(301, &["cache-control: max-age=3600", "location: /new", TAGGED]).status(301),
            served().with("if-none-match: \"abcdef\"").status(301),
        ];
    Required rfc9110_13_2_1_the_answer_to_a_post_is_never_made_a_304 =>
        [
            sent("POST")
                .answers(200, &[TAGGED, "last-modified: @-3000"])
                .with("if-none-match: \"abcdef\"")
                .with("if-modified-since: @0")
                .status(200),
        ];
    Required rfc9111_4_3_2_a_304_to_one_client_does_not_become_anothers_page =>
        [
            given(&["cache-control: max-age=3600", TAGGED]).with("if-none-match: \"abcdef\"").status(304),
            served().status(200).text("answer 1"),
        ];
    Optional rfc9110_13_1_1_a_stored_page_that_is_another_fails_if_match =>
        [
            fresh(TAGGED),
            served().with("if-match: \"other\"").status(412),
            served().with("if-match: \"abcdef\"").status(200),
        ];
    Required rfc9110_13_1_1_the_handler_has_run_when_a_page_is_made_so_if_match_refuses_nothing =>
        [fresh(TAGGED).with("if-match: \"other\"").status(200), served().status(200).text("answer 1")];
    Required rfc9110_8_8_3_2_a_weak_tag_is_no_match_for_if_match =>
        [fresh("etag: W/\"abcdef\""), served().with("if-match: W/\"abcdef\"").status(412)];
    Required rfc9111_4_3_2_a_304_from_a_stored_page_says_nothing_of_its_body =>
        [
            fresh(TAGGED)
                .answers(200, &["cache-control: max-age=3600", TAGGED, "content-length: 8", "content-encoding: br"])
                .body("01234567"),
            served().with("if-none-match: \"abcdef\"").status(304).lacks("content-length: 8").lacks("content-encoding"),
        ];
}
