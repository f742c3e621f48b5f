//! What may be part of a key, wherever the key is made: an undefined name must not make one key of everybody's.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Environment, Error, UndefinedBehavior, context};
use minijinja_cache::lazy;

use crate::support::{cache, env_of, failure, show};

const CARD: &str = "{{ shown }}{{ name }}";

/// An environment with the template under test, called `p`.
fn page<'a>(source: &str) -> Environment<'a> {
    let cache = cache();
    env_of(&cache, &[("p", source), ("card", CARD)])
}

/// Asserts that a template fails with these words at a line where `nme` is undefined, and works where it is defined.
fn refuses(source: &str, line: usize, words: &str) {
    let env = page(source);
    for behavior in [UndefinedBehavior::Lenient, UndefinedBehavior::Chainable] {
        let mut env = env.clone();
        env.set_undefined_behavior(behavior);
        for name in ["alice", "bob"] {
            let outcome = env.get_template("p").unwrap().render(context! { name, user => context! { id => 1 } });
            let Err(error) = outcome else { panic!("{source}: rendered {outcome:?}") };
            assert!(error.to_string().contains(words), "{source}: {error}");
            assert_eq!(error.line(), Some(line), "{source}: {error}");
        }
    }
    let good = |nme: &str| {
        let user = context! { id => 1, nme };
        show(&env, "p", context! { name => nme, nme, user })
    };
    let (alice, bob) = (good("alice"), good("bob"));
    assert!(alice.contains("alice") && bob.contains("bob"), "{source}: {alice} {bob}");
    assert_eq!(good("alice"), alice, "{source}");
}

/// Asserts that a template renders without `nme`.
fn accepts(source: &str, shown: &str) {
    let env = page(source);
    for _ in 0..2 {
        let context = context! { name => "n", user => context! { id => 1 }, xs => vec!["a", "b"] };
        assert_eq!(show(&env, "p", context), shown, "{source}");
    }
}

fn in_tag(key: &str) -> String {
    format!("\n{{% cache {key} %}}{{{{ name }}}}{{% endcache %}}")
}

#[test]
fn undefined_inside_an_operand_of_a_key_is_refused() {
    for key in ["'user_' ~ [user.nme]", "'user_' ~ {'a': user.nme}", "'user_' ~ [[1, user.nme]]"] {
        refuses(&in_tag(key), 2, "joins something undefined");
    }
    refuses(&in_tag("'user_' ~ [1, user.nme]"), 2, "item 2 of operand 2 of `~`");
    refuses(&in_tag("['a', 'user_' ~ [user.nme]]"), 2, "holds something undefined (item 1)");
}

#[test]
fn undefined_on_its_way_through_filters_and_slices_is_refused() {
    for key in [
        "'u_' ~ nme|lower",
        "'u_' ~ nme|string",
        "'u_' ~ nme|trim",
        "'u_' ~ nme|upper|trim",
        "['u', nme]|join('_')",
        "['u', ['v', nme]|join('-')]|join('_')",
        "['u', nme]|map('lower')|join('_')",
        "['u', nme]|sort|join('_')",
        "'u_%s'|format(nme)",
        "'u_'|replace('_', nme)",
        "'u_' ~ nme[:3]",
        "['u', nme[:3]]",
        "[nme|lower, 1]",
        "{'a': nme|title}",
        "['u', nme|e]",
        "['u', user.nme|tojson]",
        "('u_' ~ nme)|lower",
        "('u_' ~ (nme|lower))|upper",
        "'u_' ~ (nme|lower if name else 'x')",
        "['u', user|attr('nme')]|join",
        "[user]|map(attribute='nme')|join ~ '_u'",
        "('u_%s'|format(nme)) or 'x'",
    ] {
        refuses(&in_tag(key), 2, "undefined");
        refuses(&in_tag(&format!("'k' vary=[{key}]")), 2, "undefined");
        refuses(&in_tag(&format!("'k' version=[{key}]")), 2, "undefined");
    }
}

