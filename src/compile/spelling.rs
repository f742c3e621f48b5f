//! What a cache tag and `cache_partial` take by name and in which order, and what an author meant who wrote it
//! otherwise.

/// What takes a key, a lifetime and options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Tag,
    Partial,
}

const OPTIONS: [&str; 9] = ["ttl", "tags", "vary", "stale", "if", "unless", "version", "name", "context"];

/// What other caches call an option, and what a template author may call it.
const ALIASES: [(&str, &[&str]); 9] = [
    (
        "ttl",
        &["timeout", "expires", "expire", "expires_in", "expiry", "max_age", "lifetime", "duration", "age", "seconds"],
    ),
    ("tags", &["tag", "depends", "depends_on", "groups"]),
    ("vary", &["vary_on", "vary_by", "varies", "variant", "variants", "by"]),
    ("stale", &["grace", "swr", "stale_while_revalidate", "soft_timeout"]),
    ("if", &["when", "condition", "cond", "enabled"]),
    ("unless", &["except", "skip", "skip_if", "bypass", "not_if", "disabled"]),
    ("version", &["v", "ver", "etag", "revision", "digest", "updated_at"]),
    ("name", &["label", "title", "id", "fragment", "fragment_name"]),
    ("context", &["ctx", "with", "vars", "variables", "data", "locals", "args"]),
];

const KEYS: [&str; 4] = ["key", "keys", "cache_key", "fragment_key"];

impl Form {
    /// The names of the options, for error messages.
    pub(crate) fn options(self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn knows(self, option: &str) -> bool {
        self.names().any(|name| name == option)
    }

    /// What to say of an option that there is not.
    pub(crate) fn unknown(self, option: &str) -> String {
        match self {
            Form::Tag if KEYS.contains(&option) => "the key comes first, without a name: write `cache KEY`".into(),
            Form::Partial if KEYS.contains(&option) => {
                "the key comes second, without a name: write `cache_partial(TEMPLATE, KEY)`".into()
            }
            Form::Partial if matches!(option, "template" | "partial") => {
                "the template comes first, without a name: write `cache_partial(TEMPLATE, KEY)`".into()
            }
            _ => {
                let meant = self.meant(option).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
                format!("unknown option `{option}`{meant}; the options are {}", self.options())
            }
        }
    }

    /// What to say where a lifetime, which `place` names, stands where the key belongs.
    pub(crate) fn order(self, place: &str) -> String {
        let order = match self {
            Form::Tag => "key, then ttl",
            Form::Partial => "template, then key, then ttl",
        };
        format!("the order is {order}: {place} (Django and Flask put the lifetime first)")
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        OPTIONS.into_iter().filter(move |name| self == Form::Partial || *name != "context")
    }

    /// The option that was likely meant.
    fn meant(self, option: &str) -> Option<&'static str> {
        let lower = option.to_ascii_lowercase();
        let alias = ALIASES.iter().find(|(_, aliases)| aliases.contains(&&*lower)).map(|(name, _)| *name);
        let near = || {
            let distances = OPTIONS.iter().map(|name| (distance(&lower, name), *name));
            let (distance, name) = distances.min()?;
            (distance <= 1 + lower.len() / 6).then_some(name)
        };
        alias.or_else(near).filter(|name| self.knows(name))
    }
}

/// How many letters have to be added, dropped, replaced or swapped with their neighbour to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_option_is_told_what_was_meant() {
        for (given, meant) in [
            ("ttls", "ttl"),
            ("tll", "ttl"),
            ("TTL", "ttl"),
            ("timeout", "ttl"),
            ("tag", "tags"),
            ("tgas", "tags"),
            ("vari", "vary"),
            ("vary_on", "vary"),
            ("versoin", "version"),
            ("unles", "unless"),
            ("when", "if"),
            ("label", "name"),
            ("grace", "stale"),
        ] {
            let message = Form::Tag.unknown(given);
            assert!(message.starts_with(&format!("unknown option `{given}` (did you mean `{meant}`?); ")), "{message}");
        }
        assert_eq!(
            Form::Tag.unknown("nonsense"),
            "unknown option `nonsense`; the options are ttl, tags, vary, stale, if, unless, version, name"
        );
    }

    #[test]
    fn an_option_of_a_partial_is_not_proposed_for_the_tag() {
        assert!(Form::Partial.unknown("contxt").contains("did you mean `context`?"));
        assert!(!Form::Tag.unknown("contxt").contains("did you mean"));
    }

    #[test]
    fn a_key_with_a_name_is_told_where_it_goes() {
        assert!(Form::Tag.unknown("key").contains("comes first, without a name"));
        assert!(Form::Partial.unknown("key").contains("comes second, without a name"));
    }
}
