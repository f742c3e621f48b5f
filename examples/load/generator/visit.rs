//! What a visitor does: he looks at a page, or changes something and looks whether it shows. Each step is one request,
//! and what he knows before it decides what its answer may be.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::{Rng, RngExt};

use super::check::{Before, Checked, Seen, Wrong, value};
use super::client::{Answer, Ask};
use super::contents::{Contents, Kind, Page};
use super::popularity::Popularity;
use super::visitors::{Edits, Session, Visitor};

/// Films on a list at the most: then one is taken off.
const LONGEST_LIST: usize = 12;

/// Who there is, what there is, and what was done to it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) contents: Contents,
    pub(crate) edits: Edits,
    pub(crate) visitors: Vec<Arc<Visitor>>,
    pub(crate) visitors_by: Popularity,
    /// The share of visits that change something.
    pub(crate) writes: f64,
    /// The only page that is looked at.
    pub(crate) page: Option<Page>,
}

/// Some requests of one visitor, one after the other.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) visitor: Arc<Visitor>,
    steps: VecDeque<Step>,
    changes: Changes,
}

/// What nobody else may change meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Changes {
    Nothing,
    Visitor,
    Film(i64),
}

#[derive(Debug, Clone)]
enum Step {
    Read(Page),
    /// With a session that is over.
    ReadAs(Page, Arc<Session>),
    Toggle(i64),
    OpenEdit {
        film: i64,
        take: u32,
    },
    SaveEdit {
        film: i64,
        take: u32,
        version: String,
    },
    SignOut,
    OpenLogin,
    SignIn {
        cookie: String,
        csrf: String,
    },
    /// The first page after signing in.
    Arrive(String),
}

/// A step that is being taken.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) ask: Ask,
    pub(crate) kind: Kind,
    step: Step,
    before: Before,
}

impl World {
    /// What happens next, somewhere.
    pub(crate) fn visit(&self, random: &mut impl Rng) -> Visit {
        let place = self.visitors_by.draw(random).min(self.visitors.len() - 1);
        if self.writes > 0.0 && random.random_bool(self.writes) {
            // Not everybody can: the next one in the ranking does who can.
            let (before, from) = self.visitors.split_at(place);
            let able = |visitor: &&Arc<Visitor>| visitor.session().is_some() && visitor.begin_change();
            if let Some(visitor) = from.iter().chain(before).find(able) {
                return self.change(visitor, random);
            }
        }
        let page = self.page.clone().unwrap_or_else(|| self.contents.any_page(random));
        Visit::new(&self.visitors[place], Changes::Nothing, [Step::Read(page)])
    }

    fn change(&self, visitor: &Arc<Visitor>, random: &mut impl Rng) -> Visit {
        let film = self.contents.any_film(random);
        match random.random_range(0..20) {
            0 => self.sign_out_and_in(visitor, random),
            1 => match self.edits.begin(film) {
                Some(edits) => Visit::new(visitor, Changes::Film(film), [Step::OpenEdit { film, take: edits + 1 }]),
                None => Visit::toggle(visitor, film),
            },
            _ => Visit::toggle(visitor, film),
        }
    }

    fn sign_out_and_in(&self, visitor: &Arc<Visitor>, random: &mut impl Rng) -> Visit {
        let Some(session) = visitor.session() else { return Visit::sign_in(visitor) };
        let steps = [
            Step::SignOut,
            Step::ReadAs(self.contents.any_page(random), Arc::clone(&session)),
            Step::ReadAs(Page::Front, session),
            Step::Read(Page::Front),
            Step::OpenLogin,
        ];
        Visit::new(visitor, Changes::Visitor, steps)
    }
}

impl Visit {
    fn new(visitor: &Arc<Visitor>, changes: Changes, steps: impl Into<VecDeque<Step>>) -> Visit {
        Visit { visitor: Arc::clone(visitor), steps: steps.into(), changes }
    }

