//! Other directives in `Cache-Control` and `Pragma` of a response (RFC 9111 §5.2.2, §5.4).

use super::steps::*;

scenarios! {
    Required "cc-resp-private-shared" rfc9111_5_2_2_7_a_private_page_is_not_stored =>
        [given(&["cache-control: private, max-age=3600"]), asked()];
    Required rfc9111_5_2_2_7_a_page_with_a_private_header_is_not_stored =>
        [given(&["cache-control: private=\"x-user\", max-age=3600", "x-user: alice"]), asked().lacks("x-user")];
    Required "cc-resp-no-store" rfc9111_5_2_2_5_a_no_store_page_is_not_stored =>
        [given(&["cache-control: no-store"]), asked()];
    Required "cc-resp-no-store-case-insensitive" rfc9111_5_2_2_5_no_store_is_read_in_any_case =>
        [given(&["cache-control: No-StOrE"]), asked()];
    Required "cc-resp-no-store-fresh" rfc9111_5_2_2_5_no_store_wins_over_every_lifetime =>
        [given(&["cache-control: max-age=10000, no-store", "expires: @10000", "date: @0"]), asked()];
    Required "cc-resp-no-store-old-new" rfc9111_5_2_2_5_an_older_stored_page_is_served_while_it_is_fresh =>
        [
            given(&["cache-control: max-age=10000", "expires: @10000", "date: @0", "a: 1"]),
            wait(3),
            served().answers(200, &["cache-control: no-store", "date: @0", "a: 2"]),
            wait(3),
            served().has("a: 1"),
        ];
    Required "cc-resp-no-store-old-max-age"
        rfc9111_5_2_2_5_an_older_stored_page_is_served_instead_of_one_without_a_lifetime =>
        [
            given(&["cache-control: max-age=10000", "expires: @10000", "date: @0", "a: 1"]),
            wait(3),
            served().answers(200, &["cache-control: no-store, max-age=0", "date: @0", "a: 2"]),
            wait(3),
            served().has("a: 1"),
        ];
    Required "cc-resp-no-cache" rfc9111_5_2_2_4_a_no_cache_page_is_asked_for_each_time =>
        [given(&["cache-control: max-age=10000, no-cache", "expires: @10000", "date: @0"]), asked()];
    Required "cc-resp-no-cache-case-insensitive" rfc9111_5_2_2_4_no_cache_is_read_in_any_case =>
        [given(&["cache-control: max-age=10000, No-CaChE", "expires: @10000", "date: @0"]), asked()];
    Optimal "cc-resp-no-cache-revalidate" rfc9111_5_2_2_4_a_no_cache_page_is_not_revalidated
        differs "the handler is asked for the whole page; it renders as much for a 304" =>
        [
            given(&["cache-control: no-cache", "etag: \"abcd\""]),
            asked().handler_saw_no("if-none-match").text("answer 2"),
        ];
    Optimal "cc-resp-no-cache-revalidate-fresh" rfc9111_5_2_2_4_a_no_cache_page_with_a_lifetime_is_not_revalidated
        differs "the handler is asked for the whole page; it renders as much for a 304" =>
        [
            given(&["cache-control: max-age=10000, no-cache", "expires: @10000", "date: @0", "etag: \"abcd\""]),
            asked().handler_saw_no("if-none-match").text("answer 2"),
        ];
    Optional "headers-omit-headers-listed-in-Cache-Control-no-cache-single"
        rfc9111_5_2_2_4_a_no_cache_for_one_header_is_one_for_the_page
        differs "`no-cache` with a list is read like the bare one, so that no listed header is ever replayed" =>
        [
            given(&["cache-control: no-cache=\"a\"", "a: 1", "b: 2", "cache-control: max-age=3600", "date: @0"]),
            wait(3),
            asked().lacks("a"),
        ];
    Optional "headers-omit-headers-listed-in-Cache-Control-no-cache"
        rfc9111_5_2_2_4_a_no_cache_for_two_headers_is_one_for_the_page
        differs "`no-cache` with a list is read like the bare one, so that no listed header is ever replayed" =>
        [
            given(&["cache-control: no-cache=\"a, b\"", "a: 1", "b: 2", "c: 3", "cache-control: max-age=3600"]),
            wait(3),
            asked().lacks("a").lacks("b"),
        ];
    Optimal "cc-resp-must-revalidate-fresh" rfc9111_5_2_2_2_must_revalidate_says_nothing_while_a_page_is_fresh =>
        [given(&["cache-control: max-age=10000, must-revalidate", "etag: \"abcd\""]), served()];
    Required "cc-resp-must-revalidate-stale" rfc9111_5_2_2_2_a_stale_must_revalidate_page_is_not_served
        differs "it is never served stale, but the handler is asked for the whole page instead of a 304" =>
        [
            given(&["cache-control: max-age=2, must-revalidate", "etag: \"abcd\""]),
            served(),
            wait(3),
            asked().handler_saw_no("if-none-match").text("answer 2"),
        ];
    Required rfc9111_5_2_2_6_no_transform_changes_nothing_for_the_store =>
        [
            given(&["cache-control: max-age=3600, no-transform"]),
            served().has("cache-control: max-age=3600, no-transform"),
        ];
    Optional rfc9111_5_2_2_9_public_alone_is_no_lifetime => [given(&["cache-control: public"]), asked()];
    Optional "pragma-response-no-cache" rfc9111_5_4_pragma_on_a_page_says_nothing =>
        [given(&["cache-control: max-age=3600", "pragma: no-cache"]), served()];
    Optional "pragma-response-no-cache-heuristic" rfc9111_5_4_pragma_on_a_page_without_a_lifetime_says_nothing
        differs "no lifetime is ever guessed" =>
        [given(&["last-modified: @-10000", "pragma: no-cache"]), asked()];
    Optional "pragma-response-extension" rfc9111_5_4_an_unknown_pragma_on_a_page_says_nothing =>
        [given(&["cache-control: max-age=3600", "pragma: unrecognised-extension"]), served()];
}
