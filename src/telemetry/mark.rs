//! Adds marks to the text of fragments and removes them. Marks show where each fragment begins and ends; the debug
//! layer turns them into comments.
//!
//! A mark consists of letters, digits and a semicolon, so escaping does not change it. It contains an unpredictable
//! number, so a text from a visitor is never read as a mark. Stored entries contain no marks, and neither do texts that
//! a template can read (see `template/runtime/captured.rs`). The format of a mark is defined in `mark_text.rs`.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::Value;

use super::explain::Collector;
use crate::invalidation::stack;
use crate::telemetry::mark_text::Marks;

/// The marks of this process.
pub(crate) static MARKS: LazyLock<Marks> =
    LazyLock::new(|| Marks::new(ahash::RandomState::new().hash_one(std::process::id())));

thread_local! {
    /// The mark number of the last look-up on this thread.
    static NEXT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// True if this process has ever written a mark.
static WRITTEN: AtomicBool = AtomicBool::new(false);

/// Puts marks with this number around a text. Without a number, or if the text is blank, the text is unchanged.
#[inline]
pub(crate) fn marked(text: Value, mark: Option<u64>) -> Value {
    match mark {
        Some(mark) => between(text, mark),
        None => text,
    }
}

#[cold]
fn between(text: Value, mark: u64) -> Value {
    let Some(inside) = text.as_str().filter(|text| !text.trim().is_empty()) else { return text };
    WRITTEN.store(true, Ordering::Relaxed);
    let out = MARKS.around(inside, mark);
    if text.is_safe() { Value::from_safe_string(out) } else { Value::from(out) }
}

/// Sets the mark number of the last look-up on this thread.
pub(super) fn set(mark: Option<u64>) {
    NEXT.set(mark);
}

/// Takes the mark number of the last look-up on this thread. `None` if no frame has a collector with marks: a look-up
/// of another cache may have left the number.
pub(super) fn take() -> Option<u64> {
    let mark = NEXT.take()?;
    stack::find(|frame| frame.attachment::<Collector>().filter(|collector| collector.marks()).map(|_| mark))
}

/// A text without marks, for a template that may read it.
pub(crate) fn readable(text: Value) -> Value {
    if WRITTEN.load(Ordering::Relaxed) { unmarked(&text) } else { text }
}

/// A text without marks.
pub(crate) fn unmarked(text: &Value) -> Value {
    match text.as_str().and_then(without_marks) {
        Some(plain) if text.is_safe() => Value::from_safe_string(plain),
        Some(plain) => Value::from(plain),
        None => text.clone(),
    }
}

/// The text without marks; `None` if it has none.
pub(super) fn without_marks(text: &str) -> Option<String> {
    String::from_utf8(MARKS.strip(text.as_bytes())?).ok()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::convert::Infallible;

    use minijinja::{Environment, context};

    use super::*;
    use crate::cache::explain::Collecting;
    use crate::{FragmentCache, Options};

    fn with_card() -> (FragmentCache, Environment<'static>) {
        let cache = FragmentCache::builder().build().unwrap();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        cache.add_template(&mut env, "card", "card").unwrap();
        cache.add_template(&mut env, "p", "{% cache 'k' %}x{% endcache %}").unwrap();
        (cache, env)
    }

    fn is_marked(text: &str) -> bool {
        text != unmarked(&Value::from(text)).as_str().unwrap()
    }

    #[test]
    fn nobody_is_shown_marks_who_did_not_ask_for_them() {
        let (cache, env) = with_card();
        let page = || env.get_template("p").unwrap().render(context! {}).unwrap();
        let text = |key: &str| cache.get_or_set(key, Options::default(), || Ok::<_, Infallible>("v")).unwrap();
        let marking = Collecting::begin(&cache, true);
        assert!(marking.scope().run(|| is_marked(&page()) && is_marked(&page())));
        // A miss and a hit that prints nothing: the mark numbers that they leave on this thread are not used later.
        marking.scope().run(|| (text("a"), text("a")));
        // The collector of the other request has not ended.
        assert!(!is_marked(&page()) && !is_marked(&text("a")));
        drop(marking);
        let _elsewhere = Collecting::begin(&cache, true);
        assert!(!is_marked(&page()));
    }

    #[test]
    fn no_mark_is_stored_in_a_value_or_by_what_goes_on_after_the_marking() {
        let (cache, env) = with_card();
        let card = |key: u32| cache.render(&env, "card", context! {}, key, Options::default()).unwrap();
        let marking = Collecting::begin(&cache, true);
        let value = |key: u32| -> String {
            let load = || Ok::<_, Infallible>(card(key).to_string());
            cache.get_or_set_value(("value", key), Options::default(), load).unwrap()
        };
        // The card is computed for the first value and found for the second.
        let values = marking.scope().run(|| [value(1), value(1), (card(2), value(2)).1, value(2)]);
        assert_eq!(values, ["card"; 4]);
        let late = marking.scope().run(|| card(3));
        assert!(is_marked(&late));
        marking.end();
        cache.get_or_set("late", Options::default(), || Ok::<_, Infallible>(&*late)).unwrap();
        let stored = cache.get_or_set("late", Options::default(), || Ok::<_, Infallible>("again")).unwrap();
        assert_eq!(stored, "card");
    }

    #[test]
    fn marks_are_no_difference() {
        let cache = FragmentCache::builder().shadow(1.0).build().unwrap();
        let mut env = Environment::new();
        cache.add_to_environment(&mut env);
        let source = "{% cache 'out' %}{% cache 'in' %}x{% endcache %}{% endcache %}{{ cache_partial('q', 1) }}";
        cache.add_template(&mut env, "q", "{% cache 'q' %}x{% endcache %}").unwrap();
        cache.add_template(&mut env, "p", source).unwrap();
        let marking = Collecting::begin(&cache, true);
        for _ in 0..3 {
            let page = marking.scope().run(|| env.get_template("p").unwrap().render(context! {}).unwrap());
            assert_eq!(without_marks(&page).unwrap(), "xx");
        }
        assert_eq!(cache.differences(), []);
    }

    #[test]
    fn what_goes_on_after_its_explanation_ended_is_kept_nowhere() {
        let (cache, env) = with_card();
        let collecting = Collecting::begin(&cache, false);
        let scope = collecting.scope();
        assert_eq!(collecting.end().fragments.len(), 0);
        let _other = Collecting::begin(&cache, false);
        let page = || env.get_template("p").unwrap().render(context! {}).unwrap();
        scope.run(|| {
            page();
            let collector = crate::telemetry::collector(cache.inner.id).unwrap();
            assert!(format!("{collector:?}").contains("fragments: Mutex { data: None"), "{collector:?}");
        });
    }

    #[test]
    fn what_is_marked_is_whole_again_without_marks() {
        let inner = marked(Value::from_safe_string("<b>in</b>".into()), Some(0xa1));
        let outer = marked(Value::from(format!("a {inner} ü")), Some(7));
        assert!(inner.is_safe() && !outer.is_safe());
        assert_eq!(unmarked(&outer).as_str().unwrap(), "a <b>in</b> ü");
        assert_eq!(without_marks("nothing to see"), None);
        assert_eq!(marked(Value::from(""), Some(1)).as_str(), Some(""));
    }

    #[test]
    fn a_mark_that_was_cut_short_is_not_stored() {
        let text = MARKS.around("inside", 0xa1);
        assert_eq!(without_marks(&format!("a{}", &text[..20])).unwrap(), "a");
        assert_eq!(without_marks(&text[5..]).unwrap(), "inside");
    }
}
