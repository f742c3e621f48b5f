//! How values are parsed: durations, sizes, numbers, switches and lists.
//!
//! A file may give a value in its own type; a variable is always a text. A number or a switch in a file is converted to
//! the text that a variable would have, so that both have the same meaning.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use crate::util::duration::{Ttl, parse_ttl_str};

/// A setting that may be a value of its own type (in a file) or a text (in a variable).
struct Setting<T> {
    expected: &'static str,
    from_text: fn(&str) -> Option<T>,
    from_list: fn(Vec<String>) -> Option<T>,
}

impl<T> Setting<T> {
    fn new(expected: &'static str, from_text: fn(&str) -> Option<T>) -> Setting<T> {
        Setting { expected, from_text, from_list: |_| None }
    }

    fn read<E: de::Error>(&self, text: &str, given: Unexpected<'_>) -> Result<T, E> {
        (self.from_text)(text.trim()).ok_or_else(|| E::invalid_value(given, &self.expected))
    }
}

impl<'de, T> Visitor<'de> for Setting<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.read(text, Unexpected::Str(text))
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<T, E> {
        self.read(if yes { "true" } else { "false" }, Unexpected::Bool(yes))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.read(&number.to_string(), Unexpected::Float(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.read(&number.to_string(), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.read(&number.to_string(), Unexpected::Signed(number))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        (self.from_list)(list).ok_or_else(|| de::Error::invalid_type(Unexpected::Seq, &self))
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let expected = "seconds, a duration like \"90s\" or \"1h 30m\", or \"forever\"";
    input.deserialize_any(Setting::new(expected, parse_duration)).map(Some)
}

pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    input.deserialize_any(Setting::new("a number of bytes, or a size like \"64 MiB\"", parse_size)).map(Some)
}

pub(super) fn count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    input.deserialize_any(Setting::new("a whole number", |text| text.parse().ok())).map(Some)
}

pub(super) fn number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    input.deserialize_any(Setting::new("a number", |text| text.parse().ok())).map(Some)
}

pub(super) fn switch<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    let parse = |text: &str| match &*text.to_ascii_lowercase() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    };
    input.deserialize_any(Setting::new("true or false", parse)).map(Some)
}

pub(super) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    String::deserialize(input).map(|text| Some(text.trim().to_owned()))
}

/// A text that is not trimmed: a password or a secret.
pub(super) fn exact<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    String::deserialize(input).map(Some)
}

pub(super) fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let mut setting = Setting::new("a list, or a text with commas", |text| Some(items(text.split(','))));
    setting.from_list = |list| Some(items(list.iter().map(String::as_str)));
    input.deserialize_any(setting)
}

fn items<'a>(list: impl Iterator<Item = &'a str>) -> Vec<String> {
    list.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Parses a duration as in a cache block. In addition, letter case is ignored and longer words for the units are
/// accepted.
fn parse_duration(text: &str) -> Option<Duration> {
    match parse_ttl_str(&short_units(&text.to_ascii_lowercase())).ok()? {
        Ttl::For(duration) => Some(duration),
        Ttl::Bypass => Some(Duration::ZERO),
        Ttl::Forever => Some(Duration::MAX),
        Ttl::Default => None,
    }
}

/// Turns `5 minutes 30 sec` into `5m30s`; other words are left unchanged.
fn short_units(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (before, words) = rest.split_at(number);
        let word = words.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(words.len());
        let (word, after) = words.split_at(word);
        // A space between a number and its unit is ignored. A space between two numbers is kept, because it separates
        // them.
        out.push_str(if word.is_empty() { before } else { before.trim_end() });
        out.push_str(match word {
            "millis" | "millisecond" | "milliseconds" => "ms",
            "sec" | "secs" | "second" | "seconds" => "s",
            "min" | "mins" | "minute" | "minutes" => "m",
            "hr" | "hrs" | "hour" | "hours" => "h",
            "day" | "days" => "d",
            "week" | "weeks" => "w",
            word => word,
        });
        rest = after;
    }
    out
}

/// Parses `512`, `64 MiB`, `1.5g`. `M` and `MiB` are powers of 1024, `MB` is a power of 1000, as in the GNU tools.
fn parse_size(text: &str) -> Option<u64> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (prefix, base) = match unit.as_bytes() {
        [] | [b'b'] => (None, 1),
        [prefix] | [prefix, b'i'] | [prefix, b'i', b'b'] => (Some(*prefix), 1024),
        [prefix, b'b'] => (Some(*prefix), 1000),
        _ => return None,
    };
    let power = match prefix {
        None => 0,
        Some(prefix) => b"kmgt".iter().position(|known| *known == prefix)? + 1,
    };
    scale(number, u64::pow(base, u32::try_from(power).ok()?))
}

/// A decimal number of units, rounded down to bytes. A fraction of a byte is an error.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let Some(fraction) = fraction else { return Some(whole) };
    // Digits after the eighteenth are worth less than a byte in any unit.
    let digits = fraction.get(..fraction.len().min(18))?;
    let ten = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let part = digits.parse::<u128>().ok()? * u128::from(unit);
    if unit == 1 && part > 0 {
        return None;
    }
    whole.checked_add(u64::try_from(part / ten).ok()?)
}
