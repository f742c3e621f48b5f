//! The `Age` of responses from the handler and from the cache (RFC 9111 §5.1).

use super::steps::*;

scenarios! {
    Required "age-parse-nonnumeric" rfc9111_5_1_an_age_that_is_no_number_is_ignored =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: abc"]), wait(3), served().age(3)];
    Required "age-parse-negative" rfc9111_5_1_a_negative_age_is_ignored =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: -7200"]), wait(3), served().age(3)];
    Required "age-parse-float" rfc9111_5_1_an_age_with_decimals_is_ignored =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 7200.0"]), wait(3), served().age(3)];
    Required "age-parse-large-minus-one" rfc9111_5_1_an_age_of_31_bits_is_stale =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 2147483647"]), wait(3), asked()];
    Required "age-parse-large" rfc9111_1_2_2_an_age_of_2_to_the_31_does_not_overflow =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 2147483648"]), wait(3), asked()];
    Required "age-parse-larger" rfc9111_1_2_2_an_age_beyond_2_to_the_31_does_not_overflow =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 2147483649"]), wait(3), asked()];
    Required rfc9111_1_2_2_an_age_that_fits_no_integer_is_stale =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 99999999999999999999999999"]), wait(3), asked()];
    Required "age-parse-suffix" rfc9111_5_1_the_first_member_of_an_age_list_counts_when_it_is_old =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 7200, 0"]), wait(3), asked()];
    Required "age-parse-prefix" rfc9111_5_1_the_first_member_of_an_age_list_counts_when_it_is_young =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 0, 7200"]), wait(3), served().age(3)];
    Required "age-parse-suffix-twoline" rfc9111_5_1_the_first_of_two_age_lines_counts_when_it_is_old =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 7200", "age: 0"]), wait(3), asked()];
    Required "age-parse-prefix-twoline" rfc9111_5_1_the_first_of_two_age_lines_counts_when_it_is_young =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 0", "age: 7200"]), wait(3), served().age(3)];
    Required "age-parse-dup-0" rfc9111_5_1_an_age_list_of_zeros_is_young =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 0, 0"]), wait(3), served().age(3)];
    Required "age-parse-dup-0-twoline" rfc9111_5_1_two_age_lines_of_zero_are_young =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 0", "age: 0"]), wait(3), served().age(3)];
    Required "age-parse-dup-old" rfc9111_5_1_two_equal_age_lines_count_once =>
        [given(&["date: @0", "cache-control: max-age=10000", "age: 3600", "age: 3600"]), wait(3), served().age(3603)];
    Optional "age-parse-parameter" rfc9111_5_1_an_age_counts_without_its_parameter =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 7200;foo=bar"]), wait(3), asked()];
    Optional "age-parse-numeric-parameter" rfc9111_5_1_an_age_counts_without_its_numeric_parameter =>
        [given(&["date: @0", "cache-control: max-age=3600", "age: 7200;foo=111"]), wait(3), asked()];
    Required "other-age-gen" rfc9111_4_a_stored_page_says_its_age =>
        [
            given(&["cache-control: max-age=100000", "expires: @100000", "last-modified: @0", "date: @0"]),
            wait(3),
            served().age(3),
        ];
    Optional "other-age-delay" rfc9111_5_1_a_page_fresh_from_the_handler_says_no_age
        differs "`Age` is for stored pages; the time a render took counts in the next answer's age" =>
        [given(&["cache-control: max-age=3600", "date: @0"]).takes(5).lacks("age"), served().age(5)];
    Required "other-age-update-expires" rfc9111_5_1_an_age_grows_when_expires_gives_the_lifetime =>
        [given(&["expires: @2592000", "date: @0", "age: 30"]), wait(3), served().age(33)];
    Required "other-age-update-max-age" rfc9111_5_1_an_age_grows_when_max_age_gives_the_lifetime =>
        [given(&["cache-control: max-age=100000", "date: @0", "age: 30"]), wait(3), served().age(33)];
    Required "other-date-update" rfc9110_6_6_1_the_date_of_a_stored_page_stays =>
        [given(&["cache-control: max-age=100000", "date: @0"]), wait(3), served().has("date: @0")];
    Required "other-date-update-expires" rfc9110_6_6_1_the_date_of_a_stored_page_stays_beside_expires =>
        [given(&["expires: @2592000", "date: @0"]), wait(3), served().has("date: @0")];
    Optional "other-date-update-expires-update" rfc9111_5_3_the_expires_of_a_stored_page_stays =>
        [given(&["expires: @2592000", "date: @0"]), wait(3), served().has("expires: @2592000")];
    Required rfc9111_4_the_cache_control_of_a_stored_page_stays =>
        [
            given(&["cache-control: public, max-age=100, s-maxage=600", "date: @0"]),
            wait(200),
            served().has("cache-control: public, max-age=100, s-maxage=600").age(200),
        ];
    Required rfc9111_5_1_a_stored_page_says_one_age =>
        [given(&["cache-control: max-age=100000", "date: @0", "age: 30"]), wait(3), served().age(33).lacks("age: 30")];
    Required rfc9110_6_6_1_a_stored_page_without_a_date_gets_the_one_of_its_making =>
        [given(&["cache-control: max-age=100000"]), wait(3), served().bears("date").age(3)];
}
