//! How values are written: as a type of the file's own, or as a text, which is all that a variable has.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::ttl::{Ttl, parse_ttl_str};

/// A setting that a file gives as its own type, and a variable as a text.
struct Setting<T> {
    expected: &'static str,
    from_text: fn(&str) -> Option<T>,
    from_number: fn(f64) -> Option<T>,
    from_list: fn(Vec<String>) -> Option<T>,
}

impl<T> Setting<T> {
    fn new(expected: &'static str, from_text: fn(&str) -> Option<T>) -> Setting<T> {
        Setting { expected, from_text, from_number: |_| None, from_list: |_| None }
    }
}

impl<'de, T> Visitor<'de> for Setting<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.from_text)(text.trim()).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<T, E> {
        (self.from_text)(if yes { "true" } else { "false" })
            .ok_or_else(|| E::invalid_type(de::Unexpected::Bool(yes), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        (self.from_number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        // Sizes and counts beyond 2^53 are beyond what any of these settings takes.
        (self.from_number)(number as f64).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.from_number)(number as f64).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        (self.from_list)(list).ok_or_else(|| de::Error::invalid_type(de::Unexpected::Seq, &self))
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let mut setting = Setting::new("seconds, or a duration like \"90s\" or \"1h 30m\"", parse_duration);
    setting.from_number = |seconds| Duration::try_from_secs_f64(seconds).ok();
    input.deserialize_any(setting).map(Some)
}

pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let mut setting = Setting::new("a whole number, or a size like \"64 MiB\"", parse_size);
    setting.from_number = |number| (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
    input.deserialize_any(setting).map(Some)
}

pub(super) fn number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    let mut setting = Setting::new("a number", |text| text.parse().ok());
    setting.from_number = Some;
    input.deserialize_any(setting).map(Some)
}

pub(super) fn switch<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    let parse = |text: &str| match text {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    };
    input.deserialize_any(Setting::new("true or false", parse)).map(Some)
}

pub(super) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    String::deserialize(input).map(Some)
}

pub(super) fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let parse = |text: &str| {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Some(items.map(str::to_owned).collect())
    };
    let mut setting = Setting::new("a list, or a text with commas", parse);
    setting.from_list = Some;
    input.deserialize_any(setting)
}

fn parse_duration(text: &str) -> Option<Duration> {
    match parse_ttl_str(text).ok()? {
        Ttl::For(duration) => Some(duration),
        Ttl::Bypass => Some(Duration::ZERO),
        Ttl::Default | Ttl::Forever => None,
    }
}

/// `"64 MiB"`, `"1GB"`, `"512"`.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}