    /// Somebody comes for the first time.
    pub(crate) fn sign_in(visitor: &Arc<Visitor>) -> Visit {
        Visit::new(visitor, Changes::Visitor, [Step::OpenLogin])
    }

    fn toggle(visitor: &Arc<Visitor>, film: i64) -> Visit {
        let list = visitor.list();
        let film = if list.len() < LONGEST_LIST { film } else { list[film as usize % LONGEST_LIST] };
        let steps = [Step::Toggle(film), Step::Read(Page::Film(film)), Step::Read(Page::Watchlist)];
        Visit::new(visitor, Changes::Visitor, steps)
    }

    /// The next request, which is about to be sent; nothing when he is done.
    pub(crate) fn step(&mut self, world: &World) -> Option<Turn> {
        let step = self.steps.pop_front()?;
        let session = match &step {
            Step::ReadAs(_, session) => Some(Arc::clone(session)),
            Step::OpenLogin | Step::SignIn { .. } | Step::Arrive(_) => None,
            _ => self.visitor.session(),
        };
        let before = Before::of(&self.visitor, session, &world.edits);
        match &step {
            Step::Toggle(film) => self.visitor.toggling(*film),
            Step::SaveEdit { film, .. } => world.edits.saving(*film),
            Step::SignOut => before.session.iter().for_each(|session| session.ending.store(true, Ordering::Release)),
            _ => {}
        }
        let ask = self.ask(&step, &before, world);
        let kind = match &step {
            Step::Read(page) | Step::ReadAs(page, _) => page.kind(),
            Step::Arrive(_) => Kind::Watchlist,
            _ => Kind::Write,
        };
        Some(Turn { ask, kind, step, before })
    }

    fn ask(&self, step: &Step, before: &Before, world: &World) -> Ask {
        let session = before.session.as_deref();
        let csrf = || ("csrf", session.map(|session| session.csrf.clone()).unwrap_or_default());
        let cookie = session.map(|session| session.cookie.clone());
        let (path, cookie, form) = match step {
            Step::Read(page) | Step::ReadAs(page, _) => (page.path(), cookie, None),
            Step::Toggle(film) => (format!("/film/{film}/watch"), cookie, Some(vec![csrf()])),
            Step::OpenEdit { film, .. } => (format!("/film/{film}/edit"), cookie, None),
            Step::SaveEdit { film, take, version } => {
                let mut fields = vec![csrf(), ("version", version.clone()), ("title", Edits::title(*film, *take))];
                if let Some(film) = world.contents.film(*film) {
                    fields.push(("genre", film.genre.clone()));
                    fields.push(("director", film.director.clone()));
                    fields.push(("imdb", film.imdb.clone()));
                    fields.push(("minutes", film.minutes.clone()));
                }
                (format!("/film/{film}/edit"), cookie, Some(fields))
            }
            Step::SignOut => ("/logout".to_owned(), cookie, Some(vec![csrf()])),
            Step::OpenLogin => ("/login".to_owned(), None, None),
            Step::SignIn { cookie, csrf } => {
                let form = vec![("csrf", csrf.clone()), ("name", self.visitor.name())];
                ("/login".to_owned(), Some(cookie.clone()), Some(form))
            }
            Step::Arrive(cookie) => ("/watchlist".to_owned(), Some(cookie.clone()), None),
        };
        Ask { path, cookie, form }
    }

    /// Takes an answer: checks it, and goes on from there. After a wrong one he goes home.
    pub(crate) fn answered(&mut self, turn: Turn, answer: &Answer, world: &World) -> Checked {
        let (contents, edits) = (&world.contents, &world.edits);
        let seen = Seen { answer, visitor: &self.visitor, before: &turn.before, contents, edits };
        let checked = self.take(&turn.step, &seen);
        match checked {
            Ok(next) => {
                next.into_iter().rev().for_each(|step| self.steps.push_front(step));
                if self.steps.is_empty() {
                    self.finish(edits);
                }
                Ok(())
            }
            Err(wrong) => {
                self.give_up();
                Err(wrong)
            }
        }
    }

