//! An invalidation that an operator orders: parsed from a form, described for confirmation, and carried out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::params::Params;
use crate::cache::FragmentCache;
use crate::cache::invalidation::Invalidation;
use crate::invalidation::floors::TagHash;
use crate::key;
use crate::store::entry::Entry;
use crate::telemetry::{By, KeyHash, key_hash};

/// Separates the names of nested namespaces in a form.
const INSIDE: &str = " / ";

/// Floats from this size on may be rounded integers, because `serde_json` reads integers beyond 64 bits as floats.
const INEXACT: f64 = (1u64 << 63) as f64;

/// An invalidation, parsed but not yet carried out.
#[derive(Debug)]
pub(super) struct Order {
    what: What,
    /// The handle of the namespace in which it invalidates.
    cache: FragmentCache,
    /// The namespace inside that of the dashboard, as it was typed.
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// The key itself is not kept, because it may be private. Its hashes are enough.
    Key {
        hash: KeyHash,
        floor: TagHash,
    },
    Tag(String),
    Page(String),
    Template(String),
    Namespace,
    Everything,
}

/// The kinds of orders, as forms name them.
pub(super) const KINDS: [&str; 6] = ["key", "tag", "page", "template", "namespace", "everything"];

impl Order {
    /// Parses a form that an operator filled in.
    ///
    /// # Errors
    ///
    /// A message for the operator.
    pub(super) fn asked(cache: &FragmentCache, form: &Params) -> Result<Order, String> {
        let namespace = form.raw("namespace").to_owned();
        let inside = within(cache, &namespace);
        let value = form.raw("value");
        let filled = |what: &str| match value {
            "" => Err(format!("Please say which {what}.")),
            value => Ok(value.to_owned()),
        };
        let what = match form.get("kind") {
            "key" => {
                let bytes = encoded(value, form.get("as"))?;
                What::Key { hash: key_hash(&bytes), floor: inside.key_tag(&bytes) }
            }
            "tag" => What::Tag(filled("tag")?),
            "page" => What::Page(filled("path")?),
            "template" => What::Template(filled("template")?),
            "namespace" if namespace.is_empty() => return Err("Please say which namespace.".into()),
            "namespace" => What::Namespace,
            "everything" => What::Everything,
            _ => return Err("This form says nothing that can be invalidated.".into()),
        };
        Ok(Order::new(what, cache, namespace))
    }

    /// Orders to invalidate the key of an entry.
    pub(super) fn of_entry(cache: &FragmentCache, entry: &Entry) -> Order {
        let facts = cache.inner.facts(entry);
        let what = What::Key { hash: facts.key, floor: facts.key_floor };
        Order::new(what, cache, String::new())
    }

    /// Parses the form of the confirmation page, which holds hashes instead of the key. The caller must check its token
    /// before the order is carried out.
    pub(super) fn confirmed(cache: &FragmentCache, form: &Params) -> Result<Order, String> {
        if form.get("kind") != "key" {
            return Order::asked(cache, form);
        }
        let number =
            |name| u64::from_str_radix(form.get(name), 16).map_err(|_| "This form is not complete.".to_owned());
        let what = What::Key { hash: KeyHash(number("hash")?), floor: number("floor")? };
        Ok(Order::new(what, cache, form.raw("namespace").to_owned()))
    }

    fn new(what: What, cache: &FragmentCache, namespace: String) -> Order {
        // Templates belong to all namespaces, and `everything` is everything in the namespace of the dashboard.
        let namespace = if matches!(what, What::Template(_) | What::Everything) { String::new() } else { namespace };
        Order { what, cache: within(cache, &namespace), namespace }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.what {
            What::Key { .. } => "key",
            What::Tag(_) => "tag",
            What::Page(_) => "page",
            What::Template(_) => "template",
            What::Namespace => "namespace",
            What::Everything => "everything",
        }
    }

