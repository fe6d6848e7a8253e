//! What leaves by itself: sessions that have ended, and audit events that are older than they are kept for.
//!
//! In small batches with pauses between them, by one instance at a time ([`Leader`]), on a connection outside the pool.
//!
//! When a session ends by idling is written into it anew by every rotation, so no index may carry it: ended sessions are
//! found by a walk over the primary key that reads every session and locks none. Audit events are a range of ids, which
//! sort by time.

use std::time::{Duration, Instant};

use crate::app::App;
use crate::audit::{self, EventId};
use crate::clock::{Clock, Timestamp};
use crate::config::CleanupConfig;
use crate::db::{self, Db, Leader};
use crate::metrics::Metrics;
use crate::session::{self, SessionId};
use crate::token::schedule::CLOCK_SKEW;

/// Names this work among the advisory locks of a database: `sgclean` in ASCII.
pub const LOCK: i64 = 0x73_6763_6c65_616e;

/// Rows that are looked at with one statement.
const LOOK: i64 = 500;
/// Rows that are removed in one transaction: some milliseconds of SQLite's only writer.
const BATCH: usize = 100;
/// After each batch comes a rest of so many times what it took: a fifth of one core's time, whatever the machine.
const REST: u32 = 4;
/// No rest is longer.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// The first pass waits so long, for a service that has just started has better things to do; and so does a pass after
/// one that failed.
const SHORT_WAIT: Duration = Duration::from_secs(60);

/// Why nothing, or not all, was removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// By this clock everything may be over, by the database server's it is not.
    #[error("this machine's clock is {} s ahead of the database's: nothing is removed until they agree", ahead.as_secs())]
    Clock {
        /// By how much.
        ahead: Duration,
    },
    /// The database's.
    #[error(transparent)]
    Database(#[from] db::Error),
}

impl Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Clock { .. } => "clock",
            Self::Database(_) => "database",
        }
    }
}

/// Before when things must have ended to be removed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    sessions: Timestamp,
    /// `None`: events are kept for ever.
    audit_events: Option<Timestamp>,
}

impl Limits {
    /// The limits at `now`.
    pub fn at(now: Timestamp, config: &CleanupConfig) -> Self {
        let audit_retention = config.audit_retention.0;
        Self {
            sessions: now - config.session_retention.0,
            audit_events: (!audit_retention.is_zero()).then(|| now - audit_retention),
        }
    }
}

/// How many rows a pass removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the tables")]
pub struct Removed {
    pub sessions: usize,
    pub audit_events: usize,
}

/// Makes a pass now and then, until it is dropped.
pub async fn run(app: &App) {
    let config = &app.config.cleanup;
    let mut was_well = true;
    tokio::time::sleep(config.interval.0.min(SHORT_WAIT)).await;
    loop {
        let outcome = pass(&app.db, config, &app.clock, &app.metrics).await;
        let is_well = match outcome {
            Ok(Some(Removed { sessions: 0, audit_events: 0 }) | None) => true,
            Ok(Some(Removed { sessions, audit_events })) => {
                tracing::info!(sessions, audit_events, "removed what has ended");
                true
            }
            // One line for an outage, however long it is.
            Err(error) if was_well => {
                tracing::warn!(%error, "what has ended could not be removed; trying again");
                false
            }
            Err(error) => {
                tracing::debug!(%error, "what has ended could not be removed");
                false
            }
        };
        was_well = is_well;
        let wait = if is_well { config.interval.0 } else { config.interval.0.min(SHORT_WAIT) };
        tokio::time::sleep(wait).await;
    }
}

/// Removes all that may go by now; `None` if another instance is at it.
///
/// # Errors
/// See [`Error`]; what was removed until then stays removed.
pub async fn pass(db: &Db, config: &CleanupConfig, clock: &Clock, metrics: &Metrics) -> Result<Option<Removed>, Error> {
    let begun = Instant::now();
    let outcome = attempt(db, config, clock, metrics).await;
    match &outcome {
        Ok(None) => {}
        Ok(Some(_)) => {
            metrics.purge_duration.set(begun.elapsed().as_secs_f64());
            metrics.purge_last_success.set(clock.now().as_seconds());
        }
        Err(error) => metrics.purge_failures.with_label_values(&[error.reason()]).inc(),
    }
    outcome
}

async fn attempt(db: &Db, config: &CleanupConfig, clock: &Clock, metrics: &Metrics) -> Result<Option<Removed>, Error> {
    let Some(mut leader) = db.lead(LOCK).await? else { return Ok(None) };
    // One reading for the whole pass: the one that was compared.
    let now = clock.now();
    if let Some(there) = leader.server_time().await? {
        let ahead = now.since(there);
        if ahead > CLOCK_SKEW {
            return Err(Error::Clock { ahead });
        }
    }
    Ok(Some(sweep(&mut leader, Limits::at(now, config), metrics).await?))
}

/// Removes what is past its limit.
///
/// # Errors
/// The database's; what was removed until then stays removed.
pub async fn sweep(leader: &mut Leader, limits: Limits, metrics: &Metrics) -> Result<Removed, db::Error> {
    let sessions = sweep_sessions(leader, limits.sessions, metrics).await?;
    let audit_events = match limits.audit_events {
        Some(before) => sweep_audit_events(leader, before, metrics).await?,
        None => 0,
    };
    Ok(Removed { sessions, audit_events })
}

async fn sweep_sessions(leader: &mut Leader, before: Timestamp, metrics: &Metrics) -> Result<usize, db::Error> {
    let purged = metrics.purged_rows.with_label_values(&["sessions"]);
    let (mut after, mut removed) = (SessionId::least(BEGINNING), 0);
    loop {
        let begun = Instant::now();
        let look = move |tx: &mut db::Tx<'_>| session::look_for_ended(tx, after, before, LOOK);
        let found = leader.read("cleanup.look_at_sessions", look).await?;
        let Some((last, _)) = found.last() else { return Ok(removed) };
        after = *last;
        let ended: Vec<SessionId> = found.into_iter().filter_map(|(id, ended)| ended.then_some(id)).collect();
        rest(begun).await;
        for batch in ended.chunks(BATCH) {
            let (begun, batch) = (Instant::now(), batch.to_vec());
            let gone = leader.tx("cleanup.sessions", move |tx| session::delete_ended(tx, &batch, before)).await?;
            purged.inc_by(gone as u64);
            removed += gone;
            rest(begun).await;
        }
    }
}

async fn sweep_audit_events(leader: &mut Leader, before: Timestamp, metrics: &Metrics) -> Result<usize, db::Error> {
    let purged = metrics.purged_rows.with_label_values(&["audit_events"]);
    let (mut after, mut removed) = (EventId::least(BEGINNING), 0);
    loop {
        let begun = Instant::now();
        // From where the last batch ended: from the beginning, each would wade through the remains of those before it.
        let look = move |tx: &mut db::Tx<'_>| audit::look_for_older(tx, after, before, LOOK);
        let old = leader.read("cleanup.look_at_audit_events", look).await?;
        let Some(last) = old.last() else { return Ok(removed) };
        after = *last;
        rest(begun).await;
        for batch in old.chunks(BATCH) {
            let (begun, batch) = (Instant::now(), batch.to_vec());
            let gone = leader.tx("cleanup.audit_events", move |tx| audit::delete(tx, &batch)).await?;
            purged.inc_by(gone as u64);
            removed += gone;
            rest(begun).await;
        }
    }
}

const BEGINNING: Timestamp = Timestamp::from_micros(0);

async fn rest(begun: Instant) {
    tokio::time::sleep((begun.elapsed() * REST).min(LONGEST_REST)).await;
}
