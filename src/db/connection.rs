//! One connection to whichever database is configured, and the pool's way of making and judging them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::ConnectionError;
use diesel::{Connection, PgConnection, QueryResult, SqliteConnection};

use super::failure::{self, Kind};

/// A connection to either database. Run queries on it with `on!`.
pub enum Conn {
    /// Production: several instances share it.
    Pg(PgConnection),
    /// Embedded: one machine, laptops, the CI of sibling services.
    Sqlite(SqliteConnection),
}

/// Runs one query text on whichever database `$conn` is; the compiler checks it for each.
macro_rules! on {
    ($conn:expr, |$c:ident| $query:expr) => {
        match $conn {
            $crate::db::Conn::Pg($c) => $query,
            $crate::db::Conn::Sqlite($c) => $query,
        }
    };
}
pub(crate) use on;

impl Conn {
    /// Opens a transaction. SQLite takes the write lock at once: a transaction that reads first and writes later would
    /// fail with "database is locked" whenever another one wrote in between.
    pub(super) fn begin(&mut self) -> QueryResult<()> {
        match self {
            Self::Pg(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN ISOLATION LEVEL READ COMMITTED"),
            Self::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE"),
        }
    }

    /// Inside a transaction: what follows can be undone by itself, with [`Conn::rollback`].
    pub(super) fn begin_savepoint(&mut self) -> QueryResult<()> {
        on!(self, |c| AnsiTransactionManager::begin_transaction(c))
    }

    pub(super) fn commit(&mut self) -> QueryResult<()> {
        on!(self, |c| AnsiTransactionManager::commit_transaction(c))
    }

    pub(super) fn rollback(&mut self) -> QueryResult<()> {
        on!(self, |c| AnsiTransactionManager::rollback_transaction(c))
    }

    fn is_mid_transaction(&mut self) -> bool {
        on!(self, |c| AnsiTransactionManager::is_broken_transaction_manager(c))
    }
}

/// Where the database is: `postgres://…` or `sqlite:PATH`.
#[derive(Clone, PartialEq, Eq)]
pub enum Url {
    /// A libpq connection URI.
    Postgres(String),
    /// A file. `signet migrate` and `signet dev` make its folder; for anything else it must exist.
    Sqlite(String),
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:") {
            // A path is a path: `sqlite:///data/x.db` and `sqlite:data/x.db` both say what they look like.
            Some(path) if !path.trim_start_matches("//").is_empty() => {
                Ok(Self::Sqlite(path.strip_prefix("//").unwrap_or(path).to_owned()))
            }
            _ => Err("a database URL reads postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH"),
        }
    }
}

/// Without the password: this is what logs and messages may show.
impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{path}"),
            Self::Postgres(uri) => {
                let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
                let rest = rest.split('?').next().unwrap_or_default();
                write!(f, "postgres://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
            }
        }
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// How long a statement may run before Postgres ends it; a request has given up long before.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for a TCP connection, or for a peer that no longer acknowledges.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process's write lock.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

impl Url {
    /// The same, with connections that carry this name in `pg_stat_activity`; what the operator wrote in the URI stands.
    pub(crate) fn named(self, name: &str) -> Self {
        match self {
            Self::Postgres(uri) => Self::Postgres(with_parameter(uri, "application_name", name)),
            Self::Sqlite(path) => Self::Sqlite(path),
        }
    }

    /// The folder of the file.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()),
            Self::Postgres(_) => None,
        }
    }

    /// Connects and sets the connection up.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    pub fn connect(&self) -> Result<Conn, ConnectionError> {
        match self {
            Self::Postgres(uri) => {
                let mut connection = PgConnection::establish(&with_network_timeouts(uri))?;
                connection.batch_execute(&settings()).map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(Conn::Pg(connection))
            }
            Self::Sqlite(path) => {
                // SQLite would make a file that everybody can read; its journal gets the rights of the file. What keeps
                // the file from being made, it will say itself.
                drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
                let mut connection = SqliteConnection::establish(path)?;
                set_up(&mut connection).map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(Conn::Sqlite(connection))
            }
        }
    }
}

