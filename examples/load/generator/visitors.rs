//! Who visits, and what each of them must see: their sessions, their watch-lists, and what anybody did to a film.
//!
//! Requests overlap. Whoever asks while a change is under way may see what was before it or what comes after; whoever asks
//! once it is confirmed must see it. So changes are kept in their order, with how far they are begun and confirmed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What all names begin with, and no page holds otherwise.
pub(crate) const NAME: &str = "Reader-";
/// Digits of a name: no name is the beginning of another.
pub(crate) const DIGITS: usize = 6;

/// Somebody who visits, signed in or not.
#[derive(Debug)]
pub(crate) struct Visitor {
    number: usize,
    /// Whether he signs in when he comes.
    pub(crate) signs_in: bool,
    session: Mutex<Option<Arc<Session>>>,
    list: Mutex<List>,
    changing: AtomicBool,
}

/// A session of somebody signed in.
#[derive(Debug)]
pub(crate) struct Session {
    /// The header `Cookie`.
    pub(crate) cookie: String,
    /// What the forms made for it carry.
    pub(crate) csrf: String,
    /// Whether he is signing out, and whether that is confirmed.
    pub(crate) ending: AtomicBool,
    pub(crate) ended: AtomicBool,
}

/// The states of a watch-list one after the other, each with the latest wish first.
#[derive(Debug)]
struct List {
    states: Vec<Arc<[i64]>>,
    /// The latest state that is known to be the list's.
    confirmed: usize,
}

impl Visitor {
    pub(crate) fn new(number: usize, signs_in: bool) -> Visitor {
        let list = List { states: vec![Arc::from([])], confirmed: 0 };
        Visitor {
            number,
            signs_in,
            session: Mutex::new(None),
            list: Mutex::new(list),
            changing: AtomicBool::new(false),
        }
    }

    /// As many as are asked for, with those who sign in spread evenly from the most frequent one on.
    pub(crate) fn all(count: usize, signed_in: f64) -> Vec<Arc<Visitor>> {
        let before = |number: usize| (number as f64 * signed_in).ceil();
        (0..count).map(|number| Arc::new(Visitor::new(number, before(number + 1) > before(number)))).collect()
    }

    pub(crate) fn name(&self) -> String {
        format!("{NAME}{:0DIGITS$}", self.number)
    }

    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        locked(&self.session).clone()
    }

    pub(crate) fn signed_in(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        *locked(&self.session) = Some(Arc::clone(&session));
        session
    }

    pub(crate) fn signed_out(&self) {
        *locked(&self.session) = None;
    }

    /// Nobody changes two things at a time; whether this one may begin.
    pub(crate) fn begin_change(&self) -> bool {
        !self.changing.swap(true, Ordering::Acquire)
    }

    pub(crate) fn end_change(&self) {
        self.changing.store(false, Ordering::Release);
    }

    /// What is on the list once all that was begun is done.
    pub(crate) fn list(&self) -> Arc<[i64]> {
        let list = locked(&self.list);
        Arc::clone(&list.states[list.states.len() - 1])
    }

    /// He is about to put a film on the list, or to take it off.
    pub(crate) fn toggling(&self, film: i64) {
        let latest = self.list();
        let mut next: Vec<i64> = latest.iter().copied().filter(|listed| *listed != film).collect();
        if next.len() == latest.len() {
            next.insert(0, film);
        }
        locked(&self.list).states.push(next.into());
    }

    /// It is done.
    pub(crate) fn toggled(&self) {
        let mut list = locked(&self.list);
        list.confirmed = list.states.len() - 1;
    }

    /// Which state the list is in at least.
    pub(crate) fn confirmed(&self) -> usize {
        locked(&self.list).confirmed
    }

    /// The states somebody may see who asked when this one was confirmed, the oldest first.
    pub(crate) fn lists_since(&self, confirmed: usize) -> Vec<Arc<[i64]>> {
        locked(&self.list).states[confirmed..].to_vec()
    }

    /// Whether a film was on his list at any time.
    pub(crate) fn ever_listed(&self, film: i64) -> bool {
        locked(&self.list).states.iter().any(|state| state.contains(&film))
    }
}

impl Session {
    pub(crate) fn new(cookie: String, csrf: String) -> Session {
        Session { cookie, csrf, ending: AtomicBool::new(false), ended: AtomicBool::new(false) }
    }
}

/// What was done to all films. An edit gives a film a title that says how many there were.
#[derive(Debug)]
pub(crate) struct Edits {
    /// Edits confirmed so far: the time on their clock.
    clock: AtomicU64,
    films: Vec<Mutex<Film>>,
}

#[derive(Debug, Default)]
struct Film {
    editing: bool,
    begun: u32,
    /// When each of them was confirmed.
    confirmed: Vec<u64>,
}

impl Edits {
    /// For films with the ids from 1.
    pub(crate) fn new(films: usize) -> Edits {
        Edits { clock: AtomicU64::new(0), films: (0..films).map(|_| Mutex::default()).collect() }
    }

    pub(crate) fn title(film: i64, take: u32) -> String {
        format!("Take {take} of film {film}")
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Acquire)
    }

    /// Nobody edits a film that somebody edits; how often it was edited before, if this one may begin.
    pub(crate) fn begin(&self, film: i64) -> Option<u32> {
        let mut film = locked(self.film(film)?);
        (!std::mem::replace(&mut film.editing, true)).then_some(film.begun)
    }

    /// The edit is about to be saved.
    pub(crate) fn saving(&self, film: i64) {
        if let Some(film) = self.film(film) {
            locked(film).begun += 1;
        }
    }

    /// It is saved.
    pub(crate) fn saved(&self, film: i64) {
        if let Some(film) = self.film(film) {
            let mut film = locked(film);
            film.confirmed.push(self.clock.fetch_add(1, Ordering::AcqRel) + 1);
        }
    }

    pub(crate) fn end(&self, film: i64) {
        if let Some(film) = self.film(film) {
            locked(film).editing = false;
        }
    }

    /// How many edits of a film must show to somebody who asked at that time, and how many may.
    pub(crate) fn visible(&self, film: i64, since: u64) -> (u32, u32) {
        let Some(film) = self.film(film) else { return (0, 0) };
        let film = locked(film);
        (film.confirmed.partition_point(|at| *at <= since) as u32, film.begun)
    }

    fn film(&self, id: i64) -> Option<&Mutex<Film>> {
        self.films.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