#[test]
fn a_partial_refuses_what_the_tag_refuses() {
    for key in [
        "'user_' ~ user.nme",
        "'user_' ~ [user.nme]",
        "['d', 'v' ~ nme]",
        "'u_' ~ nme|lower",
        "['u', nme]|join('_')",
        "'u_%s'|format(nme)",
        "nme[:3] ~ '_u'",
        "user.nme",
        "['u', nme]",
    ] {
        for call in [
            format!("{{{{ cache_partial('card', {key}, context={{'name': name}}) }}}}"),
            format!("{{{{ cache_partial('card', 'k', vary={key}, context={{'name': name}}) }}}}"),
            format!("{{{{ cache_partial('card', 'k', version=[{key}], context={{'name': name}}) }}}}"),
            format!("{{% set card = cache_partial('card', {key}, context={{'name': name}}) %}}{{{{ card }}}}"),
            format!("{{{{ ['<', cache_partial('card', {key}, context={{'name': name}})]|join }}}}"),
            format!(
                "{{% if true %}}{{{{ cache_partial('card', {key}, context={{'name': name}})|upper|lower }}}}{{% endif %}}"
            ),
            format!("{{% do cache_partial('card', {key}, context={{'name': name}}) %}}{{{{ name }}}}"),
        ] {
            refuses(&format!("\n{call}"), 2, "undefined");
        }
    }
    let in_macro = "{% macro m(nme, name) %}\n{{ cache_partial('card', 'u_' ~ nme, context={'name': name}) }}\
                    {% endmacro %}{{ m(nme, name) }}";
    refuses(in_macro, 2, "undefined");
}

#[test]
fn undefined_in_a_tag_is_refused() {
    refuses(&in_tag("name tags=['user:' ~ nme]"), 2, "`nme`, which goes into a key or a tag, is undefined");
    refuses(&in_tag("name tags=['user:' ~ nme|lower]"), 2, "undefined");
    refuses(&in_tag("name tags=[['user', nme]|join(':')]"), 2, "undefined");
    refuses(&in_tag("name tags=[nme]"), 2, "undefined");
    refuses("\n{{ cache_partial('card', name, tags=['user:' ~ nme], context={'name': name}) }}", 2, "undefined");
    refuses("{% cache name %}{{ name }}\n{{ cache_tag('user:' ~ nme) }}{% endcache %}", 2, "undefined");
    refuses("{% cache name %}{{ name }}\n{{ cache_tag('a', ['user', nme]|join(':')) }}{% endcache %}", 2, "undefined");
}

#[test]
fn undefined_in_a_name_that_goes_into_a_key_is_refused() {
    let body = "{{ name }}{% endcache %}";
    for source in [
        format!("\n{{% set key = 'user_' ~ user.nme %}}{{% cache key %}}{body}"),
        format!("\n{{% set key = nme|lower ~ '_u' %}}{{% cache ['a', key] %}}{body}"),
        format!("\n{{% set key %}}user_{{{{ user.nme }}}}{{% endset %}}{{% cache key %}}{body}"),
        format!(
            "\n{{% set key | trim %}} user_{{% if name %}}{{{{ nme }}}}{{% endif %}}{{% endset %}}{{% cache key %}}{body}"
        ),
        format!("\n{{% set a = 'user_' ~ nme %}}{{% set b = ['x', a] %}}{{% set c = b|join %}}{{% cache c %}}{body}"),
        format!(
            "\n{{% set a %}}{{{{ nme }}}}{{% endset %}}{{% set b %}}x{{{{ a }}}}{{% endset %}}{{% cache b %}}{body}"
        ),
        format!("\n{{% with key = 'user_' ~ nme %}}{{% cache key %}}{body}{{% endwith %}}"),
        format!("\n{{% with a = 'u' ~ nme, b = a ~ 'x' %}}{{% cache b %}}{body}{{% endwith %}}"),
        format!("\n{{% for key in ['user_' ~ nme] %}}{{% cache key %}}{body}{{% endfor %}}"),
        format!("\n{{% set parts = ['u', nme] %}}{{% cache parts|join('_') %}}{body}"),
        format!("\n{{% set ns = namespace() %}}{{% set ns.key = 'u' ~ nme %}}{{% cache ns.key %}}{body}"),
        format!("\n{{% set v = 'v' ~ nme %}}{{% cache 'k' vary=[v] %}}{body}"),
        format!("\n{{% set v = 'v' ~ nme %}}{{% cache 'k' version=v %}}{body}"),
        format!("\n{{% set t = 'user:' ~ nme %}}{{% cache name tags=[t] %}}{body}"),
        format!(
            "\n{{% if name %}}{{% set key = 'u' ~ nme %}}{{% else %}}{{% set key = 'x' %}}{{% endif %}}{{% cache key %}}{body}"
        ),
        format!("\n{{% macro m(key, name) %}}{{% cache key %}}{body}{{% endmacro %}}{{{{ m('u' ~ nme, name) }}}}"),
        format!(
            "\n{{% macro m(name, key=0) %}}{{% cache key %}}{body}{{% endmacro %}}{{{{ m(name, key='u' ~ nme) }}}}"
        ),
        "\n{% set key = 'u' ~ nme %}{{ cache_partial('card', key, context={'name': name}) }}".to_owned(),
        "\n{% with t = 'u' ~ nme %}{% cache name %}{{ cache_tag(t) }}{{ name }}{% endcache %}{% endwith %}".to_owned(),
    ] {
        refuses(&source, 2, "undefined");
    }
}

