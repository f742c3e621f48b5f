//! The cache key (RFC 9111 §2): method and target, compared literally.

use super::steps::*;

/// A page with a long life.
fn fresh() -> Exchange {
    given(&["cache-control: max-age=100000", "last-modified: @0", "date: @0"])
}

scenarios! {
    Required "query-args-different" rfc9111_2_another_query_is_another_page =>
        [fresh().at("/page?test=1"), asked().at("/page?test=2"), asked().at("/page")];
    Optimal "query-args-same" rfc9111_2_the_same_query_is_the_same_page =>
        [fresh().at("/page?test=1"), served().at("/page?test=1")];
    Required rfc9111_2_another_order_of_parameters_is_another_page =>
        [fresh().at("/page?a=1&b=2"), asked().at("/page?b=2&a=1")];
    Required rfc9111_2_a_parameter_nobody_knows_makes_another_page =>
        [fresh().at("/page"), asked().at("/page?utm_source=mail")];
    Required rfc9111_2_a_repeated_parameter_is_kept =>
        [fresh().at("/page?a=1&a=2"), asked().at("/page?a=1"), asked().at("/page?a=2&a=1")];
    Required rfc9111_2_an_empty_query_is_not_none => [fresh().at("/page"), asked().at("/page?")];
    Required rfc9111_2_a_query_is_taken_as_it_is_written => [fresh().at("/page?x=b+c"), asked().at("/page?x=b%20c")];
    Required rfc9111_2_a_path_is_taken_as_it_is_written =>
        [fresh().at("/page"), asked().at("/PAGE"), asked().at("/page/"), asked().at("/p%61ge")];
    Required rfc9111_2_a_query_does_not_flow_into_the_path => [fresh().at("/a?b"), asked().at("/a%3Fb")];
    Required rfc9111_2_another_host_is_another_site =>
        [fresh().on("one.example"), asked().on("two.example"), served().on("one.example")];
    Required rfc9111_2_another_port_is_another_site => [fresh().on("one.example:8080"), asked().on("one.example")];
    Optimal rfc9110_4_2_3_a_host_is_read_in_any_case => [fresh().on("one.example"), served().on("ONE.example")];
    Optimal "method-POST" rfc9110_9_3_3_the_answer_to_a_post_is_not_stored
        differs "a page comes from a `GET`; what was posted is not part of any key" =>
        [
            sent("POST")
                .answers(200, &["expires: @2592000", "content-location: /page", "date: @0"])
                .with("content-type: text/plain"),
            wait(3),
            asked(),
        ];
    Required rfc9110_9_3_3_two_posts_both_reach_the_handler =>
        [
            sent("POST").answers(200, &["cache-control: max-age=3600"]).lacks("age"),
            sent("POST").answers(200, &["cache-control: max-age=3600"]).lacks("age").text("answer 2"),
        ];
    Required rfc9110_9_3_7_options_reaches_the_handler_and_leaves_the_page =>
        [
            fresh(),
            sent("OPTIONS").answers(200, &["cache-control: max-age=3600"]).lacks("age").handler_got("OPTIONS"),
            served().text("answer 1"),
        ];
    Required rfc9110_9_3_3_a_post_is_not_answered_from_a_stored_page =>
        [fresh(), sent("POST").handler_got("POST").text("answer 2")];
    Required rfc9110_9_3_1_a_get_of_a_stored_page_leaves_it_stored =>
        [fresh(), served(), served(), wait(60), served().text("answer 1")];
    Required rfc9111_2_what_proxies_say_of_the_host_tells_pages_apart =>
        [
            fresh().with("x-forwarded-host: shop.example"),
            asked().with("x-forwarded-host: evil.example"),
            asked(),
            served().with("x-forwarded-host: shop.example").text("answer 1"),
        ];
    Required rfc9111_2_a_second_line_of_what_proxies_say_tells_pages_apart =>
        [
            fresh().with("x-forwarded-host: shop.example"),
            asked().with("x-forwarded-host: shop.example").with("x-forwarded-host: evil.example"),
        ];
    Required rfc7239_4_a_second_forwarded_line_tells_pages_apart =>
        [
            fresh().with("forwarded: host=shop.example"),
            asked().with("forwarded: host=shop.example").with("forwarded: host=evil.example"),
        ];
    Required rfc9110_9_3_1_a_get_with_content_is_not_answered_from_the_store =>
        [
            fresh(),
            asked().carrying("a=1").text("answer 2"),
            fresh().at("/other").carrying("a=1"),
            asked().at("/other").text("answer 4"),
        ];
    Required rfc9110_7_8_a_request_for_another_protocol_is_answered_with_the_page_there_is =>
        [fresh(), served().with("connection: upgrade").with("upgrade: websocket")];
    Required rfc9110_7_8_a_request_for_another_protocol_reaches_the_handler =>
        [asked().with("connection: upgrade").with("upgrade: websocket").handler_saw("upgrade: websocket")];
    Optimal rfc9112_3_2_2_a_request_that_names_two_hosts_is_passed_by =>
        [
            fresh().at("http://one.example/page").on("one.example"),
            asked().at("http://one.example/page").on("two.example"),
            served().at("http://one.example/page").on("one.example"),
        ];
}