    /// The form fields from which [`Order::confirmed`] parses an equal order. The token is a digest of them.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("kind", self.kind().to_owned()), ("namespace", self.namespace.clone())];
        match &self.what {
            What::Key { hash, floor } => {
                fields.extend([("hash", hash.to_string()), ("floor", format!("{floor:016x}"))]);
            }
            What::Tag(value) | What::Page(value) | What::Template(value) => fields.push(("value", value.clone())),
            What::Namespace | What::Everything => {}
        }
        fields
    }

    /// A description for the operator who confirms it.
    pub(super) fn words(&self) -> String {
        match &self.what {
            What::Key { hash, .. } => format!("the key with the hash {hash}"),
            What::Tag(tag) => format!("the tag {tag:?}"),
            What::Page(path) => format!("the pages of {path:?}"),
            What::Template(name) => format!("what was made with the template {name:?}"),
            What::Namespace => "everything in the namespace".into(),
            What::Everything if self.cache.namespace.tags.is_empty() => "everything".into(),
            What::Everything => format!("everything in the namespace {:?}", self.cache.namespace.name),
        }
    }

    /// The names of the nested namespaces, inside that of the dashboard.
    pub(super) fn levels(&self) -> Vec<&str> {
        self.namespace.split(INSIDE).filter(|_| !self.namespace.is_empty()).collect()
    }

    /// Whether it would invalidate an entry; `None` if the entry does not tell.
    pub(super) fn concerns(&self, entry: &Entry) -> Option<bool> {
        let tagged = |hash: TagHash| entry.record.tags().iter().any(|tag| tag.hash == hash);
        Some(match &self.what {
            What::Key { floor, .. } => tagged(*floor),
            What::Tag(tag) => tagged(self.cache.declared_tag(tag)),
            What::Page(_) => return None,
            What::Template(name) => entry.record.dependencies().iter().any(|it| it.template.name() == name),
            What::Namespace | What::Everything => {
                self.cache.namespace.tags.last().is_none_or(|namespace| tagged(*namespace))
            }
        })
    }

    pub(super) fn carry_out(&self) -> Invalidation {
        match &self.what {
            What::Key { hash, floor } => self.cache.inner.invalidate_key(*floor, *hash, By::Dashboard),
            What::Tag(tag) => self.cache.invalidate_tag_by(tag, By::Dashboard),
            What::Page(path) => self.cache.invalidate_page_by(path, By::Dashboard),
            What::Template(name) => self.cache.invalidate_template_by(name, By::Dashboard),
            What::Namespace | What::Everything => self.cache.clear_by(By::Dashboard),
        }
    }
}

/// The handle of a nested namespace.
fn within(cache: &FragmentCache, namespace: &str) -> FragmentCache {
    let levels = namespace.split(INSIDE).filter(|_| !namespace.is_empty());
    levels.fold(cache.clone(), |cache, name| cache.namespace(name))
}

/// Encodes a typed key in the same way as keys of the application.
fn encoded(typed: &str, form: &str) -> Result<Vec<u8>, String> {
    let key = match form {
        "json" => {
            let json = serde_json::from_str(typed).map_err(|error| format!("That is no JSON: {error}."))?;
            TypedKey::of(json)?
        }
        _ => TypedKey::Text(typed.to_owned()),
    };
    let mut bytes = Vec::new();
    key::encode_handler(&key, &mut bytes).map_err(|reason| format!("The key {reason}."))?;
    Ok(bytes)
}

/// A key in JSON. `serde_json::Value` is not used for encoding, because features of `serde_json` that the application
/// turns on change how its numbers serialize.
#[derive(Serialize)]
#[serde(untagged)]
enum TypedKey {
    None(Option<bool>),
    Boolean(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<TypedKey>),
    Map(BTreeMap<String, TypedKey>),
}

