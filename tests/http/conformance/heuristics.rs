//! Lifetimes are not guessed from `Last-Modified` (RFC 9111 §4.2.2): a page brings its own, or is not stored.

use super::steps::*;

/// A page with `Last-Modified` and without any lifetime.
fn unsaid(status: u16, headers: &[&'static str]) -> Exchange {
    let dated = ["last-modified: @-86400", "date: @0"];
    asked().answers(status, &[&dated[..], headers].concat())
}

/// A page that changed so many seconds ago.
fn changed(modified: &'static str) -> Exchange {
    given(&[modified, "date: @0"])
}

scenarios! {
    Optimal "heuristic-200-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_200
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(200, &[]), asked()];
    Required "heuristic-201-not_cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_201 =>
        [unsaid(201, &[]), asked()];
    Required "heuristic-202-not_cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_202 =>
        [unsaid(202, &[]), asked()];
    Optimal "heuristic-203-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_203
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(203, &[]), asked()];
    Optimal "heuristic-204-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_204
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(204, &[]), asked()];
    Required "heuristic-403-not_cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_403 =>
        [unsaid(403, &[]), asked()];
    Optimal "heuristic-404-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_404
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(404, &[]), asked()];
    Optimal "heuristic-405-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_405
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(405, &[]), asked()];
    Optimal "heuristic-410-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_410
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(410, &[]), asked()];
    Optimal "heuristic-414-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_414
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(414, &[]), asked()];
    Optimal "heuristic-501-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_501
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(501, &[]), asked()];
    Required "heuristic-502-not_cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_502 =>
        [unsaid(502, &[]), asked()];
    Required "heuristic-503-not_cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_503 =>
        [unsaid(503, &[]), asked()];
    Required "heuristic-504-not_cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_504 =>
        [unsaid(504, &[]), asked()];
    Required "heuristic-599-not_cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_599 =>
        [unsaid(599, &[]), asked()];
    Optimal "heuristic-599-cached" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_599_that_is_public
        differs "no lifetime is ever guessed: the application says how long" =>
        [unsaid(599, &["cache-control: public"]), asked()];
    Optional "heuristic-delta-5" rfc9111_4_2_2_a_change_5_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-5"), wait(3), asked()];
    Optional "heuristic-delta-10" rfc9111_4_2_2_a_change_10_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-10"), wait(3), asked()];
    Optional "heuristic-delta-30" rfc9111_4_2_2_a_change_30_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-30"), wait(3), asked()];
    Optional "heuristic-delta-60" rfc9111_4_2_2_a_change_60_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-60"), wait(3), asked()];
    Optional "heuristic-delta-300" rfc9111_4_2_2_a_change_300_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-300"), wait(3), asked()];
    Optional "heuristic-delta-600" rfc9111_4_2_2_a_change_600_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-600"), wait(3), asked()];
    Optional "heuristic-delta-1200" rfc9111_4_2_2_a_change_1200_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-1200"), wait(3), asked()];
    Optional "heuristic-delta-1800" rfc9111_4_2_2_a_change_1800_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-1800"), wait(3), asked()];
    Optional "heuristic-delta-3600" rfc9111_4_2_2_a_change_3600_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-3600"), wait(3), asked()];
    Optional "heuristic-delta-43200" rfc9111_4_2_2_a_change_43200_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-43200"), wait(3), asked()];
    Optional "heuristic-delta-86400" rfc9111_4_2_2_a_change_86400_seconds_ago_gives_no_lifetime
        differs "no lifetime is ever guessed: the application says how long" =>
        [changed("last-modified: @-86400"), wait(3), asked()];
    Optional "other-heuristic-content-disposition-attachment" rfc9111_4_2_2_a_lifetime_is_not_guessed_for_a_download
        differs "no lifetime is ever guessed: the application says how long" =>
        [
            given(&["last-modified: @-100000", "date: @0", "content-disposition: attachment; filename=example.txt"]),
            asked(),
        ];
    Optional "other-fresh-content-disposition-attachment" rfc9111_4_2_1_a_download_with_a_lifetime_is_reused =>
        [
            given(&["cache-control: max-age=100000", "content-disposition: attachment; filename=example.txt"]),
            served().has("content-disposition: attachment; filename=example.txt"),
        ];
}
