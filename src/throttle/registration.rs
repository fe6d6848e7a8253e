//! A registration's way through the limits: counted before anything is hashed, whatever becomes of it, since each answer
//! also tells whether an address has an account.

use diesel::QueryResult;

use super::bucket::{Bucket, BucketId, Limit, Refusal};
use super::rules::State;
use super::source::{Source, Whence};
use super::{record_reached, refuse, store};
use crate::app::App;
use crate::config::Config;
use crate::db::Tx;
use crate::error::Result;
use crate::http::origin::Origin;

/// Counts a registration.
///
/// # Errors
/// [`Error::TooManyRequests`](crate::error::Error::TooManyRequests), or the database's.
pub async fn admit(app: &App, from: &Origin) -> Result<()> {
    let buckets = buckets(&app.config, from);
    if buckets.is_empty() {
        return Ok(());
    }
    // Whoever is refused takes no lock: an attack must not hold up those who are not.
    let looking = buckets.clone();
    let refusal = app.db.read("throttle.look_at_registrations", move |tx| look(tx, &looking)).await?;
    if let Some(refusal) = refusal {
        return Err(refuse(app, refusal));
    }
    let from = from.clone();
    let refusal = app.db.tx("throttle.registration", move |tx| count(tx, &buckets, &from)).await?;
    refusal.map_or(Ok(()), |refusal| Err(refuse(app, refusal)))
}

fn buckets(config: &Config, from: &Origin) -> Vec<Bucket> {
    let whence = Whence::of(from.address, config);
    if !config.throttle.enabled || whence == Whence::Exempt {
        return Vec::new();
    }
    let bucket = |limit, whom: &[&str]| Bucket::new(limit, &config.throttle, whom);
    let mut buckets = vec![bucket(Limit::Registrations, &[])];
    if let Whence::Source(Source { address, prefix }) = whence {
        buckets.push(bucket(Limit::RegistrationsPerAddress, &[&address.to_string()]));
        buckets.push(bucket(Limit::RegistrationsPerPrefix, &[&prefix.to_string()]));
    }
    buckets.sort_unstable_by_key(|bucket| bucket.id);
    buckets
}

fn look(tx: &mut Tx<'_>, buckets: &[Bucket]) -> QueryResult<Option<Refusal>> {
    let states = store::read_buckets(tx, &ids(buckets))?;
    Ok(judge(tx, buckets, &states))
}

/// Only if all admit it, none counts it otherwise.
fn count(tx: &mut Tx<'_>, buckets: &[Bucket], from: &Origin) -> QueryResult<Option<Refusal>> {
    let states = store::lock_buckets(tx, &ids(buckets))?;
    if let Some(refusal) = judge(tx, buckets, &states) {
        return Ok(Some(refusal));
    }
    let (mut counted, mut reached) = (Vec::new(), Vec::new());
    for bucket in buckets {
        let mut state = bucket.rule.count(state_of(bucket, &states), tx.now);
        reached.extend(bucket.rule.closed_anew(&mut state, tx.now).map(|wait| (bucket.limit, wait)));
        counted.push((bucket.id, state));
    }
    store::write_buckets(tx, &counted)?;
    record_reached(tx, from, None, &reached)?;
    Ok(None)
}

fn judge(tx: &Tx<'_>, buckets: &[Bucket], states: &[(BucketId, State)]) -> Option<Refusal> {
    let refusals = buckets.iter().filter_map(|bucket| bucket.refusal(state_of(bucket, states), tx.now));
    refusals.max_by_key(Refusal::retry_after_seconds)
}

fn ids(buckets: &[Bucket]) -> Vec<BucketId> {
    buckets.iter().map(|bucket| bucket.id).collect()
}

fn state_of(bucket: &Bucket, states: &[(BucketId, State)]) -> State {
    states.iter().find(|(id, _)| *id == bucket.id).map_or(State::EMPTY, |(_, state)| *state)
}
