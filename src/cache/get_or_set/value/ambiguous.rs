//! Finds options that MessagePack cannot represent: `Some` of a value that is encoded as nil is decoded as `None`.
//!
//! Examples are `Some(None)`, `Some(())` and `Some(Value::Null)`. An encoding that preserves them would have to mark
//! options. Types that serde reads without knowing the fields beforehand (`untagged`, `flatten`) would not find their
//! fields behind such marks. So values with such options are detected; the caller gets them, and they are not stored.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

/// Whether a value holds an option that would be decoded as another one; `false` for a value that does not serialize.
pub(super) fn has_ambiguous_option<T: Serialize + ?Sized>(value: &T) -> bool {
    matches!(value.serialize(Finder), Err(Stop::Ambiguous))
}

/// Walks through a value. The result is whether the value is encoded as nil.
struct Finder;

/// Why the walk stopped.
#[derive(Debug)]
enum Stop {
    Ambiguous,
    /// The value does not serialize; encoding it reports the error.
    Failed,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::Ambiguous => "an option holds what is encoded as none",
            Stop::Failed => "the value does not serialize",
        })
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Stop {
        Stop::Failed
    }
}

macro_rules! not_nil {
    ($($method:ident($($argument:ty),*)),* $(,)?) => {
        $(fn $method(self, $(_: $argument),*) -> Result<bool, Stop> { Ok(false) })*
    };
}

impl Serializer for Finder {
    type Ok = bool;
    type Error = Stop;
    type SerializeSeq = OptionParts;
    type SerializeTuple = OptionParts;
    type SerializeTupleStruct = OptionParts;
    type SerializeTupleVariant = OptionParts;
    type SerializeMap = OptionParts;
    type SerializeStruct = OptionParts;
    type SerializeStructVariant = OptionParts;

    not_nil!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    );

    /// The same answer as the encoder's, so that a type serializes in the same way.
    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_none(self) -> Result<bool, Stop> {
        Ok(true)
    }

    fn serialize_unit(self) -> Result<bool, Stop> {
        Ok(true)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, Stop> {
        if value.serialize(Finder)? { Err(Stop::Ambiguous) } else { Ok(false) }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<bool, Stop> {
        value.serialize(Finder)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<bool, Stop> {
        value.serialize(Finder)?;
        Ok(false)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<OptionParts, Stop> {
        Ok(OptionParts)
    }

    fn serialize_tuple(self, _: usize) -> Result<OptionParts, Stop> {
        Ok(OptionParts)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<OptionParts, Stop> {
        Ok(OptionParts)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<OptionParts, Stop> {
        Ok(OptionParts)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<OptionParts, Stop> {
        Ok(OptionParts)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<OptionParts, Stop> {
        Ok(OptionParts)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<OptionParts, Stop> {
        Ok(OptionParts)
    }
}

/// The items, entries or fields of a value.
struct OptionParts;

macro_rules! parts {
    ($($of:ident::$method:ident($($name:ty)?)),* $(,)?) => {
        $(impl ser::$of for OptionParts {
            type Ok = bool;
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? part: &T) -> Result<(), Stop> {
                part.serialize(Finder).map(drop)
            }

            fn end(self) -> Result<bool, Stop> {
                Ok(false)
            }
        })*
    };
}

parts!(
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str),
);

impl ser::SerializeMap for OptionParts {
    type Ok = bool;
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        key.serialize(Finder).map(drop)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        value.serialize(Finder).map(drop)
    }

    fn end(self) -> Result<bool, Stop> {
        Ok(false)
    }
}
