//! The grammar of the arguments of a cache tag, and its ambiguous forms.

use super::support::{lower, syntax};

fn head(arguments: &str) -> Result<String, String> {
    let source = format!("{{% cache {arguments} %}}x{{% endcache %}}");
    let lowered = lower(&source, &syntax("")).map_err(|e| e.detail().unwrap_or("").to_owned())?;
    let start = lowered.find("{% if ").unwrap() + 6;
    let end = lowered.find("{% with").unwrap() - 3;
    let condition = lowered[start..end].trim_end().to_owned();
    let digest_start = condition.find("_f.miss").map(|i| condition[i..].find('(').unwrap() + i + 1).unwrap();
    let digest_end =
        condition[digest_start..].find(',').unwrap_or_else(|| condition[digest_start..].find(')').unwrap())
            + digest_start;
    Ok(format!("{}#{}", &condition[..digest_start], &condition[digest_end..]))
}

#[track_caller]
fn assert_lowers(arguments: &str, expected: &str) {
    assert_eq!(head(arguments).as_deref(), Ok(expected), "{arguments}");
}

#[track_caller]
fn assert_rejected(arguments: &str, part: &str) {
    match head(arguments) {
        Err(message) => assert!(message.contains(part), "{arguments}: {message}"),
        Ok(lowered) => panic!("{arguments} was read as {lowered}"),
    }
}

#[test]
fn arguments_are_separated_by_space_or_comma() {
    assert_lowers("'k'", "'k' is _f.miss(#, none)");
    assert_lowers("'k' 60", "'k' is _f.miss(#, 60000000000)");
    assert_lowers("'k', 60", "'k' is _f.miss(#, 60000000000)");
    assert_lowers("user.id 300", "user.id is _f.miss(#, 300000000000)");
    assert_lowers("'k' '5m'", "'k' is _f.miss(#, 300000000000)");
    assert_lowers("'k' 'forever'", "'k' is _f.miss(#, -1)");
    assert_lowers("'k' 0", "'k' is _f.miss(#, 0)");
    assert_lowers("'k' none", "'k' is _f.miss(#, none)");
    assert_lowers("'k' ttl", "'k' is _f.miss_with(#, (ttl), false, true, none, none)");
    assert_lowers("a - 5", "(a - 5) is _f.miss(#, none)");
    assert_lowers("a-5", "(a-5) is _f.miss(#, none)");
    assert_lowers("'k', (60)", "'k' is _f.miss_with(#, ((60)), false, true, none, none)");
    assert_lowers("['a', x.y] 60", "(['a', x.y]) is _f.miss(#, 60000000000)");
    assert_lowers("f(a (b)) 60", "(f(a (b))) is _f.miss(#, 60000000000)");
    assert_lowers("a if b else c 60", "(a if b else c) is _f.miss(#, 60000000000)");
    assert_lowers("a if b 60", "(a if b) is _f.miss(#, 60000000000)");
    assert_lowers("'k' ttl='1h 30m'", "'k' is _f.miss(#, 5400000000000)");
    assert_lowers("x is divisibleby(3) 60", "(x is divisibleby(3)) is _f.miss(#, 60000000000)");
    assert_lowers("x is defined ttl=60", "(x is defined) is _f.miss(#, 60000000000)");
    assert_lowers("x is defined, 60", "(x is defined) is _f.miss(#, 60000000000)");
    assert_lowers("cache 60", "cache is _f.miss(#, 60000000000)");
}

#[test]
fn operands_of_a_chain_are_passed_separately_and_others_guarded() {
    assert_lowers("'u' ~ user.id 60", "'u' is _f.miss(#, 60000000000, user.id)");
    assert_lowers("a ~ b.c ~ 1", "a is _f.miss(#, none, b.c, (1))");
    assert_lowers("a ~ b.c|lower", "a is _f.miss(#, none, (((b.c)|_f.defined(\"b.c\", 2))|lower))");
    assert_lowers("a + 1", "(((a)|_f.defined(\"a\", 0)) + 1) is _f.miss(#, none)");
    assert_lowers("['u' ~ x]", "(['u' ~ ((x)|_f.defined(\"x\", 1))]) is _f.miss(#, none)");
    assert_lowers(
        "'p' ~ (a ~ b)",
        "'p' is _f.miss(#, none, ((((a)|_f.defined(\"a\", 1)) ~ ((b)|_f.defined(\"b\", 1)))))",
    );
}

