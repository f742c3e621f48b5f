//! Records look-ups of templates in the innermost frame, and for an import or `extends` that looks its template up in
//! advance.

use std::cell::RefCell;

use crate::invalidation::dependencies::{Dependencies, Dependency, StartStamp};
use crate::invalidation::stack;

thread_local! {
    /// The look-ups of an import or an `extends`, while it looks its template up.
    static LOOK_UPS: RefCell<Option<Vec<(u64, Dependency)>>> = const { RefCell::new(None) };
}

/// Records the look-up of a template. A frame of another cache becomes uncacheable, because that cache cannot detect a
/// change of the template.
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

/// Maximum number of attempts while other threads load the same template.
const LOOKS: usize = 8;

/// Runs a look-up. Returns its answer and the templates of this cache that it looked up. A look-up that loaded a
/// template is repeated, because MiniJinja may have answered it with an older text that another thread loaded in the
/// meantime.
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

/// The dependency on the template `name` that the look-up `look` shows. The enclosing frame does not take it over.
pub(crate) fn observe(cache: u64, begin: StartStamp, name: &str, look: impl Fn()) -> Option<Dependency> {
    let (((), seen), _) = stack::gather_apart(Dependencies::new(cache, begin), || look_up(cache, look));
    seen.into_iter().find(|known| known.template.name() == name)
}
