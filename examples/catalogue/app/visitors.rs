//! What is asked of the database about visitors: who they are, their sessions, and what they want to watch.

use rusqlite::{Result, params};
use serde::Serialize;

use super::db::Db;
use super::films::{Film, film};

/// Somebody signed in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Visitor {
    pub(crate) id: i64,
    pub(crate) name: String,
}

impl Visitor {
    /// The tag of what is his.
    pub(crate) fn tag(&self) -> String {
        format!("visitor:{}", self.id)
    }

    /// The tag of what shows his watch-list, or a film of it as being on it.
    pub(crate) fn list_tag(&self) -> String {
        format!("watchlist:{}", self.id)
    }
}

/// A browser we have met.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// What our forms carry, so that other sites' forms cannot act in the visitor's name.
    pub(crate) csrf: String,
    pub(crate) visitor: Option<Visitor>,
}

impl Db {
    pub(crate) fn session(&self, id: &str) -> Result<Option<Session>> {
        self.row(
            "SELECT csrf, visitors.id, visitors.name FROM sessions LEFT JOIN visitors ON visitors.id = visitor
             WHERE sessions.id = ?1",
            [id],
            |row| {
                let visitor = match row.get::<_, Option<i64>>(1)? {
                    Some(visitor) => Some(Visitor { id: visitor, name: row.get(2)? }),
                    None => None,
                };
                Ok(Session { id: id.to_owned(), csrf: row.get(0)?, visitor })
            },
        )
    }

    pub(crate) fn add_session(&self, session: &Session) -> Result<()> {
        // A session nobody signed in with only served a sign-in form.
        self.execute("DELETE FROM sessions WHERE visitor IS NULL AND created < unixepoch() - 3600", [])?;
        let visitor = session.visitor.as_ref().map(|visitor| visitor.id);
        self.execute(
            "INSERT INTO sessions (id, csrf, visitor) VALUES (?1, ?2, ?3)",
            params![session.id, session.csrf, visitor],
        )?;
        Ok(())
    }

    pub(crate) fn end_session(&self, id: &str) -> Result<()> {
        self.execute("DELETE FROM sessions WHERE id = ?1", [id])?;
        Ok(())
    }

    /// The visitor of a name, met before or new.
    pub(crate) fn visitor(&self, name: &str) -> Result<Option<Visitor>> {
        self.execute("INSERT INTO visitors (name) VALUES (?1) ON CONFLICT DO NOTHING", [name])?;
        self.row("SELECT id, name FROM visitors WHERE name = ?1", [name], |row| {
            Ok(Visitor { id: row.get(0)?, name: row.get(1)? })
        })
    }

    /// What a visitor wants to watch, the latest wish first.
    pub(crate) fn watchlist(&self, visitor: i64) -> Result<Vec<Film>> {
        self.rows(
            "SELECT films.*, genres.name AS genre_name, CAST(substr(released, 1, 4) AS INTEGER) AS year
             FROM watchlist JOIN films ON films.id = film JOIN genres ON genres.slug = films.genre
             WHERE visitor = ?1 ORDER BY watchlist.added DESC, films.id",
            [visitor],
            film,
        )
    }

    pub(crate) fn watches(&self, visitor: i64, film: i64) -> Result<bool> {
        let found =
            self.row("SELECT 1 FROM watchlist WHERE visitor = ?1 AND film = ?2", [visitor, film], |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// Puts a film on a visitor's list, or takes it off.
    pub(crate) fn toggle_watch(&self, visitor: i64, film: i64) -> Result<()> {
        let removed = self.execute("DELETE FROM watchlist WHERE visitor = ?1 AND film = ?2", [visitor, film])?;
        if removed == 0 {
            self.execute(
                "INSERT INTO watchlist (visitor, film, added)
                 VALUES (?1, ?2, (SELECT coalesce(max(added), 0) + 1 FROM watchlist))
                 ON CONFLICT DO NOTHING",
                [visitor, film],
            )?;
        }
        Ok(())
    }
}
