//! Types of objects, told apart by their type's name: which ones can be read without running code of the application.
//! Imports nothing of the crate. `inputs.rs` reads the objects; `lazy/resolved.rs` asks here too.

use minijinja::value::{DynObject, ObjectRepr};

/// Tells whether an object is of a type that the application declared as readable.
pub(crate) type Readable = fn(&DynObject) -> bool;

/// The object that MiniJinja makes from a struct, and from `context!`.
pub(super) const STRUCT: &str = "minijinja::value::StaticKeyMap";

pub(super) fn is_loop(object: &DynObject) -> bool {
    object.type_name() == "minijinja::vm::loop_object::Loop"
}

pub(super) fn is_module(object: &DynObject) -> bool {
    object.type_name() == "minijinja::vm::module_object::Module"
}

/// Whether an object is a list that can be read more than once.
pub(crate) fn is_plain_list(object: &DynObject) -> bool {
    is_plain(object) && object.repr() == ObjectRepr::Seq
}

/// Whether reading an object runs only code of MiniJinja and of the standard library.
pub(crate) fn is_plain(object: &DynObject) -> bool {
    match object.type_name() {
        STRUCT | "minijinja::value::tuple::Tuple" | "minijinja::value::argtypes::KwargsValues" => true,
        name => is_collection(name),
    }
}

/// Whether a type's name is that of a collection of the standard library or of `indexmap`, and all its parameters are
/// values or types of these libraries. A name in an unknown form is not: the type is left unread.
fn is_collection(name: &str) -> bool {
    let outer = ["alloc::", "std::collections::", "indexmap::", "["].iter().any(|own| name.starts_with(own));
    let parts = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}'));
    outer
        && name.split(parts).filter(|part| part.contains([':', '{'])).all(|part| {
            part == "minijinja::value::Value"
                || ["alloc::", "std::", "core::", "indexmap::"].iter().any(|own| part.starts_with(own))
                    && !part.contains('{')
        })
}
