//! The schema's history, compiled in: apply it, or tell how far a database is.

use std::fs::OpenOptions;

use diesel::connection::SimpleConnection;
use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::Url;
use super::connection::{Conn, on};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Any number that no other program on the database uses: `signet` in ASCII.
const ADVISORY_LOCK: i64 = 0x7369_676e_6574;

/// Diesel's own record of what was applied.
mod record {
    diesel::table! {
        __diesel_schema_migrations (version) {
            version -> Text,
        }
    }
}
use record::__diesel_schema_migrations;

/// How a database's schema compares with the one that this release knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// Exactly the known one.
    Current,
    /// So many migrations are still to be applied; all of them for an empty database.
    Behind(usize),
    /// Carries a migration that this release does not know: a newer release has been here.
    Newer(String),
}

/// Why the schema could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot reach the database {url}: {error}")]
    Connect {
        /// Where, without the password.
        url: String,
        /// The driver's words.
        error: String,
    },
    /// It was reached and does not tell how far it is.
    #[error("cannot read the database {url}: {error}")]
    Unreadable {
        /// Where, without the password.
        url: String,
        /// The driver's words.
        error: String,
    },
    /// So many migrations are still to be applied to the database that is named.
    #[error("the database {url} lacks {missing} migration(s): run `signet migrate`")]
    Behind {
        /// Where, without the password.
        url: String,
        /// How many.
        missing: usize,
    },
    /// A newer release has migrated this database; its version is named.
    #[error("the database has schema {0}, which this release does not know: run the newer release")]
    Newer(String),
    /// A migration failed; none of this run's migrations took effect.
    #[error("could not migrate the database: {0}")]
    Failed(String),
}

/// Applies what is missing, all or nothing, and returns the versions applied. Instances that start at once wait for
/// each other.
///
/// # Errors
/// See [`Error`].
pub fn migrate(url: &Url) -> Result<Vec<String>, Error> {
    if let Some(folder) = url.folder() {
        let failed = |error| Error::Connect { url: url.to_string(), error: format!("{}: {error}", folder.display()) };
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut conn = connect(url)?;
    if let SchemaState::Newer(version) = state_of(&mut conn).map_err(|error| Error::Failed(error.to_string()))? {
        return Err(Error::Newer(version));
    }
    let applied = match &mut conn {
        Conn::Pg(c) => c.build_transaction().run(|c| {
            // A long wait here is another instance at work, not a runaway statement.
            c.batch_execute(&format!(
                "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"
            ))?;
            run_pending(c, POSTGRES)
        }),
        Conn::Sqlite(c) => c.immediate_transaction(|c| run_pending(c, SQLITE)),
    };
    applied.map_err(|error: Failed| Error::Failed(error.0))
}

/// How far the database at `url` is.
///
/// # Errors
/// If it cannot be reached or read.
pub fn state(url: &Url) -> Result<SchemaState, Error> {
    let mut conn = connect(url)?;
    state_of(&mut conn).map_err(|error| Error::Unreadable { url: url.to_string(), error: error.to_string() })
}

/// Refuses every schema but the one that this release knows.
///
/// # Errors
/// [`Error::Behind`], [`Error::Newer`], or what keeps the database from being read.
pub fn require_current(url: &Url) -> Result<(), Error> {
    state(url)?.require_current(url)
}

impl SchemaState {
    /// The error that every other one than the known one is.
    ///
    /// # Errors
    /// [`Error::Behind`], [`Error::Newer`].
    pub fn require_current(self, url: &Url) -> Result<(), Error> {
        match self {
            Self::Current => Ok(()),
            Self::Behind(missing) => Err(Error::Behind { url: url.to_string(), missing }),
            Self::Newer(version) => Err(Error::Newer(version)),
        }
    }
}

/// How far the database behind `conn` is; writes nothing.
pub(crate) fn state_of(conn: &mut Conn) -> QueryResult<SchemaState> {
    let known = match conn {
        Conn::Pg(_) => versions::<diesel::pg::Pg>(POSTGRES),
        Conn::Sqlite(_) => versions::<diesel::sqlite::Sqlite>(SQLITE),
    };
    let applied: Vec<String> =
        match on!(conn, |c| __diesel_schema_migrations::table.select(__diesel_schema_migrations::version).load(c)) {
            Ok(applied) => applied,
            Err(diesel::result::Error::DatabaseError(_, information))
                if information.message().contains("__diesel_schema_migrations") =>
            {
                Vec::new() // an empty database
            }
            Err(error) => return Err(error),
        };
    if let Some(unknown) = applied.iter().find(|version| !known.contains(version)) {
        return Ok(SchemaState::Newer(unknown.clone()));
    }
    match known.len() - applied.len() {
        0 => Ok(SchemaState::Current),
        missing => Ok(SchemaState::Behind(missing)),
    }
}

pub(super) fn connect(url: &Url) -> Result<Conn, Error> {
    url.connect().map_err(|error| Error::Connect { url: url.to_string(), error: explain(url, &error.to_string()) })
}

/// What a driver says, and what it leaves out: SQLite why it cannot open a file, libpq how it would have TLS.
fn explain(url: &Url, error: &str) -> String {
    match url {
        Url::Sqlite(_) if url.folder().is_some_and(|folder| !folder.exists()) => {
            format!("{error}: its folder is not there; `signet migrate` makes it")
        }
        Url::Sqlite(path) => match OpenOptions::new().read(true).write(true).open(path) {
            Err(reason) => format!("{error}: {reason}"),
            Ok(_) => error.to_owned(),
        },
        Url::Postgres(_) if error.contains("SSL support is not compiled in") => {
            format!("{error}: TLS to the database needs a build with the feature `tls`")
        }
        Url::Postgres(_) => error.to_owned(),
    }
}

/// How many migrations there are for SQLite.
pub(super) fn known_on_sqlite() -> usize {
    versions::<diesel::sqlite::Sqlite>(SQLITE).len()
}

fn versions<DB: diesel::backend::Backend>(source: EmbeddedMigrations) -> Vec<String> {
    let migrations = MigrationSource::<DB>::migrations(&source).expect("what is compiled in can be read");
    migrations.iter().map(|migration| migration.name().version().to_string()).collect()
}

fn run_pending<C, DB>(connection: &mut C, source: EmbeddedMigrations) -> Result<Vec<String>, Failed>
where
    C: MigrationHarness<DB>,
    DB: diesel::backend::Backend,
{
    let applied = connection.run_pending_migrations(source).map_err(|error| Failed(error.to_string()))?;
    Ok(applied.iter().map(MigrationVersion::to_string).collect())
}

/// Diesel's transactions want an error that their own can become.
struct Failed(String);

impl From<diesel::result::Error> for Failed {
    fn from(error: diesel::result::Error) -> Self {
        Self(error.to_string())
    }
}
