//! Lifetimes for caches at the edge (`Surrogate-Control`, RFC 9213): passed on to them, not obeyed at the origin.

use super::steps::*;

const EDGE: &str = "the field speaks to caches at the edge: it is passed on and not obeyed";

scenarios! {
    Optimal rfc9111_4_2_1_surrogate_control_is_no_lifetime =>
        [given(&["surrogate-control: max-age=3600"]), wait(3), asked()];
    Optimal rfc9111_4_2_1_surrogate_control_of_2_to_the_31_is_no_lifetime =>
        [given(&["surrogate-control: max-age=2147483648"]), wait(3), asked()];
    Optimal rfc9111_4_2_1_surrogate_control_of_three_thousand_years_is_no_lifetime =>
        [given(&["surrogate-control: max-age=99999999999"]), wait(3), asked()];
    Optimal rfc9111_4_2_1_surrogate_control_with_a_target_is_no_lifetime =>
        [given(&["surrogate-control: max-age=3600;minijinja-cache"]), wait(3), asked()];
    Required rfc9111_4_2_1_surrogate_control_for_somebody_else_is_no_lifetime =>
        [given(&["date: @0", "surrogate-control: max-age=3600;not-for-you", "age: 7200"]), wait(3), asked()];
    Required rfc9111_4_2_1_surrogate_control_beside_an_age_is_no_lifetime =>
        [given(&["date: @0", "surrogate-control: max-age=3600", "age: 7200"]), wait(3), asked()];
    Optional rfc9111_4_2_1_surrogate_control_with_a_space_before_its_equals_sign_prolongs_nothing =>
        [given(&["cache-control: max-age=1", "surrogate-control: max-age =100"]), wait(3), asked()];
    Optional rfc9111_4_2_1_surrogate_control_with_a_space_after_its_equals_sign_prolongs_nothing =>
        [given(&["cache-control: max-age=1", "surrogate-control: max-age= 100"]), wait(3), asked()];
    Required rfc9111_4_2_1_surrogate_control_of_0_lets_nothing_be_reused =>
        [given(&["surrogate-control: max-age=0"]), wait(3), asked()];
    Optimal rfc9111_4_2_1_surrogate_control_beside_an_extension_is_no_lifetime =>
        [given(&["surrogate-control: foobar, max-age=3600"]), wait(3), asked()];
    Optimal rfc9111_4_2_1_surrogate_control_in_any_case_is_no_lifetime =>
        [given(&["surrogate-control: MaX-aGe=3600"]), wait(3), asked()];
    Optimal rfc9111_4_2_1_surrogate_control_does_not_win_over_a_past_expires =>
        [given(&["surrogate-control: max-age=3600", "expires: @-10000", "date: @0"]), wait(3), asked()];
    Optimal rfc9111_4_2_1_surrogate_control_does_not_win_over_an_invalid_expires =>
        [given(&["surrogate-control: max-age=3600", "expires: 0", "date: @0"]), wait(3), asked()];
    Required rfc9111_4_2_1_surrogate_control_of_0_does_not_win_over_a_future_expires =>
        [given(&["surrogate-control: max-age=0", "expires: @10000", "date: @0"]), wait(3), served()];
    Optimal rfc9111_4_2_1_surrogate_control_does_not_win_over_a_shorter_max_age =>
        [given(&["cache-control: max-age=1", "surrogate-control: max-age=3600"]), wait(3), asked()];
    Required rfc9111_4_2_1_surrogate_control_does_not_win_over_a_longer_max_age =>
        [given(&["cache-control: max-age=3600", "surrogate-control: max-age=1"]), wait(3), served()];
    Required rfc9111_4_2_1_surrogate_control_of_no_store_lets_nothing_be_stored =>
        [given(&["surrogate-control: no-store"]), wait(3), asked()];
    Required rfc9111_4_2_1_surrogate_control_of_no_store_is_for_the_edge =>
        [
            given(&["cache-control: max-age=10000", "surrogate-control: no-store", "expires: @10000", "date: @0"]),
            wait(3),
            served(),
        ];
    Required rfc9111_4_2_1_surrogate_control_does_not_win_over_no_store =>
        [given(&["cache-control: no-store", "surrogate-control: max-age=10000"]), wait(3), asked()];
    Optional rfc9111_4_2_1_surrogate_control_is_not_offered_to_the_handler =>
        [asked().handler_saw_no("surrogate-capability")];
    Optional rfc9111_4_2_1_surrogate_control_is_passed_on =>
        [
            given(&["cache-control: max-age=10000", "surrogate-control: foo", "expires: @10000", "date: @0"])
                .has("surrogate-control: foo"),
            served().has("surrogate-control: foo"),
        ];
    Optimal "cdn-max-age" rfc9213_2_2_cdn_cache_control_is_no_lifetime
        differs EDGE =>
        [given(&["cdn-cache-control: max-age=3600"]), wait(3), asked()];
    Optimal "cdn-max-age-max" rfc9213_2_2_cdn_cache_control_of_2_to_the_31_is_no_lifetime
        differs EDGE =>
        [given(&["cdn-cache-control: max-age=2147483648"]), wait(3), asked()];
    Optimal "cdn-max-age-max-plus" rfc9213_2_2_cdn_cache_control_of_three_thousand_years_is_no_lifetime
        differs EDGE =>
        [given(&["cdn-cache-control: max-age=99999999999"]), wait(3), asked()];
    Required "cdn-max-age-age" rfc9213_2_2_cdn_cache_control_beside_an_age_is_no_lifetime =>
        [given(&["date: @0", "cdn-cache-control: max-age=3600", "age: 7200"]), wait(3), asked()];
    Optional "cdn-max-age-space-before-equals"
        rfc9213_2_2_cdn_cache_control_with_a_space_before_its_equals_sign_prolongs_nothing =>
        [given(&["cache-control: max-age=1", "cdn-cache-control: max-age =100"]), wait(3), asked()];
    Optional "cdn-max-age-space-after-equals"
        rfc9213_2_2_cdn_cache_control_with_a_space_after_its_equals_sign_prolongs_nothing =>
        [given(&["cache-control: max-age=1", "cdn-cache-control: max-age= 100"]), wait(3), asked()];
    Required "cdn-max-age-0" rfc9213_2_2_cdn_cache_control_of_0_lets_nothing_be_reused =>
        [given(&["cdn-cache-control: max-age=0"]), wait(3), asked()];
    Optimal "cdn-max-age-extension" rfc9213_2_2_cdn_cache_control_beside_an_extension_is_no_lifetime
        differs EDGE =>
        [given(&["cdn-cache-control: foobar, max-age=3600"]), wait(3), asked()];
    Optional "cdn-max-age-case-insensitive" rfc9213_2_2_cdn_cache_control_in_any_case_is_no_lifetime
        differs EDGE =>
        [given(&["cdn-cache-control: MaX-aGe=3600"]), wait(3), asked()];
    Optimal "cdn-max-age-expires" rfc9213_2_2_cdn_cache_control_does_not_win_over_a_past_expires
        differs EDGE =>
        [given(&["cdn-cache-control: max-age=3600", "expires: @-10000", "date: @0"]), wait(3), asked()];
    Optimal "cdn-max-age-cc-max-age-invalid-expires" rfc9213_2_2_cdn_cache_control_does_not_win_over_an_invalid_expires
        differs EDGE =>
        [given(&["cdn-cache-control: max-age=3600", "expires: 0", "date: @0"]), wait(3), asked()];
    Required "cdn-max-age-0-expires" rfc9213_2_2_cdn_cache_control_of_0_does_not_win_over_a_future_expires
        differs EDGE =>
        [given(&["cdn-cache-control: max-age=0", "expires: @10000", "date: @0"]), wait(3), served()];
    Optimal "cdn-max-age-short-cc-max-age" rfc9213_2_2_cdn_cache_control_does_not_win_over_a_shorter_max_age
        differs EDGE =>
        [given(&["cache-control: max-age=1", "cdn-cache-control: max-age=3600"]), wait(3), asked()];
    Required "cdn-max-age-long-cc-max-age" rfc9213_2_2_cdn_cache_control_does_not_win_over_a_longer_max_age
        differs EDGE =>
        [given(&["cache-control: max-age=3600", "cdn-cache-control: max-age=1"]), wait(3), served()];
    Required "cdn-private" rfc9213_2_2_cdn_cache_control_of_private_is_for_the_edge
        differs EDGE =>
        [
            given(&["cdn-cache-control: private", "cache-control: max-age=10000", "expires: @10000", "date: @0"]),
            served(),
        ];
    Required "cdn-no-cache" rfc9213_2_2_cdn_cache_control_of_no_cache_is_for_the_edge
        differs EDGE =>
        [
            given(&["cdn-cache-control: no-cache", "cache-control: max-age=10000", "expires: @10000", "date: @0"]),
            served(),
        ];
    Required "cdn-no-store-cc-fresh" rfc9213_2_2_cdn_cache_control_of_no_store_is_for_the_edge
        differs EDGE =>
        [
            given(&["cache-control: max-age=10000", "cdn-cache-control: no-store", "expires: @10000", "date: @0"]),
            wait(3),
            served(),
        ];
    Required "cdn-fresh-cc-nostore" rfc9213_2_2_cdn_cache_control_does_not_win_over_no_store
        differs EDGE =>
        [given(&["cache-control: no-store", "cdn-cache-control: max-age=10000"]), wait(3), asked()];
    Required "cdn-cc-invalid-sh-type-unknown"
        rfc9213_2_2_cdn_cache_control_that_is_malformed_does_not_win_over_no_store =>
        [given(&["cdn-cache-control: max-age=10000, &&&&&", "cache-control: no-store"]), wait(3), asked()];
    Required "cdn-cc-invalid-sh-type-wrong" rfc9213_2_2_cdn_cache_control_of_a_wrong_type_does_not_win_over_no_store =>
        [given(&["cdn-cache-control: max-age=\"10000\"", "cache-control: no-store"]), wait(3), asked()];
    Optional "cdn-remove-header" rfc9213_2_2_cdn_cache_control_is_passed_on =>
        [
            given(&["cache-control: max-age=10000", "cdn-cache-control: foo", "expires: @10000", "date: @0"])
                .has("cdn-cache-control: foo"),
            served().has("cdn-cache-control: foo"),
        ];
    Optional "cdn-remove-age-exceed" rfc9213_2_2_cdn_cache_control_gives_no_age_to_a_page_past_its_own_life
        differs EDGE =>
        [
            given(&["cache-control: max-age=1", "cdn-cache-control: max-age=10000", "date: @0"]),
            wait(3),
            asked().lacks("age"),
        ];
    Optional "cdn-date-update-exceed" rfc9213_2_2_cdn_cache_control_takes_no_date_from_a_new_page =>
        [
            given(&["cache-control: max-age=1", "cdn-cache-control: max-age=10000", "date: @-1"]),
            wait(3),
            given(&["date: @0"]).has("date: @0"),
        ];
    Optional "cdn-expires-update-exceed" rfc9213_2_2_cdn_cache_control_keeps_no_expires_of_a_page_past_its_own_life
        differs EDGE =>
        [
            given(&["cache-control: max-age=1", "expires: @1", "cdn-cache-control: max-age=10000", "date: @0"]),
            wait(3),
            asked().lacks("expires"),
        ];
}