/// What holds for a session with Postgres.
///
/// Each statement has one plan, by its indexes, whatever the statistics say or do not say yet: the one that is on record
/// in `tests/store/plans`. Left to itself Postgres would plan a statement with arrays anew at every call, and read a
/// small table whole, with all the dead rows that its updates leave. Where there is no index to go by, the price that is
/// put on reading a table would have the statement compiled at every call; so that is off, too.
fn settings() -> String {
    let ms = STATEMENT_TIMEOUT.as_millis();
    format!(
        "SET statement_timeout = {ms}; SET idle_in_transaction_session_timeout = {ms}; \
         SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;"
    )
}

/// FULL: a commit is on disk before it is answered.
fn set_up(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        SQLITE_BUSY_TIMEOUT.as_millis()
    ))?;
    // A new file becomes WAL once, and of several that would do it each holds a lock that another waits for: there
    // SQLite does not wait as the busy timeout says, but refuses at once.
    let give_up_at = Instant::now() + SQLITE_BUSY_TIMEOUT;
    loop {
        match connection.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if failure::of_statement(&error) == Kind::TooSlow && Instant::now() < give_up_at => {
                std::thread::sleep(Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

/// libpq waits for ever unless told otherwise; what the operator wrote in the URI stands.
fn with_network_timeouts(uri: &str) -> String {
    let seconds = NETWORK_TIMEOUT.as_secs();
    let defaults = [
        ("connect_timeout", seconds.to_string()),
        ("tcp_user_timeout", NETWORK_TIMEOUT.as_millis().to_string()),
        // A network that swallows packets is noticed within some ten seconds, also while an answer is awaited.
        ("keepalives_idle", "5".to_owned()),
        ("keepalives_interval", "2".to_owned()),
        ("keepalives_count", "3".to_owned()),
        ("application_name", "signet".to_owned()),
    ];
    defaults.into_iter().fold(uri.to_owned(), |uri, (key, value)| with_parameter(uri, key, &value))
}

fn with_parameter(uri: String, key: &str, value: &str) -> String {
    if uri.contains(&format!("{key}=")) {
        return uri;
    }
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{key}={value}")
}

/// A pooled connection. `lost` is set by [`Db`](super::Db) as soon as a statement reports that the server is gone.
pub(super) struct Pooled {
    pub(super) conn: Conn,
    pub(super) lost: bool,
}

/// Makes connections for r2d2. It does not test them at check-out: that would cost a round trip for each use, and a lost
/// connection is known by its first failing statement.
pub(super) struct Manager {
    pub(super) url: Url,
    /// Why the last attempt to connect failed; r2d2 tells only the first of those who wait.
    pub(super) trouble: Arc<Mutex<Option<String>>>,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Pooled;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Pooled, ConnectionError> {
        let made = self.url.connect();
        let trouble = made.as_ref().err().map(ToString::to_string);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        Ok(Pooled { conn: made?, lost: false })
    }

    fn is_valid(&self, _: &mut Pooled) -> Result<(), ConnectionError> {
        Ok(())
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        std::thread::panicking() || pooled.lost || pooled.conn.is_mid_transaction()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_shown_without_its_password() {
        let url: Url = "postgres://signet:hunter2@db.internal:5432/signet?sslmode=require".parse().expect("parses");
        assert_eq!(url.to_string(), "postgres://db.internal:5432/signet");
        assert_eq!(format!("{url:?}"), "postgres://db.internal:5432/signet");
    }

    #[test]
    fn a_sqlite_url_names_a_path_with_or_without_slashes() {
        for (text, path) in
            [("sqlite:data/x.db", "data/x.db"), ("sqlite:///data/x.db", "/data/x.db"), ("sqlite:/x", "/x")]
        {
            assert_eq!(text.parse::<Url>(), Ok(Url::Sqlite(path.to_owned())));
        }
        for text in ["sqlite:", "sqlite://", "mysql://x", ""] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_that_connect_to_a_new_file_at_once_get_a_connection() {
        for _ in 0..50 {
            let dir = tempfile::tempdir().expect("a folder");
            let url = Url::Sqlite(dir.path().join("new.db").display().to_string());
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| drop(url.connect().expect("connects")));
                }
            });
        }
    }

    #[test]
    fn the_operators_own_timeouts_stand() {
        let uri = with_network_timeouts("postgres://h/d?connect_timeout=1");
        assert!(uri.starts_with("postgres://h/d?connect_timeout=1&tcp_user_timeout="), "{uri}");
        assert_eq!(uri.matches("connect_timeout=").count(), 1);
    }
}
