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

/// What rows leave: a table, or some that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the tables")]
pub enum Table {
    Sessions,
    AuditEvents,
    OneTimeTokens,
    SecondFactors,
    Throttles,
    KnownSources,
    ApiKeys,
    ApiKeySources,
    Users,
    WebhookDeliveries,
    IdempotencyKeys,
}

impl Table {
    /// The names in metrics, in the log and at the command line.
    pub const NAMES: [&str; 11] = [
        "sessions",
        "audit_events",
        "one_time_tokens",
        "second_factors",
        "throttles",
        "known_sources",
        "api_keys",
        "api_key_sources",
        "users",
        "webhook_deliveries",
        "idempotency_keys",
    ];

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// How many rows a pass removed, by table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed([usize; Table::NAMES.len()]);

impl Removed {
    /// How many left a table.
    pub fn of(&self, table: Table) -> usize {
        self.0[table as usize]
    }

    /// The same with so many more.
    #[must_use]
    pub fn with(mut self, table: Table, rows: usize) -> Self {
        self.0[table as usize] += rows;
        self
    }
}

/// `3 sessions, 12 throttles`; `nothing`.
impl std::fmt::Display for Removed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = Table::NAMES.iter().zip(self.0).filter(|(_, rows)| *rows > 0);
        let counts: Vec<String> = counts.map(|(name, rows)| format!("{rows} {name}")).collect();
        f.write_str(if counts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&counts.join(", "))
    }
}

