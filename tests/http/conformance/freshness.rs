//! The lifetime of a page by `Cache-Control` (RFC 9111 §4.2).

use super::scenario::ttl;
use super::steps::*;

scenarios! {
    Optional "freshness-none" rfc9111_3_a_page_without_a_lifetime_is_not_stored => [given(&[]), wait(3), asked()];
    Optimal "freshness-max-age" rfc9111_5_2_2_1_max_age_lets_a_page_be_reused =>
        [given(&["cache-control: max-age=3600"]), wait(3), served().text("answer 1")];
    Required "freshness-max-age-stale" rfc9111_5_2_2_1_after_max_age_the_handler_is_asked =>
        [given(&["cache-control: max-age=2"]), wait(3), asked().text("answer 2")];
    Required "freshness-max-age-0" rfc9111_5_2_2_1_a_max_age_of_0_is_over_at_once =>
        [given(&["cache-control: max-age=0"]), asked(), wait(3), asked()];
    Optimal "freshness-max-age-max-minus-1" rfc9111_1_2_2_a_max_age_of_31_bits_is_a_long_time =>
        [given(&["cache-control: max-age=2147483647"]), wait(3), served()];
    Optimal "freshness-max-age-max" rfc9111_1_2_2_a_max_age_of_2_to_the_31_does_not_overflow =>
        [given(&["cache-control: max-age=2147483648"]), wait(3), served()];
    Optimal "freshness-max-age-max-plus-1" rfc9111_1_2_2_a_max_age_beyond_2_to_the_31_does_not_overflow =>
        [given(&["cache-control: max-age=2147483649"]), wait(3), served()];
    Optimal "freshness-max-age-max-plus" rfc9111_1_2_2_a_max_age_of_three_thousand_years_does_not_overflow =>
        [given(&["cache-control: max-age=99999999999"]), wait(3), served()];
    Optimal rfc9111_1_2_2_a_max_age_that_fits_no_integer_does_not_overflow =>
        [given(&["cache-control: max-age=99999999999999999999999999"]), wait(3), served()];
    Required "freshness-max-age-age" rfc9111_4_2_3_an_age_beyond_max_age_is_no_longer_fresh =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 7200"]), wait(3), asked()];
    Required rfc9111_4_2_3_an_age_is_taken_off_the_lifetime =>
        [
            given(&["date: @0", "cache-control: max-age=3600", "age: 3500"]),
            wait(90),
            served().age(3590),
            wait(20),
            asked(),
        ];
    Optional "freshness-max-age-date" rfc9111_4_2_3_an_old_date_counts_as_age =>
        [given(&["date: @-7200", "cache-control: max-age=3600"]), wait(3), asked()];
    Optimal "freshness-max-age-expires" rfc9111_5_3_max_age_wins_over_a_past_expires =>
        [given(&["cache-control: max-age=3600", "expires: @-7200", "date: @0"]), wait(3), served()];
    Optimal "freshness-max-age-expires-invalid" rfc9111_5_3_max_age_wins_over_an_invalid_expires =>
        [given(&["cache-control: max-age=3600", "expires: 0", "date: @0"]), wait(3), served()];
    Required "freshness-max-age-0-expires" rfc9111_5_3_max_age_0_wins_over_a_future_expires =>
        [given(&["expires: @3600", "cache-control: max-age=0", "date: @0"]), wait(3), asked()];
    Optimal "freshness-max-age-extension" rfc9111_5_2_3_an_unknown_directive_is_passed_over =>
        [given(&["cache-control: foobar, max-age=3600"]), wait(3), served()];
    Optimal "freshness-max-age-case-insenstive" rfc9111_5_2_a_directive_is_read_in_any_case =>
        [given(&["cache-control: MaX-aGe=3600"]), wait(3), served()];
    Required "freshness-max-age-negative" rfc9111_4_2_1_a_negative_max_age_is_no_lifetime =>
        [given(&["cache-control: max-age=-3600"]), wait(3), asked()];
    Required "freshness-s-maxage-shared" rfc9111_5_2_2_10_s_maxage_lets_a_page_be_reused =>
        [given(&["cache-control: s-maxage=3600"]), wait(3), served()];
    Required "freshness-max-age-s-maxage-shared-longer" rfc9111_5_2_2_10_a_short_s_maxage_wins_over_a_long_max_age =>
        [given(&["cache-control: max-age=3600, s-maxage=1"]), wait(3), asked()];
    Required "freshness-max-age-s-maxage-shared-longer-reversed"
        rfc9111_5_2_2_10_a_short_s_maxage_wins_when_it_comes_first =>
        [given(&["cache-control: s-maxage=1, max-age=3600"]), wait(3), asked()];
    Required "freshness-max-age-s-maxage-shared-longer-multiple"
        rfc9111_5_2_2_10_a_short_s_maxage_wins_from_another_line =>
        [given(&["cache-control: max-age=3600", "cache-control: s-maxage=1"]), wait(3), asked()];
    Optimal "freshness-max-age-s-maxage-shared-shorter" rfc9111_5_2_2_10_s_maxage_longer_than_max_age_is_used =>
        [given(&["cache-control: max-age=1, s-maxage=3600"]), wait(3), served()];
    Optimal "freshness-max-age-s-maxage-shared-shorter-expires"
        rfc9111_5_2_2_10_s_maxage_wins_over_max_age_0_and_a_past_expires =>
        [given(&["expires: @-10", "cache-control: max-age=0, s-maxage=3600"]), wait(3), served()];
    Required rfc9111_5_2_2_10_an_s_maxage_of_0_is_over_at_once =>
        [given(&["cache-control: max-age=3600, s-maxage=0"]), asked()];
    Required rfc9111_4_2_a_page_is_fresh_until_the_second_its_lifetime_ends =>
        [given(&["cache-control: max-age=60"]), wait(59), served().age(59), wait(1), asked()];
    Required rfc9111_4_2_3_a_lifetime_counts_from_the_start_of_the_render =>
        [given(&["cache-control: max-age=60"]).takes(10), wait(49), served().age(59), wait(1), asked()];
    Optimal rfc9111_4_2_an_answer_from_the_handler_begins_a_lifetime_of_its_own =>
        [
            given(&["cache-control: max-age=60"]),
            wait(61),
            given(&["cache-control: max-age=600"]),
            wait(300),
            served().text("answer 2").age(300),
        ];
    Optional rfc9111_4_2_the_layers_lifetime_is_for_pages_that_bring_none with ttl(60) =>
        [given(&[]), wait(59), served().text("answer 1"), wait(1), asked()];
    Optional rfc9111_4_2_the_layers_lifetime_is_not_for_pages_that_may_not_be_stored with ttl(60) =>
        [
            given(&["cache-control: no-store"]).at("/a"),
            asked().at("/a"),
            given(&["cache-control: private"]).at("/b"),
            asked().at("/b"),
            given(&["cache-control: no-cache"]).at("/c"),
            asked().at("/c"),
            given(&["cache-control: max-age=0"]).at("/d"),
            asked().at("/d"),
            given(&["expires: 0"]).at("/e"),
            asked().at("/e"),
            given(&["vary: *"]).at("/f"),
            asked().at("/f"),
        ];
}
