//! The database: `Db::tx` for a decision, `Db::single` for a decision that is one statement, `Db::read` for a look.
//!
//! Owns: the pool, transactions and their retries, the mapping of database errors.  Each use has a name, which is a
//! metric label.  Blocking calls run on blocking threads, never on an actix worker.

pub mod backup;
mod cached;
mod connection;
mod failure;
mod inspect;
mod leader;
pub mod migrations;
mod pulse;
pub(crate) mod schema;
pub mod types;

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
pub(crate) use inspect::NAME_PREFIX;
pub use inspect::{Inspection, Vitals, inspect};
pub use leader::Leader;
pub use pulse::Pulse;
use pulse::Watch;

use crate::clock::{Clock, Timestamp};
use crate::metrics::{Hold, Metrics};
use crate::telemetry::SPANS;

/// What a unit of work sees: the connection and the one time that all of it happens at.
pub struct Tx<'c> {
    /// The connection, inside a transaction if the work asked for one.
    pub conn: &'c mut Conn,
    /// The time of this transaction. Everything it writes carries this and no other.
    pub now: Timestamp,
}

/// Why the database gave no result.
#[derive(Debug, thiserror::Error)]
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
    writer: Option<Arc<Semaphore>>,
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
        let writer = matches!(url, Url::Sqlite(_)).then(|| Arc::new(Semaphore::new(1)));
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

    /// Where the database is.
    pub fn url(&self) -> &Url {
        &self.shared.url
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
        let result = self.run_in_turn(name, mode, work).await;
        match &result {
            Ok(_) => self.shared.watch.succeeded(),
            Err(Error::Overloaded) => self.shared.failures.note(Kind::Busy, name, ""),
            Err(Error::Unavailable(Outage { kind, words })) => self.shared.failures.note(*kind, name, words),
            Err(Error::Failed(words)) => self.shared.failures.note(Kind::Defect, name, words),
        }
        result
    }

    async fn run_in_turn<T: Send + 'static>(
        &self,
        name: &'static str,
        mode: Mode,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let span = self.shared.span(name, mode);
        let wait = self.shared.metrics.database_wait.start_timer();
        let Ok(turn) = tokio::time::timeout(self.shared.max_wait, self.turn(mode)).await else {
            span.record("otel.status_code", "error");
            return Err(Error::Overloaded);
        };
        span.record("signet.wait_us", wait.stop_and_record() * 1e6);

        let shared = Arc::clone(&self.shared);
        // A request that goes away does not take the work with it: once begun, it is finished and the turn given back.
        let blocking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            span.in_scope(|| {
                shared.run(name, mode, &work).inspect_err(|_| {
                    tracing::Span::current().record("otel.status_code", "error");
                })
            })
        });
        match tokio::time::timeout(DEADLINE, blocking).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(Error::Failed(format!("{name} did not finish: {panicked}"))),
            Err(_) => Err(Error::silent(name)),
        }
    }

    async fn turn(&self, mode: Mode) -> (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit) {
        let writer = self.shared.writer_turn(mode).await;
        (writer, Arc::clone(&self.shared.connections).acquire_owned().await.expect(OPEN))
    }
}

const OPEN: &str = "the semaphores live as long as the pool and are never closed";

impl Shared {
    /// SQLite's one turn to write, for work that writes.
    async fn writer_turn(&self, mode: Mode) -> Option<OwnedSemaphorePermit> {
        match (&self.writer, mode) {
            (Some(writer), Mode::Single | Mode::Transaction) => {
                Some(Arc::clone(writer).acquire_owned().await.expect(OPEN))
            }
            (Some(_), Mode::Read) | (None, _) => None,
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

    fn run<T>(
        &self,
        name: &'static str,
        mode: Mode,
        work: &impl Fn(&mut Tx<'_>) -> QueryResult<T>,
    ) -> Result<T, Error> {
        let _in_use = self.metrics.database_connections_in_use.hold();
        let _timer = self.metrics.database_transactions.with_label_values(&[name]).start_timer();
        // Made with the first use of the name: a counter that begins at one hides its first step from `rate`.
        let retries = self.metrics.database_retries.with_label_values(&[name]);
        let mut attempt = 1;
        loop {
            let mut pooled = self.connection()?;
            let outcome = self.attempt(&mut pooled, mode, work);
            tracing::Span::current().record("signet.retries", attempt - 1);
            let error = match outcome {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let kind = failure::of_statement(&error);
            if kind == Kind::Conflict && attempt < MAX_ATTEMPTS {
                retries.inc();
                attempt += 1;
                continue;
            }
            pooled.lost |= kind.ends_connection();
            return Err(Error::of_statement(&error));
        }
    }

    fn connection(&self) -> Result<PooledConnection<Manager>, Error> {
        self.pool.get().map_err(|error| {
            let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Error::of_connecting(trouble.unwrap_or_else(|| error.to_string()))
        })
    }

    fn attempt<T>(
        &self,
        pooled: &mut Pooled,
        mode: Mode,
        work: &impl Fn(&mut Tx<'_>) -> QueryResult<T>,
    ) -> QueryResult<T> {
        // On SQLite a statement by itself commits only when its last step is done or it is reset, and Diesel, which has the
        // row that it wants, never hears that this failed: a full disk would take back what was answered.
        let is_within_transaction = match mode {
            Mode::Read => false,
            Mode::Single => self.writer.is_some(),
            Mode::Transaction => true,
        };
        if !is_within_transaction {
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
