//! What is asked of the database about films.

use rusqlite::{Result, Row, params};
use serde::{Deserialize, Serialize};

use super::db::Db;

/// Films on one page of a genre.
pub(crate) const PER_PAGE: u32 = 24;

const FILM: &str = "SELECT films.*, genres.name AS genre_name, CAST(substr(released, 1, 4) AS INTEGER) AS year
                    FROM films JOIN genres ON genres.slug = films.genre";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Film {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) released: String,
    pub(crate) year: u32,
    pub(crate) genre: String,
    pub(crate) genre_name: String,
    pub(crate) director: Option<String>,
    pub(crate) rated: Option<String>,
    pub(crate) minutes: Option<u32>,
    pub(crate) source: Option<String>,
    pub(crate) distributor: Option<String>,
    pub(crate) imdb: Option<f64>,
    pub(crate) votes: Option<u32>,
    pub(crate) tomatoes: Option<u32>,
    pub(crate) budget: Option<i64>,
    pub(crate) us_gross: Option<i64>,
    pub(crate) world_gross: Option<i64>,
    pub(crate) version: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Genre {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) films: u32,
    pub(crate) rating: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Decade {
    pub(crate) decade: u32,
    pub(crate) films: u32,
    pub(crate) gross: i64,
    pub(crate) best: Film,
}

#[derive(Debug, Serialize)]
pub(crate) struct Director {
    pub(crate) name: String,
    pub(crate) films: u32,
    pub(crate) rating: f64,
    pub(crate) gross: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Totals {
    pub(crate) films: u32,
    pub(crate) directors: u32,
    pub(crate) gross: i64,
    pub(crate) first: String,
    pub(crate) last: String,
}

/// What the edit form may change.
pub(crate) struct Edit<'a> {
    pub(crate) title: &'a str,
    pub(crate) genre: &'a str,
    pub(crate) director: Option<&'a str>,
    pub(crate) imdb: Option<f64>,
    pub(crate) minutes: Option<u32>,
    /// The version the visitor saw.
    pub(crate) version: i64,
}

impl Db {
    pub(crate) fn film(&self, id: i64) -> Result<Option<Film>> {
        self.row(&format!("{FILM} WHERE films.id = ?1"), [id], film)
    }

    pub(crate) fn genres(&self) -> Result<Vec<Genre>> {
        self.rows(
            "SELECT slug, name, count(films.id), avg(imdb) FROM genres JOIN films ON genre = slug
             GROUP BY slug ORDER BY count(films.id) DESC",
            [],
            |row| Ok(Genre { slug: row.get(0)?, name: row.get(1)?, films: row.get(2)?, rating: row.get(3)? }),
        )
    }

    /// One page of a genre, the best known first; pages count from 1.
    pub(crate) fn films_of(&self, genre: &str, page: u32) -> Result<Vec<Film>> {
        let sql = format!("{FILM} WHERE films.genre = ?1 ORDER BY votes DESC, films.id LIMIT ?2 OFFSET ?3");
        self.rows(&sql, params![genre, PER_PAGE, i64::from(page - 1) * i64::from(PER_PAGE)], film)
    }

    /// By the same director, or of the same genre and time.
    pub(crate) fn related(&self, to: &Film) -> Result<Vec<Film>> {
        let sql = format!(
            "{FILM} WHERE films.id <> ?1 AND (director = ?2 OR films.genre = ?3)
             ORDER BY director IS ?2 DESC, abs(year - ?4), votes DESC LIMIT 6"
        );
        self.rows(&sql, params![to.id, to.director, to.genre, to.year], film)
    }

    /// The films most people have an opinion on.
    pub(crate) fn best_known(&self) -> Result<Vec<Film>> {
        self.rows(&format!("{FILM} WHERE imdb >= 8 ORDER BY votes DESC, films.id LIMIT 12"), [], film)
    }

    pub(crate) fn decades(&self) -> Result<Vec<Decade>> {
        let best = self.rows(
            &format!(
                "SELECT * FROM (
                     SELECT *, year / 10 * 10 AS decade, count(*) OVER by_decade AS films,
                            sum(world_gross) OVER by_decade AS gross,
                            row_number() OVER (PARTITION BY year / 10 ORDER BY world_gross DESC NULLS LAST, id) AS place
                     FROM ({FILM}) WINDOW by_decade AS (PARTITION BY year / 10)
                 ) WHERE place = 1 ORDER BY decade DESC"
            ),
            [],
            |row| {
                Ok(Decade {
                    decade: row.get("decade")?,
                    films: row.get("films")?,
                    gross: row.get::<_, Option<i64>>("gross")?.unwrap_or(0),
                    best: film(row)?,
                })
            },
        )?;
        Ok(best)
    }

    pub(crate) fn directors(&self) -> Result<Vec<Director>> {
        self.rows(
            "SELECT director, count(*), avg(imdb), total(world_gross) FROM films
             WHERE director IS NOT NULL AND imdb IS NOT NULL
             GROUP BY director HAVING count(*) >= 4 ORDER BY avg(imdb) DESC, director LIMIT 12",
            [],
            |row| {
                let gross: f64 = row.get(3)?;
                Ok(Director { name: row.get(0)?, films: row.get(1)?, rating: row.get(2)?, gross: gross as i64 })
            },
        )
    }

    pub(crate) fn totals(&self) -> Result<Option<Totals>> {
        self.row(
            "SELECT count(*), count(DISTINCT director), total(world_gross), min(released), max(released) FROM films",
            [],
            |row| {
                let gross: f64 = row.get(2)?;
                Ok(Totals {
                    films: row.get(0)?,
                    directors: row.get(1)?,
                    gross: gross as i64,
                    first: row.get(3)?,
                    last: row.get(4)?,
                })
            },
        )
    }

    /// Saves an edit unless somebody else saved one since the form was shown; whether it did.
    pub(crate) fn update(&self, id: i64, edit: &Edit<'_>) -> Result<bool> {
        let changed = self.execute(
            "UPDATE films SET title = ?1, genre = ?2, director = ?3, imdb = ?4, minutes = ?5, version = version + 1
             WHERE id = ?6 AND version = ?7",
            params![edit.title, edit.genre, edit.director, edit.imdb, edit.minutes, id, edit.version],
        )?;
        Ok(changed == 1)
    }
}

pub(crate) fn film(row: &Row<'_>) -> Result<Film> {
    Ok(Film {
        id: row.get("id")?,
        title: row.get("title")?,
        released: row.get("released")?,
        year: row.get("year")?,
        genre: row.get("genre")?,
        genre_name: row.get("genre_name")?,
        director: row.get("director")?,
        rated: row.get("rated")?,
        minutes: row.get("minutes")?,
        source: row.get("source")?,
        distributor: row.get("distributor")?,
        imdb: row.get("imdb")?,
        votes: row.get("votes")?,
        tomatoes: row.get("tomatoes")?,
        budget: row.get("budget")?,
        us_gross: row.get("us_gross")?,
        world_gross: row.get("world_gross")?,
        version: row.get("version")?,
    })
}
