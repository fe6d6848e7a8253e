//! What a failed statement or a failed attempt to connect means: for the caller, for the connection, for the operator.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use diesel::result::DatabaseErrorKind;

use crate::metrics::Metrics;

/// What the operator has to look at: the label of `signet_database_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection to the server, or to the file.
    Unreachable,
    /// The server is there and lets nobody in with this name, password and database.
    Rejected,
    /// The server has as many connections as it takes.
    TooManyConnections,
    /// The server is gone or going; whether a commit under way took effect is unknown.
    Lost,
    /// It can be read and not written: a standby, a read-only file.
    ReadOnly,
    /// No space is left.
    Full,
    /// A lock was not given in time, or a statement was ended for taking too long.
    TooSlow,
    /// The role may not do this.
    Denied,
    /// A table or a column is not there.
    Schema,
    /// The file is damaged, or is no database.
    Corrupt,
    /// The database asked for another try, more often than anybody tries.
    Conflict,
    /// Every connection stayed busy for as long as a request may wait; nothing was begun.
    Busy,
    /// It did not answer within a request's time; the fate of the work is unknown.
    Silent,
    /// Anything else: our mistake.
    Defect,
}

impl Kind {
    /// All of them.
    const ALL: [Self; 14] = [
        Self::Unreachable,
        Self::Rejected,
        Self::TooManyConnections,
        Self::Lost,
        Self::ReadOnly,
        Self::Full,
        Self::TooSlow,
        Self::Denied,
        Self::Schema,
        Self::Corrupt,
        Self::Conflict,
        Self::Busy,
        Self::Silent,
        Self::Defect,
    ];

    /// The labels of all, so that each is counted from zero.
    pub const NAMES: [&'static str; 14] = {
        let mut names = [""; 14];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].as_str();
            index += 1;
        }
        names
    };

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::TooManyConnections => "too_many_connections",
            Self::Lost => "lost",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::TooSlow => "too_slow",
            Self::Denied => "denied",
            Self::Schema => "schema",
            Self::Corrupt => "corrupt",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Silent => "silent",
            Self::Defect => "defect",
        }
    }

    /// One line for the log.
    fn line(self) -> &'static str {
        match self {
            Self::Unreachable => "the database cannot be reached",
            Self::Rejected => "the database refuses us: see the user, the password and the database in database.url",
            Self::TooManyConnections => "the database takes no more connections: see max_connections and pool_size",
            Self::Lost => "a connection to the database was lost",
            Self::ReadOnly => "the database can be read and not written: a standby, or a read-only file",
            Self::Full => "the database cannot be written: no space is left, or the disk fails",
            Self::TooSlow => "the database gave no lock or no answer in time",
            Self::Denied => "the database denies this role a right that it needs",
            Self::Schema => "the database lacks a table or a column: run `signet migrate`",
            Self::Corrupt => "the database file is damaged",
            Self::Conflict => "transactions conflicted again and again",
            Self::Busy => "no database connection became free in time",
            Self::Silent => "the database does not answer",
            Self::Defect => "a defect: a database statement failed",
        }
    }

    /// Whether the connection is of no more use: it is gone, or it stays read-only for as long as it lives, while a new
    /// one may find the new primary.
    pub(super) fn ends_connection(self) -> bool {
        matches!(self, Self::Lost | Self::ReadOnly | Self::Corrupt)
    }
}

/// What a failed statement means.
pub(super) fn of_statement(error: &diesel::result::Error) -> Kind {
    use diesel::result::Error as E;
    let (kind, information) = match error {
        E::DatabaseError(kind, information) => (kind, information),
        E::BrokenTransactionManager => return Kind::Lost,
        E::RollbackErrorOnCommit { commit_error, .. } => return of_statement(commit_error),
        _ => return Kind::Defect,
    };
    match kind {
        DatabaseErrorKind::SerializationFailure => Kind::Conflict,
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Kind::Lost,
        DatabaseErrorKind::ReadOnlyTransaction => Kind::ReadOnly,
        DatabaseErrorKind::Unknown => of_words(information.message(), STATEMENTS).unwrap_or(Kind::Defect),
        _ => Kind::Defect,
    }
}

/// What a failed attempt to connect means.
pub(super) fn of_connecting(words: &str) -> Kind {
    of_words(words, CONNECTING).unwrap_or(Kind::Unreachable)
}