impl TypedKey {
    fn of(json: serde_json::Value) -> Result<TypedKey, String> {
        Ok(match json {
            serde_json::Value::Null => TypedKey::None(None),
            serde_json::Value::Bool(yes) => TypedKey::Boolean(yes),
            serde_json::Value::String(text) => TypedKey::Text(text),
            serde_json::Value::Array(items) => {
                TypedKey::List(items.into_iter().map(TypedKey::of).collect::<Result<_, _>>()?)
            }
            serde_json::Value::Object(entries) => {
                let entries = entries.into_iter().map(|(name, value)| Ok((name, TypedKey::of(value)?)));
                TypedKey::Map(entries.collect::<Result<_, String>>()?)
            }
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), ..) => TypedKey::Signed(whole),
                (None, Some(whole), _) => TypedKey::Unsigned(whole),
                (None, None, Some(float)) if float.abs() < INEXACT => TypedKey::Float(float),
                _ => return Err("A number beyond 64 bits cannot be typed here; take the entry's own page.".into()),
            },
        })
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::*;
    use crate::Options;

    fn cache() -> FragmentCache {
        FragmentCache::builder().build().unwrap()
    }

    fn form(fields: &[(&str, &str)]) -> Params {
        let mut form = form_urlencoded::Serializer::new(String::new());
        Params::read(&form.extend_pairs(fields).finish())
    }

    /// Whether a typed key invalidates the entry that the application stored under `key`.
    fn means(typed: &str, how: &str, key: impl Serialize + Clone) -> bool {
        let cache = cache();
        let get = |count: u32| {
            let text = cache.get_or_set(key.clone(), Options::default(), || Ok::<_, Infallible>(count.to_string()));
            text.unwrap().to_string()
        };
        get(1);
        let order = Order::asked(&cache, &form(&[("kind", "key"), ("as", how), ("value", typed)])).unwrap();
        let mut concerned = 0;
        cache.inner.see_entries(10, |_, entry| concerned += usize::from(order.concerns(entry).unwrap()));
        let again = Order::confirmed(&cache, &form(&fields(&order))).unwrap();
        let _ = again.carry_out();
        let gone = get(2) == "2";
        assert_eq!(concerned, usize::from(gone), "{typed}");
        gone
    }

    fn fields(order: &Order) -> Vec<(&'static str, &'static str)> {
        order.fields().into_iter().map(|(name, value)| (name, &*value.leak())).collect()
    }

    #[test]
    fn a_key_as_typed_is_the_key_of_the_application() {
        assert!(means("bio_alice", "text", "bio_alice"));
        assert!(means(" a\u{301} \"<b>\" ", "text", " a\u{301} \"<b>\" "));
        assert!(means("7", "text", "7") && !means("7", "text", 7));
        assert!(means("7", "json", 7u64) && means("7", "json", 7i8) && !means("7", "json", "7"));
        assert!(means("\"7\"", "json", "7") && means("-3", "json", -3) && means("true", "json", true));
        assert!(means("1.0", "json", 1.0) && !means("1.0", "json", 1) && means("1e3", "json", 1000.0));
        assert!(means("18446744073709551615", "json", u64::MAX));
        assert!(means(r#"["user", 7, null, ""]"#, "json", ("user", 7, None::<u8>, "")));
        assert!(!means(r#"["a", "b:c"]"#, "json", ("a:b", "c")));
        #[derive(Serialize, Clone)]
        struct Key {
            b: Vec<u32>,
            a: &'static str,
        }
        assert!(means(r#"{"a": "ü", "b": [1, 2]}"#, "json", Key { b: vec![1, 2], a: "ü" }));
    }

    #[test]
    fn an_invalid_key_is_refused_with_a_message() {
        let cache = cache();
        let deep = "[".repeat(70) + "1" + &"]".repeat(70);
        for (typed, how, words) in [
            ("", "text", "The key is empty."),
            ("", "json", "no JSON"),
            ("null", "json", "The key is none."),
            ("\"\"", "json", "The key is empty."),
            ("{", "json", "no JSON"),
            ("340282366920938463463374607431768211455", "json", "beyond 64 bits"),
            ("-9223372036854775809", "json", "beyond 64 bits"),
            (&deep, "json", "nests deeper"),
        ] {
            let asked = Order::asked(&cache, &form(&[("kind", "key"), ("as", how), ("value", typed)]));
            let error = asked.unwrap_err();
            assert!(error.contains(words), "{typed}: {error}");
        }
        for incomplete in ["", "kind=", "kind=nothing", "kind=tag", "kind=template&value=", "kind=namespace"] {
            assert!(Order::asked(&cache, &Params::read(incomplete)).is_err(), "{incomplete}");
        }
        assert!(Order::confirmed(&cache, &Params::read("kind=key&hash=1&floor=x")).is_err());
    }

    #[test]
    fn a_namespace_is_inside_that_of_the_dashboard() {
        let cache = cache();
        let blog = cache.namespace("blog");
        let order = Order::asked(&blog, &Params::read("kind=tag&value=t&namespace=de+/+at")).unwrap();
        assert_eq!(order.cache.namespace.path, blog.namespace("de").namespace("at").namespace.path);
        assert_eq!(order.levels(), ["de", "at"]);
        let order = Order::asked(&blog, &Params::read("kind=everything&namespace=de")).unwrap();
        assert_eq!(order.words(), "everything in the namespace \"blog\"");
        // A slash without spaces is a part of the name.
        let order = Order::asked(&cache, &Params::read("kind=namespace&namespace=a/b")).unwrap();
        assert_eq!(order.levels(), ["a/b"]);
    }

    #[test]
    fn an_entry_is_invalidated_by_the_hashes_of_its_key() {
        let cache = cache();
        let shop = cache.namespace("shop");
        let compute = |text: &'static str| shop.get_or_set(u128::MAX, Options::default(), || Ok::<_, Infallible>(text));
        compute("old").unwrap();
        let mut found = Vec::new();
        cache.inner.see_entries(10, |_, entry| found.push(Arc::clone(entry)));
        let order = Order::of_entry(&cache, &found[0]);
        let again = Order::confirmed(&cache, &form(&fields(&order))).unwrap();
        assert_eq!(order.fields(), again.fields());
        let _ = again.carry_out();
        assert_eq!(&*compute("new").unwrap(), "new");
    }
}