#[test]
fn templates_that_deal_with_undefined_values_keep_working() {
    for key in [
        "nme|default('d')",
        "'u_' ~ nme|default('d')",
        "'u_' ~ nme|d('d')|lower",
        "['u', nme|default('d')|lower]|join('_')",
        "nme if nme is defined else 'd'",
        "'u_' ~ (nme if nme is defined else 'd')",
        "(nme if nme is defined else 'd')|lower",
        "nme|lower if nme is defined else 'd'",
        "nme|lower if nme else 'd'",
        "['u', 'in' if nme|trim else 'out']",
        "['u', nme or 'd']",
        "nme|trim or 'd'",
        "'u_' ~ (nme|trim or 'd')",
        "['u', nme is defined]",
        "['u', nme == 'ada']",
        "['u', not nme]",
        "[nme, 'd']|select|first",
        "['u', xs|length, xs|join('-'), xs[:1]|list, xs[:1]|join, xs|map('upper')|join]",
        "['u', range(3)|join('-')]",
        "'u_' ~ xs",
        "'u_' ~ none",
        "'u_' ~ user",
        "(xs + ['c'])|list",
        "'u_' ~ (xs + ['c'])",
        "'u_' ~ xs|reverse",
        "dict(a=1)",
    ] {
        accepts(&in_tag(key), "\nn");
        accepts(&format!("{{{{ cache_partial('card', {key}, context={{'name': name}}) }}}}"), "n");
        accepts(&format!("{{% set key = {key} %}}{{% cache key %}}{{{{ name }}}}{{% endcache %}}"), "n");
    }
}

#[test]
fn what_goes_into_no_key_is_left_alone() {
    let tag = "{% cache k %}{{ name }}{% endcache %}";
    for source in [
        // Another name, another scope, another branch, a later or an earlier binding of the same name.
        format!("{{% set k = 'a' %}}{{% set title = 'x' ~ nme %}}{tag}"),
        format!("{{% set k = 'a' ~ nme %}}{{% set k = 'b' %}}{tag}"),
        format!("{{% set k = 'b' %}}{tag}{{% set k = 'a' ~ nme %}}"),
        format!("{{% set k = 'a' %}}{{% for x in xs %}}{{% set k = 'b' ~ nme %}}{{% endfor %}}{tag}"),
        format!("{{% macro m() %}}{{% set k = 'b' ~ nme %}}{{% endmacro %}}{{% set x = m() %}}{{% set k = 1 %}}{tag}"),
        format!(
            "{{% if name %}}{{% set k = 'b' ~ nme %}}{{% else %}}{{% set k = 'a' %}}{tag}{{% endif %}}{{{{ name }}}}"
        ),
        format!("{{% set t = 'a' ~ nme %}}{{% set k = 'b' if t else 'c' %}}{tag}"),
        format!("{{% set k %}}k{{{{ 'x' if nme }}}}{{% endset %}}{tag}"),
        format!("{{% macro m(k, title, name) %}}{tag}{{% endmacro %}}{{{{ m('a', 'x' ~ nme, name) }}}}"),
        "{{ cache_partial('card', 'k', context={'name': name ~ nme}) }}".to_owned(),
        "{% cache 'k' %}{{ name ~ nme|lower }}{% endcache %}".to_owned(),
    ] {
        let env = page(&source);
        let shown = show(&env, "p", context! { name => "n", xs => [1] });
        assert_eq!(shown, "n", "{source}");
    }
}

