//! The pages people read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Redirect};
use minijinja::value::Serde;
use minijinja::{Value, context};
use minijinja_cache::{Options, lazy};
use serde::{Deserialize, Serialize};

use super::db::Db;
use super::films::{Film, Genre, PER_PAGE};
use super::problem::Problem;
use super::sessions::Cookie;
use super::visitors::Session;
use super::{App, Parts};

type Parameters = Query<BTreeMap<String, String>>;
type Page = Result<Html<String>, Problem>;

pub(crate) async fn index(State(app): State<App>, cookie: Cookie) -> Page {
    app.work(move |parts| {
        let context = context! {
            totals => query(&parts.db, Db::totals),
            best_known => query(&parts.db, Db::best_known),
            decades => query(&parts.db, Db::decades),
            directors => query(&parts.db, Db::directors),
            genres => query(&parts.db, Db::genres),
            ..reader(parts.session(&cookie)?.as_ref())
        };
        Ok(Html(parts.templates.render("index.html", context)?))
    })
    .await
}

pub(crate) async fn genre(
    State(app): State<App>,
    cookie: Cookie,
    Path(slug): Path<String>,
    Query(parameters): Parameters,
) -> Page {
    app.work(move |parts| {
        let genres = genres(parts)?;
        let Some(genre) = genres.iter().find(|genre| genre.slug == slug) else {
            return Err(Problem::not_found(format!("There is no genre {}.", quoted(&slug))));
        };
        let pages = genre.films.div_ceil(PER_PAGE).max(1);
        let page = page_number(parameters.get("page"), pages)?;
        let (db, of) = (Arc::clone(&parts.db), slug.clone());
        let context = context! {
            genre => Value::from(Serde(genre)),
            genres => Value::from(Serde(&genres)),
            films => lazy(move || db.films_of(&of, page).map(Serde)),
            page, pages,
            ..reader(parts.session(&cookie)?.as_ref())
        };
        Ok(Html(parts.templates.render("genre.html", context)?))
    })
    .await
}

pub(crate) async fn film(State(app): State<App>, cookie: Cookie, Path(id): Path<String>) -> Page {
    app.work(move |parts| {
        let film = known_film(parts, &id)?;
        let session = parts.session(&cookie)?;
        let watched = match session.as_ref().and_then(|session| session.visitor.as_ref()) {
            Some(visitor) => {
                parts.cache.current_scope().tag(visitor.list_tag());
                parts.db.watches(visitor.id, film.id)?
            }
            None => false,
        };
        // A partial cached from a handler: on a hit neither the template nor its query runs.
        let (db, to) = (Arc::clone(&parts.db), film.clone());
        let related = parts.cache.render(
            &parts.templates.current(),
            "_related.html",
            context! { related => lazy(move || db.related(&to).map(Serde)) },
            ("related", film.id),
            Options::ttl(Duration::from_secs(3600)).tag(format!("film:{}", film.id)).tag("films"),
        )?;
        let context = context! {
            film => Value::from(Serde(&film)), watched, related => Value::from(related),
            ..reader(session.as_ref())
        };
        Ok(Html(parts.templates.render("film.html", context)?))
    })
    .await
}

pub(crate) async fn watchlist(State(app): State<App>, cookie: Cookie) -> Result<axum::response::Response, Problem> {
    app.work(move |parts| {
        let session = parts.session(&cookie)?;
        let Some(visitor) = session.as_ref().and_then(|session| session.visitor.clone()) else {
            return Ok(Redirect::to("/login").into_response());
        };
        let db = Arc::clone(&parts.db);
        let context = context! {
            films => lazy(move || db.watchlist(visitor.id).map(Serde)),
            ..reader(session.as_ref())
        };
        Ok(Html(parts.templates.render("watchlist.html", context)?).into_response())
    })
    .await
}

#[derive(Deserialize)]
pub(crate) struct Watch {
    #[serde(default)]
    csrf: String,
}

