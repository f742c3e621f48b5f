//! Which headers a stored page keeps (RFC 9111 §3.1): all but those of one connection.

use super::steps::*;

/// A page with a life and these headers.
fn page(headers: &[&'static str]) -> Exchange {
    given(&[&["date: @0", "cache-control: max-age=3600"], headers].concat())
}

scenarios! {
    Required "headers-omit-headers-listed-in-Connection" rfc9110_7_6_1_headers_listed_in_connection_are_not_replayed =>
        [page(&["connection: a, b", "a: 1", "b: 2", "c: 3"]), wait(3), served().has("c: 3").lacks("a").lacks("b")];
    Required rfc9110_7_6_1_headers_listed_in_connection_on_two_lines_in_any_case_are_not_replayed =>
        [
            page(&["connection: Keep-Alive, A", "connection: B", "a: 1", "b: 2", "c: 3"]),
            served().has("c: 3").lacks("a").lacks("b"),
        ];
    Required "headers-store-Test-Header" rfc9111_3_1_a_header_of_the_application_is_replayed =>
        [page(&["test-header: one"]), wait(3), served().has("test-header: one")];
    Required "headers-store-X-Test-Header" rfc9111_3_1_a_header_with_an_x_is_replayed =>
        [page(&["x-test-header: one"]), wait(3), served().has("x-test-header: one")];
    Required "headers-store-Content-Foo" rfc9111_3_1_an_unknown_header_of_the_content_is_replayed =>
        [page(&["content-foo: one"]), wait(3), served().has("content-foo: one")];
    Required "headers-store-X-Content-Foo" rfc9111_3_1_an_unknown_header_of_the_content_with_an_x_is_replayed =>
        [page(&["x-content-foo: one"]), wait(3), served().has("x-content-foo: one")];
    Required "headers-store-Cache-Control" rfc9111_3_1_cache_control_is_replayed =>
        [page(&[]), wait(3), served().has("cache-control: max-age=3600")];
    Required "headers-store-Connection" rfc9111_3_1_connection_is_not_replayed =>
        [page(&["connection: one"]), wait(3), served().lacks("connection: one")];
    Required "headers-store-Content-Encoding" rfc9111_3_1_content_encoding_is_replayed =>
        [page(&["content-encoding: one"]), wait(3), served().has("content-encoding: one")];
    Required "headers-store-Content-Length" rfc9111_3_1_content_length_is_replayed =>
        [
            page(&["content-length: 10"]).body("0123456789"),
            wait(3),
            served().has("content-length: 10").text("0123456789"),
        ];
    Required "headers-store-Content-Location" rfc9111_3_1_content_location_is_replayed =>
        [page(&["content-location: /bar"]), wait(3), served().has("content-location: /bar")];
    Required "headers-store-Content-MD5" rfc9111_3_1_content_md5_is_replayed =>
        [
            page(&["content-md5: N7UdGUp1E+RbVvZSTy1R8g=="]),
            wait(3),
            served().has("content-md5: N7UdGUp1E+RbVvZSTy1R8g=="),
        ];
    Required "headers-store-Content-Range" rfc9110_14_4_a_content_range_of_a_whole_page_is_replayed =>
        [page(&["content-range: one"]), wait(3), served().has("content-range: one")];
    Required rfc9110_14_4_a_content_range_that_looks_like_one_makes_a_whole_page_no_part =>
        [page(&["content-range: bytes 0-7/80"]), wait(3), served().status(200).text("answer 1")];
    Required rfc9110_14_4_a_part_is_not_stored_with_a_content_range_nor_without =>
        [
            asked().answers(206, &["cache-control: max-age=60", "content-range: bytes 0-7/80"]).at("/a"),
            asked().at("/a"),
            asked().answers(206, &["cache-control: max-age=60"]).at("/b"),
            asked().at("/b"),
        ];
    Required "headers-store-Content-Security-Policy" rfc9111_3_1_content_security_policy_is_replayed =>
        [
            page(&["content-security-policy: default-src 'self' cdn.example.com"]),
            wait(3),
            served().has("content-security-policy: default-src 'self' cdn.example.com"),
        ];
    Required "headers-store-Content-Type" rfc9111_3_1_content_type_is_replayed =>
        [
            page(&["content-type: text/plain;charset=utf-8"]),
            wait(3),
            served().has("content-type: text/plain;charset=utf-8"),
        ];
    Required "headers-store-Clear-Site-Data" rfc9111_3_1_clear_site_data_is_replayed =>
        [page(&["clear-site-data: cookies"]), wait(3), served().has("clear-site-data: cookies")];
    Required "headers-store-ETag" rfc9111_3_1_an_etag_is_replayed =>
        [page(&["etag: \"ghijkl\""]), wait(3), served().has("etag: \"ghijkl\"")];
    Required "headers-store-Expires" rfc9111_3_1_expires_is_replayed =>
        [
            page(&["expires: Mon, 11 Jan 2038 11:11:11 GMT"]),
            wait(3),
            served().has("expires: Mon, 11 Jan 2038 11:11:11 GMT"),
        ];
    Required "headers-store-Keep-Alive" rfc9111_3_1_keep_alive_is_not_replayed =>
        [page(&["keep-alive: one"]), wait(3), served().lacks("keep-alive")];
    Required "headers-store-Proxy-Authenticate" rfc9111_3_1_proxy_authenticate_is_not_replayed =>
        [page(&["proxy-authenticate: one"]), wait(3), served().lacks("proxy-authenticate")];
    Required "headers-store-Proxy-Authentication-Info" rfc9111_3_1_proxy_authentication_info_is_not_replayed =>
        [page(&["proxy-authentication-info: one"]), wait(3), served().lacks("proxy-authentication-info")];
    Required "headers-store-Proxy-Authorization" rfc9111_3_1_proxy_authorization_is_not_replayed =>
        [page(&["proxy-authorization: one"]), wait(3), served().lacks("proxy-authorization")];
    Required "headers-store-Proxy-Connection" rfc9111_3_1_proxy_connection_is_not_replayed =>
        [page(&["proxy-connection: one"]), wait(3), served().lacks("proxy-connection")];
    Required "headers-store-Public-Key-Pins" rfc9111_3_1_public_key_pins_are_replayed =>
        [page(&["public-key-pins: one"]), wait(3), served().has("public-key-pins: one")];
    Required "headers-store-Set-Cookie" rfc9111_7_3_a_page_that_sets_a_cookie_is_not_stored
        differs "a cookie is one visitor's; whoever wants the page shared sets the cookie elsewhere" =>
        [page(&["set-cookie: a=c"]).has("set-cookie: a=c"), wait(3), asked().lacks("set-cookie")];
    Required "headers-store-Set-Cookie2" rfc9111_3_1_set_cookie2_is_a_header_like_another =>
        [page(&["set-cookie2: a=c"]), wait(3), served().has("set-cookie2: a=c")];
    Required "headers-store-TE" rfc9111_3_1_te_is_not_replayed => [page(&["te: one"]), wait(3), served().lacks("te")];
    Required "headers-store-Transfer-Encoding" rfc9111_3_1_transfer_encoding_is_not_replayed =>
        [page(&["transfer-encoding: one"]), wait(3), served().lacks("transfer-encoding")];
    Required "headers-store-Upgrade" rfc9111_3_1_upgrade_is_not_replayed =>
        [page(&["upgrade: one"]), wait(3), served().lacks("upgrade")];
    Required "headers-store-X-Frame-Options" rfc9111_3_1_x_frame_options_are_replayed =>
        [page(&["x-frame-options: sameorigin"]), wait(3), served().has("x-frame-options: sameorigin")];
    Required "headers-store-X-XSS-Protection" rfc9111_3_1_x_xss_protection_is_replayed =>
        [page(&["x-xss-protection: 1; mode=block"]), wait(3), served().has("x-xss-protection: 1; mode=block")];
    Required rfc9111_3_1_a_header_on_two_lines_is_replayed_on_both =>
        [
            page(&["link: </a>; rel=preload", "link: </b>; rel=preload"]),
            served().has("link: </a>; rel=preload").has("link: </b>; rel=preload"),
        ];
    Required rfc9111_3_1_bytes_beyond_ascii_are_replayed => [page(&["x-name: Müller"]), served().has("x-name: Müller")];
    Required rfc9111_5_1_an_age_is_not_replayed_beside_the_one_that_counts =>
        [page(&["age: 7"]), wait(3), served().age(10).lacks("age: 7")];
}
