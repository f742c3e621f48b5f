//! The argument list: its one reading, and what it leaves in doubt.

use super::support::{lower, syntax};

fn head(arguments: &str) -> Result<String, String> {
    let source = format!("{{% cache {arguments} %}}x{{% endcache %}}");
    let lowered = lower(&source, &syntax("")).map_err(|e| e.detail().unwrap_or("").to_owned())?;
    let start = lowered.find("{% if ").unwrap() + 6;
    let end = lowered.find("{% with").unwrap() - 3;
    let condition = lowered[start..end].trim_end().to_owned();
    let site_start = condition.find("_f.miss").map(|i| condition[i..].find('(').unwrap() + i + 1).unwrap();
    let site_end =
        condition[site_start..].find(',').unwrap_or_else(|| condition[site_start..].find(')').unwrap()) + site_start;
    Ok(format!("{}#{}", &condition[..site_start], &condition[site_end..]))
}

#[track_caller]
fn reads(arguments: &str, expected: &str) {
    assert_eq!(head(arguments).as_deref(), Ok(expected), "{arguments}");
}

#[track_caller]
fn refuses(arguments: &str, part: &str) {
    match head(arguments) {
        Err(message) => assert!(message.contains(part), "{arguments}: {message}"),
        Ok(lowered) => panic!("{arguments} was read as {lowered}"),
    }
}

#[test]
fn arguments_are_separated_by_space_or_comma() {
    reads("'k'", "'k' is _f.miss(#, none)");
    reads("'k' 60", "'k' is _f.miss(#, 60000000000)");
    reads("'k', 60", "'k' is _f.miss(#, 60000000000)");
    reads("user.id 300", "user.id is _f.miss(#, 300000000000)");
    reads("'k' '5m'", "'k' is _f.miss(#, 300000000000)");
    reads("'k' 'forever'", "'k' is _f.miss(#, -1)");
    reads("'k' 0", "'k' is _f.miss(#, 0)");
    reads("'k' none", "'k' is _f.miss(#, none)");
    reads("'k' ttl", "'k' is _f.miss_with(#, (ttl), false, true, none, none)");
    reads("a - 5", "(a - 5) is _f.miss(#, none)");
    reads("a-5", "(a-5) is _f.miss(#, none)");
    reads("'k', (60)", "'k' is _f.miss_with(#, ((60)), false, true, none, none)");
    reads("['a', x.y] 60", "(['a', x.y]) is _f.miss(#, 60000000000)");
    reads("f(a (b)) 60", "(f(a (b))) is _f.miss(#, 60000000000)");
    reads("a if b else c 60", "(a if b else c) is _f.miss(#, 60000000000)");
    reads("a if b 60", "(a if b) is _f.miss(#, 60000000000)");
    reads("'k' ttl='1h 30m'", "'k' is _f.miss(#, 5400000000000)");
    reads("x is divisibleby(3) 60", "(x is divisibleby(3)) is _f.miss(#, 60000000000)");
    reads("x is defined ttl=60", "(x is defined) is _f.miss(#, 60000000000)");
    reads("x is defined, 60", "(x is defined) is _f.miss(#, 60000000000)");
    reads("cache 60", "cache is _f.miss(#, 60000000000)");
}

#[test]
fn operands_of_a_chain_are_passed_apart_and_others_guarded() {
    reads("'u' ~ user.id 60", "'u' is _f.miss(#, 60000000000, user.id)");
    reads("a ~ b.c ~ 1", "a is _f.miss(#, none, b.c, (1))");
    reads("a ~ b.c|lower", "a is _f.miss(#, none, (((b.c)|_f.defined(\"b.c\", 2))|lower))");
    reads("a + 1", "(((a)|_f.defined(\"a\", 0)) + 1) is _f.miss(#, none)");
    reads("['u' ~ x]", "(['u' ~ ((x)|_f.defined(\"x\", 1))]) is _f.miss(#, none)");
    reads("'p' ~ (a ~ b)", "'p' is _f.miss(#, none, ((((a)|_f.defined(\"a\", 1)) ~ ((b)|_f.defined(\"b\", 1)))))");
}

#[test]
fn what_a_filter_or_a_slice_would_lose_is_guarded() {
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
        reads(key, &format!("({}) is _f.miss(#, none)", guarded.replace("|D(", "|_f.defined(")));
    }
}

#[test]
fn options_make_the_long_form() {
    reads("'k' if=a", "'k' is _f.miss_with(#, none, true, (a), none, none)");
    reads("'k' unless=a", "'k' is _f.miss_with(#, none, true, not (a), none, none)");
    reads("'k' 60 if=a unless=b", "'k' is _f.miss_with(#, 60000000000, true, (a) and not (b), none, none)");
    reads("'k' version=v", "'k' is _f.miss_with(#, none, true, true, [(v)], none)");
    reads(
        "'k' vary=[a ~ b]",
        "'k' is _f.miss_with(#, none, true, true, none, ([((a)|_f.defined(\"a\", 1)) ~ ((b)|_f.defined(\"b\", 1))]))",
    );
    reads("'k' ~ x if=a", "'k' is _f.miss_with(#, none, true, (a), none, none, x)");
}

#[test]
fn doubtful_forms_ask_for_a_comma() {
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
        refuses(doubtful, "put a comma between two arguments");
    }
}

#[test]
fn wrong_arguments_are_named() {
    refuses("", "missing key");
    refuses("ttl=60", "missing key");
    refuses("60 'k'", "the order is key, then ttl");
    refuses("'k' 60 70", "one argument too many");
    refuses("'k' tags=[] 60", "follows an option");
    refuses("'k' foo=1", "unknown option `foo`; the options are ttl, tags, vary, stale, if, unless, version, name");
    refuses("'k' ttl=1 ttl=2", "`ttl` is given twice");
    refuses("'k' 1 ttl=2", "`ttl` is given twice");
    refuses("'k',", "missing after the last comma");
    refuses("'k',,60", "unexpected `,`");
    refuses("'k' 'soon'", "`soon` is no lifetime");
    refuses("'k', -5", "is negative");
    refuses("'k' true", "is no lifetime");
    refuses("'k' stale='x'", "is no lifetime");
    refuses("'k' name=", "has no value");
    refuses("'k' ~ ttl=5", "expected an expression");
    refuses("__fragment", "is reserved");
    refuses("'k' )", "(in page.html:1)");
}
