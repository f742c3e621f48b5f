//! The edit form: shows a film, checks what comes back, saves it, and says so.

use std::collections::BTreeMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::{Deserialize, Serialize};

use super::films::{Edit, Film};
use super::pages::{genres, known_film, quoted, reader};
use super::problem::Problem;
use super::sessions::Cookie;
use super::visitors::Session;
use super::{App, Parts};

const LONGEST: usize = 200;

/// The form as it was typed, so that it can be shown again as it was typed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    title: String,
    genre: String,
    director: String,
    imdb: String,
    minutes: String,
    version: String,
    #[serde(skip_serializing)]
    csrf: String,
}

/// What is wrong with which field.
type Faults = BTreeMap<&'static str, String>;

pub(crate) async fn form(State(app): State<App>, cookie: Cookie, Path(id): Path<String>) -> Result<Response, Problem> {
    app.work(move |parts| {
        let film = known_film(parts, &id)?;
        let session = parts.session(&cookie)?;
        if session.as_ref().is_none_or(|session| session.visitor.is_none()) {
            return Ok(Redirect::to("/login").into_response());
        }
        show(parts, session.as_ref(), &film, &Typed::from(&film), &Faults::new())
    })
    .await
}

pub(crate) async fn save(
    State(app): State<App>,
    cookie: Cookie,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    app.work(move |parts| {
        let (session, _) = parts.signed_in(&cookie, &typed.csrf)?;
        let film = known_film(parts, &id)?;
        let mut faults = Faults::new();
        let Some(edit) = checked(parts, &typed, &mut faults)? else {
            return show(parts, Some(&session), &film, &typed, &faults);
        };
        if !parts.db.update(film.id, &edit)? {
            faults
                .insert("version", "Somebody else saved this film meanwhile. Save again to replace that edit.".into());
            let current = Typed { version: film.version.to_string(), ..typed };
            return show(parts, Some(&session), &film, &current, &faults);
        }
        // Before anybody is told. Who saves films knows no cache.
        let genres = [film.genre.clone(), edit.genre.to_string()];
        parts.film_saved.send(&Saved { film: film.id, genres });
        Ok(Redirect::to(&format!("/film/{}", film.id)).into_response())
    })
    .await
}

/// A film that was saved, and the genres that it left and joined.
pub(crate) struct Saved {
    film: i64,
    genres: [String; 2],
}

impl Saved {
    /// What shows it: what counts films, shows the film, or lists its genres. The cached data (`films`) goes first: a page
    /// that still read the old data began before the tags of pages are raised.
    pub(crate) fn tags(&self) -> Vec<String> {
        let genres = self.genres.iter().map(|genre| format!("genre:{genre}"));
        ["films".to_owned(), format!("film:{}", self.film)].into_iter().chain(genres).collect()
    }
}

fn show(
    parts: &Parts,
    session: Option<&Session>,
    film: &Film,
    typed: &Typed,
    faults: &Faults,
) -> Result<Response, Problem> {
    let context = context! {
        film => Value::from(Serde(film)),
        typed => Value::from(Serde(typed)),
        faults => Value::from(Serde(faults)),
        genres => Value::from(Serde(&genres(parts)?)),
        ..reader(session)
    };
    Ok(Html(parts.templates.render("edit.html", context)?).into_response())
}

fn checked<'a>(parts: &Parts, typed: &'a Typed, faults: &mut Faults) -> Result<Option<Edit<'a>>, Problem> {
    let title = typed.title.trim();
    if title.is_empty() {
        faults.insert("title", "A film needs a title.".into());
    } else if title.chars().any(char::is_control) {
        faults.insert("title", "A title has no control characters.".into());
    } else if title.chars().count() > LONGEST {
        faults.insert("title", format!("That title is too long; {LONGEST} characters are the most."));
    }
    let director = typed.director.trim();
    if director.chars().count() > LONGEST {
        faults.insert("director", format!("That name is too long; {LONGEST} characters are the most."));
    }
    if !genres(parts)?.iter().any(|genre| genre.slug == typed.genre) {
        faults.insert("genre", format!("There is no genre {}.", quoted(&typed.genre)));
    }
    let imdb = number::<f64>(&typed.imdb, 1.0..=10.0, "imdb", faults);
    let minutes = number::<u32>(&typed.minutes, 1..=1000, "minutes", faults);
    let version = typed.version.parse().unwrap_or_default();
    let director = (!director.is_empty()).then_some(director);
    Ok(faults.is_empty().then_some(Edit { title, genre: &typed.genre, director, imdb, minutes, version }))
}

/// A number in a range, or nothing.
fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    typed: &str,
    range: std::ops::RangeInclusive<T>,
    field: &'static str,
    faults: &mut Faults,
) -> Option<T> {
    let typed = typed.trim();
    if typed.is_empty() {
        return None;
    }
    let number = typed.parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        faults.insert(field, format!("{} is not a number from {} to {}.", quoted(typed), range.start(), range.end()));
    }
    number
}

impl From<&Film> for Typed {
    fn from(film: &Film) -> Typed {
        let text = |number: Option<String>| number.unwrap_or_default();
        Typed {
            title: film.title.clone(),
            genre: film.genre.clone(),
            director: film.director.clone().unwrap_or_default(),
            imdb: text(film.imdb.map(|number| number.to_string())),
            minutes: text(film.minutes.map(|number| number.to_string())),
            version: film.version.to_string(),
            csrf: String::new(),
        }
    }
}
