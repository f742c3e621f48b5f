//! Encodes Rust values as keys: a serde serializer that writes the format of `key/format.rs`.
//!
//! A handler's `("user", 5)` and a template's `["user", 5]` get the same bytes. Structs are maps of their fields,
//! `Some(x)` is `x`, and a unit is refused. MiniJinja values are encoded by the template room.

use std::fmt;

use serde::ser::{self, Serialize};

use super::error::{KeyError, KeyPlace, refuse_nothing};
use super::format::{MAX_DEPTH, NONE, boolean, bytes, close_list, float, integer, map, open_list, open_map, text};

/// Appends the encoding of a handler's key. Refuses `none` and `""`.
pub(crate) fn encode_handler<K: Serialize + ?Sized>(key: &K, out: &mut Vec<u8>) -> Result<(), KeyError> {
    let start = out.len();
    encode_handler_qualifier(key, out)?;
    refuse_nothing(&out[start..])
}

/// Appends the encoding of a Rust value that qualifies a key, which may be `none` or `""`.
pub(crate) fn encode_handler_qualifier<K: Serialize + ?Sized>(value: &K, out: &mut Vec<u8>) -> Result<(), KeyError> {
    value.serialize(KeySerializer::new(out)).map_err(SerializeRefused::into_reason)
}

struct KeySerializer<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
}

/// A [`KeyError`] as serde's error type.
#[derive(Debug)]
struct SerializeRefused(KeyError);

impl SerializeRefused {
    fn into_reason(self) -> KeyError {
        self.0
    }

    fn within(self, place: KeyPlace) -> SerializeRefused {
        SerializeRefused(self.0.within(place))
    }
}

impl fmt::Display for SerializeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SerializeRefused {}

impl ser::Error for SerializeRefused {
    fn custom<T: fmt::Display>(message: T) -> SerializeRefused {
        SerializeRefused(KeyError::kind(format!("a value that does not serialize: {message}")))
    }
}

impl<'a> KeySerializer<'a> {
    fn new(out: &'a mut Vec<u8>) -> KeySerializer<'a> {
        KeySerializer { out, depth: 0 }
    }

    /// Encodes a variant with content as a map from its name to its content, as serde's formats do.
    fn variant(self, name: &str) -> KeySerializer<'a> {
        open_map(1, self.out);
        text(name, self.out);
        self
    }

    fn list(self) -> Result<List<'a>, SerializeRefused> {
        if self.depth >= MAX_DEPTH {
            return Err(SerializeRefused(KeyError::depth()));
        }
        let start = open_list(self.out);
        Ok(List { out: self.out, depth: self.depth + 1, start, count: 0 })
    }

    fn entries(self) -> Result<Entries<'a>, SerializeRefused> {
        if self.depth >= MAX_DEPTH {
            return Err(SerializeRefused(KeyError::depth()));
        }
        Ok(Entries { out: self.out, depth: self.depth + 1, entries: Vec::new(), key: None })
    }
}

macro_rules! integers {
    ($($method:ident: $signed:ty),*) => {
        $(fn $method(self, value: $signed) -> Result<(), SerializeRefused> {
            #[allow(unused_comparisons)]
            integer(value < 0, (value as i128).unsigned_abs(), self.out);
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for KeySerializer<'a> {
    type Ok = ();
    type Error = SerializeRefused;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Entries<'a>;
    type SerializeStructVariant = Entries<'a>;

    integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    fn serialize_u128(self, value: u128) -> Result<(), SerializeRefused> {
        integer(false, value, self.out);
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), SerializeRefused> {
        boolean(value, self.out);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), SerializeRefused> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), SerializeRefused> {
        float(value, self.out);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), SerializeRefused> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), SerializeRefused> {
        text(value, self.out);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), SerializeRefused> {
        bytes(value, self.out);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), SerializeRefused> {
        self.out.push(NONE);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), SerializeRefused> {
        value.serialize(self)
    }

    /// Refuses a unit: an undefined template value serializes as one, so different keys would become equal.
    fn serialize_unit(self) -> Result<(), SerializeRefused> {
        Err(SerializeRefused(KeyError::undefined()))
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), SerializeRefused> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), SerializeRefused> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), SerializeRefused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), SerializeRefused> {
        value.serialize(self.variant(variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, SerializeRefused> {
        self.list()
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'a>, SerializeRefused> {
        self.list()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'a>, SerializeRefused> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, SerializeRefused> {
        self.variant(variant).list()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, SerializeRefused> {
        self.entries()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries<'a>, SerializeRefused> {
        self.entries()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries<'a>, SerializeRefused> {
        self.variant(variant).entries()
    }
}

struct List<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    start: usize,
    count: u64,
}

impl List<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeRefused> {
        self.count += 1;
        let place = KeyPlace::Item(self.count as usize);
        value.serialize(KeySerializer { out: self.out, depth: self.depth }).map_err(|refused| refused.within(place))
    }

    fn finish(self) -> Result<(), SerializeRefused> {
        close_list(self.start, self.count, self.out);
        Ok(())
    }
}

struct Entries<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    key: Option<Vec<u8>>,
}

impl Entries<'_> {
    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, SerializeRefused> {
        let mut out = Vec::new();
        let place = KeyPlace::Entry(self.entries.len() + 1);
        value.serialize(KeySerializer { out: &mut out, depth: self.depth }).map_err(|refused| refused.within(place))?;
        Ok(out)
    }

    fn entry<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), SerializeRefused> {
        self.entries.push((self.encode(key)?, self.encode(value)?));
        Ok(())
    }

    fn finish(self) -> Result<(), SerializeRefused> {
        map(self.entries, self.out);
        Ok(())
    }
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = SerializeRefused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeRefused> {
        self.key = Some(self.encode(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeRefused> {
        let value = self.encode(value)?;
        let key = self.key.take().ok_or_else(|| ser::Error::custom("a map value came without its key"))?;
        self.entries.push((key, value));
        Ok(())
    }

    fn end(self) -> Result<(), SerializeRefused> {
        self.finish()
    }
}

macro_rules! sequences {
    ($($trait:ident::$method:ident),*) => {
        $(impl ser::$trait for List<'_> {
            type Ok = ();
            type Error = SerializeRefused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeRefused> {
                self.item(value)
            }

            fn end(self) -> Result<(), SerializeRefused> {
                self.finish()
            }
        })*
    };
}

sequences!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! structs {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Entries<'_> {
            type Ok = ();
            type Error = SerializeRefused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), SerializeRefused> {
                self.entry(key, value)
            }

            fn end(self) -> Result<(), SerializeRefused> {
                self.finish()
            }
        })*
    };
}

structs!(SerializeStruct, SerializeStructVariant);
