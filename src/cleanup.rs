//! What leaves by itself: sessions that have ended, one-time tokens and second steps that have expired, audit events that are
//! older than they are kept for, attempts that are forgotten, devices and addresses that were not seen for long, API keys that
//! have ended, accounts that were deleted and whose time is over, webhooks that nobody sends any more, and answers that were
//! kept for whoever asks again.
//!
//! In small batches with pauses between them, by one instance at a time ([`Leader`]), on a connection outside the pool.
//!
//! When a session ends by idling is written into it anew by every rotation, so no index may carry it: ended sessions are
//! found by a walk over the primary key that reads every session and locks none. Audit events are a range of ids, which
//! sort by time.

use std::time::{Duration, Instant};

use diesel::QueryResult;

use crate::account::{deletion, one_time};
use crate::api_key::{self, ApiKeyId, SourceId};
use crate::app::App;
use crate::audit::{self, EventId};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::db::{self, Db, Leader, Tx};
use crate::http::idempotency;
use crate::metrics::Metrics;
use crate::mfa;
use crate::session::{self, SessionId};
use crate::throttle::bucket::BucketId;
use crate::throttle::{self, KnownSourceId};
use crate::token::schedule::CLOCK_SKEW;
use crate::webhook;

/// Names this work among the advisory locks of a database: `sgclean` in ASCII.
pub const LOCK: i64 = 0x73_6763_6c65_616e;

/// Rows that are looked at with one statement.
const LOOK: i64 = 500;
/// Rows that are removed in one transaction: some milliseconds of SQLite's only writer.
const BATCH: usize = 100;
/// Accounts that go in one transaction, each with whatever is left of it.
const USERS_AT_ONCE: i64 = 10;
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
    throttles: Timestamp,
    known_sources: Timestamp,
    /// What says itself when it is over.
    expired: Timestamp,
    webhook_deliveries: Timestamp,
}

impl Limits {
    /// The limits at `now`.
    pub fn at(now: Timestamp, config: &Config) -> Self {
        let (known_for, webhooks) = (config.throttle.known_for.0, config.webhooks.retention.0);
        let config = &config.cleanup;
        let audit_retention = config.audit_retention.0;
        Self {
            sessions: now - config.session_retention.0,
            audit_events: (!audit_retention.is_zero()).then(|| now - audit_retention),
            // No instance whose clock is behind remembers what others have forgotten for so long.
            throttles: now - CLOCK_SKEW,
            known_sources: now - known_for - CLOCK_SKEW,
            // Every instance has refused it by then.
            expired: now - CLOCK_SKEW,
            webhook_deliveries: now - webhooks,
        }
    }
}

/// How many rows a pass removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the tables")]
pub struct Removed {
    pub sessions: usize,
    pub audit_events: usize,
    pub one_time_tokens: usize,
    pub second_factors: usize,
    pub throttles: usize,
    pub known_sources: usize,
    pub api_keys: usize,
    pub api_key_sources: usize,
    pub users: usize,
    pub webhook_deliveries: usize,
    pub idempotency_keys: usize,
}

impl Removed {
    /// Nothing.
    pub const NOTHING: Self = Self {
        sessions: 0,
        audit_events: 0,
        one_time_tokens: 0,
        second_factors: 0,
        throttles: 0,
        known_sources: 0,
        api_keys: 0,
        api_key_sources: 0,
        users: 0,
        webhook_deliveries: 0,
        idempotency_keys: 0,
    };
}