    /// Checks an answer; says what follows from it.
    fn take(&self, step: &Step, seen: &Seen<'_>) -> Result<Vec<Step>, Wrong> {
        match step {
            Step::Read(page) | Step::ReadAs(page, _) => seen.page(page)?,
            Step::Toggle(film) => {
                seen.sent_to(&format!("/film/{film}"))?;
                self.visitor.toggled();
            }
            Step::OpenEdit { film, take } => return opened(seen, *film, *take).map(|save| vec![save]),
            Step::SaveEdit { film, .. } => {
                seen.sent_to(&format!("/film/{film}"))?;
                seen.edits.saved(*film);
                let genre = seen.contents.film(*film).map(|film| film.genre.clone()).unwrap_or_default();
                return Ok([Page::Film(*film), Page::Genre(genre, 1), Page::Front].map(Step::Read).into());
            }
            Step::SignOut => {
                seen.sent_to("/")?;
                seen.before.session.iter().for_each(|session| session.ended.store(true, Ordering::Release));
                self.visitor.signed_out();
            }
            Step::OpenLogin => {
                seen.whole()?;
                let csrf = value(&seen.answer.body, "name=\"csrf\" value=\"");
                let csrf = csrf.ok_or_else(|| Wrong::error("a form to sign in without a token"))?;
                return Ok(vec![Step::SignIn { cookie: cookie(seen.answer)?, csrf }]);
            }
            Step::SignIn { .. } => {
                seen.sent_to("/watchlist")?;
                return Ok(vec![Step::Arrive(cookie(seen.answer)?)]);
            }
            Step::Arrive(cookie) => {
                seen.whole()?;
                let csrf = value(&seen.answer.body, "name=\"csrf\" value=\"");
                let csrf =
                    csrf.ok_or_else(|| Wrong::error("a page without his name and sign-out, after signing in"))?;
                let session = self.visitor.signed_in(Session::new(cookie.clone(), csrf));
                let before = Before::of(&self.visitor, Some(session), seen.edits);
                Seen { before: &before, ..*seen }.page(&Page::Watchlist)?;
            }
        }
        Ok(Vec::new())
    }

    /// He goes home in the middle. What he was changing stays as it is: nobody knows how far it got.
    pub(crate) fn give_up(&mut self) {
        self.steps.clear();
    }

    fn finish(&self, edits: &Edits) {
        if let Changes::Film(film) = self.changes {
            edits.end(film);
        }
        if self.changes != Changes::Nothing {
            self.visitor.end_change();
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty()
    }
}

/// The form to edit a film must show the last edit, or saving it would be refused.
fn opened(seen: &Seen<'_>, film: i64, take: u32) -> Result<Step, Wrong> {
    seen.person()?;
    seen.whole()?;
    let body = &seen.answer.body;
    let shown = value(body, "name=\"title\" value=\"").ok_or_else(|| Wrong::error("no form to edit a film"))?;
    seen.title(film, shown.as_bytes())?;
    let version = value(body, "name=\"version\" value=\"").ok_or_else(|| Wrong::error("a form without a version"))?;
    let expected = seen.contents.film(film).map_or(0, |film| film.version) + i64::from(take) - 1;
    match version.parse() == Ok(expected) {
        true => Ok(Step::SaveEdit { film, take, version }),
        false => Err(Wrong::stale(format!("version {version} of film {film} instead of {expected}"))),
    }
}

/// The session an answer begins.
fn cookie(answer: &Answer) -> Result<String, Wrong> {
    let set = answer.header("set-cookie");
    let pair = set.split(';').next().filter(|pair| pair.contains('='));
    pair.map(str::to_owned).ok_or_else(|| Wrong::error("no cookie, where a session should begin"))
}
