//! What a look at a database tells: before the service starts whatever would keep it from working, and while it runs
//! whether it still can.

use std::path::Path;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};

use super::connection::{Conn, Url};
use super::migrations::{self, SchemaState};
use super::types::Moment;
use crate::clock::Timestamp;

/// How connections say whose they are, before what tells one set-up from another.
pub(crate) const NAME_PREFIX: &str = "signet/";

/// A database before start.
#[derive(Debug)]
pub struct Inspection {
    /// How its schema compares with ours.
    pub schema: SchemaState,
    /// What keeps the service from working, one line each.
    pub errors: Vec<String>,
    /// What is merely unwise, one line each.
    pub warnings: Vec<String>,
    /// The server's own time, if it has one: SQLite lives on our clock.
    pub time: Option<Timestamp>,
}

/// Looks at a database that `pool_size` connections are to be made to; changes nothing.
///
/// # Errors
/// If it cannot be reached or read.
pub fn inspect(url: &Url, pool_size: u32) -> Result<Inspection, migrations::Error> {
    if let Url::Sqlite(path) = url
        && is_still_to_be_made(Path::new(path))
    {
        let schema = SchemaState::Behind(migrations::known_on_sqlite());
        return Ok(Inspection { schema, errors: Vec::new(), warnings: Vec::new(), time: None });
    }
    let mut conn = migrations::connect(url)?;
    let failed =
        |error: diesel::result::Error| migrations::Error::Unreadable { url: url.to_string(), error: error.to_string() };
    let schema = migrations::state_of(&mut conn).map_err(failed)?;
    let mut inspection = Inspection { schema, errors: Vec::new(), warnings: Vec::new(), time: None };
    match &mut conn {
        Conn::Pg(c) => {
            let facts: PgFacts = diesel::sql_query(PG_FACTS).get_result(c).map_err(failed)?;
            facts.judge(pool_size, &mut inspection);
        }
        Conn::Sqlite(_) => {
            // Takes the write lock and gives it back, which a file that cannot be written refuses.
            if let Err(error) = conn.begin().and_then(|()| conn.rollback()) {
                inspection.errors.push(format!("the database {url} cannot be written: {error}"));
            }
        }
    }
    Ok(inspection)
}

/// To connect to an SQLite file is to make it.
fn is_still_to_be_made(path: &Path) -> bool {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    !path.exists() && dir.is_dir()
}

#[derive(QueryableByName)]
struct PgFacts {
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Text)]
    messages: String,
    #[diesel(sql_type = Bool)]
    is_standby: bool,
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
    #[diesel(sql_type = Bool)]
    is_durable: bool,
    #[diesel(sql_type = Bool)]
    ends_idle_sessions: bool,
    #[diesel(sql_type = Integer)]
    connections: i32,
    #[diesel(sql_type = Nullable<Text>)]
    denied: Option<String>,
    #[diesel(sql_type = Moment)]
    time: Timestamp,
}

/// The connections that this role may make are bounded by the server, by the database and by the role; superusers only
/// by the first.
const PG_FACTS: &str = "\
SELECT current_setting('server_encoding') AS encoding, current_setting('lc_messages') AS messages, \
    pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_read_only, \
    current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS is_durable, \
    coalesce(current_setting('idle_session_timeout', true), '0') <> '0' AS ends_idle_sessions, \
    least(current_setting('max_connections')::integer, \
        CASE WHEN rolsuper THEN NULL ELSE current_setting('max_connections')::integer \
            - current_setting('superuser_reserved_connections')::integer END, \
        CASE WHEN rolsuper OR rolconnlimit < 0 THEN NULL ELSE rolconnlimit END, \
        CASE WHEN rolsuper OR datconnlimit < 0 THEN NULL ELSE datconnlimit END) AS connections, \
    (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class \
        WHERE relkind = 'r' AND relnamespace = to_regnamespace(current_schema()) AND relname NOT LIKE '\\_\\_diesel%' \
        AND NOT has_table_privilege(pg_class.oid, 'INSERT')) AS denied, \
    clock_timestamp() AS time \
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()";