/// Makes a pass now and then, until it is dropped.
pub async fn run(app: &App) {
    let config = &app.config.cleanup;
    let mut was_well = true;
    tokio::time::sleep(config.interval.0.min(SHORT_WAIT)).await;
    loop {
        let outcome = pass(&app.db, &app.config, &app.clock, &app.metrics).await;
        let is_well = match outcome {
            Ok(None) => true,
            Ok(Some(removed)) => {
                if removed != Removed::default() {
                    tracing::info!(%removed, "removed what has ended");
                }
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
    let Limits { sessions, throttles, known_sources, webhook_deliveries: deliveries, expired, .. } = limits;
    let mut pass = Pass { leader, metrics, removed: Removed::default() };
    pass.walk(
        Table::Sessions,
        ["cleanup.look_at_sessions", "cleanup.sessions"],
        SessionId::least(BEGINNING),
        sessions,
        session::look_for_ended,
        session::delete_ended,
    )
    .await?;
    if let Some(before) = limits.audit_events {
        sweep_audit_events(&mut pass, before).await?;
    }
    // Invitations and changes of address that nobody wanted are counted with them. There are few of all: they replace each other.
    pass.in_batches(Table::OneTimeTokens, "cleanup.one_time_tokens", sessions, one_time::delete_expired).await?;
    pass.in_batches(Table::SecondFactors, "cleanup.second_factors", sessions, mfa::delete_over).await?;
    pass.walk(
        Table::Throttles,
        ["cleanup.look_at_throttles", "cleanup.throttles"],
        BucketId::FIRST,
        throttles,
        throttle::look_for_clear,
        throttle::delete_clear,
    )
    .await?;
    pass.walk(
        Table::KnownSources,
        ["cleanup.look_at_known_sources", "cleanup.known_sources"],
        KnownSourceId::least(BEGINNING),
        known_sources,
        throttle::look_for_unseen,
        throttle::delete_unseen,
    )
    .await?;
    sweep_api_keys(&mut pass, limits).await?;
    // Found by an index that has only the deleted ones in it.
    let purge = |tx: &mut Tx<'_>, before, _| deletion::purge_due(tx, before, USERS_AT_ONCE);
    pass.in_batches(Table::Users, "cleanup.users", expired, purge).await?;
    pass.in_batches(Table::WebhookDeliveries, "cleanup.webhook_deliveries", deliveries, webhook::delete_old).await?;
    pass.in_batches(Table::IdempotencyKeys, "cleanup.idempotency_keys", expired, idempotency::delete_expired).await?;
    Ok(pass.removed)
}

/// Keys that have ended stay for as long as sessions that have; where a key was used from is forgotten as devices are.
async fn sweep_api_keys(pass: &mut Pass<'_>, limits: Limits) -> Result<(), db::Error> {
    pass.walk(
        Table::ApiKeys,
        ["cleanup.look_at_api_keys", "cleanup.api_keys"],
        ApiKeyId::least(BEGINNING),
        limits.sessions,
        api_key::look_for_ended,
        api_key::delete_ended,
    )
    .await?;
    pass.walk(
        Table::ApiKeySources,
        ["cleanup.look_at_api_key_sources", "cleanup.api_key_sources"],
        SourceId::least(BEGINNING),
        limits.known_sources,
        api_key::look_for_unseen_sources,
        api_key::delete_unseen_sources,
    )
    .await
}

/// First the beginning of the chain, link by link; then what never had a place in it.
async fn sweep_audit_events(pass: &mut Pass<'_>, before: Timestamp) -> Result<(), db::Error> {
    pass.in_batches(Table::AuditEvents, "cleanup.sealed_events", before, audit::delete_old_links).await?;
    pass.walk(
        Table::AuditEvents,
        ["cleanup.look_at_audit_events", "cleanup.audit_events"],
        EventId::least(BEGINNING),
        before,
        // A page of the trail is as long as sealing has it.
        |tx, after, before, _| audit::look_for_old_unsealed(tx, after, before),
        audit::delete_unsealed,
    )
    .await
}

/// The next rows after an id, so many at most, and of each whether it was over before a time.
type Look<Id> = fn(&mut Tx<'_>, Id, Timestamp, i64) -> QueryResult<Vec<(Id, bool)>>;
/// Removes those of the rows that were over before a time; how many.
type Delete<Id> = fn(&mut Tx<'_>, &[Id], Timestamp) -> QueryResult<usize>;

/// A pass under way.
struct Pass<'a> {
    leader: &'a mut Leader,
    metrics: &'a Metrics,
    removed: Removed,
}

impl Pass<'_> {
    /// Walks over the primary key from `first` on: looks at rows, and removes those that were over `before` then. The units of
    /// work are named for what looks and for what removes.
    async fn walk<Id: Copy + Send + 'static>(
        &mut self,
        table: Table,
        [looking, removing]: [&'static str; 2],
        first: Id,
        before: Timestamp,
        look: Look<Id>,
        delete: Delete<Id>,
    ) -> Result<(), db::Error> {
        let mut after = first;
        loop {
            let begun = Instant::now();
            // From where the last look ended: from the beginning, each would wade through the remains of those before it.
            let found = self.leader.read(looking, move |tx| look(tx, after, before, LOOK)).await?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            after = *last;
            let over: Vec<Id> = found.into_iter().filter_map(|(id, is_over)| is_over.then_some(id)).collect();
            rest(begun).await;
            for batch in over.chunks(BATCH) {
                let (begun, batch) = (Instant::now(), batch.to_vec());
                let gone = self.leader.tx(removing, move |tx| delete(tx, &batch, before)).await?;
                self.note(table, gone);
                rest(begun).await;
            }
        }
    }

    /// Has `delete` remove a batch of what was over `before` then, until nothing is left to remove.
    async fn in_batches(
        &mut self,
        table: Table,
        unit: &'static str,
        before: Timestamp,
        delete: fn(&mut Tx<'_>, Timestamp, i64) -> QueryResult<usize>,
    ) -> Result<(), db::Error> {
        loop {
            let begun = Instant::now();
            let gone = self.leader.tx(unit, move |tx| delete(tx, before, BATCH as i64)).await?;
            if gone == 0 {
                return Ok(());
            }
            self.note(table, gone);
            rest(begun).await;
        }
    }

    fn note(&mut self, table: Table, gone: usize) {
        self.metrics.purged_rows.with_label_values(&[table.name()]).inc_by(gone as u64);
        self.removed = self.removed.with(table, gone);
    }
}

const BEGINNING: Timestamp = Timestamp::from_micros(0);

async fn rest(begun: Instant) {
    tokio::time::sleep((begun.elapsed() * REST).min(LONGEST_REST)).await;
}
