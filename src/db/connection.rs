//! One connection to whichever database is configured, and the pool's way of making and judging them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::str::FromStr;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::{ConnectionError, DatabaseErrorKind};
use diesel::{Connection, PgConnection, QueryResult, SqliteConnection};

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
    /// A file; its folder must exist.
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
    /// Connects and sets the connection up.
    ///
    /// # Errors
    /// If the database cannot be reached or refuses.
    pub fn connect(&self) -> Result<Conn, ConnectionError> {
        match self {
            Self::Postgres(uri) => {
                let mut connection = PgConnection::establish(&with_network_timeouts(uri))?;
                connection
                    .batch_execute(&format!(
                        "SET statement_timeout = {ms}; SET idle_in_transaction_session_timeout = {ms};",
                        ms = STATEMENT_TIMEOUT.as_millis()
                    ))
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(Conn::Pg(connection))
            }
            Self::Sqlite(path) => {
                // SQLite would make a file that everybody can read; its journal gets the rights of the file. What keeps
                // the file from being made, it will say itself.
                drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
                let mut connection = SqliteConnection::establish(path)?;
                // FULL: a commit is on disk before it is answered. The busy timeout comes first, because changing the
                // journal mode may itself have to wait.
                connection
                    .batch_execute(&format!(
                        "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                         PRAGMA foreign_keys = ON;",
                        SQLITE_BUSY_TIMEOUT.as_millis()
                    ))
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(Conn::Sqlite(connection))
            }
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
    let mut uri = uri.to_owned();
    for (key, value) in defaults {
        if !uri.contains(&format!("{key}=")) {
            let separator = if uri.contains('?') { '&' } else { '?' };
            uri.push_str(&format!("{separator}{key}={value}"));
        }
    }
    uri
}

/// A pooled connection. `lost` is set by [`Db`](super::Db) as soon as a statement reports that the server is gone.
pub(super) struct Pooled {
    pub(super) conn: Conn,
    pub(super) lost: bool,
}

/// Makes connections for r2d2. It does not test them at check-out: that would cost a round trip for each use, and a lost
/// connection is known by its first failing statement.
#[derive(Debug)]
pub(super) struct Manager(pub(super) Url);

impl r2d2::ManageConnection for Manager {
    type Connection = Pooled;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Pooled, ConnectionError> {
        Ok(Pooled { conn: self.0.connect()?, lost: false })
    }

    fn is_valid(&self, _: &mut Pooled) -> Result<(), ConnectionError> {
        Ok(())
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        std::thread::panicking() || pooled.lost || pooled.conn.is_mid_transaction()
    }
}

/// What a failed statement means for the caller and for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The database asks for another try: a serialization failure or a deadlock.
    Retry,
    /// The server is gone or going, or no longer the one that writes; whether a commit under way took effect is unknown.
    ConnectionLost,
    /// The database is there but cannot do it now: locked, full, read-only, too slow.
    CannotNow,
    /// Anything else: our mistake.
    Bug,
}

pub(super) fn judge(error: &diesel::result::Error) -> Failure {
    use diesel::result::Error as E;
    let (kind, information) = match error {
        E::DatabaseError(kind, information) => (kind, information),
        E::BrokenTransactionManager => return Failure::ConnectionLost,
        E::RollbackErrorOnCommit { commit_error, .. } => return judge(commit_error),
        _ => return Failure::Bug,
    };
    match kind {
        DatabaseErrorKind::SerializationFailure => Failure::Retry,
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Failure::ConnectionLost,
        // A primary that became a standby: this connection stays read-only for as long as it lives, a new one may find
        // the new primary.
        DatabaseErrorKind::ReadOnlyTransaction => Failure::ConnectionLost,
        _ => judge_by_words(information.message()),
    }
}

/// Diesel hands on neither SQLSTATE nor SQLite's result code, so the words have to do. They are the C locale's; in
/// another language a deadlock counts as a bug, which is answered with 500 instead of a retry, never with a 4xx.
fn judge_by_words(message: &str) -> Failure {
    const RETRY: [&str; 1] = ["deadlock detected"];
    const LOST: [&str; 9] = [
        "server closed the connection",
        "terminating connection",
        "no connection to the server",
        "connection not open",
        "the database system is",
        "SSL connection has been closed",
        "SSL SYSCALL error",
        "could not receive data from server",
        "could not send data to server",
    ];
    const CANNOT_NOW: [&str; 9] = [
        "canceling statement due to",
        "database is locked",
        "database table is locked",
        "database or disk is full",
        "No space left on device",
        "disk I/O error",
        "attempt to write a readonly database",
        "unable to open database file",
        "too many clients",
    ];
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    if says(&RETRY) {
        Failure::Retry
    } else if says(&LOST) {
        Failure::ConnectionLost
    } else if says(&CANNOT_NOW) {
        Failure::CannotNow
    } else {
        Failure::Bug
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
    fn the_operators_own_timeouts_stand() {
        let uri = with_network_timeouts("postgres://h/d?connect_timeout=1");
        assert!(uri.starts_with("postgres://h/d?connect_timeout=1&tcp_user_timeout="), "{uri}");
        assert_eq!(uri.matches("connect_timeout=").count(), 1);
    }
}
