//! `Cache-Status` (RFC 9211).

use super::scenario::reload;
use super::steps::*;

scenarios! {
    Required rfc9211_2_1_a_stored_page_is_a_hit =>
        [given(&["cache-control: max-age=3600"]), served().reports(&["hit"])];
    Required rfc9211_2_1_a_304_by_a_stored_page_is_a_hit =>
        [
            given(&["cache-control: max-age=3600", "etag: \"a\""]),
            served().with("if-none-match: \"a\"").status(304).reports(&["hit"]),
        ];
    Required rfc9211_2_2_a_page_that_was_not_there_is_a_miss =>
        [given(&["cache-control: max-age=3600"]).reports(&["fwd=uri-miss", "fwd=miss"])];
    Required rfc9211_2_2_another_variant_is_a_miss =>
        [
            given(&["cache-control: max-age=3600", "vary: foo"]).with("foo: 1"),
            asked().with("foo: 2").reports(&["fwd=vary-miss", "fwd=miss"]),
        ];
    Required rfc9211_2_2_a_page_past_its_life_is_stale =>
        [given(&["cache-control: max-age=2"]), wait(3), asked().reports(&["fwd=stale", "fwd=miss", "fwd=uri-miss"])];
    Required rfc9211_2_2_a_post_is_forwarded_for_its_method => [sent("POST").reports(&["fwd=method"])];
    Required rfc9211_2_2_a_request_with_a_cookie_is_a_bypass => [asked().with("cookie: a=b").reports(&["fwd=bypass"])];
    Required rfc9211_2_2_a_reload_is_forwarded_for_the_request with reload() =>
        [given(&["cache-control: max-age=3600"]), asked().with("cache-control: no-cache").reports(&["fwd=request"])];
    Required rfc9211_2_5_a_page_that_was_stored_is_said_to_be =>
        [given(&["cache-control: max-age=3600"]).reports(&["stored", "stored=?1"])];
    Required rfc9211_2_what_caches_before_said_stays_and_the_layer_speaks_last =>
        [
            given(&["cache-control: max-age=3600", "cache-status: Origin; hit"])
                .has("cache-status: Origin; hit")
                .reports(&["fwd=uri-miss", "fwd=miss"]),
        ];
}
