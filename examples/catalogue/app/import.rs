//! Fills an empty database from the data set in `data/`, and corrects what is known to be wrong in it.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::Value;

const MOVIES: &str = include_str!("../data/movies.json");
const UNCLASSIFIED: &str = "Unclassified";
/// The set ends in 2011: later years are two-digit years that were expanded into the wrong century.
const LAST_YEAR: u16 = 2011;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A film as `data/trim.mjs` writes it.
#[derive(Deserialize)]
struct Movie {
    #[serde(default)]
    title: Value,
    released: String,
    genre: Option<String>,
    director: Option<String>,
    rated: Option<String>,
    minutes: Option<u32>,
    source: Option<String>,
    distributor: Option<String>,
    imdb: Option<f64>,
    votes: Option<u32>,
    tomatoes: Option<u32>,
    budget: Option<i64>,
    us_gross: Option<i64>,
    world_gross: Option<i64>,
}

pub(crate) enum FillError {
    Data(serde_json::Error),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for FillError {
    fn from(error: rusqlite::Error) -> FillError {
        FillError::Sqlite(error)
    }
}

/// Writes every usable film. The caller's transaction makes it all or nothing.
pub(crate) fn fill(connection: &Connection) -> Result<(), FillError> {
    let movies: Vec<Movie> = serde_json::from_str(MOVIES).map_err(FillError::Data)?;
    insert_genres(connection, &movies)?;
    let mut insert = connection.prepare(
        "INSERT INTO films (title, released, genre, director, rated, minutes, source, distributor,
                            imdb, votes, tomatoes, budget, us_gross, world_gross)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for movie in &movies {
        let (Some(title), Some(released)) = (title(&movie.title), iso_date(&movie.released)) else {
            continue;
        };
        insert.execute(params![
            title,
            released,
            slug(genre(movie)),
            movie.director,
            movie.rated,
            movie.minutes,
            movie.source,
            movie.distributor,
            movie.imdb,
            movie.votes,
            movie.tomatoes,
            known(movie.budget),
            known(movie.us_gross),
            known(movie.world_gross),
        ])?;
    }
    Ok(())
}

fn insert_genres(connection: &Connection, movies: &[Movie]) -> rusqlite::Result<()> {
    let names: BTreeMap<String, &str> = movies.iter().map(|movie| (slug(genre(movie)), genre(movie))).collect();
    let mut insert = connection.prepare("INSERT INTO genres (slug, name) VALUES (?1, ?2)")?;
    for (slug, name) in names {
        insert.execute([slug.as_str(), &name.replace('/', " / ")])?;
    }
    Ok(())
}

fn genre(movie: &Movie) -> &str {
    movie.genre.as_deref().unwrap_or(UNCLASSIFIED)
}

/// `Thriller/Suspense` → `thriller-suspense`
fn slug(name: &str) -> String {
    name.to_lowercase().replace(['/', ' '], "-")
}

/// A title may be a number (`1941`); one film has none. `Matador, The` → `The Matador`
fn title(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(match text.strip_suffix(", The") {
        Some(rest) => format!("The {rest}"),
        None => text,
    })
}

/// `Jun 12 1998` → `1998-06-12`
fn iso_date(text: &str) -> Option<String> {
    let mut parts = text.split_whitespace();
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = parts.next()?.parse().ok()?;
    let year: u16 = parts.next()?.parse().ok()?;
    let year = if year > LAST_YEAR { year - 100 } else { year };
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The set writes 0 for an amount nobody knows.
fn known(dollars: Option<i64>) -> Option<i64> {
    dollars.filter(|amount| *amount > 0)
}
