//! The work of the compiler is linear in the size of the template.

use super::support::{lower, syntax};
use crate::compile::steps::steps_of;

/// Asserts that a template of three times the size takes about three times the work.
#[track_caller]
fn assert_linear(what: &str, template: impl Fn(usize) -> String) {
    let work = |count: usize| {
        let source = template(count);
        steps_of(|| drop(lower(&source, &syntax("")).unwrap_or_else(|error| panic!("{what}: {error}"))))
    };
    let (small, large) = (work(300), work(900));
    assert!(small > 0, "{what}: nothing was counted");
    assert!(large <= small * 31 / 10, "{what}: {small} steps for 300, {large} for 900");
}

/// Concatenates `count` parts, each made from its number.
fn chain(count: usize, part: impl Fn(usize) -> String) -> String {
    (1..=count).map(part).collect()
}

const BODY: &str = "{% cache 'k' %}";
const END: &str = "{% endcache %}";

#[test]
fn chained_macros_and_sets_are_compiled_in_linear_time() {
    assert_linear("macros", |count| {
        let macros = chain(count, |at| format!("{{% macro m{at}(a) %}}{{{{ m{}(a) }}}}{{% endmacro %}}\n", at - 1));
        format!("{macros}{BODY}{{{{ m{count}(1) }}}}{END}")
    });
    assert_linear("macros, the last one first", |count| {
        let macros = chain(count, |at| format!("{{% macro m{at}(a) %}}{{{{ m{}(a) }}}}{{% endmacro %}}\n", at + 1));
        format!("{macros}{BODY}{{{{ m1(1) }}}}{END}")
    });
    assert_linear("sets", |count| {
        let sets = chain(count, |at| format!("{{% set x{at} = x{} %}}\n", at - 1));
        format!("{sets}{BODY}{{{{ x{count} }}}}{END}")
    });
    assert_linear("sets of one name", |count| {
        format!("{}{BODY}{{{{ x }}}}{END}", "{% set x = x ~ 'a' %}".repeat(count))
    });
    assert_linear("attributes of one namespace", |count| {
        let sets = chain(count, |at| format!("{{% set ns.a{at} = ns.a{} %}}", at - 1));
        format!("{BODY}{{% set ns = namespace() %}}{sets}{END}")
    });
}

#[test]
fn many_blocks_are_compiled_in_linear_time() {
    assert_linear("macros that cache, each calling the one before", |count| {
        chain(count, |at| {
            let before = at - 1;
            format!("{{% macro m{at}(a) %}}{BODY}{{{{ m{before}(a) }}}}{END}{{% endmacro %}}\n")
        })
    });
    assert_linear("a set and a block in turn", |count| {
        chain(count, |at| {
            let before = at - 1;
            format!("{{% set x{at} = x{before} %}}{BODY}{{{{ x{at} }}}}{END}\n")
        })
    });
    assert_linear("blocks that include, among sets", |count| {
        chain(count, |at| format!("{{% set x{at} = 1 %}}{BODY}{{% include 'x' %}}{END}\n"))
    });
    assert_linear("blocks in literal tags", |count| "<% cache 'k' %>x<% endcache %>".repeat(count));
}

#[test]
fn branches_and_calls_are_compiled_in_linear_time() {
    assert_linear("a branch of many conditions", |count| {
        let branches = chain(count, |at| format!("{{% elif a{at} %}}{{% set x = {at} %}}\n"));
        format!("{{% if a %}}{branches}{{% endif %}}{BODY}{{{{ x }}}}{END}")
    });
    assert_linear("calls of a macro that caches", |count| {
        let calls = chain(count, |at| format!("{{{{ card({at}) }}}}\n"));
        format!("{{% macro card(a) %}}{BODY}{{{{ a }}}}{END}{{% endmacro %}}{calls}")
    });
    assert_linear("macros that hand a namespace on", |count| {
        let macros = chain(count, |at| format!("{{% macro m{at}(n) %}}{{{{ m{}(n) }}}}{{% endmacro %}}\n", at - 1));
        let first = "{% macro m0(n) %}{% set n.c = 1 %}{% endmacro %}";
        format!("{first}{macros}{BODY}{{% set ns = namespace() %}}{{{{ m{count}(ns) }}}}{END}")
    });
    assert_linear("names of one namespace", |count| {
        let names = chain(count, |at| format!("{{% set n{at} = n{} %}}{{% set n{at}.a = 1 %}}", at - 1));
        format!("{BODY}{{% set n0 = namespace() %}}{names}{END}")
    });
    assert_linear("names of one caller", |count| {
        let names = chain(count, |at| format!("{{% set c{at} = c{} %}}", at - 1));
        format!("{{% macro box() %}}{{% set c0 = caller %}}{names}{{{{ c{count}() }}}}{{% endmacro %}}{BODY}x{END}")
    });
}

#[test]
fn operands_of_a_key_are_compiled_in_linear_time() {
    assert_linear("operands", |count| {
        let operands = chain(count, |at| format!(" ~ (a{at} ~ b{at})\n"));
        format!("{{% cache 'k'{operands} %}}x{END}")
    });
    assert_linear("operands inside of a list", |count| {
        let operands = chain(count, |at| format!(" ~ a{at}"));
        format!("{{% cache ['k'{operands}] %}}x{END}")
    });
}

#[test]
fn ten_thousand_chained_macros_are_compiled() {
    let macros = chain(10_000, |at| format!("{{% macro m{at}() %}}{{{{ m{}() }}}}{{% endmacro %}}\n", at - 1));
    let source = format!("{macros}{BODY}{{{{ m10000() }}}}{END}");
    let steps = steps_of(|| drop(lower(&source, &syntax("")).unwrap()));
    assert!(steps < 1_000_000, "{steps} steps");
}