fn fails() -> Value {
    lazy(|| Err::<i32, _>(std::io::Error::other("database away")))
}

fn undefined() -> Value {
    lazy(|| Ok::<_, std::io::Error>(Value::UNDEFINED))
}

#[test]
fn a_lazy_value_that_fails_or_is_undefined_is_an_error_in_a_key() {
    for key in [
        "id",
        "'user_' ~ id",
        "id ~ '_user'",
        "['u', id]",
        "{'a': [id]}",
        "'user_' ~ [id]",
        "['u', id]|join('_')",
        "'u_%s'|format(id)",
        "['a', 'u_' ~ id]",
        "'u' ~ id|string",
        "'k' vary=id",
        "'k' vary=['a' ~ id]",
        "'k' version=id",
        "'k' tags=[id]",
        "'k' tags=['a' ~ id]",
    ] {
        for (make, words) in [(fails as fn() -> Value, "database away"), (undefined, "undefined")] {
            let env = page(&in_tag(key));
            let error = failure(&env, "p", context! { id => make(), name => "n" });
            assert!(error.to_string().contains(words), "{key}: {error}");
            let arguments = key.replace("'k' ", "'k', ");
            let env = page(&format!("{{{{ cache_partial('card', {arguments}, context={{}}) }}}}"));
            let error = failure(&env, "p", context! { id => make(), name => "n" });
            assert!(error.to_string().contains(words), "{arguments}: {error}");
        }
    }
}

#[test]
fn a_lazy_value_that_fails_is_an_error_as_another_argument_too() {
    for call in ["'k', id", "'k', ttl=id", "'k', name=id", "'k', tags=id", "'k', stale=id", "'k', context=id"] {
        let env = page(&format!("{{{{ cache_partial('card', {call}) }}}}"));
        let error = failure(&env, "p", context! { id => fails() });
        assert!(error.to_string().contains("database away"), "{call}: {error}");
    }
}

#[test]
fn a_lazy_value_in_a_key_is_the_value_it_stands_for() {
    let keys = ["id", "'u' ~ id", "['u', id]", "'u' ~ [id]", "['u', id]|join", "'u' ~ {'id': id}", "['x', 'u' ~ [id]]"];
    for key in keys {
        for source in [
            in_tag(key),
            format!("{{{{ cache_partial('card', {key}, context={{'name': name}}) }}}}"),
            format!("{{% set k = {key} %}}{{% cache k %}}{{{{ name }}}}{{% endcache %}}"),
        ] {
            let env = page(&source);
            let shown = |id: u32, name: &str| {
                let id = lazy(move || Ok::<_, std::io::Error>(id));
                show(&env, "p", context! { id, name }).trim().to_owned()
            };
            assert_eq!([shown(1, "a"), shown(2, "b"), shown(1, "c")], ["a", "b", "a"], "{source}");
        }
    }
}

/// A map as its author left it: without a list of its names.
#[derive(Debug)]
struct User(u32);

impl Object for User {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("id")).then(|| Value::from(self.0))
    }
}

/// One that says that it cannot be listed.
#[derive(Debug)]
struct Closed;

impl Object for Closed {
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// One of which only the type's name is known.
#[derive(Debug)]
struct Handle;

impl Object for Handle {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// One that lists its parts, and cannot be written.
#[derive(Debug)]
struct Unwritten;

impl Object for Unwritten {
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(Vec::new())
    }

    fn render(self: &Arc<Self>, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

/// One that lists its parts, and writes itself in a debugger's words.
struct Listed(u32);

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listed")
    }
}

impl Object for Listed {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("id")).then(|| Value::from(self.0))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["id"])
    }
}

#[test]
fn an_object_that_cannot_say_what_it_holds_is_refused() {
    let objects = [Value::from_object(User(1)), Value::from_object(Closed), Value::from_object(Handle)];
    for object in objects {
        for key in [
            "object",
            "'u' ~ object",
            "object ~ 'u'",
            "['u', object]",
            "'u' ~ [object]",
            "['u', 'x' ~ object]",
            "'u' ~ object|string",
        ] {
            for source in [in_tag(key), format!("{{{{ cache_partial('card', {key}) }}}}")] {
                let env = page(&source);
                let error = failure(&env, "p", context! { object => object.clone(), name => "n" });
                assert!(error.to_string().contains("; a key is a string"), "{source}: {object:?}: {error}");
            }
        }
    }
}

