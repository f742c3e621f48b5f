//! The SQLite database: its file, its schema, its connections, and how many queries they ran.
//!
//! What is asked of it is in `films.rs` and `visitors.rs`, what fills it in `import.rs`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Params, Row, TransactionBehavior};

use crate::app::import;

/// Marks a file as ours ("FILM"), so that another application's database is never written to.
const APPLICATION_ID: i64 = 0x4649_4c4d;
const SCHEMA_VERSION: i64 = 1;
const IDLE_CONNECTIONS: usize = 8;

const SCHEMA: &str = "
    CREATE TABLE genres (
        slug TEXT PRIMARY KEY,
        name TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE films (
        id INTEGER PRIMARY KEY,
        title TEXT NOT NULL,
        released TEXT NOT NULL,             -- 1998-06-12
        genre TEXT NOT NULL REFERENCES genres (slug),
        director TEXT,
        rated TEXT,
        minutes INTEGER,
        source TEXT,
        distributor TEXT,
        imdb REAL,
        votes INTEGER,
        tomatoes INTEGER,
        budget INTEGER,                     -- US dollars, like the grosses
        us_gross INTEGER,
        world_gross INTEGER,
        version INTEGER NOT NULL DEFAULT 1  -- counts edits
    );
    CREATE INDEX films_by_genre ON films (genre);
    CREATE TABLE visitors (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE COLLATE NOCASE
    );
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        csrf TEXT NOT NULL,
        visitor INTEGER REFERENCES visitors (id),
        created INTEGER NOT NULL DEFAULT (unixepoch())
    ) WITHOUT ROWID;
    CREATE TABLE watchlist (
        visitor INTEGER NOT NULL REFERENCES visitors (id),
        film INTEGER NOT NULL REFERENCES films (id),
        added INTEGER NOT NULL,
        PRIMARY KEY (visitor, film)
    ) WITHOUT ROWID;
";

/// A database file with connections to it, one per caller at a time.
pub(crate) struct Db {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    queries: AtomicU64,
}

impl Db {
    /// Opens the file; creates and fills it if there is none.
    pub(crate) fn open(path: &Path) -> Result<Db, OpenError> {
        let failed = |reason: Reason| OpenError { path: path.to_owned(), reason };
        let mut connection = connect(path).map_err(|error| failed(error.into()))?;
        prepare(&mut connection).map_err(failed)?;
        Ok(Db { path: path.to_owned(), idle: Mutex::new(vec![connection]), queries: AtomicU64::new(0) })
    }

    /// Statements run since the start.
    #[cfg_attr(not(feature = "debug"), allow(dead_code))]
    pub(crate) fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// All rows of a query.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.run(|connection| connection.prepare_cached(sql)?.query_map(params, read)?.collect())
    }

    /// The first row of a query, if there is one.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.run(|connection| connection.prepare_cached(sql)?.query_row(params, read).optional())
    }

    /// Runs a statement that changes something; says how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.run(|connection| connection.prepare_cached(sql)?.execute(params))
    }

    fn run<T>(&self, statement: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        let result = statement(&connection);
        let mut idle = self.idle();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// One transaction creates and fills everything: a start that is killed half-way leaves an empty file,
/// and of two first starts the second waits and finds the work done.
fn prepare(connection: &mut Connection) -> Result<(), Reason> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, SCHEMA_VERSION) => return Ok(()),
        (APPLICATION_ID, version) => return Err(Reason::OtherVersion(version)),
        _ => {}
    }
    if transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? > 0 {
        return Err(Reason::OtherApplication);
    }
    transaction.execute_batch(SCHEMA)?;
    import::fill(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    Ok(())
}

/// Why a database cannot be used.
#[derive(Debug)]
pub(crate) struct OpenError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    OtherApplication,
    OtherVersion(i64),
    Data(serde_json::Error),
    Sqlite(rusqlite::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Reason::OtherApplication => write!(out, "{path} is the database of another application; it was left alone"),
            Reason::OtherVersion(version) => write!(
                out,
                "{path} has schema version {version}, this program needs {SCHEMA_VERSION}; move the file away to start afresh"
            ),
            Reason::Data(error) => write!(out, "the data set that fills {path} cannot be read: {error}"),
            Reason::Sqlite(error) => write!(out, "cannot use the database {path}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<rusqlite::Error> for Reason {
    fn from(error: rusqlite::Error) -> Reason {
        Reason::Sqlite(error)
    }
}

impl From<serde_json::Error> for Reason {
    fn from(error: serde_json::Error) -> Reason {
        Reason::Data(error)
    }
}

impl From<import::FillError> for Reason {
    fn from(error: import::FillError) -> Reason {
        match error {
            import::FillError::Data(error) => Reason::Data(error),
            import::FillError::Sqlite(error) => Reason::Sqlite(error),
        }
    }
}