impl PgFacts {
    fn judge(&self, pool_size: u32, inspection: &mut Inspection) {
        let Inspection { errors, warnings, time, .. } = inspection;
        *time = Some(self.time);
        if self.is_standby {
            errors.push("the database is a standby, which can only be read: connect to the primary".to_owned());
        } else if self.is_read_only {
            errors.push("the database is read-only for this role (default_transaction_read_only)".to_owned());
        }
        if self.encoding != "UTF8" {
            errors.push(format!("the database's encoding is {}, and must be UTF8", self.encoding));
        }
        if let Some(tables) = &self.denied {
            errors.push(format!("the database's role may not write to: {tables}"));
        }
        if i64::from(pool_size) > i64::from(self.connections) {
            let allowed = self.connections;
            errors.push(format!("database.pool_size: {pool_size} is more than the {allowed} connections allowed us"));
        }
        let speaks_english = ["C", "C.UTF-8", "POSIX", ""].contains(&self.messages.as_str());
        if !speaks_english && !self.messages.starts_with("en") {
            warnings.push(format!(
                "the database's lc_messages is {}: failures are told apart by English words, and others count as \
                 defects; set it to C",
                self.messages
            ));
        }
        if !self.is_durable {
            warnings.push(
                "the database has fsync or synchronous_commit off: a crash takes back what was answered".to_owned(),
            );
        }
        if self.ends_idle_sessions {
            warnings.push(
                "the database ends idle connections (idle_session_timeout), and the next request on each fails"
                    .to_owned(),
            );
        }
    }
}

/// A database at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// How its schema compares with ours.
    pub schema: SchemaState,
    /// How many seconds its clock is ahead of ours; 0 on SQLite.
    pub clock_offset_seconds: i64,
    /// Whether another instance on it is set up differently.
    pub others_differ: bool,
}

#[derive(QueryableByName)]
struct PgVitals {
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
    #[diesel(sql_type = BigInt)]
    setups: i64,
    #[diesel(sql_type = Moment)]
    time: Timestamp,
}

/// A role sees the names of its own connections without any privilege.
const PG_VITALS: &str = "\
SELECT current_setting('transaction_read_only') = 'on' AS is_read_only, clock_timestamp() AS time, \
    (SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE datname = current_database() \
        AND usename = current_user AND application_name LIKE 'signet/%') AS setups";

/// Takes a database's vitals at `now`, by our clock. A session that cannot write is an error, so that its connection is
/// not kept: it would stay so for as long as it lives, also when the database can be written again.
pub(super) fn vitals(conn: &mut Conn, now: Timestamp) -> QueryResult<Vitals> {
    let schema = migrations::state_of(conn)?;
    match conn {
        Conn::Pg(c) => {
            let PgVitals { is_read_only, setups, time } = diesel::sql_query(PG_VITALS).get_result(c)?;
            if is_read_only {
                let words = Box::new("a session that cannot write: a read-only transaction".to_owned());
                return Err(Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, words));
            }
            let clock_offset_seconds = time.as_seconds() - now.as_seconds();
            Ok(Vitals { schema, clock_offset_seconds, others_differ: setups > 1 })
        }
        // A file that cannot be written refused the transaction that this runs in.
        Conn::Sqlite(_) => Ok(Vitals { schema, clock_offset_seconds: 0, others_differ: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(change: impl FnOnce(&mut PgFacts)) -> (Vec<String>, Vec<String>) {
        let mut facts = PgFacts {
            encoding: "UTF8".to_owned(),
            messages: "en_US.UTF-8".to_owned(),
            is_standby: false,
            is_read_only: false,
            is_durable: true,
            ends_idle_sessions: false,
            connections: 97,
            denied: None,
            time: Timestamp::from_micros(0),
        };
        change(&mut facts);
        let (errors, warnings, schema) = (Vec::new(), Vec::new(), SchemaState::Current);
        let mut inspection = Inspection { schema, errors, warnings, time: None };
        facts.judge(8, &mut inspection);
        (inspection.errors, inspection.warnings)
    }

    #[test]
    fn each_fact_that_keeps_the_service_from_working_is_an_error() {
        assert_eq!(judged(|_| {}), (vec![], vec![]));
        let error = |change: fn(&mut PgFacts)| judged(change).0.pop().expect("an error");
        assert!(error(|facts| facts.is_standby = true).contains("a standby"));
        assert!(error(|facts| facts.is_read_only = true).contains("read-only"));
        assert!(error(|facts| facts.encoding = "SQL_ASCII".to_owned()).contains("SQL_ASCII"));
        assert!(error(|facts| facts.denied = Some("users".to_owned())).contains("may not write to: users"));
        assert!(error(|facts| facts.connections = 7).contains("8 is more than the 7"));
    }

    #[test]
    fn each_fact_that_is_unwise_is_a_warning() {
        let warning = |change: fn(&mut PgFacts)| judged(change).1.pop().expect("a warning");
        assert!(warning(|facts| facts.messages = "de_DE.UTF-8".to_owned()).contains("lc_messages is de_DE.UTF-8"));
        assert!(warning(|facts| facts.is_durable = false).contains("fsync"));
        assert!(warning(|facts| facts.ends_idle_sessions = true).contains("idle_session_timeout"));
    }
}
