//! The grammar of lifetimes.

use std::time::Duration;

use crate::util::duration::{Ttl, parse_ttl_str, parse_ttl_value};
use minijinja::Value;

#[test]
fn durations_are_parsed() {
    for (text, millis) in [
        ("300", 300_000),
        ("1.5", 1500),
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1w", 604_800_000),
        ("500ms", 500),
        (" 5m ", 300_000),
        ("1.5h", 5_400_000),
    ] {
        assert_eq!(parse_ttl_str(text), Ok(Ttl::For(Duration::from_millis(millis))), "{text}");
    }
    assert_eq!(parse_ttl_str("forever"), Ok(Ttl::Forever));
    assert_eq!(parse_ttl_str("0"), Ok(Ttl::Bypass));
    assert_eq!(parse_ttl_str("0s"), Ok(Ttl::Bypass));
    assert_eq!(parse_ttl_str("0.00000000001"), Ok(Ttl::For(Duration::from_nanos(1))));
}

#[test]
fn an_invalid_duration_is_quoted_in_its_error() {
    for text in [
        "",
        "-5",
        "soon",
        "5 m",
        "5x",
        "1m 1h",
        "1m 1m",
        "1e9",
        "NaN",
        "inf",
        "5m,",
        "9999999999999",
        "１",
        "5µs",
        "1.",
        ".5",
        "1..5",
    ] {
        let message = parse_ttl_str(text).unwrap_err().to_string();
        assert!(message.contains(&format!("`{text}`")), "{message}");
    }
}

#[test]
fn values_are_parsed_by_their_kind() {
    let second = Ok(Ttl::For(Duration::from_secs(1)));
    assert_eq!(parse_ttl_value(&Value::from(1)), second);
    assert_eq!(parse_ttl_value(&Value::from(1.0)), second);
    assert_eq!(parse_ttl_value(&Value::from("1s")), second);
    assert_eq!(parse_ttl_value(&Value::from(())), Ok(Ttl::Default));
    assert_eq!(parse_ttl_value(&Value::from(0.0)), Ok(Ttl::Bypass));
    for wrong in [
        Value::from(-1),
        Value::from(f64::NAN),
        Value::from(f64::INFINITY),
        Value::from(-0.5),
        Value::UNDEFINED,
        Value::from(true),
        Value::from(u64::MAX),
        Value::from(u128::MAX),
        Value::from(vec![1]),
        Value::from(1e300),
    ] {
        assert!(parse_ttl_value(&wrong).is_err(), "{wrong:?}");
    }
}