#[test]
fn an_object_that_cannot_be_written_is_refused_where_a_key_is_made_of_its_text() {
    for key in
        ["'u' ~ object", "object ~ 'u'", "'u' ~ [object]", "['u', 'x' ~ object]", "[object]|join", "object|string"]
    {
        for source in [in_tag(key), format!("{{{{ cache_partial('card', {key}) }}}}")] {
            let env = page(&source);
            let error = failure(&env, "p", context! { object => Value::from_object(Unwritten), name => "n" });
            assert!(error.to_string().contains("an object that cannot be written as text"), "{source}: {error}");
        }
    }
}

#[test]
fn an_object_that_lists_its_parts_is_told_from_others() {
    for key in ["object", "'u' ~ object", "'u' ~ [object]", "['x', 'u' ~ [object]]", "[[object]]|join('-')"] {
        for source in [in_tag(key), format!("{{{{ cache_partial('card', {key}, context={{'name': name}}) }}}}")] {
            let env = page(&source);
            let shown = |id: u32, name: &str| {
                show(&env, "p", context! { object => Value::from_object(Listed(id)), name }).trim().to_owned()
            };
            assert_eq!([shown(1, "a"), shown(2, "b"), shown(1, "c")], ["a", "b", "a"], "{source}");
        }
    }
}

/// A user who is written as their name.
#[derive(Debug)]
struct Named(&'static str);

impl Object for Named {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("name")).then(|| Value::from(self.0))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["name"])
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

#[test]
fn what_goes_into_a_key_is_shown_as_without_one() {
    for text in
        ["'by ' ~ user", "[user, user]|join(', ')", "user|upper", "'%s'|format(user)", "[1, user.name]", "xs|join"]
    {
        let source = format!("{{% set text = {text} %}}{{{{ text }}}}");
        let mut plain = Environment::new();
        plain.add_template("p", &source).unwrap();
        let env = page(&format!("{source}{{% cache text %}}{{% endcache %}}"));
        let context = context! { user => Value::from_object(Named("Ada")), xs => [Value::from_object(Named("Bob"))] };
        assert_eq!(show(&env, "p", context.clone()), show(&plain, "p", context), "{text}");
    }
}

#[test]
fn an_object_in_a_joined_key_is_invalidated_by_its_text() {
    let cache = cache();
    let env = env_of(&cache, &[("p", "{% cache 'by_' ~ user %}{{ n }}{% endcache %}")]);
    let shown = |n: u32| show(&env, "p", context! { user => Value::from_object(Named("Ada")), n });
    assert_eq!([shown(1), shown(2)], ["1", "1"]);
    cache.invalidate("by_Ada");
    assert_eq!(shown(3), "3");
}

#[test]
fn an_empty_list_map_and_tuple_are_keys() {
    for key in ["[]", "{}", "()", "['a', []]", "['a', {}]", "dict()", "namespace()"] {
        accepts(&in_tag(key), "\nn");
    }
}

#[test]
fn an_error_names_the_part_by_its_place_and_never_by_its_content() {
    let env = page(&in_tag("k"));
    let of = |k: Value| failure(&env, "p", context! { k }).to_string();
    let list = |items: Vec<Value>| Value::from(items);
    let (text, none) = (Value::from("secret"), Value::UNDEFINED);
    assert!(of(list(vec![text.clone(), none.clone()])).contains("holds something undefined (item 2)"));
    assert!(of(list(vec![list(vec![none.clone()])])).contains("(item 1 of item 1)"));
    let map = Value::from_pairs([("a@example.org", none)]);
    let error = of(list(vec![text, map]));
    assert!(error.contains("(entry 1 of the map of item 2)"), "{error}");
    assert!(!error.contains("secret") && !error.contains("example.org"), "{error}");
}

#[test]
fn a_handler_is_told_which_item_is_undefined() -> Result<(), Error> {
    let cache = cache();
    let env = env_of(&cache, &[("card", "x")]);
    let key = ("user", Value::UNDEFINED);
    let error = cache.render(&env, "card", context! {}, key, minijinja_cache::Options::default()).unwrap_err();
    assert!(error.to_string().contains("holds something undefined (item 2)"), "{error}");
    Ok(())
}
