//! HTTP/2 and HTTP/1 are the same pages.

use std::process::Command;

use crate::servers::{ensure_programs, program};
use crate::site::Catalogue;

/// The head of an answer that curl gets, in lower case.
fn curl(catalogue: &Catalogue, args: &[&str], path: &str) -> String {
    let url = format!("http://{}{path}", catalogue.address());
    let output = Command::new(program("curl")).args(["-q", "-sS", "-i"]).args(args).arg(url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer = String::from_utf8(output.stdout).unwrap();
    answer.split_once("\r\n\r\n").unwrap().0.to_lowercase()
}

#[test]
fn a_page_made_for_one_protocol_is_shown_to_the_other() {
    ensure_programs(&["curl"]);
    let catalogue = Catalogue::start();
    for (path, first, second) in [
        ("/genre/drama", "--http2-prior-knowledge", "--http1.1"),
        ("/genre/comedy", "--http1.1", "--http2-prior-knowledge"),
    ] {
        let made = curl(&catalogue, &[first], path);
        assert!(made.contains("fwd=miss; stored"), "{made}");
        let shown = curl(&catalogue, &[second], path);
        assert!(shown.contains("; hit;"), "{path}: {shown}");
    }
}

#[test]
fn conditions_cookies_and_head_work_over_http2() {
    ensure_programs(&["curl"]);
    let catalogue = Catalogue::start();
    let h2 = "--http2-prior-knowledge";
    let page = curl(&catalogue, &[h2], "/film/10");
    assert!(page.starts_with("http/2 200"), "{page}");
    assert!(curl(&catalogue, &[h2, "-I"], "/film/10").contains("; hit;"));
    assert!(curl(&catalogue, &[h2, "-H", "if-none-match: *"], "/film/10").starts_with("http/2 304"));
    // Each cookie comes in a field of its own.
    let foreign = curl(&catalogue, &[h2, "-H", "cookie: catalogue=x; theme=dark"], "/film/10");
    assert!(foreign.contains("detail=cookie") && foreign.contains("private, no-cache"), "{foreign}");
    // A host that is not the one that is asked for is nobody's page.
    let two = curl(&catalogue, &["--http1.1", "--request-target", "http://evil.example/film/10"], "/film/10");
    assert!(two.contains("detail=ambiguous"), "{two}");
}
