//! How the directives of `Cache-Control` are read (RFC 9111 §5.2).

use super::steps::*;

scenarios! {
    Optional "freshness-max-age-two-fresh-stale-sameline"
        rfc9111_4_2_1_the_shorter_of_two_max_age_counts_when_it_comes_last
        differs "of several lifetimes the shortest counts" =>
        [given(&["cache-control: max-age=1800, max-age=1"]), wait(3), asked()];
    Optional "freshness-max-age-two-fresh-stale-sepline"
        rfc9111_4_2_1_the_shorter_of_two_lines_counts_when_it_comes_last
        differs "of several lifetimes the shortest counts" =>
        [given(&["cache-control: max-age=1800", "cache-control: max-age=1"]), wait(3), asked()];
    Optional "freshness-max-age-two-stale-fresh-sameline"
        rfc9111_4_2_1_the_shorter_of_two_max_age_counts_when_it_comes_first
        differs "of several lifetimes the shortest counts" =>
        [given(&["cache-control: max-age=1, max-age=1800"]), wait(3), asked()];
    Optional "freshness-max-age-two-stale-fresh-sepline" rfc9111_4_2_1_the_shorter_of_two_lines_counts_when_it_comes_first
        differs "of several lifetimes the shortest counts" =>
        [given(&["cache-control: max-age=1", "cache-control: max-age=1800"]), wait(3), asked()];
    Optional "freshness-max-age-quoted" rfc9111_5_2_a_quoted_max_age_is_read_like_a_bare_one =>
        [given(&["cache-control: max-age=\"3600\""]), wait(3), served()];
    Required "freshness-max-age-ignore-quoted" rfc9111_5_2_a_max_age_inside_a_quoted_string_is_none =>
        [given(&["cache-control: extension=\"max-age=3600\", max-age=1"]), wait(3), asked()];
    Required "freshness-max-age-ignore-quoted-rev" rfc9111_5_2_a_max_age_inside_a_later_quoted_string_is_none =>
        [given(&["cache-control: max-age=1, extension=\"max-age=3600\""]), wait(3), asked()];
    Required rfc9111_5_2_a_comma_inside_a_quoted_string_parts_nothing =>
        [given(&["cache-control: extension=\"a, max-age=3600, b\""]), wait(3), asked()];
    Required rfc9111_5_2_an_escaped_quote_does_not_end_a_quoted_string =>
        [given(&["cache-control: extension=\"a\\\", max-age=3600, b\", max-age=1"]), wait(3), asked()];
    Required rfc9111_5_2_what_follows_an_escaped_quote_is_still_quoted =>
        [given(&["cache-control: extension=\"a\\\", no-store, b\", max-age=3600"]), served()];
    Required rfc9111_5_2_a_no_store_inside_a_quoted_string_forbids_nothing =>
        [given(&["cache-control: extension=\"no-store, private\", max-age=3600"]), wait(3), served()];
    Optional "freshness-max-age-space-before-equals" rfc9111_5_2_a_space_before_the_equals_sign_spoils_a_directive =>
        [given(&["cache-control: max-age =3600"]), wait(3), asked()];
    Optional "freshness-max-age-space-after-equals" rfc9111_5_2_a_space_after_the_equals_sign_spoils_a_directive =>
        [given(&["cache-control: max-age= 3600"]), wait(3), asked()];
    Required "freshness-max-age-leading-zero" rfc9111_1_2_2_leading_zeros_do_not_matter =>
        [given(&["cache-control: max-age=003600"]), wait(3), served()];
    Required "freshness-max-age-single-quoted" rfc9111_5_2_single_quotes_are_no_quotes =>
        [given(&["cache-control: max-age='3600'"]), wait(3), asked()];
    Optional "freshness-max-age-decimal-zero" rfc9111_4_2_1_a_max_age_with_a_decimal_zero_is_no_number_of_seconds
        differs "an invalid lifetime makes a page stale, as RFC 9111 §4.2.1 encourages" =>
        [given(&["cache-control: max-age=3600.0"]), wait(3), asked()];
    Optional "freshness-max-age-decimal-five" rfc9111_4_2_1_a_max_age_with_half_a_second_is_no_number_of_seconds
        differs "an invalid lifetime makes a page stale, as RFC 9111 §4.2.1 encourages" =>
        [given(&["cache-control: max-age=3600.5"]), wait(3), asked()];
    Optional "freshness-max-age-a100" rfc9111_4_2_1_a_max_age_that_begins_with_a_letter_is_none
        differs "an invalid lifetime makes a page stale, as RFC 9111 §4.2.1 encourages" =>
        [given(&["cache-control: max-age=a3600"]), wait(3), asked()];
    Optional "freshness-max-age-100a" rfc9111_4_2_1_a_max_age_that_ends_with_a_letter_is_none
        differs "an invalid lifetime makes a page stale, as RFC 9111 §4.2.1 encourages" =>
        [given(&["cache-control: max-age=3600a"]), wait(3), asked()];
    Required rfc9111_5_2_empty_members_of_the_list_are_passed_over =>
        [given(&["cache-control: , ,max-age=3600,, "]), wait(3), served()];
    Required rfc9111_5_2_a_directive_without_a_value_that_needs_one_is_no_lifetime =>
        [
            given(&["cache-control: max-age"]).at("/a"),
            asked().at("/a"),
            given(&["cache-control: max-age="]).at("/b"),
            asked().at("/b"),
        ];
    Required rfc9111_5_2_a_name_that_only_begins_like_a_directive_is_another =>
        [given(&["cache-control: no-store-please, privately, max-age=3600"]), wait(3), served()];
    Required rfc9111_5_2_bytes_beyond_ascii_spoil_nothing_else =>
        [given(&["cache-control: ext=\"ü\", max-age=3600"]), wait(3), served()];
}
