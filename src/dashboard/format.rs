//! Formats numbers for people: counts, sizes, rates, durations and times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `1234567` → `1,234,567`
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `4710` → `4.6 KiB`
pub(super) fn bytes(number: u64) -> String {
    let mut scaled = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if scaled < 1023.5 || unit == "TiB" {
            return if unit == "B" { format!("{number} B") } else { format!("{} {unit}", three(scaled)) };
        }
        scaled /= 1024.0;
    }
    format!("{number} B")
}

/// `0.9731` → `97.3 %`
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // Rounding must not give 100 % unless it is all, or 0 % unless it is none.
    match percent {
        p if p >= 99.95 && share < 1.0 => "99.9 %".into(),
        p if p < 0.05 && share > 0.0 => "0.1 %".into(),
        p if p == 0.0 || p >= 100.0 => format!("{p:.0} %"),
        p => format!("{p:.1} %"),
    }
}

/// A rate per second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1000.0 => count(rate.round() as u64),
        0.0 => "0".into(),
        rate if rate < 0.01 => "0.01".into(),
        rate => three(rate),
    }
}

/// `1.5 ms`, `35 µs`, `2 h 5 min`
pub(super) fn span(span: Duration) -> String {
    let nanos = span.as_nanos() as f64;
    let seconds = span.as_secs();
    match nanos {
        0.0 => "0 s".into(),
        n if n < 999.5 => format!("{n:.0} ns"),
        n if n < 999.5e3 => format!("{} µs", three(n / 1e3)),
        n if n < 999.5e6 => format!("{} ms", three(n / 1e6)),
        n if n < 59.95e9 => format!("{} s", three(n / 1e9)),
        _ if seconds < 3600 => two((seconds / 60, "min"), (seconds % 60, "s")),
        _ if seconds < 86_400 => two((seconds / 3600, "h"), (seconds / 60 % 60, "min")),
        _ => two((seconds / 86_400, "d"), (seconds / 3600 % 24, "h")),
    }
}

/// Formats a duration in whole seconds.
pub(super) fn seconds(time: Duration) -> String {
    span(Duration::from_secs(time.as_secs()))
}

/// Formats a time relative to `now`.
pub(super) fn ago(at: SystemTime, now: SystemTime) -> String {
    let past = now.duration_since(at).unwrap_or_default();
    if past.as_secs() == 0 { "just now".into() } else { format!("{} ago", seconds(past)) }
}

/// `2026-11-25T14:03:22Z`
pub(super) fn iso(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = date(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}T{}Z", time(seconds))
}

/// `14:03:22`, in UTC
pub(super) fn clock(at: SystemTime) -> String {
    time(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn time(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Rounds to three significant digits, without zeros at the end of the fraction.
fn three(number: f64) -> String {
    let text = match number {
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => return format!("{n:.0}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn two(large: (u64, &str), small: (u64, &str)) -> String {
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        _ => format!("{} {} {} {}", large.0, large.1, small.0, small.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_and_have_units() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 4710, 67_108_864, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1 KiB", "4.6 KiB", "64 MiB", "16777216 TiB"]
        );
        assert_eq!(
            [0.0, 0.0001, 0.5, 0.973_14, 0.9999, 1.0].map(percent),
            ["0 %", "0.1 %", "50.0 %", "97.3 %", "99.9 %", "100 %"]
        );
        assert_eq!([0.0, 0.001, 0.25, 12.34, 1234.5].map(rate), ["0", "0.01", "0.25", "12.3", "1,235"]);
    }

    #[test]
    fn durations_have_a_unit_that_fits_their_size() {
        let spans = [0, 1, 999, 1000, 35_200, 1_500_000, 59_000_000_000, 60_000_000_000, 7_500_000_000_000];
        assert_eq!(
            spans.map(|nanos| span(Duration::from_nanos(nanos))),
            ["0 s", "1 ns", "999 ns", "1 µs", "35.2 µs", "1.5 ms", "59 s", "1 min", "2 h 5 min"]
        );
        assert_eq!(span(Duration::from_nanos(999_999)), "1 ms");
        assert_eq!(span(Duration::from_secs(200_000)), "2 d 7 h");
        assert_eq!(
            [900, 1900, 61_000].map(|millis| seconds(Duration::from_millis(millis))),
            ["0 s", "1 s", "1 min 1 s"]
        );
        assert!(!span(Duration::MAX).is_empty());
    }

    #[test]
    fn times_are_dates_of_the_calendar() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(iso(at(0)), "1970-01-01T00:00:00Z");
        assert_eq!(iso(at(951_782_399)), "2000-02-28T23:59:59Z");
        assert_eq!(iso(at(951_782_400)), "2000-02-29T00:00:00Z");
        assert_eq!(iso(at(1_798_761_599)), "2026-12-31T23:59:59Z");
        assert_eq!(clock(at(50_602)), "14:03:22");
        assert_eq!(ago(at(10), at(10)), "just now");
        assert_eq!(ago(at(10), at(100)), "1 min 30 s ago");
        // The clock was set back.
        assert_eq!(ago(at(100), at(10)), "just now");
    }
}
