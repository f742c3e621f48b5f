//! `Expires`: the lifetime it gives, and how its date is read (RFC 9111 §5.3).

use super::steps::*;

scenarios! {
    Optimal "freshness-expires-future" rfc9111_5_3_a_future_expires_lets_a_page_be_reused =>
        [given(&["expires: @2592000", "date: @0"]), wait(3), served()];
    Required "freshness-expires-past" rfc9111_5_3_a_past_expires_is_over =>
        [given(&["expires: @-2592000", "date: @0"]), wait(3), asked()];
    Required "freshness-expires-present" rfc9111_5_3_an_expires_of_the_present_is_over =>
        [given(&["expires: @0", "date: @0"]), asked()];
    Required "freshness-expires-old-date" rfc9111_4_2_1_an_expires_before_its_date_is_over_also_when_both_are_ahead =>
        [given(&["expires: @300", "date: @400"]), wait(3), asked()];
    Required "freshness-expires-invalid" rfc9111_5_3_an_expires_of_0_is_in_the_past =>
        [given(&["expires: 0", "date: @0"]), wait(3), asked()];
    Optimal "freshness-expires-invalid-date" rfc9111_4_2_1_an_expires_beside_an_invalid_date_counts_from_its_arrival =>
        [given(&["date: foo", "expires: @10"]), served()];
    Required "freshness-expires-age-slow-date" rfc9111_4_2_3_an_age_beyond_expires_minus_a_slow_date_is_stale =>
        [given(&["date: @-10", "expires: @10", "age: 25"]), asked()];
    Required "freshness-expires-age-fast-date" rfc9111_4_2_3_an_age_beyond_expires_minus_a_fast_date_is_stale =>
        [given(&["date: @10", "expires: @20", "age: 15"]), asked()];
    Required rfc9111_4_2_1_the_lifetime_of_expires_counts_from_its_date =>
        [given(&["date: @0", "expires: @60"]), wait(58), served(), wait(2), asked()];
    Required rfc9111_5_3_s_maxage_wins_over_expires =>
        [given(&["date: @0", "expires: @3600", "cache-control: s-maxage=1"]), wait(3), asked()];
    Optimal "freshness-expires-32bit" rfc9111_5_3_an_expires_at_the_end_of_32_bits_is_a_long_time =>
        [given(&["expires: Tue, 19 Jan 2038 14:14:08 GMT", "date: @0"]), wait(3), served()];
    Optimal "freshness-expires-far-future" rfc9111_5_3_an_expires_centuries_ahead_is_a_long_time =>
        [given(&["expires: Sun, 21 Nov 2286 04:46:39 GMT", "date: @0"]), wait(3), served()];
    Optimal "freshness-expires-rfc850" rfc9110_5_6_7_an_expires_in_the_format_of_rfc_850_is_read =>
        [given(&["expires: Thursday, 18-Aug-50 02:01:18 GMT", "date: @0"]), wait(3), served()];
    Optimal "freshness-expires-ansi-c" rfc9110_5_6_7_an_expires_is_read_whatever_weekday_it_names =>
        [given(&["expires: Thu Aug  8 02:01:18 2050", "date: @0"]), wait(3), served()];
    Optimal rfc9110_5_6_7_an_expires_in_the_format_of_asctime_is_read =>
        [given(&["expires: Mon Aug  8 02:01:18 2050", "date: @0"]), wait(3), served()];
    Required rfc9110_5_6_7_an_expires_in_the_past_is_past_whatever_weekday_it_names =>
        [given(&["expires: Mon, 08 Aug 2023 02:01:18 GMT", "date: @0"]), wait(3), asked()];
    Optimal rfc9110_5_6_7_a_weekday_does_not_matter_in_any_format =>
        [
            given(&["expires: Mon, 18 Aug 2050 02:01:18 GMT", "date: @0"]).at("/imf"),
            served().at("/imf"),
            given(&["expires: Friday, 18-Aug-50 02:01:18 GMT", "date: @0"]).at("/850"),
            served().at("/850"),
        ];
    Required rfc9110_5_6_7_what_is_no_weekday_makes_no_date =>
        [given(&["expires: Foo, 18 Aug 2050 02:01:18 GMT", "date: @0"]), wait(3), asked()];
    Optimal "freshness-expires-wrong-case-weekday" rfc9111_4_2_a_weekday_is_read_in_any_case =>
        [given(&["expires: THU, 18 Aug 2050 02:01:18 GMT", "date: @0"]), wait(3), served()];
    Optimal "freshness-expires-wrong-case-month" rfc9111_4_2_a_month_is_read_in_any_case =>
        [given(&["expires: Thu, 18 AUG 2050 02:01:18 GMT", "date: @0"]), wait(3), served()];
    Optimal "freshness-expires-wrong-case-tz" rfc9111_4_2_a_time_zone_is_read_in_any_case =>
        [given(&["expires: Thu, 18 Aug 2050 02:01:18 gMT", "date: @0"]), wait(3), served()];
    Required "freshness-expires-invalid-utc" rfc9111_5_3_an_expires_in_utc_is_invalid =>
        [given(&["expires: Thu, 18 Aug 2050 02:01:18 UTC", "date: @0"]), wait(3), asked()];
    Required "freshness-expires-invalid-aest" rfc9111_5_3_an_expires_in_another_time_zone_is_invalid =>
        [given(&["expires: Thu, 18 Aug 2050 02:01:18 AEST", "date: @0"]), wait(3), asked()];
    Required "freshness-expires-invalid-2-digit-year" rfc9111_5_3_an_expires_with_a_year_of_two_digits_is_invalid =>
        [given(&["expires: Thu, 18 Aug 50 02:01:18 GMT", "date: @0"]), wait(3), asked()];
    Required "freshness-expires-invalid-no-comma" rfc9111_5_3_an_expires_without_its_comma_is_invalid =>
        [given(&["expires: Thu 18 Aug 2050 02:01:18 GMT", "date: @0"]), wait(3), asked()];
    Required "freshness-expires-invalid-multiple-spaces" rfc9111_5_3_an_expires_with_too_many_spaces_is_invalid =>
        [given(&["expires: Thu, 18  Aug  2050 02:01:18 GMT", "date: @0"]), asked()];
    Required "freshness-expires-invalid-date-dashes" rfc9111_5_3_an_expires_with_dashes_is_invalid =>
        [given(&["expires: Thu, 18-Aug-2050 02:01:18 GMT", "date: @0"]), asked()];
    Required "freshness-expires-invalid-time-periods" rfc9111_5_3_an_expires_with_periods_in_its_time_is_invalid =>
        [given(&["expires: Thu, 18 Aug 2050 02.01.18 GMT", "date: @0"]), asked()];
    Required "freshness-expires-invalid-1-digit-hour" rfc9111_5_3_an_expires_with_an_hour_of_one_digit_is_invalid =>
        [given(&["expires: Thu, 18 Aug 2050 2:01:18 GMT", "date: @0"]), asked()];
    Required "freshness-expires-invalid-multiple-lines" rfc9111_5_3_an_expires_on_two_lines_is_invalid =>
        [
            given(&["expires: Thu, 18 Aug 2050 2:01:18 GMT", "expires: Thu, 18 Aug 2050 2:01:19 GMT", "date: @0"]),
            asked(),
        ];
    Required rfc9111_4_2_1_a_second_expires_prolongs_nothing =>
        [given(&["expires: @-60", "expires: @3600", "date: @0"]), asked()];
}