/// Puts a film on the visitor's list, or takes it off.
pub(crate) async fn watch(
    State(app): State<App>,
    cookie: Cookie,
    Path(id): Path<String>,
    Form(watch): Form<Watch>,
) -> Result<Redirect, Problem> {
    app.work(move |parts| {
        let (_, visitor) = parts.signed_in(&cookie, &watch.csrf)?;
        let film = known_film(parts, &id)?;
        parts.db.toggle_watch(visitor.id, film.id)?;
        parts.cache.invalidate_tag(&visitor.list_tag());
        Ok(Redirect::to(&format!("/film/{}", film.id)))
    })
    .await
}

pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../style.css"))
}

pub(crate) async fn nowhere(State(app): State<App>) -> Page {
    problem(&app, Problem::not_found("There is no page at this address.")).await
}

async fn problem(app: &App, problem: Problem) -> Page {
    app.clone().work(|_| Err(problem)).await
}

/// What every page shows of its reader.
pub(crate) fn reader(session: Option<&Session>) -> Value {
    let visitor = session.and_then(|session| session.visitor.as_ref());
    context! { visitor => Value::from(Serde(visitor)), csrf => session.map(|session| session.csrf.as_str()) }
}

/// All genres, from the cache: query results are cached as well as text.
pub(crate) fn genres(parts: &Parts) -> Result<Vec<Genre>, Problem> {
    Ok(parts.cache.get_or_set_value("genres", Options::default().tag("films"), || parts.db.genres())?)
}

/// The film of an address.
pub(crate) fn known_film(parts: &Parts, id: &str) -> Result<Film, Problem> {
    let missing = || Problem::not_found(format!("There is no film {}.", quoted(id)));
    let number: i64 = id.parse().map_err(|_| missing())?;
    parts.cache.current_scope().tag(format!("film:{number}"));
    parts.db.film(number)?.ok_or_else(missing)
}

/// A query that runs only if the template needs its result.
fn query<T, F>(db: &Arc<Db>, ask: F) -> Value
where
    T: Serialize,
    F: FnOnce(&Db) -> rusqlite::Result<T> + Send + Sync + 'static,
{
    let db = Arc::clone(db);
    lazy(move || ask(&db).map(Serde))
}

fn page_number(given: Option<&String>, pages: u32) -> Result<u32, Problem> {
    let Some(given) = given else { return Ok(1) };
    match given.parse::<u32>() {
        Ok(0) | Err(_) if !given.bytes().all(|byte| byte.is_ascii_digit()) || given.is_empty() || *given == "0" => {
            Err(Problem::bad_request(format!("The page is {}, but must be a number from 1.", quoted(given))))
        }
        Ok(page) if (1..=pages).contains(&page) => Ok(page),
        _ => Err(Problem::not_found(format!("There is no page {}; the last one is {pages}.", quoted(given)))),
    }
}

/// What a visitor sent, short enough to be shown.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("“{}…”", &text[..end]),
        None => format!("“{text}”"),
    }
}

/// `1968-12-11` → `11 December 1968`; what is no date stays as it is.
pub(crate) fn date(iso: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let mut parts = iso.splitn(3, '-').map(|part| part.parse::<usize>().ok());
    let (Some(Some(year)), Some(Some(month)), Some(Some(day))) = (parts.next(), parts.next(), parts.next()) else {
        return iso.to_owned();
    };
    match MONTHS.get(month.wrapping_sub(1)) {
        Some(month) => format!("{day} {month} {year}"),
        None => iso.to_owned(),
    }
}

/// `1234567` → `$1.2 million`
pub(crate) fn money(dollars: f64) -> String {
    match dollars {
        d if d >= 1e9 => format!("${:.1} billion", d / 1e9),
        d if d >= 1e6 => format!("${:.1} million", d / 1e6),
        d => format!("${}", thousands(d as i64)),
    }
}

/// `1234567` → `1,234,567`
pub(crate) fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}
