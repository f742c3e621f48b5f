//! What there is to be visited: the films and genres of the catalogue, the most popular first, and their addresses.

use minijinja::HtmlEscape;
use rand::{Rng, RngExt};
use serde::Serialize;

use super::popularity::Popularity;
use crate::app::App;

/// What the catalogue holds when a run begins.
#[derive(Debug)]
pub(crate) struct Contents {
    /// By id, which count from 1.
    films: Vec<Film>,
    /// Ids, the best known film first.
    ranking: Vec<i64>,
    /// Slug and page of every list, the first pages first.
    lists: Vec<(String, u32)>,
    films_by: Popularity,
    lists_by: Popularity,
}

#[derive(Debug)]
pub(crate) struct Film {
    /// As pages show it.
    pub(crate) title: String,
    pub(crate) genre: String,
    pub(crate) director: String,
    pub(crate) imdb: String,
    pub(crate) minutes: String,
    pub(crate) version: i64,
    votes: Option<u32>,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    Front,
    /// A genre's list: slug, and page from 1.
    Genre(String, u32),
    Film(i64),
    Watchlist,
    /// Any other, of which nothing is known but that it must be there.
    Other(String),
}

/// What latencies are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Front,
    Genre,
    Film,
    Watchlist,
    /// Forms, and what they change.
    Write,
    Other,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] = [Kind::Front, Kind::Genre, Kind::Film, Kind::Watchlist, Kind::Write, Kind::Other];
}

impl Contents {
    /// Reads all there is from the catalogue's database.
    pub(crate) fn read(app: &App, zipf: f64) -> Result<Contents, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot read the catalogue: {error}");
        let count = app.db.totals().map_err(|error| failed(&error))?.map_or(0, |totals| i64::from(totals.films));
        let mut films = Vec::new();
        for id in 1..=count {
            let film = app.db.film(id).map_err(|error| failed(&error))?.ok_or_else(|| failed(&"a film is missing"))?;
            films.push(Film {
                title: HtmlEscape(&film.title).to_string(),
                genre: film.genre,
                director: film.director.unwrap_or_default(),
                imdb: film.imdb.map(|rating| rating.to_string()).unwrap_or_default(),
                minutes: film.minutes.map(|minutes| minutes.to_string()).unwrap_or_default(),
                version: film.version,
                votes: film.votes,
            });
        }
        let genres = app.db.genres().map_err(|error| failed(&error))?;
        let mut lists: Vec<(String, u32)> = Vec::new();
        for genre in &genres {
            let pages = genre.films.div_ceil(PER_PAGE).max(1);
            lists.extend((1..=pages).map(|page| (genre.slug.clone(), page)));
        }
        lists.sort_by_key(|(_, page)| *page);
        let mut ranking: Vec<i64> = (1..=count).collect();
        ranking.sort_by_key(|id| std::cmp::Reverse(films[*id as usize - 1].votes));
        let (films_by, lists_by) = (Popularity::new(ranking.len(), zipf)?, Popularity::new(lists.len(), zipf)?);
        Ok(Contents { films, ranking, lists, films_by, lists_by })
    }

    pub(crate) fn film(&self, id: i64) -> Option<&Film> {
        self.films.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    pub(crate) fn films(&self) -> usize {
        self.films.len()
    }

    /// A film, the best known ones most often.
    pub(crate) fn any_film(&self, random: &mut impl Rng) -> i64 {
        self.ranking.get(self.films_by.draw(random)).copied().unwrap_or(1)
    }

    /// A page: of ten visits two are to the front page, two to a genre, five to a film, and one to the watch-list.
    pub(crate) fn any_page(&self, random: &mut impl Rng) -> Page {
        match random.random_range(0..10) {
            0..2 => Page::Front,
            2..4 => match self.lists.get(self.lists_by.draw(random)) {
                Some((slug, page)) => Page::Genre(slug.clone(), *page),
                None => Page::Front,
            },
            4..9 => Page::Film(self.any_film(random)),
            _ => Page::Watchlist,
        }
    }
}

/// As many films as a page of a genre shows.
const PER_PAGE: u32 = 24;

impl Page {
    /// The page of an address.
    pub(crate) fn at(path: &str) -> Page {
        let genre = || {
            let (slug, page) = path.strip_prefix("/genre/")?.split_once("?page=").unwrap_or((&path[7..], "1"));
            (!slug.contains(['?', '/'])).then_some(Page::Genre(slug.to_owned(), page.parse().ok()?))
        };
        let film = || Some(Page::Film(path.strip_prefix("/film/")?.parse().ok()?));
        match path {
            "/" => Page::Front,
            "/watchlist" => Page::Watchlist,
            _ => genre().or_else(film).unwrap_or_else(|| Page::Other(path.to_owned())),
        }
    }

    pub(crate) fn path(&self) -> String {
        match self {
            Page::Front => "/".to_owned(),
            Page::Genre(slug, 1) => format!("/genre/{slug}"),
            Page::Genre(slug, page) => format!("/genre/{slug}?page={page}"),
            Page::Film(id) => format!("/film/{id}"),
            Page::Watchlist => "/watchlist".to_owned(),
            Page::Other(path) => path.clone(),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Page::Front => Kind::Front,
            Page::Genre(..) => Kind::Genre,
            Page::Film(_) => Kind::Film,
            Page::Watchlist => Kind::Watchlist,
            Page::Other(_) => Kind::Other,
        }
    }
}
