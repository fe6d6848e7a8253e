//! The job that ties events to the chain.
//!
//! Requests write events and nothing else: if each had to know the digest before its own, they would wait for each other. One
//! instance at a time looks for events without a seal and gives them their places, a moment after they were committed.
//! An event that is committed late gets a later place, so the order of the chain is that in which events came into sight.

use std::time::{Duration, Instant};

use diesel::QueryResult;

use super::store::{self, Seal, SealDigest};
use super::{EventId, LATE, chain};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::{self, Db, Leader, Tx};
use crate::metrics::Metrics;

/// Names this work among the advisory locks of a database: `sgseal` in ASCII.
pub const LOCK: i64 = 0x7367_7365_616c;

/// Events that are sealed in one transaction: some milliseconds of SQLite's only writer.
const BATCH: usize = 200;
/// How often an instance that does not seal asks whether it may.
const ASK_FOR_LEAD: Duration = Duration::from_secs(20);
/// No rest between two batches is longer.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// No transaction that writes an event takes longer, unless the clock of its instance is behind.
const USUALLY_LATE: Duration = Duration::from_secs(15);
/// How often all of the time is looked at in which an event may come late.
const LOOK_AT_ALL: Duration = Duration::from_secs(10);
/// How often the head is told to the log, if it has moved.
const TELL_HEAD: Duration = Duration::from_secs(3600);

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many events were ever sealed.
    pub position: i64,
    /// Covers all of them.
    pub digest: SealDigest,
    /// When the last was sealed.
    pub sealed_at: Timestamp,
}

impl From<Seal> for Head {
    fn from(Seal { position, digest, sealed_at, .. }: Seal) -> Self {
        Self { position, digest, sealed_at }
    }
}

/// The end of the chain, if anything was sealed and is still there.
pub(crate) fn find_head(tx: &mut Tx<'_>) -> QueryResult<Option<Head>> {
    Ok(store::find_head(tx)?.map(Head::from))
}

/// Seals what comes, for as long as this instance has the lead; until it is dropped.
pub async fn run(app: &App) {
    let interval = app.config.audit.seal_interval.0;
    let mut told = Told { position: 0, at: None };
    loop {
        tokio::time::sleep(interval).await;
        match app.db.lead(LOCK).await {
            Ok(Some(mut leader)) => {
                // Whatever ends this, the database's own layer has counted and told.
                let mut looked_at_all: Option<Instant> = None;
                loop {
                    let is_due = looked_at_all.is_none_or(|at| at.elapsed() >= LOOK_AT_ALL);
                    let reach = if is_due { Reach::All } else { Reach::Usual };
                    let Ok(head) = pass(&mut leader, reach, &app.metrics).await else { break };
                    looked_at_all = if is_due { Some(Instant::now()) } else { looked_at_all };
                    app.metrics.audit_sealed.set(app.clock.now().as_seconds());
                    tell(head, &mut told);
                    tokio::time::sleep(interval).await;
                }
            }
            Ok(None) => tokio::time::sleep(ASK_FOR_LEAD.max(interval)).await,
            Err(_) => tokio::time::sleep(interval.max(ASK_FOR_LEAD / 4)).await,
        }
    }
}

/// What of the chain the log knows.
struct Told {
    position: i64,
    at: Option<Instant>,
}

/// Logs leave the machine, and so the head is noted where whoever has the database cannot change it.
fn tell(head: Option<Head>, told: &mut Told) {
    let Some(Head { position, digest, .. }) = head else { return };
    if position != told.position && told.at.is_none_or(|at| at.elapsed() >= TELL_HEAD) {
        tracing::info!(position, %digest, "the audit trail is sealed up to here");
        *told = Told { position, at: Some(Instant::now()) };
    }
}

/// Takes the lead and seals everything that can be sealed now; `None` if another instance has it.
///
/// # Errors
/// The database's.
pub async fn once(db: &Db, metrics: &Metrics) -> Result<Option<Option<Head>>, db::Error> {
    let Some(mut leader) = db.lead(LOCK).await? else { return Ok(None) };
    pass(&mut leader, Reach::All, metrics).await.map(Some)
}

/// How far back a pass looks for events that were committed late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// As far as any event is ever sealed.
    All,
    /// As far as events are late by nothing but a slow transaction: a look costs what was written in that time, and there is
    /// one each interval.
    Usual,
}

impl Reach {
    fn behind(self) -> Duration {
        match self {
            Self::All => LATE,
            Self::Usual => USUALLY_LATE,
        }
    }
}

/// Seals everything that can be sealed now; the head.
async fn pass(leader: &mut Leader, reach: Reach, metrics: &Metrics) -> Result<Option<Head>, db::Error> {
    loop {
        // On SQLite a look takes no turn from those who write.
        let Look { unsealed, lag, head } = leader.read("audit.look", move |tx| look(tx, reach)).await?;
        metrics.audit_seal_lag.set(lag);
        metrics.audit_head.set(head.map_or(0, |head| head.position));
        if unsealed.is_empty() {
            return Ok(head);
        }
        // What comes meanwhile can wait for the next pass: under load there is always something.
        let is_last = unsealed.len() < BATCH;
        let begun = Instant::now();
        let head = leader.tx("audit.seal", move |tx| seal(tx, &unsealed)).await?;
        if is_last {
            metrics.audit_seal_lag.set(0.0);
            metrics.audit_head.set(head.map_or(0, |head| head.position));
            return Ok(head);
        }
        // A trail of an earlier release is sealed as a whole: requests have half of the time meanwhile.
        tokio::time::sleep(begun.elapsed().min(LONGEST_REST)).await;
    }
}

/// What waits for its seal.
struct Look {
    /// The first of them, at most a batch.
    unsealed: Vec<EventId>,
    /// For how many seconds the oldest has waited.
    lag: f64,
    head: Option<Head>,
}

fn look(tx: &mut Tx<'_>, reach: Reach) -> QueryResult<Look> {
    let frontier = store::find_frontier(tx, reach.behind())?;
    let unsealed = store::look_for_unsealed(tx, frontier, BATCH)?;
    let lag = unsealed.first().map_or(0.0, |event| tx.now.since(event.time()).as_secs_f64());
    Ok(Look { unsealed, lag, head: find_head(tx)? })
}

/// Gives events their places at the end of the chain; the new head.
fn seal(tx: &mut Tx<'_>, events: &[EventId]) -> QueryResult<Option<Head>> {
    let head = store::find_head(tx)?;
    let (mut position, mut digest) = match head {
        Some(head) => (head.position, head.digest),
        None => {
            let anchor = store::find_anchor(tx)?;
            (anchor.position, anchor.digest)
        }
    };
    let mut seals = Vec::with_capacity(events.len());
    for event in store::find_unsealed(tx, events)? {
        position += 1;
        digest = SealDigest(chain::link(&digest.0, position, tx.now, &event.fields()));
        seals.push(Seal { position, event_id: event.id, digest, sealed_at: tx.now });
    }
    // Two who seal at once, against all leading, cannot both take a place: it is the primary key.
    store::insert_seals(tx, &seals)?;
    Ok(seals.last().copied().or(head).map(Head::from))
}