#[test]
fn values_that_a_filter_or_a_slice_would_hide_are_guarded() {
    for (key, guarded) in [
        ("a|lower|trim", "((a)|D(\"a\", 2))|lower|trim"),
        ("a|default(b)", "a|default(b)"),
        ("a|default(b)|lower", "((a|default(b))|D(\"a|default(b)\", 2))|lower"),
        ("a|own(b)", "((a)|D(\"a\", 0))|own(((b)|D(\"b\", 0)))"),
        ("[a, b.c]|own", "[((a)|D(\"a\", 0)), ((b.c)|D(\"b.c\", 0))]|own"),
        ("[a, 1]|join", "(([a, 1])|D(\"[a, 1]\", 2))|join"),
        ("['a', 1]|join", "['a', 1]|join"),
        ("[a, b]|first", "[a, b]|first"),
        ("a[b:c]", "((a)|D(\"a\", 0))[((b)|D(\"b\", 0)):((c)|D(\"c\", 0))]"),
        ("a[b]", "a[b]"),
        ("a.format(b, x=c)", "a.format(((b)|D(\"b\", 2)), x=((c)|D(\"c\", 2)))"),
        ("f(a)", "f(a)"),
        ("f([a]|join)", "f((([a])|D(\"[a]\", 2))|join)"),
        ("a if b|lower else c|lower", "a if b|lower else ((c)|D(\"c\", 2))|lower"),
        ("a|lower or b|lower", "a|lower or ((b)|D(\"b\", 2))|lower"),
        ("[a|lower == b, a|lower is in c]", "[a|lower == b, a|lower is in c]"),
        ("[not a|lower]", "[not a|lower]"),
        ("('a' ~ b) or c", "('a' ~ ((b)|D(\"b\", 1))) or c"),
    ] {
        assert_lowers(key, &format!("({}) is _f.miss(#, none)", guarded.replace("|D(", "|_f.defined(")));
    }
}

#[test]
fn options_lower_to_the_long_test() {
    assert_lowers("'k' if=a", "'k' is _f.miss_with(#, none, true, (a), none, none)");
    assert_lowers("'k' unless=a", "'k' is _f.miss_with(#, none, true, not (a), none, none)");
    assert_lowers("'k' 60 if=a unless=b", "'k' is _f.miss_with(#, 60000000000, true, (a) and not (b), none, none)");
    assert_lowers("'k' version=v", "'k' is _f.miss_with(#, none, true, true, [(v)], none)");
    assert_lowers(
        "'k' vary=[a ~ b]",
        "'k' is _f.miss_with(#, none, true, true, none, ([((a)|_f.defined(\"a\", 1)) ~ ((b)|_f.defined(\"b\", 1))]))",
    );
    assert_lowers("'k' ~ x if=a", "'k' is _f.miss_with(#, none, true, (a), none, none, x)");
}

#[test]
fn ambiguous_forms_ask_for_a_comma() {
    for doubtful in [
        "'k' -1",
        "'k' (60)",
        "user.id (60)",
        "xs [0]",
        "x is defined 60",
        "x is defined y",
        "x is defined (60)",
        "xs|sort [0]",
        "xs|join (1)",
        "'k' +1",
        "'k'60",
        "'k''x'",
        "x is defined -1",
        "a|f(1)(2)",
        "'k' tags=xs [0]",
    ] {
        assert_rejected(doubtful, "put a comma between two arguments");
    }
}

#[test]
fn the_error_of_a_wrong_argument_names_it() {
    assert_rejected("", "missing key");
    assert_rejected("ttl=60", "missing key");
    assert_rejected("60 'k'", "the order is key, then ttl");
    assert_rejected("'k' 60 70", "one argument too many");
    assert_rejected("'k' tags=[] 60", "follows an option");
    assert_rejected(
        "'k' foo=1",
        "unknown option `foo`; the options are ttl, tags, vary, stale, if, unless, version, name",
    );
    assert_rejected("'k' ttl=1 ttl=2", "`ttl` is given twice");
    assert_rejected("'k' 1 ttl=2", "`ttl` is given twice");
    assert_rejected("'k',", "missing after the last comma");
    assert_rejected("'k',,60", "unexpected `,`");
    assert_rejected("'k' 'soon'", "`soon` is no lifetime");
    assert_rejected("'k', -5", "is negative");
    assert_rejected("'k' true", "is no lifetime");
    assert_rejected("'k' stale='x'", "is no lifetime");
    assert_rejected("'k' name=", "has no value");
    assert_rejected("'k' ~ ttl=5", "expected an expression");
    assert_rejected("__fragment", "is reserved");
    assert_rejected("'k' )", "(in page.html:1)");
}
