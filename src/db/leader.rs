//! Work that one instance at a time does: a connection outside the pool that holds an advisory lock for as long as it lives.
//!
//! Requests never wait for this connection, and it never waits for one of theirs. The lock belongs to the connection:
//! whatever ends it, `kill -9` included, hands the lead on.  SQLite has one machine, and its write lock is enough.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::types::Moment;
use super::{Conn, DEADLINE, Db, Error, Kind, Mode, Outage, Pooled, Shared, Tx};
use crate::clock::Timestamp;
use crate::patience::within;

/// Ends the lead of a machine that is gone within half a minute, and of a process that was stopped within a minute.
/// Not every Postgres knows `idle_session_timeout`, hence the detour.
const HAND_ON_WHEN_GONE: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
    SET tcp_keepalives_count = 4; \
    SELECT set_config(name, '60s', false) FROM pg_settings WHERE name = 'idle_session_timeout'";

/// The lead in one kind of work, until this is dropped or its connection is lost.
pub struct Leader {
    shared: Arc<Shared>,
    /// `None` once it was lost.
    pooled: Option<Pooled>,
}

impl Db {
    /// Takes the lead in the work that `lock` stands for; `None` if another instance has it. No pooled connection is
    /// used.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn lead(&self, lock: i64) -> Result<Option<Leader>, Error> {
        let shared = Arc::clone(&self.shared);
        let connecting = tokio::task::spawn_blocking(move || -> Result<Option<Leader>, Error> {
            let conn = shared.url.connect().map_err(|error| Error::of_connecting(error.to_string()))?;
            let mut pooled = Pooled { conn, lost: false };
            let leads = take_lock(&mut pooled.conn, lock).map_err(|error| Error::of_statement(&error))?;
            Ok(leads.then_some(Leader { shared, pooled: Some(pooled) }))
        });
        finished("lead", connecting).await?
    }
}

fn take_lock(conn: &mut Conn, lock: i64) -> QueryResult<bool> {
    match conn {
        Conn::Sqlite(_) => Ok(true),
        Conn::Pg(c) => {
            c.batch_execute(HAND_ON_WHEN_GONE)?;
            diesel::select(diesel::dsl::sql::<Bool>(&format!("pg_try_advisory_lock({lock})"))).get_result(c)
        }
    }
}

impl Leader {
    /// Runs queries that change nothing.
    ///
    /// # Errors
    /// See [`Error`]. After any the lead is lost.
    pub async fn read<T: Send + 'static>(
        &mut self,
        name: &'static str,
        query: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(name, Mode::Read, query).await
    }

    /// Runs `work` in one transaction; it is not tried again.
    ///
    /// # Errors
    /// See [`Error`]. After any the lead is lost.
    pub async fn tx<T: Send + 'static>(
        &mut self,
        name: &'static str,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.run(name, Mode::Transaction, work).await
    }

    /// The database server's own time, if it has one: SQLite lives on our clock.
    ///
    /// # Errors
    /// See [`Error`]. After any the lead is lost.
    pub async fn server_time(&mut self) -> Result<Option<Timestamp>, Error> {
        self.read("leader.clock", |tx| clock_of(tx.conn)).await
    }

    async fn run<T: Send + 'static>(
        &mut self,
        name: &'static str,
        mode: Mode,
        work: impl Fn(&mut Tx<'_>) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        // In the same queue as the requests, so that on SQLite neither side has to wake up and guess.
        let turn = match (&self.shared.writer, mode) {
            (Some(writer), Mode::Single | Mode::Transaction) => {
                Some(within(self.shared.max_wait, writer.turn()).await.ok_or(Error::Overloaded)?)
            }
            (Some(_), Mode::Read) | (None, _) => None,
        };
        let mut pooled = self.pooled.take().ok_or_else(lead_was_lost)?;
        let shared = Arc::clone(&self.shared);
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let _timer = shared.metrics.database_transactions.with_label_values(&[name]).start_timer();
            let result = shared.attempt(&mut pooled, mode, work);
            (pooled, result)
        });
        let (pooled, result) = finished(name, working).await?;
        let value = result.map_err(|error| Error::of_statement(&error))?;
        self.pooled = Some(pooled);
        Ok(value)
    }
}

/// Waits for a thread, though not for ever: what it holds is given up with it.
async fn finished<T>(name: &'static str, working: tokio::task::JoinHandle<T>) -> Result<T, Error> {
    match within(DEADLINE, working).await {
        Some(Ok(value)) => Ok(value),
        Some(Err(panicked)) => Err(Error::Failed(format!("{name} did not finish: {panicked}"))),
        None => Err(Error::silent(name)),
    }
}

fn lead_was_lost() -> Error {
    Error::Unavailable(Outage { kind: Kind::Lost, words: "the lead was lost".to_owned() })
}

fn clock_of(conn: &mut Conn) -> QueryResult<Option<Timestamp>> {
    match conn {
        Conn::Sqlite(_) => Ok(None),
        Conn::Pg(c) => diesel::select(diesel::dsl::sql::<Moment>("clock_timestamp()")).get_result(c).map(Some),
    }
}
