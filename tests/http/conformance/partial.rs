//! Parts of pages (RFC 9111 §3.3, §3.4): never stored, never put together. A stored page answers a `Range` whole.

use super::steps::*;

const WHOLE: &str = "01234567890";

/// The last five bytes, as the handler cuts them.
fn part(range: &'static str) -> Exchange {
    let headers = ["cache-control: max-age=3600", range];
    asked()
        .with("range: bytes=-5")
        .answers(206, &headers)
        .body("01234")
        .handler_saw("range: bytes=-5")
        .status(206)
        .text("01234")
}

fn whole() -> Exchange {
    given(&["cache-control: max-age=3600", "a: 1"]).body(WHOLE)
}

scenarios! {
    Optimal "partial-store-partial-reuse-partial" rfc9111_3_3_a_part_is_not_stored
        differs "parts are not stored: the handler cuts them" =>
        [part("content-range: bytes 4-9/10"), part("content-range: bytes 4-9/10")];
    Optimal "partial-store-complete-reuse-partial" rfc9110_14_2_a_stored_page_answers_a_range_whole
        differs "a `Range` may be passed over (RFC 9110 §14.2): the whole page with 200" =>
        [whole(), served().with("range: bytes=0-1").status(200).text(WHOLE).lacks("content-range")];
    Optimal "partial-store-complete-reuse-partial-no-last" rfc9110_14_2_a_stored_page_answers_an_open_range_whole
        differs "a `Range` may be passed over (RFC 9110 §14.2): the whole page with 200" =>
        [whole(), served().with("range: bytes=1-").status(200).text(WHOLE).lacks("content-range")];
    Optimal "partial-store-complete-reuse-partial-suffix" rfc9110_14_2_a_stored_page_answers_a_range_from_the_end_whole
        differs "a `Range` may be passed over (RFC 9110 §14.2): the whole page with 200" =>
        [whole(), served().with("range: bytes=-1").status(200).text(WHOLE).lacks("content-range")];
    Optimal "partial-store-partial-reuse-partial-byterange" rfc9111_3_3_a_part_is_not_cut_from_another
        differs "parts are not stored: the handler cuts them" =>
        [part("content-range: bytes 4-9/10"), asked().with("range: bytes=6-8").handler_saw("range: bytes=6-8")];
    Optimal "partial-store-partial-reuse-partial-absent" rfc9111_3_3_an_open_part_is_not_cut_from_another
        differs "parts are not stored: the handler cuts them" =>
        [part("content-range: bytes 4-9/10"), asked().with("range: bytes=6-").handler_saw("range: bytes=6-")];
    Optimal "partial-store-partial-reuse-partial-suffix" rfc9111_3_3_a_part_from_the_end_is_not_cut_from_another
        differs "parts are not stored: the handler cuts them" =>
        [part("content-range: bytes 4-9/10"), asked().with("range: bytes=-1").handler_saw("range: bytes=-1")];
    Optimal "partial-store-partial-complete" rfc9111_3_4_a_part_is_not_completed
        differs "parts are not stored: the handler is asked for the whole page" =>
        [part("content-range: bytes 0-4/10"), asked().handler_saw_no("range").text("answer 2")];
    Required "partial-use-headers" rfc9111_3_4_headers_of_a_part_are_not_put_on_a_stored_page
        differs "the handler is not asked: the stored page answers whole, with its own headers" =>
        [whole(), served().with("range: bytes=0-1").answers(206, &["a: 2"]).status(200).text(WHOLE).has("a: 1")];
    Required "partial-use-stored-headers" rfc9111_3_4_a_range_of_a_stored_page_has_the_stored_headers
        differs "the stored page answers whole (200), with all its headers" =>
        [whole(), served().with("range: bytes=0-1").status(200).text(WHOLE).has("a: 1")];
    Required rfc9111_3_3_a_part_is_never_given_for_the_whole =>
        [part("content-range: bytes 4-9/10"), asked().status(200).text("answer 2")];
    Required rfc9111_3_3_a_stored_page_is_not_replaced_by_a_part =>
        [given(&["cache-control: max-age=2"]), wait(3), part("content-range: bytes 4-9/10"), asked().text("answer 3")];
    Required rfc9110_13_1_5_if_range_changes_nothing_about_a_stored_page =>
        [whole(), served().with("range: bytes=0-1").with("if-range: \"other\"").status(200).text(WHOLE)];
    Required rfc9111_3_3_several_parts_in_one_answer_are_not_stored =>
        [
            asked()
                .answers(206, &["cache-control: max-age=3600", "content-type: multipart/byteranges; boundary=x"])
                .status(206),
            asked().status(200),
        ];
}
