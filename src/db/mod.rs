//! The database: `Db::tx` for a decision, `Db::single` for a decision that is one statement, `Db::read` for a look.
//!
//! Owns: the pool, transactions and their retries, the mapping of database errors.  Each use has a name, which is a
//! metric label.  Blocking calls run on blocking threads, never on an actix worker.

pub mod backup;
mod cached;
mod connection;
mod failure;
mod gather;
mod inspect;
mod leader;
pub mod migrations;
mod pulse;
pub(crate) mod schema;
pub mod types;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::SimpleConnection;
use r2d2::{Pool, PooledConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::field::Empty;

pub(crate) use cached::Cached;
pub(crate) use connection::on;
pub use connection::{Conn, Url};
use connection::{Manager, Pooled};
use failure::Failures;
pub use failure::Kind;
pub use gather::Gather;
pub(crate) use inspect::NAME_PREFIX;
pub use inspect::{Inspection, Vitals, inspect};
pub use leader::Leader;
pub use pulse::Pulse;
use pulse::Watch;
use writer::{Notes, Writer};

use crate::clock::{Clock, Timestamp};
use crate::metrics::{Hold, Metrics};
use crate::patience::within;
use crate::telemetry::SPANS;

/// What a unit of work sees: the connection and the one time that all of it happens at.
pub struct Tx<'c> {
    /// The connection, inside a transaction if the work asked for one.
    pub conn: &'c mut Conn,
    /// The time of this transaction. Everything it writes carries this and no other.
    pub now: Timestamp,
}

/// Why the database gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Every connection stayed busy for as long as a request may wait; nothing was begun.
    #[error("no database connection became free in time")]
    Overloaded,
    /// The database cannot be reached or cannot write now. If the work was being committed, it may have taken effect.
    #[error("the database is unavailable: {0}")]
    Unavailable(Outage),
    /// A defect in a statement or in the code around it; the transaction was rolled back.
    #[error("a database statement failed: {0}")]
    Failed(String),
}

impl Error {
    fn of_statement(error: &diesel::result::Error) -> Self {
        let words = error.to_string();
        match failure::of_statement(error) {
            Kind::Defect => Self::Failed(words),
            kind => Self::Unavailable(Outage { kind, words }),
        }
    }

    fn of_connecting(words: String) -> Self {
        Self::Unavailable(Outage { kind: failure::of_connecting(&words), words })
    }

    /// Whether what was begun took effect is unknown.
    fn silent(name: &str) -> Self {
        let words = format!("{name} did not finish within {DEADLINE:?}; its fate is unknown");
        Self::Unavailable(Outage { kind: Kind::Silent, words })
    }
}

/// Why the database cannot do its work now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{words}")]
pub struct Outage {
    /// For programs.
    pub kind: Kind,
    words: String,
}

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    url: Url,
    pool: Pool<Manager>,
    /// As many permits as connections, so that waiting is done here, asynchronously and in order of arrival.
    connections: Arc<Semaphore>,
    /// SQLite has one writer at a time; queueing for it here is fair, while its own busy handler sleeps and guesses.
    writer: Option<Writer>,
    max_wait: Duration,
    clock: Clock,
    metrics: Metrics,
    /// Why the last attempt to connect failed.
    trouble: Arc<Mutex<Option<String>>>,
    failures: Failures,
    watch: Watch,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Single,
    Transaction,
}

/// How long a request waits for work that was begun. A server that holds its connections but answers nothing cannot be
/// told to stop; the thread that waits for it keeps its turn until the connection ends, so no more than a pool of them
/// ever waits, and the request is answered meanwhile.
const DEADLINE: Duration = Duration::from_secs(12);

/// How often a transaction is begun before a serialization failure or deadlock is given up on.
const MAX_ATTEMPTS: u32 = 5;

