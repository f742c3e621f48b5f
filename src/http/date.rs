//! HTTP dates (RFC 9110 §5.6.7): parsed leniently, written strictly.

use std::time::SystemTime;

use http::HeaderValue;

/// Parses a date in any of the three formats. Upper and lower case (RFC 9111 §4.2) and the weekday are ignored.
pub(super) fn parse(value: &HeaderValue) -> Option<SystemTime> {
    let text = value.to_str().ok()?;
    httpdate::parse_http_date(text).ok().or_else(|| parse_with_any_weekday(&with_usual_case(text)))
}

/// `None` outside of the years 1970 to 9999, because the format cannot express other years.
pub(super) fn write(at: SystemTime) -> Option<HeaderValue> {
    const YEAR_10000: u64 = 253_402_300_800;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since.as_secs() < YEAR_10000).then(|| httpdate::fmt_http_date(at).try_into().ok())?
}

/// Parses a date with each weekday in turn.
fn parse_with_any_weekday(text: &str) -> Option<SystemTime> {
    const LONG: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const SHORT: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let (day, rest) = text.split_at(text.find([',', ' '])?);
    let names = [LONG, SHORT].into_iter().find(|names| names.contains(&day))?;
    names.iter().find_map(|name| httpdate::parse_http_date(&format!("{name}{rest}")).ok())
}

/// The text with capitalised names and an upper-case zone.
fn with_usual_case(text: &str) -> String {
    let mut usual = String::with_capacity(text.len());
    for character in text.chars() {
        let inside = usual.ends_with(|last: char| last.is_ascii_alphabetic());
        usual.push(if inside { character.to_ascii_lowercase() } else { character.to_ascii_uppercase() });
    }
    match usual.strip_suffix("Gmt") {
        Some(start) => format!("{start}GMT"),
        None => usual,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &'static str) -> Option<u64> {
        let at = parse(&HeaderValue::from_static(text))?;
        Some(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn all_three_formats_are_read_in_any_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "sun, 06 NOV 1994 08:49:37 gmt",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "SUNDAY, 06-NOV-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read(text), Some(784_111_777), "{text}");
        }
        for text in ["", "0", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_weekday_of_a_date_is_ignored() {
        for text in [
            "Thu, 06 Nov 1994 08:49:37 GMT",
            "WED, 06 nov 1994 08:49:37 GMT",
            "Friday, 06-Nov-94 08:49:37 GMT",
            "Mon Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read(text), Some(784_111_777), "{text}");
        }
        for text in ["Xyz, 06 Nov 1994 08:49:37 GMT", "Thu, 31 Feb 1994 08:49:37 GMT", "Thu", "Thu, ", "Thu, 06 Nov 94"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn years_outside_of_1970_to_9999_are_not_written() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(write(epoch).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(write(epoch - Duration::from_secs(1)), None);
        assert_eq!(write(epoch + Duration::from_secs(253_402_300_800)), None);
    }
}
