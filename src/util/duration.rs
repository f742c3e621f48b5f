//! The grammar of lifetimes, for literals when a template loads and for values when it renders.
//!
//! It defines the syntax and the bounds of a lifetime. The caller resolves [`Ttl::Default`].

use std::fmt::{self, Write as _};
use std::time::Duration;

use minijinja::Value;
use minijinja::value::ValueKind;

/// The lifetime of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// The cache's default lifetime.
    Default,
    /// The fragment does not expire.
    Forever,
    /// The fragment is neither looked up nor stored.
    Bypass,
    /// The time from the start of the computation.
    For(Duration),
}

/// Why a value is not a lifetime; the message quotes the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TtlError(String);

impl fmt::Display for TtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TtlError {}

/// The longest lifetime: the nanoseconds that fit into a signed 64-bit number, about 292 years.
const MAX_NANOS: u128 = i64::MAX as u128;
const SECOND: u128 = 1_000_000_000;
/// Longest first. The parts of a duration must be in this order.
const UNITS: [(&str, u128); 6] = [
    ("w", 7 * 24 * 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", SECOND / 1000),
];

/// Reads a lifetime from a string: seconds (`"300"`, `"1.5"`), a duration (`"1h 30m"`) or `"forever"`.
///
/// # Errors
///
/// Fails if the text is negative, not a duration, or longer than about 292 years.
pub(crate) fn parse_ttl_str(text: &str) -> Result<Ttl, TtlError> {
    let trimmed = text.trim();
    if trimmed == "forever" {
        return Ok(Ttl::Forever);
    }
    if trimmed.starts_with('-') {
        return Err(negative(text));
    }
    let nanos = match split_number(trimmed) {
        Some((number, "")) => scale(number, SECOND),
        Some(_) => parts(trimmed).ok_or_else(|| not_a_duration(text))?,
        None => return Err(not_a_duration(text)),
    };
    from_nanos(nanos).ok_or_else(|| overflow(text))
}

/// Reads a lifetime from a template value: `none`, a number of seconds, or a string.
///
/// # Errors
///
/// Fails as [`parse_ttl_str`] does, and for any other kind of value.
pub(crate) fn parse_ttl_value(value: &Value) -> Result<Ttl, TtlError> {
    match value.kind() {
        ValueKind::None => Ok(Ttl::Default),
        ValueKind::String => parse_ttl_str(value.as_str().unwrap_or_default()),
        ValueKind::Number if value.is_integer() => match i128::try_from(value.clone()) {
            Ok(seconds) if seconds < 0 => Err(negative(value)),
            Ok(seconds) => seconds
                .unsigned_abs()
                .checked_mul(SECOND)
                .and_then(|nanos| from_nanos(Some(nanos)))
                .ok_or_else(|| overflow(value)),
            Err(_) => Err(overflow(value)),
        },
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(seconds) if seconds.is_nan() => Err(not_a_duration(value)),
            Ok(seconds) if seconds < 0.0 => Err(negative(value)),
            Ok(seconds) => from_seconds(seconds).ok_or_else(|| overflow(value)),
            Err(_) => Err(overflow(value)),
        },
        ValueKind::Undefined => Err(TtlError("the lifetime is undefined".into())),
        kind => {
            // The `Display` of an object may fail.
            let mut text = String::new();
            let written = write!(text, "{value}");
            Err(written.map_or_else(|_| not_a_duration(kind), |()| not_a_duration(text)))
        }
    }
}

/// True if a string is a duration with a unit. A key is unlikely to be one.
pub(crate) fn is_duration(text: &str) -> bool {
    parse_ttl_str(text).is_ok() && text.bytes().any(|byte| byte.is_ascii_digit()) && text.trim().parse::<f64>().is_err()
}

fn from_seconds(seconds: f64) -> Option<Ttl> {
    let nanos = (seconds * 1e9).ceil();
    // The cast saturates, and the bound rejects the saturated value.
    from_nanos(Some(nanos as u128))
}

/// `None` if `nanos` exceeds [`MAX_NANOS`]. Zero is a bypass.
fn from_nanos(nanos: Option<u128>) -> Option<Ttl> {
    let nanos = nanos.filter(|nanos| *nanos <= MAX_NANOS)?;
    if nanos == 0 {
        return Some(Ttl::Bypass);
    }
    let seconds = u64::try_from(nanos / SECOND).ok()?;
    let rest = u32::try_from(nanos % SECOND).ok()?;
    Some(Ttl::For(Duration::new(seconds, rest)))
}

/// The sum of parts such as `2h 30m`. `None` if the text is not a duration, `Some(None)` if it is too long.
fn parts(text: &str) -> Option<Option<u128>> {
    let mut units = UNITS.iter();
    let mut sum = Some(0_u128);
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let len = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = units.find(|(name, _)| *name == &after[..len])?.1;
        sum = sum.zip(scale(number, unit)).and_then(|(a, b)| a.checked_add(b));
        rest = after[len..].trim_start();
    }
    Some(sum)
}

/// Splits off a leading decimal number without sign and exponent.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let mut len = digits(text);
    if len == 0 {
        return None;
    }
    if let Some(fraction) = text[len..].strip_prefix('.') {
        let more = digits(fraction);
        if more == 0 {
            return None;
        }
        len += 1 + more;
    }
    Some(text.split_at(len))
}

/// `number` units in nanoseconds, rounded up: a tiny lifetime must not become zero, which is a bypass.
fn scale(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let nanos = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    // Digits after the eighteenth are less than a nanosecond in every unit.
    let kept = &fraction[..fraction.len().min(18)];
    let ten = 10_u128.pow(u32::try_from(kept.len()).ok()?);
    let part = if kept.is_empty() { 0 } else { kept.parse::<u128>().ok()? };
    nanos.checked_add((part * unit).div_ceil(ten))
}

fn negative(quoted: impl fmt::Display) -> TtlError {
    TtlError(format!("the lifetime `{quoted}` is negative"))
}

fn not_a_duration(quoted: impl fmt::Display) -> TtlError {
    TtlError(format!("`{quoted}` is no lifetime; {}", syntax()))
}

/// The accepted syntax, in words.
fn syntax() -> String {
    let units: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
    format!(
        "give seconds, a duration like \"90s\" or \"1h 30m\" (units: {}, in this order), or \"forever\"",
        units.join(", ")
    )
}

fn overflow(quoted: impl fmt::Display) -> TtlError {
    TtlError(format!("the lifetime `{quoted}` is too long; \"forever\" never expires"))
}
