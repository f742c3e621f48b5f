//! `Vary`: which requests a stored page is for (RFC 9111 §4.1).

use super::steps::*;

const LIVES: &str = "cache-control: max-age=5000";

/// A page for these request headers.
fn varied(vary: &'static str, request: &[&'static str]) -> Exchange {
    request
        .iter()
        .fold(given(&[LIVES, "last-modified: @-3000", "date: @0", vary]), |exchange, header| exchange.with(header))
}

/// A page with its `Vary` in pieces, for a client that sends two headers.
fn syntax(vary: &[&'static str]) -> Exchange {
    let lines = [&[LIVES, "last-modified: @-3000", "date: @0"], vary].concat();
    given(&lines).with("foo: 1").with("baz: 789")
}

fn again() -> Exchange {
    asked().with("foo: 1").with("baz: 789")
}

const THREE: [&str; 3] = ["foo: 1", "bar: abc", "baz: 789"];

scenarios! {
    Optimal "vary-match" rfc9111_4_1_a_page_is_reused_for_the_same_header =>
        [varied("vary: Foo", &["foo: 1"]), served().with("foo: 1")];
    Required "vary-no-match" rfc9111_4_1_a_page_is_not_reused_for_another_value =>
        [varied("vary: Foo", &["foo: 1"]), asked().with("foo: 2")];
    Required "vary-omit-stored" rfc9111_4_1_a_page_for_no_header_is_not_reused_for_one =>
        [varied("vary: Foo", &[]), asked().with("foo: 1")];
    Required "vary-omit" rfc9111_4_1_a_page_for_a_header_is_not_reused_without_it =>
        [varied("vary: Foo", &["foo: 1"]), asked()];
    Required rfc9111_4_1_an_empty_header_is_not_an_absent_one => [varied("vary: Foo", &["foo: "]), asked()];
    Optimal rfc9111_4_1_a_page_for_no_header_is_reused_without_one => [varied("vary: Foo", &[]), served()];
    Optimal "vary-invalidate" rfc9111_4_1_two_variants_stay_stored_side_by_side =>
        [
            varied("vary: Foo", &["foo: 1"]).body("foo 1"),
            varied("vary: Foo", &["foo: 2"]).body("foo 2"),
            served().with("foo: 1").text("foo 1"),
            served().with("foo: 2").text("foo 2"),
        ];
    Optimal "vary-cache-key" rfc9111_4_1_a_header_that_is_not_named_does_not_matter =>
        [varied("vary: Foo", &["foo: 1", "other: 2"]), served().with("foo: 1").with("other: 3")];
    Optimal "vary-2-match" rfc9111_4_1_a_page_for_two_headers_is_reused_when_both_are_the_same =>
        [varied("vary: Foo, Bar", &["foo: 1", "bar: abc"]), served().with("foo: 1").with("bar: abc")];
    Required "vary-2-no-match" rfc9111_4_1_a_page_for_two_headers_is_not_reused_when_one_is_another =>
        [varied("vary: Foo, Bar", &["foo: 1", "bar: abc"]), asked().with("foo: 2").with("bar: abc")];
    Required "vary-2-match-omit" rfc9111_4_1_a_page_for_two_headers_is_not_reused_without_them =>
        [varied("vary: Foo, Bar", &["foo: 1", "bar: abc"]), asked()];
    Optimal "vary-3-match" rfc9111_4_1_a_page_for_three_headers_is_reused_when_all_are_the_same =>
        [varied("vary: Foo, Bar, Baz", &THREE), served().with("baz: 789").with("foo: 1").with("bar: abc")];
    Required "vary-3-no-match" rfc9111_4_1_a_page_for_three_headers_is_not_reused_when_one_is_another =>
        [varied("vary: Foo, Bar, Baz", &THREE), asked().with("foo: 2").with("bar: abc").with("baz: 789")];
    Required "vary-3-order" rfc9111_4_1_the_order_of_headers_does_not_hide_a_difference =>
        [varied("vary: Foo, Bar, Baz", &THREE), asked().with("foo: 1").with("baz: 789").with("bar: abcde")];
    Optimal "vary-3-omit" rfc9111_4_1_a_header_that_both_requests_lack_is_the_same =>
        [varied("vary: Foo, Bar, Baz", &["foo: 1", "baz: 789"]), served().with("foo: 1").with("baz: 789")];
    Required rfc9111_4_1_values_do_not_flow_from_one_header_into_the_next =>
        [varied("vary: Foo, Bar", &["foo: 1", "bar: 23"]), asked().with("foo: 12").with("bar: 3")];
    Optimal rfc9111_4_1_names_in_vary_are_read_in_any_case_and_order =>
        [
            varied("vary: FOO, bar", &["foo: 1", "bar: abc"]),
            varied("vary: Bar, Foo", &["foo: 2", "bar: abc"]),
            served().with("foo: 1").with("bar: abc").text("answer 1"),
            served().with("foo: 2").with("bar: abc").text("answer 2"),
        ];
    Required rfc9111_4_1_a_page_that_varies_by_more_than_before_is_kept_apart =>
        [
            varied("vary: Foo", &["foo: 1", "bar: a"]),
            varied("vary: Foo, Bar", &["foo: 2", "bar: a"]),
            asked().with("foo: 2").with("bar: b"),
        ];
    Required "vary-star" rfc9111_4_1_a_page_that_varies_by_everything_is_never_reused =>
        [varied("vary: *", &["foo: 1", "baz: 789"]), again()];
    Required "vary-syntax-star" rfc9111_4_1_a_star_is_read => [syntax(&["vary: *"]), again()];
    Required "vary-syntax-star-star" rfc9111_4_1_two_stars_are_read => [syntax(&["vary: *, *"]), again()];
    Required "vary-syntax-star-star-lines" rfc9111_4_1_stars_on_two_lines_are_read =>
        [syntax(&["vary: *", "vary: *"]), again()];
    Required "vary-syntax-empty-star" rfc9111_4_1_a_star_after_nothing_is_read => [syntax(&["vary: , *"]), again()];
    Required "vary-syntax-empty-star-lines" rfc9111_4_1_a_star_after_an_empty_line_is_read =>
        [syntax(&["vary: ", "vary: *"]), again()];
    Required "vary-syntax-star-foo" rfc9111_4_1_a_star_before_a_name_is_read => [syntax(&["vary: *, Foo"]), again()];
    Required "vary-syntax-foo-star" rfc9111_4_1_a_star_after_a_name_is_read => [syntax(&["vary: Foo, *"]), again()];
    Required rfc9111_4_1_names_on_two_lines_are_all_read =>
        [
            syntax(&["vary: Foo", "vary: Baz"]),
            asked().with("foo: 1").with("baz: 790"),
            served().with("foo: 1").with("baz: 789"),
        ];
    Optimal "vary-normalise-combine" rfc9111_4_1_two_lines_are_the_same_as_one_with_both =>
        [varied("vary: Foo", &["foo: 1, 2"]), served().with("foo: 1").with("foo: 2")];
    Optimal "vary-normalise-space" rfc9111_4_1_spaces_around_the_members_of_a_list_do_not_matter =>
        [varied("vary: Foo", &["foo: 1,2"]), served().with("foo:  1, 2 ")];
    Optimal "vary-normalise-lang-space" rfc9111_4_1_spaces_around_languages_do_not_matter =>
        [varied("vary: Accept-Language", &["accept-language: en, de"]), served().with("accept-language:  en ,   de")];
    Optimal "vary-normalise-lang-order" rfc9111_4_1_another_order_of_languages_is_another_variant
        differs "values are compared, not understood: another order gets a variant of its own" =>
        [varied("vary: Accept-Language", &["accept-language: en, de"]), asked().with("accept-language: de, en")];
    Optimal "vary-normalise-lang-case" rfc9111_4_1_another_case_of_languages_is_another_variant
        differs "values are compared, not understood: another case gets a variant of its own" =>
        [varied("vary: Accept-Language", &["accept-language: en, de"]), asked().with("accept-language: eN, De")];
    Optimal "vary-normalise-lang-select" rfc9111_4_1_a_language_is_for_the_handler_to_choose
        differs "choosing a language by its weight is the handler's; it may vary by the one it chose" =>
        [
            varied("vary: Accept-Language", &["accept-language: en, de"])
                .answers(200, &[LIVES, "vary: Accept-Language", "content-language: de"]),
            asked().with("accept-language: fr;q=0.5, de;q=1.0"),
        ];
    Required rfc9111_4_the_most_recent_of_two_pages_that_fit_is_used =>
        [
            varied("vary: Foo", &["foo: 1"]),
            wait(1),
            given(&[LIVES]).with("foo: 2"),
            wait(1),
            either().with("foo: 1").not_text("answer 1"),
        ];
    Optimal rfc9111_4_1_a_page_that_no_longer_varies_replaces_its_variant =>
        [
            given(&["cache-control: max-age=2", "vary: foo"]).with("foo: 1"),
            wait(3),
            given(&["cache-control: max-age=3600"]).with("foo: 1"),
            served().with("foo: 1").text("answer 2"),
        ];
    Required rfc9111_4_1_a_page_that_begins_to_vary_is_no_longer_everybodys =>
        [
            given(&["cache-control: max-age=2"]).with("foo: 1"),
            wait(3),
            given(&["cache-control: max-age=3600", "vary: foo"]).with("foo: 1"),
            asked().with("foo: 2").text("answer 3"),
        ];
    Optimal rfc9111_4_1_a_page_that_varies_by_more_than_before_is_found_again =>
        [
            varied("vary: Foo", &["foo: 1", "bar: a"]),
            served().with("foo: 1").with("bar: a"),
            varied("vary: Foo, Bar", &["foo: 2", "bar: a"]),
            served().with("foo: 2").with("bar: a").text("answer 2"),
            asked().with("foo: 2").with("bar: b"),
        ];
}
