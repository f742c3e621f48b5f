//! Look-ups of templates, and who learns of them: the innermost frame, and an import that looks one up in advance.

use std::cell::RefCell;

use crate::invalidation::dependencies::{Dependencies, Dependency, StartStamp};
use crate::invalidation::stack;

thread_local! {
    /// The look-ups of an import or an `extends`, while one is made.
    static LOOK_UPS: RefCell<Option<Vec<(u64, Dependency)>>> = const { RefCell::new(None) };
}

/// Notes that a template was looked up.
pub(crate) fn looked_up(cache: u64, dependency: Dependency) {
    let _ = LOOK_UPS.try_with(|look_ups| {
        if let Some(look_ups) = &mut *look_ups.borrow_mut() {
            look_ups.push((cache, dependency.clone()));
        }
    });
    stack::gather(|record| {
        if record.cache == cache {
            record.depend(dependency);
        } else {
            record.uncacheable = true;
        }
    });
}

/// Looks that are made again at the most, while other threads load the same template.
const LOOKS: usize = 8;

/// Looks templates up, and gives what was looked up in this cache beside the answer. A look-up that loaded a template is
/// made again, because MiniJinja may have answered it with an older text that another thread loaded meanwhile.
pub(crate) fn look_up<R>(cache: u64, look: impl Fn() -> R) -> (R, Vec<Dependency>) {
    let mut looks = 0;
    loop {
        let importing = Importing::begin();
        let answer = look();
        let seen = importing.end();
        looks += 1;
        if looks == LOOKS || seen.iter().all(|(_, dependency)| dependency.seen.load.is_none()) {
            let of_cache = seen.into_iter().filter(|(of, _)| *of == cache);
            return (answer, of_cache.map(|(_, dependency)| dependency).collect());
        }
    }
}

/// Collects look-ups until it is dropped, also by a panic of the application's loader.
struct Importing {
    outer: Option<Vec<(u64, Dependency)>>,
}

impl Importing {
    fn begin() -> Importing {
        Importing { outer: LOOK_UPS.try_with(|look_ups| look_ups.replace(Some(Vec::new()))).ok().flatten() }
    }

    fn end(self) -> Vec<(u64, Dependency)> {
        LOOK_UPS.try_with(RefCell::take).ok().flatten().unwrap_or_default()
    }
}

impl Drop for Importing {
    fn drop(&mut self) {
        let outer = self.outer.take();
        let _ = LOOK_UPS.try_with(|look_ups| look_ups.replace(outer));
    }
}

/// What `look` shows of the template of a name; what encloses the look-up does not depend on it.
pub(crate) fn observe(cache: u64, begin: StartStamp, name: &str, look: impl Fn()) -> Option<Dependency> {
    let (((), seen), _) = stack::gather_apart(Dependencies::new(cache, begin), || look_up(cache, look));
    seen.into_iter().find(|known| known.template.name() == name)
}
