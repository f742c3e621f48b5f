//! Variables that have the prefix and are not settings: misspelt settings, and variables of other programs.

use std::fmt;

use serde::de;

use crate::error::{Error, ErrorKind};

/// Names of other caches for settings: Flask-Caching's `threshold`, and short names for the lifetime.
const SYNONYMS: [(&str, &str); 3] = [("threshold", "max_bytes"), ("ttl", "default_ttl"), ("timeout", "default_ttl")];

/// A prefix of a setting's name must have this many letters to suggest that setting.
const TELLING: usize = 5;

/// Why a variable could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The name is not one of these settings.
    Unknown(&'static [&'static str]),
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unknown(_) => f.write_str("no setting"),
            Fault::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(why: T) -> Fault {
        Fault::Other(why.to_string())
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Fault {
        Fault::Unknown(expected)
    }
}

/// The setting whose name is most similar to this one, if any is similar enough.
pub(super) fn near(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == name).map(|(_, meant)| *meant);
    let begun = || known.iter().find(|it| name.len() >= TELLING && it.starts_with(name)).copied();
    // A third of the letters may be wrong, as in the suggestions of rustc.
    let most = name.len().max(3) / 3;
    let typed = || known.iter().map(|it| (edits(name, it), *it)).filter(|(edits, _)| *edits <= most).min();
    synonym.or_else(begun).or_else(|| typed().map(|(_, meant)| meant))
}

/// Number of letters to insert, remove, replace or swap with their neighbour (optimal string alignment distance).
fn edits(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[other.len()]
}

/// The report of the ignored variables.
pub(super) fn report(unknown: &[String]) -> Option<Error> {
    let subject = match unknown {
        [] => return None,
        [name] => format!("environment variable {name} is no setting and is"),
        names => format!("environment variables {} are no settings and are", names.join(", ")),
    };
    let message = format!(
        "{subject} ignored; a prefix of the application's own, such as FILMS_CACHE_, keeps settings apart from the \
         variables of other programs"
    );
    Some(Error::new(ErrorKind::Config, message))
}