type Words = &'static [(Kind, &'static [&'static str])];

/// Diesel hands on neither SQLSTATE nor SQLite's result code, so the words have to do. They are the C locale's, which
/// `check` demands; in another language a deadlock counts as a defect, which is answered 500, never with a 4xx.
const STATEMENTS: Words = &[
    (Kind::Conflict, &["deadlock detected"]),
    (
        Kind::Lost,
        &[
            "server closed the connection",
            "terminating connection",
            "no connection to the server",
            "connection not open",
            "the database system is",
            "SSL connection has been closed",
            "SSL SYSCALL error",
            "could not receive data from server",
            "could not send data to server",
        ],
    ),
    (Kind::ReadOnly, &["attempt to write a readonly database", "read-only transaction"]),
    (Kind::Full, &["database or disk is full", "No space left on device", "disk I/O error"]),
    (Kind::TooSlow, &["canceling statement due to", "database is locked", "database table is locked"]),
    (Kind::Denied, &["permission denied for"]),
    (Kind::Schema, &["does not exist", "no such table", "no such column"]),
    (Kind::Corrupt, &["disk image is malformed", "file is not a database"]),
    (Kind::Unreachable, &["unable to open database file"]),
];

const CONNECTING: Words = &[
    (
        Kind::TooManyConnections,
        &["too many clients", "too many connections", "remaining connection slots are reserved"],
    ),
    (
        Kind::Rejected,
        &[
            "authentication failed",
            "no password supplied",
            "does not exist",
            "no pg_hba.conf entry",
            "not permitted to log in",
            "not currently accepting connections",
            "permission denied for database",
        ],
    ),
    (Kind::Full, &["database or disk is full", "disk I/O error"]),
    (Kind::ReadOnly, &["attempt to write a readonly database"]),
    (Kind::Corrupt, &["disk image is malformed", "file is not a database"]),
    (Kind::TooSlow, &["database is locked"]),
];

fn of_words(message: &str, words: Words) -> Option<Kind> {
    words.iter().find(|(_, phrases)| phrases.iter().any(|phrase| message.contains(phrase))).map(|(kind, _)| *kind)
}

/// How long the log is silent about a kind of failure that it has just told of: an outage fails every request.
const SILENCE: Duration = Duration::from_secs(5);

/// Counts every failure and tells the log of the first of each kind, and again while it goes on.
pub(super) struct Failures {
    metrics: Metrics,
    told: Mutex<Vec<(Kind, Instant)>>,
}

impl Failures {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, told: Mutex::new(Vec::new()) }
    }

    /// `name` is the unit of work that failed, `error` the driver's words.
    pub(super) fn note(&self, kind: Kind, name: &str, error: &str) {
        self.metrics.database_failures.with_label_values(&[kind.as_str()]).inc();
        let is_news = {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_news = !told.iter().any(|(own, at)| *own == kind && at.elapsed() < SILENCE);
            if is_news {
                told.retain(|(own, _)| *own != kind);
                told.push((kind, Instant::now()));
            }
            is_news
        };
        // A defect is told each time: there is no second place that could.
        if is_news || kind == Kind::Defect {
            let error = crate::config::one_line(error);
            tracing::error!(kind = kind.as_str(), unit = name, error, "{}", kind.line());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(words: &str) -> Kind {
        let kind = DatabaseErrorKind::Unknown;
        of_statement(&diesel::result::Error::DatabaseError(kind, Box::new(words.to_owned())))
    }

    #[test]
    fn a_statement_is_judged_by_the_databases_words() {
        for (words, kind) in [
            ("database or disk is full", Kind::Full),
            ("could not extend file \"base/5/1\": No space left on device", Kind::Full),
            ("attempt to write a readonly database", Kind::ReadOnly),
            ("deadlock detected", Kind::Conflict),
            ("canceling statement due to statement timeout", Kind::TooSlow),
            ("database is locked", Kind::TooSlow),
            ("permission denied for table users", Kind::Denied),
            ("relation \"sessions\" does not exist", Kind::Schema),
            ("no such table: sessions", Kind::Schema),
            ("database disk image is malformed", Kind::Corrupt),
            ("terminating connection due to administrator command", Kind::Lost),
            ("division by zero", Kind::Defect),
        ] {
            assert_eq!(statement(words), kind, "{words}");
        }
    }

    #[test]
    fn an_attempt_to_connect_is_judged_by_the_servers_words() {
        for (words, kind) in [
            ("FATAL:  sorry, too many clients already", Kind::TooManyConnections),
            ("FATAL:  too many connections for role \"signet\"", Kind::TooManyConnections),
            ("FATAL:  password authentication failed for user \"signet\"", Kind::Rejected),
            ("FATAL:  database \"signet\" does not exist", Kind::Rejected),
            ("Connection refused", Kind::Unreachable),
            ("unable to open database file", Kind::Unreachable),
        ] {
            assert_eq!(of_connecting(words), kind, "{words}");
        }
    }

    #[test]
    fn every_kind_is_counted_from_zero() {
        let metrics = Metrics::default();
        let failures = Failures::new(metrics.clone());
        failures.note(Kind::Full, "test", "database or disk is full");
        let text = metrics.render();
        for kind in Kind::ALL {
            let count = u8::from(kind == Kind::Full);
            let line = format!("signet_database_failures_total{{kind=\"{}\"}} {count}", kind.as_str());
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