/// Makes a pass now and then, until it is dropped.
pub async fn run(app: &App) {
    let config = &app.config.cleanup;
    let mut was_well = true;
    tokio::time::sleep(config.interval.0.min(SHORT_WAIT)).await;
    loop {
        let outcome = pass(&app.db, &app.config, &app.clock, &app.metrics).await;
        let is_well = match outcome {
            Ok(Some(Removed::NOTHING) | None) => true,
            Ok(Some(removed)) => {
                let Removed { sessions, audit_events, one_time_tokens, throttles, known_sources, .. } = removed;
                tracing::info!(
                    sessions,
                    audit_events,
                    one_time_tokens,
                    throttles,
                    known_sources,
                    second_factors = removed.second_factors,
                    api_keys = removed.api_keys,
                    api_key_sources = removed.api_key_sources,
                    users = removed.users,
                    webhook_deliveries = removed.webhook_deliveries,
                    idempotency_keys = removed.idempotency_keys,
                    "removed what has ended"
                );
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
pub async fn pass(db: &Db, config: &Config, clock: &Clock, metrics: &Metrics) -> Result<Option<Removed>, Error> {
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

async fn attempt(db: &Db, config: &Config, clock: &Clock, metrics: &Metrics) -> Result<Option<Removed>, Error> {
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
    let Limits { sessions, audit_events, throttles, known_sources, webhook_deliveries, .. } = limits;
    let table = Table { name: "sessions", units: ["cleanup.look_at_sessions", "cleanup.sessions"], metrics };
    let sessions = table
        .sweep(
            leader,
            SessionId::least(BEGINNING),
            move |tx, after| session::look_for_ended(tx, after, sessions, LOOK),
            move |tx, ids| session::delete_ended(tx, ids, sessions),
        )
        .await?;
    let audit_events = match audit_events {
        Some(before) => sweep_audit_events(leader, before, metrics).await?,
        None => 0,
    };
    let one_time_tokens = sweep_one_time_tokens(leader, limits.sessions, metrics).await?;
    let delete = move |tx: &mut Tx<'_>| mfa::delete_over(tx, limits.sessions, BATCH as i64);
    let second_factors = in_batches(leader, "second_factors", "cleanup.second_factors", metrics, delete).await?;
    let table = Table { name: "throttles", units: ["cleanup.look_at_throttles", "cleanup.throttles"], metrics };
    let throttles = table
        .sweep(
            leader,
            BucketId::FIRST,
            move |tx, after| throttle::look_for_clear(tx, after, throttles, LOOK),
            move |tx, ids| throttle::delete_clear(tx, ids, throttles),
        )
        .await?;
    let table =
        Table { name: "known_sources", units: ["cleanup.look_at_known_sources", "cleanup.known_sources"], metrics };
    let known_sources = table
        .sweep(
            leader,
            KnownSourceId::least(BEGINNING),
            move |tx, after| throttle::look_for_unseen(tx, after, known_sources, LOOK),
            move |tx, ids| throttle::delete_unseen(tx, ids, known_sources),
        )
        .await?;
    let (api_keys, api_key_sources) = sweep_api_keys(leader, limits, metrics).await?;
    // Found by an index that has only the deleted ones in it.
    let purge = move |tx: &mut Tx<'_>| deletion::purge_due(tx, limits.expired, USERS_AT_ONCE);
    let users = in_batches(leader, "users", "cleanup.users", metrics, purge).await?;
    let delete = move |tx: &mut Tx<'_>| webhook::delete_old(tx, webhook_deliveries, BATCH as i64);
    let webhook_deliveries =
        in_batches(leader, "webhook_deliveries", "cleanup.webhook_deliveries", metrics, delete).await?;
    let delete = move |tx: &mut Tx<'_>| idempotency::delete_expired(tx, limits.expired, BATCH as i64);
    let idempotency_keys = in_batches(leader, "idempotency_keys", "cleanup.idempotency_keys", metrics, delete).await?;
    Ok(Removed {
        sessions,
        audit_events,
        one_time_tokens,
        second_factors,
        throttles,
        known_sources,
        api_keys,
        api_key_sources,
        users,
        webhook_deliveries,
        idempotency_keys,
    })
}

/// Keys that have ended stay for as long as sessions that have; where a key was used from is forgotten as devices are.
async fn sweep_api_keys(leader: &mut Leader, limits: Limits, metrics: &Metrics) -> Result<(usize, usize), db::Error> {
    let Limits { sessions: ended, known_sources: unseen, .. } = limits;
    let table = Table { name: "api_keys", units: ["cleanup.look_at_api_keys", "cleanup.api_keys"], metrics };
    let keys = table
        .sweep(
            leader,
            ApiKeyId::least(BEGINNING),
            move |tx, after| api_key::look_for_ended(tx, after, ended, LOOK),
            move |tx, ids| api_key::delete_ended(tx, ids, ended),
        )
        .await?;
    let units = ["cleanup.look_at_api_key_sources", "cleanup.api_key_sources"];
    let table = Table { name: "api_key_sources", units, metrics };
    let sources = table
        .sweep(
            leader,
            SourceId::least(BEGINNING),
            move |tx, after| api_key::look_for_unseen_sources(tx, after, unseen, LOOK),
            move |tx, ids| api_key::delete_unseen_sources(tx, ids, unseen),
        )
        .await?;
    Ok((keys, sources))
}

/// A table that rows leave.
struct Table<'a> {
    name: &'static str,
    /// Names of the units of work that look and that remove.
    units: [&'static str; 2],
    metrics: &'a Metrics,
}

impl Table<'_> {
    /// Walks over the primary key from `first` on: `look` gives the next rows and which of them are over, `delete` removes
    /// those.
    async fn sweep<Id: Copy + Send + 'static>(
        self,
        leader: &mut Leader,
        first: Id,
        look: impl Fn(&mut Tx<'_>, Id) -> QueryResult<Vec<(Id, bool)>> + Copy + Send + 'static,
        delete: impl Fn(&mut Tx<'_>, &[Id]) -> QueryResult<usize> + Copy + Send + 'static,
    ) -> Result<usize, db::Error> {
        let purged = self.metrics.purged_rows.with_label_values(&[self.name]);
        let [looking, removing] = self.units;
        let (mut after, mut removed) = (first, 0);
        loop {
            let begun = Instant::now();
            // From where the last look ended: from the beginning, each would wade through the remains of those before it.
            let found = leader.read(looking, move |tx| look(tx, after)).await?;
            let Some((last, _)) = found.last() else { return Ok(removed) };
            after = *last;
            let over: Vec<Id> = found.into_iter().filter_map(|(id, is_over)| is_over.then_some(id)).collect();
            rest(begun).await;
            for batch in over.chunks(BATCH) {
                let (begun, batch) = (Instant::now(), batch.to_vec());
                let gone = leader.tx(removing, move |tx| delete(tx, &batch)).await?;
                purged.inc_by(gone as u64);
                removed += gone;
                rest(begun).await;
            }
        }
    }
}

/// First the beginning of the chain, link by link; then what never had a place in it.
async fn sweep_audit_events(leader: &mut Leader, before: Timestamp, metrics: &Metrics) -> Result<usize, db::Error> {
    let sweep = move |tx: &mut Tx<'_>| audit::delete_old_links(tx, before, BATCH as i64);
    let sealed = in_batches(leader, "audit_events", "cleanup.sealed_events", metrics, sweep).await?;
    let table =
        Table { name: "audit_events", units: ["cleanup.look_at_audit_events", "cleanup.audit_events"], metrics };
    let look = move |tx: &mut Tx<'_>, after| audit::look_for_old_unsealed(tx, after, before);
    let delete = move |tx: &mut Tx<'_>, ids: &[EventId]| audit::delete_unsealed(tx, ids, before);
    Ok(sealed + table.sweep(leader, EventId::least(BEGINNING), look, delete).await?)
}

/// Invitations and changes of address that nobody wanted are counted with them. There are few of all: they replace each other.
async fn sweep_one_time_tokens(leader: &mut Leader, before: Timestamp, metrics: &Metrics) -> Result<usize, db::Error> {
    let sweep = move |tx: &mut Tx<'_>| one_time::delete_expired(tx, before, BATCH as i64);
    in_batches(leader, "one_time_tokens", "cleanup.one_time_tokens", metrics, sweep).await
}

/// Has `delete` remove as much as it does at once, until nothing is left to remove.
async fn in_batches(
    leader: &mut Leader,
    table: &str,
    unit: &'static str,
    metrics: &Metrics,
    delete: impl Fn(&mut Tx<'_>) -> QueryResult<usize> + Copy + Send + 'static,
) -> Result<usize, db::Error> {
    let purged = metrics.purged_rows.with_label_values(&[table]);
    let mut removed = 0;
    loop {
        let begun = Instant::now();
        let gone = leader.tx(unit, delete).await?;
        if gone == 0 {
            return Ok(removed);
        }
        purged.inc_by(gone as u64);
        removed += gone;
        rest(begun).await;
    }
}

const BEGINNING: Timestamp = Timestamp::from_micros(0);

async fn rest(begun: Instant) {
    tokio::time::sleep((begun.elapsed() * REST).min(LONGEST_REST)).await;
}
