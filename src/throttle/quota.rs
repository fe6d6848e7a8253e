//! The way of a registration, or of a stranger's wish for a mail, through the limits: counted before anything is done, and
//! whatever becomes of it. Each answer to a registration may tell whether an address has an account, and each mail costs.

use diesel::QueryResult;

use super::bucket::{Bucket, BucketId, Limit, Refusal};
use super::rules::State;
use super::source::{Source, Whence};
use super::{record_reached, refuse, store};
use crate::account::UserId;
use crate::account::email::Email;
use crate::app::App;
use crate::config::{Config, ThrottleConfig};
use crate::db::Tx;
use crate::error::Result;
use crate::http::origin::Origin;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// An account is to be opened.
    Registration,
    /// A mail is to be sent to an address that anybody can know.
    Mail,
}

impl Counted {
    /// Per address, per prefix, and overall.
    fn limits(self) -> [Limit; 3] {
        match self {
            Self::Registration => [Limit::RegistrationsPerAddress, Limit::RegistrationsPerPrefix, Limit::Registrations],
            Self::Mail => [Limit::MailsPerAddress, Limit::MailsPerPrefix, Limit::Mails],
        }
    }
}

/// Counts one.
///
/// # Errors
/// [`Error::TooManyRequests`](crate::error::Error::TooManyRequests), or the database's.
pub async fn admit(app: &App, counted: Counted, from: &Origin) -> Result<()> {
    let buckets = buckets(counted, &app.config, from);
    if buckets.is_empty() {
        return Ok(());
    }
    // Whoever is refused takes no lock: an attack must not hold up those who are not.
    let looking = buckets.clone();
    let refusal = app.db.read("throttle.look_at_quota", move |tx| look(tx, &looking)).await?;
    if let Some(refusal) = refusal {
        return Err(refuse(app, refusal));
    }
    let from = from.clone();
    let refusal = app.db.tx("throttle.count_quota", move |tx| count(tx, &buckets, &from)).await?;
    refusal.map_or(Ok(()), |refusal| Err(refuse(app, refusal)))
}

fn buckets(counted: Counted, config: &Config, from: &Origin) -> Vec<Bucket> {
    let whence = Whence::of(from.address, config);
    if !config.throttle.enabled || whence == Whence::Exempt {
        return Vec::new();
    }
    let bucket = |limit, whom: &[&str]| Bucket::new(limit, &config.throttle, whom);
    let [per_address, per_prefix, overall] = counted.limits();
    let mut buckets = vec![bucket(overall, &[])];
    if let Whence::Source(Source { address, prefix }) = whence {
        buckets.push(bucket(per_address, &[&address.to_string()]));
        buckets.push(bucket(per_prefix, &[&prefix.to_string()]));
    }
    buckets.sort_unstable_by_key(|bucket| bucket.id);
    buckets
}

/// Counts a mail that strangers have sent to somebody, as it is about to be sent; whether the limit admits it. Nobody is told:
/// whoever asked for it was answered long before.
///
/// # Errors
/// The database's.
pub(crate) fn count_mail_to(
    tx: &mut Tx<'_>,
    config: &ThrottleConfig,
    user: UserId,
    email: &Email,
) -> QueryResult<bool> {
    if !config.enabled {
        return Ok(true);
    }
    let bucket = Bucket::new(Limit::MailsPerAddressee, config, &[email.key()]);
    Ok(count_for(tx, &[bucket], Some(user), &Origin::default())?.is_none())
}

fn look(tx: &mut Tx<'_>, buckets: &[Bucket]) -> QueryResult<Option<Refusal>> {
    let states = store::read_buckets(tx, &ids(buckets))?;
    Ok(judge(tx, buckets, &states))
}

/// Only if all admit it, none counts it otherwise.
fn count(tx: &mut Tx<'_>, buckets: &[Bucket], from: &Origin) -> QueryResult<Option<Refusal>> {
    count_for(tx, buckets, None, from)
}

fn count_for(tx: &mut Tx<'_>, buckets: &[Bucket], user: Option<UserId>, from: &Origin) -> QueryResult<Option<Refusal>> {
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
    record_reached(tx, from, user, &reached)?;
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
