//! Throttling: guesses at passwords, registrations and mails are counted in the database, so that all instances count together and
//! a restart forgets nothing. `docs/abuse.md` says which limits there are and why.
//!
//! [`rules`] is the arithmetic and [`source`] says who is who, both pure; [`bucket`] names what is counted; [`guess`] is a
//! password's way through the limits, [`quota`] that of a new account or a mail, [`acquaintance`] what an account knows of where it
//! is used.
//!
//! Owns: throttles, known_sources.  Emits: LimitReached.

mod acquaintance;
pub mod bucket;
pub mod device;
pub mod guess;
pub mod quota;
pub mod rules;
pub mod source;
mod store;

use diesel::QueryResult;

pub(crate) use self::acquaintance::Recognition;
use self::bucket::{BucketId, Limit, Refusal};
pub(crate) use self::store::{
    KnownSourceId, admits_none, delete_clear, delete_unseen, look_for_clear, look_for_unseen,
};
use crate::account::UserId;
use crate::account::email::Email;
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::Error;
use crate::http::origin::Origin;

/// Counts a refusal; the error to answer it with.
pub fn refuse(app: &App, refusal: Refusal) -> Error {
    app.metrics.throttled.with_label_values(&[refusal.limit.as_str()]).inc();
    Error::TooManyRequests(refusal)
}

/// Forgets what was counted against an account, and where from it was logged in to: for somebody whose identity was shown
/// in another way, and whose password is a new one.
pub(crate) fn start_over(tx: &mut Tx<'_>, email: &Email, user: UserId) -> QueryResult<()> {
    store::delete_bucket(tx, BucketId::of(Limit::Account.as_str(), &[email.key()]))?;
    store::delete_all_known(tx, user)
}

/// Forgets where from an account was logged in to.
pub(crate) fn forget_sources(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
    store::delete_all_known(tx, user)
}

/// Writes down the limits that were reached just now: once for each step of each, and not for each attempt after it.
fn record_reached(
    tx: &mut Tx<'_>,
    from: &Origin,
    user: Option<UserId>,
    reached: &[(Limit, std::time::Duration)],
) -> QueryResult<()> {
    for (limit, wait) in reached {
        let event = Event::LimitReached { user, limit: limit.as_str(), wait_seconds: wait.as_secs() };
        audit::record(tx, from, &event)?;
    }
    Ok(())
}