impl Db {
    /// Opens a pool. No connection is made yet: a database that is away comes into use when it comes back.
    pub fn open(url: Url, pool_size: u32, max_wait: Duration, clock: Clock, metrics: Metrics) -> Self {
        let trouble = Arc::new(Mutex::new(None));
        let pool = Pool::builder()
            .max_size(pool_size)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .connection_timeout(max_wait)
            // Whoever waits in vain for a connection tells the reason; nobody else has to.
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Manager { url: url.clone(), trouble: Arc::clone(&trouble) });
        let permits = usize::try_from(pool_size).unwrap_or(1);
        let writer = matches!(url, Url::Sqlite(_)).then(Writer::new);
        metrics.database_pool_size.set(i64::from(pool_size));
        Self {
            shared: Arc::new(Shared {
                url,
                pool,
                connections: Arc::new(Semaphore::new(permits)),
                writer,
                max_wait,
                clock,
                failures: Failures::new(metrics.clone()),
                metrics,
                trouble,
                watch: Watch::default(),
            }),
        }
    }

    /// Whether each statement is a way to another process and back, so that one is worth more than several.
    pub fn is_remote(&self) -> bool {
        matches!(self.shared.url, Url::Postgres(_))
    }

    /// Runs `work` in one transaction and commits it if it returns `Ok`. It may run several times: a serialization
    /// failure or a deadlock begins it afresh.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tx<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(name, Mode::Transaction, work).await
    }

    /// Runs a decision that is one guarded statement and so needs no transaction of its own on Postgres: one round trip.
    /// (On SQLite it has one all the same: a statement by itself commits there only when its last step is done or it is
    /// reset, and Diesel, which has the row that it wants, never hears that this failed. A full disk would take back what
    /// was answered.)
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn single<T: Send + 'static>(
        &self,
        name: &'static str,
        statement: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(name, Mode::Single, statement).await
    }

    /// Runs queries that change nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        query: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(name, Mode::Read, query).await
    }

    /// Writes SQLite's log into its file, so that the file by itself is the whole database. Postgres looks after its own.
    ///
    /// # Errors
    /// See [`Error`]; nothing is lost then, for the log is read when the file is opened again.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        if matches!(self.shared.url, Url::Postgres(_)) {
            return Ok(());
        }
        self.run("db.checkpoint", Mode::Read, |tx| on!(tx.conn, |c| c.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")))
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        mode: Mode,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let result = match (&self.shared.writer, mode) {
            (Some(writer), Mode::Single | Mode::Transaction) => self.run_together(writer, name, mode, work).await,
            (Some(_), Mode::Read) | (None, _) => self.run_alone(name, mode, work).await,
        };
        match &result {
            Ok(_) => self.shared.watch.succeeded(),
            Err(Error::Overloaded) => self.shared.failures.note(Kind::Busy, name, ""),
            Err(Error::Unavailable(Outage { kind, words })) => self.shared.failures.note(*kind, name, words),
            Err(Error::Failed(words)) => self.shared.failures.note(Kind::Defect, name, words),
        }
        result
    }

    /// On a connection of its own.
    async fn run_alone<T: Send + 'static>(
        &self,
        name: &'static str,
        mode: Mode,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let Notes { span, wait, duration, retries } = self.shared.notes(name, mode);
        let Some(turn) = within(self.shared.max_wait, self.connection()).await else {
            span.record("otel.status_code", "error");
            return Err(Error::Overloaded);
        };
        span.record("signet.wait_us", wait.stop_and_record() * 1e6);

        let shared = Arc::clone(&self.shared);
        // A request that goes away does not take the work with it: once begun, it is finished and the turn given back.
        let blocking = tokio::task::spawn_blocking(move || {
            let (_turn, _timer) = (turn, duration.start_timer());
            span.in_scope(|| {
                let (outcome, again) = shared.run(mode, &work);
                retries.inc_by(again.into());
                span.record("signet.retries", again);
                outcome.inspect_err(|_| {
                    span.record("otel.status_code", "error");
                })
            })
        });
        match within(DEADLINE, blocking).await {
            Some(Ok(result)) => result,
            Some(Err(panicked)) => Err(Error::Failed(format!("{name} did not finish: {panicked}"))),
            None => Err(Error::silent(name)),
        }
    }

    async fn connection(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.shared.connections).acquire_owned().await.expect(OPEN)
    }
}

const OPEN: &str = "the semaphores live as long as the pool and are never closed";

impl Shared {
    /// What is noted of a unit of work from its beginning on.
    fn notes(&self, name: &'static str, mode: Mode) -> Notes {
        Notes {
            span: self.span(name, mode),
            wait: self.metrics.database_wait.start_timer(),
            duration: self.metrics.database_transactions.with_label_values(&[name]),
            // Made with the first use of the name: a counter that begins at one hides its first step from `rate`.
            retries: self.metrics.database_retries.with_label_values(&[name]),
        }
    }

    /// What a trace shows of a unit of work: its kind and name, how long it waited for its turn, how often it was begun
    /// afresh. Without a trace, the span of the request, so that what is logged meanwhile has its id.
    fn span(&self, name: &str, mode: Mode) -> tracing::Span {
        let kind = match mode {
            Mode::Read => "read",
            Mode::Single => "statement",
            Mode::Transaction => "transaction",
        };
        let system = match self.url {
            Url::Postgres(_) => "postgresql",
            Url::Sqlite(_) => "sqlite",
        };
        tracing::info_span!(
            target: SPANS,
            "transaction",
            otel.name = %format_args!("{kind} {name}"),
            db.system.name = system,
            signet.wait_us = Empty,
            signet.retries = Empty,
            otel.status_code = Empty,
        )
        .or_current()
    }

    /// Runs `work`, afresh as often as the database asks for it; tells how often that was.
    fn run<T>(&self, mode: Mode, mut work: impl FnMut(&mut Tx<'_>) -> QueryResult<T>) -> (Result<T, Error>, u32) {
        let _in_use = self.metrics.database_connections_in_use.hold();
        let mut retries = 0;
        loop {
            let mut pooled = match self.checked_out() {
                Ok(pooled) => pooled,
                Err(error) => return (Err(error), retries),
            };
            let error = match self.attempt(&mut pooled, mode, &mut work) {
                Ok(value) => return (Ok(value), retries),
                Err(error) => error,
            };
            let kind = failure::of_statement(&error);
            if kind == Kind::Conflict && retries + 1 < MAX_ATTEMPTS {
                retries += 1;
                continue;
            }
            pooled.lost |= kind.ends_connection();
            return (Err(Error::of_statement(&error)), retries);
        }
    }

    fn checked_out(&self) -> Result<PooledConnection<Manager>, Error> {
        self.pool.get().map_err(|error| {
            let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Error::of_connecting(trouble.unwrap_or_else(|| error.to_string()))
        })
    }

    fn attempt<T>(
        &self,
        pooled: &mut Pooled,
        mode: Mode,
        mut work: impl FnMut(&mut Tx<'_>) -> QueryResult<T>,
    ) -> QueryResult<T> {
        if mode != Mode::Transaction {
            return work(&mut Tx { conn: &mut pooled.conn, now: self.clock.now() });
        }
        pooled.conn.begin()?;
        // Read after BEGIN: SQLite's waits for the write lock, and what happens under the lock happens at this time.
        let now = self.clock.now();
        match work(&mut Tx { conn: &mut pooled.conn, now }) {
            Ok(value) => pooled.conn.commit().map(|()| value),
            Err(error) => {
                if let Err(rollback) = pooled.conn.rollback() {
                    tracing::debug!(%rollback, "could not roll back; the connection is given up");
                    pooled.lost = true;
                }
                Err(error)
            }
        }
    }
}
