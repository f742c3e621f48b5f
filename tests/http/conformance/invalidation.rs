//! What a successful unsafe request invalidates (RFC 9111 §4.4): its target, `Location` and `Content-Location`.

use super::steps::*;

/// A page with a long life.
fn fresh() -> Exchange {
    given(&["cache-control: max-age=100000", "last-modified: @0", "date: @0"])
}

/// A response that names two other pages.
fn names(method: &'static str) -> Exchange {
    sent(method).answers(200, &["location: /location_target", "content-location: /content_location_target"])
}

/// The page of that path is gone.
fn gone(path: &'static str) -> Exchange {
    asked().at(path)
}

const L: &str = "/location_target";
const CL: &str = "/content_location_target";

scenarios! {
    Required "invalidate-POST" rfc9111_4_4_a_post_invalidates_its_target =>
        [fresh(), sent("POST").handler_got("POST"), asked()];
    Optimal "invalidate-POST-failed" rfc9111_4_4_a_failed_post_invalidates_nothing =>
        [fresh(), sent("POST").answers(500, &[]).status(500), served()];
    Optional "invalidate-POST-location" rfc9111_4_4_a_post_invalidates_its_location =>
        [fresh().at(L), names("POST"), gone(L)];
    Optional "invalidate-POST-cl" rfc9111_4_4_a_post_invalidates_its_content_location =>
        [fresh().at(CL), names("POST"), gone(CL)];
    Required "invalidate-PUT" rfc9111_4_4_a_put_invalidates_its_target =>
        [fresh(), sent("PUT").handler_got("PUT"), asked()];
    Optimal "invalidate-PUT-failed" rfc9111_4_4_a_failed_put_invalidates_nothing =>
        [fresh(), sent("PUT").answers(500, &[]).status(500), served()];
    Optional "invalidate-PUT-location" rfc9111_4_4_a_put_invalidates_its_location =>
        [fresh().at(L), names("PUT"), gone(L)];
    Optional "invalidate-PUT-cl" rfc9111_4_4_a_put_invalidates_its_content_location =>
        [fresh().at(CL), names("PUT"), gone(CL)];
    Required "invalidate-DELETE" rfc9111_4_4_a_delete_invalidates_its_target =>
        [fresh(), sent("DELETE").handler_got("DELETE"), asked()];
    Optimal "invalidate-DELETE-failed" rfc9111_4_4_a_failed_delete_invalidates_nothing =>
        [fresh(), sent("DELETE").answers(500, &[]).status(500), served()];
    Optional "invalidate-DELETE-location" rfc9111_4_4_a_delete_invalidates_its_location =>
        [fresh().at(L), names("DELETE"), gone(L)];
    Optional "invalidate-DELETE-cl" rfc9111_4_4_a_delete_invalidates_its_content_location =>
        [fresh().at(CL), names("DELETE"), gone(CL)];
    Required "invalidate-M-SEARCH" rfc9111_4_4_a_method_nobody_knows_invalidates_its_target =>
        [fresh(), sent("M-SEARCH").handler_got("M-SEARCH"), asked()];
    Optimal "invalidate-M-SEARCH-failed" rfc9111_4_4_a_failed_method_nobody_knows_invalidates_nothing =>
        [fresh(), sent("M-SEARCH").answers(500, &[]).status(500), served()];
    Optional "invalidate-M-SEARCH-location" rfc9111_4_4_a_method_nobody_knows_invalidates_its_location =>
        [fresh().at(L), names("M-SEARCH"), gone(L)];
    Optional "invalidate-M-SEARCH-cl" rfc9111_4_4_a_method_nobody_knows_invalidates_its_content_location =>
        [fresh().at(CL), names("M-SEARCH"), gone(CL)];
    Required rfc9111_4_4_a_patch_invalidates_its_target => [fresh(), sent("PATCH"), asked()];
    Required rfc9111_4_4_a_redirect_after_a_post_invalidates_its_target_and_its_location =>
        [
            fresh(),
            fresh().at(L),
            sent("POST").answers(303, &["location: /location_target"]).status(303),
            asked(),
            gone(L),
        ];
    Required rfc9111_4_4_a_post_that_is_refused_invalidates_nothing =>
        [
            fresh(),
            fresh().at(L),
            sent("POST").answers(422, &["location: /location_target"]).status(422),
            served(),
            served().at(L),
        ];
    Required rfc9111_4_4_a_post_whose_handler_fails_may_have_changed_anything =>
        [fresh(), sent("POST").fails().failing(), asked()];
    Required rfc9111_4_4_a_location_at_another_host_is_left_alone =>
        [
            fresh().at(L).on("other.example"),
            fresh().at(L),
            sent("POST").answers(200, &["location: http://other.example/location_target"]),
            served().at(L).on("other.example"),
            served().at(L),
        ];
    Optional rfc9111_4_4_a_location_with_the_sites_own_host_is_invalidated =>
        [fresh().at(L), sent("POST").answers(201, &["location: http://shop.example/location_target"]), gone(L)];
    Optional rfc9111_4_4_a_location_relative_to_the_target_is_invalidated =>
        [
            fresh().at("/orders/7"),
            fresh().at("/7"),
            sent("POST").at("/orders/new").answers(201, &["location: 7"]),
            gone("/orders/7"),
            served().at("/7"),
        ];
    Required rfc9111_4_4_a_malformed_location_spoils_nothing =>
        [
            fresh(),
            sent("POST").answers(200, &["location: http://[::bad", "content-location: \u{fc}"]).status(200),
            asked(),
        ];
    Required rfc9111_4_4_a_post_leaves_other_pages =>
        [fresh().at("/other"), fresh(), sent("POST"), served().at("/other")];
    Required rfc9111_4_4_a_post_to_one_host_leaves_the_page_of_another =>
        [fresh().on("other.example"), sent("POST"), served().on("other.example")];
    Required rfc9111_4_4_a_post_invalidates_every_variant =>
        [
            given(&["cache-control: max-age=3600", "vary: foo"]).with("foo: 1"),
            given(&["cache-control: max-age=3600", "vary: foo"]).with("foo: 2"),
            sent("POST"),
            asked().with("foo: 1"),
            asked().with("foo: 2"),
        ];
    Required rfc9111_4_4_a_post_with_a_cookie_invalidates_its_target =>
        [fresh(), sent("POST").with("cookie: a=b"), asked()];
    Required rfc9111_4_4_a_post_with_credentials_invalidates_its_target =>
        [fresh(), sent("POST").with("authorization: Basic YWxpY2U6c2VjcmV0"), asked()];
    Required rfc9110_9_2_1_safe_methods_invalidate_nothing =>
        [fresh(), sent("OPTIONS"), sent("TRACE"), served().head(), served()];
    Required rfc9111_4_4_after_an_invalidation_the_next_page_is_stored_again =>
        [fresh(), sent("POST"), fresh(), served().text("answer 3")];
    Required rfc9111_4_4_a_post_invalidates_the_page_also_when_it_names_its_target_in_full =>
        [
            fresh(),
            sent("POST").at("http://shop.example/page"),
            asked(),
            fresh().at("http://shop.example/whole"),
            sent("POST").at("/whole"),
            asked().at("http://shop.example/whole"),
        ];
    Optional rfc9111_4_4_a_location_with_a_query_and_a_fragment_is_invalidated =>
        [
            fresh().at("/orders?ok=1"),
            sent("POST").answers(303, &["location: /orders?ok=1#top"]),
            asked().at("/orders?ok=1"),
        ];
    Optional rfc9111_4_4_a_location_that_leaves_out_the_scheme_is_invalidated =>
        [fresh().at(L), sent("POST").answers(201, &["location: //shop.example/location_target"]), gone(L)];
    Optional rfc9111_4_4_a_location_with_dots_is_invalidated =>
        [
            fresh().at("/orders/"),
            sent("POST").at("/orders/new/form").answers(303, &["location: ../"]),
            gone("/orders/"),
        ];
    Required rfc9111_4_4_a_post_invalidates_its_target_with_the_query_it_has =>
        [fresh().at("/page?id=7"), sent("POST").at("/page?id=7"), asked().at("/page?id=7")];
    Required rfc9111_4_4_a_page_that_a_post_changed_is_not_served_from_before_it_with_a_reload
        with super::scenario::reload() =>
        [fresh(), sent("POST"), asked().with("cache-control: no-cache"), asked().with("cache-control: no-cache")];
}
