//! The queries on `totp_factors`, `recovery_codes` and `mfa_challenges`.

use std::time::Duration;

use diesel::prelude::*;

use super::challenge::{ChallengeDigest, MAX_ATTEMPTS, PasswordDigest};
use super::recovery::RecoveryDigest;
use super::seal::{KeyId, Sealed};
use crate::access::scope::Scope;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::schema::{mfa_challenges, recovery_codes, totp_factors};
use crate::db::types::id;
use crate::db::{Tx, on};
use crate::session::open::Terms;

id! {
    /// Names a factor.
    FactorId
}

id! {
    /// Names a challenge.
    ChallengeId
}

/// An authenticator app, confirmed or not.
#[derive(Clone)]
pub(super) struct Factor {
    pub(super) id: FactorId,
    pub(super) user: UserId,
    pub(super) sealed: Sealed,
    pub(super) confirmed_at: Option<Timestamp>,
}

pub(super) fn find_factor(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Option<Factor>> {
    type Row = (FactorId, KeyId, Vec<u8>, Option<Timestamp>);
    let query = totp_factors::table.filter(totp_factors::user_id.eq(user)).select((
        totp_factors::id,
        totp_factors::key_id,
        totp_factors::sealed,
        totp_factors::confirmed_at,
    ));
    let row: Option<Row> = on!(tx.conn, |c| query.first(c).optional())?;
    let factor =
        |(id, key_id, bytes, confirmed_at)| Factor { id, user, sealed: Sealed { key_id, bytes }, confirmed_at };
    Ok(row.map(factor))
}

/// The next `limit` factors after `after`, by id.
pub(super) fn list_factors(tx: &mut Tx<'_>, after: Option<FactorId>, limit: i64) -> QueryResult<Vec<Factor>> {
    type Row = (FactorId, UserId, KeyId, Vec<u8>, Option<Timestamp>);
    let query = totp_factors::table
        .filter(totp_factors::id.gt(after.unwrap_or(FactorId::least(Timestamp::from_micros(0)))))
        .order(totp_factors::id)
        .limit(limit)
        .select((
            totp_factors::id,
            totp_factors::user_id,
            totp_factors::key_id,
            totp_factors::sealed,
            totp_factors::confirmed_at,
        ));
    let rows: Vec<Row> = on!(tx.conn, |c| query.load(c))?;
    let factor =
        |(id, user, key_id, bytes, confirmed_at)| Factor { id, user, sealed: Sealed { key_id, bytes }, confirmed_at };
    Ok(rows.into_iter().map(factor).collect())
}

/// Puts a secret that is sealed anew in the place of the one that was opened; tells whether it was still there.
pub(super) fn replace_sealed(tx: &mut Tx<'_>, id: FactorId, opened: &Sealed, renewed: &Sealed) -> QueryResult<bool> {
    let same = totp_factors::table
        .find(id)
        .filter(totp_factors::key_id.eq(opened.key_id))
        .filter(totp_factors::sealed.eq(&opened.bytes));
    let set = (totp_factors::key_id.eq(renewed.key_id), totp_factors::sealed.eq(&renewed.bytes));
    let update = diesel::update(same).set(set);
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Puts an unconfirmed factor in the place of the one that may wait; tells whether none that counts was in the way.
pub(super) fn replace_unconfirmed(tx: &mut Tx<'_>, user: UserId, sealed: &Sealed) -> QueryResult<bool> {
    let waiting =
        totp_factors::table.filter(totp_factors::user_id.eq(user)).filter(totp_factors::confirmed_at.is_null());
    let delete = diesel::delete(waiting);
    on!(tx.conn, |c| delete.execute(c))?;
    let row = (
        totp_factors::id.eq(FactorId::new(tx.now)),
        totp_factors::user_id.eq(user),
        totp_factors::key_id.eq(sealed.key_id),
        totp_factors::sealed.eq(&sealed.bytes),
        totp_factors::created_at.eq(tx.now),
        totp_factors::last_step.eq(0),
    );
    let insert = diesel::insert_into(totp_factors::table).values(row).on_conflict(totp_factors::user_id).do_nothing();
    Ok(on!(tx.conn, |c| insert.execute(c))? == 1)
}

/// Has a factor count from now on, `step` being used; tells whether it still waited for that.
pub(super) fn confirm(tx: &mut Tx<'_>, id: FactorId, step: i64, since: Timestamp) -> QueryResult<bool> {
    let waiting = totp_factors::table
        .find(id)
        .filter(totp_factors::confirmed_at.is_null())
        .filter(totp_factors::created_at.gt(since));
    let update = diesel::update(waiting).set((totp_factors::confirmed_at.eq(tx.now), totp_factors::last_step.eq(step)));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Uses a step up; of any number at once, one does. Tells whether it was still to be used.
pub(super) fn use_step(tx: &mut Tx<'_>, id: FactorId, step: i64, renewed: Option<&Sealed>) -> QueryResult<bool> {
    let unused = totp_factors::table
        .find(id)
        .filter(totp_factors::confirmed_at.is_not_null())
        .filter(totp_factors::last_step.lt(step));
    let used = diesel::update(unused).set(totp_factors::last_step.eq(step));
    let is_used = on!(tx.conn, |c| used.execute(c))? == 1;
    if let Some(Sealed { key_id, bytes }) = renewed.filter(|_| is_used) {
        let set = (totp_factors::key_id.eq(key_id), totp_factors::sealed.eq(bytes));
        let reseal = diesel::update(totp_factors::table.find(id)).set(set);
        on!(tx.conn, |c| reseal.execute(c))?;
    }
    Ok(is_used)
}

/// Uses a recovery code up; of any number at once, one does. Tells whether it was there.
pub(super) fn take_recovery_code(tx: &mut Tx<'_>, user: UserId, digest: RecoveryDigest) -> QueryResult<bool> {
    let own = recovery_codes::table.filter(recovery_codes::user_id.eq(user)).filter(recovery_codes::digest.eq(digest));
    let delete = diesel::delete(own);
    Ok(on!(tx.conn, |c| delete.execute(c))? == 1)
}

pub(super) fn count_recovery_codes(tx: &mut Tx<'_>, user: UserId) -> QueryResult<i64> {
    let query = recovery_codes::table.filter(recovery_codes::user_id.eq(user)).count();
    on!(tx.conn, |c| query.get_result(c))
}

/// Puts new codes in the place of those that are left.
pub(super) fn replace_recovery_codes(tx: &mut Tx<'_>, user: UserId, digests: &[RecoveryDigest]) -> QueryResult<()> {
    delete_recovery_codes(tx, user)?;
    let row = |digest: &RecoveryDigest| (recovery_codes::user_id.eq(user), recovery_codes::digest.eq(*digest));
    let insert = diesel::insert_into(recovery_codes::table).values(digests.iter().map(row).collect::<Vec<_>>());
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

fn delete_recovery_codes(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
    let delete = diesel::delete(recovery_codes::table.filter(recovery_codes::user_id.eq(user)));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Removes all that a user has of factors and challenges.
pub(super) fn delete_all(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
    let factor = diesel::delete(totp_factors::table.filter(totp_factors::user_id.eq(user)));
    on!(tx.conn, |c| factor.execute(c))?;
    delete_recovery_codes(tx, user)?;
    let challenges = diesel::delete(mfa_challenges::table.filter(mfa_challenges::user_id.eq(user)));
    on!(tx.conn, |c| challenges.execute(c)).map(|_| ())
}

/// A log-in that waits for its code.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = mfa_challenges)]
pub(super) struct Challenge {
    pub(super) id: ChallengeId,
    pub(super) user_id: UserId,
    pub(super) password_digest: PasswordDigest,
    pub(super) client_id: String,
    pub(super) scope: Scope,
    pub(super) label: Option<String>,
    pub(super) wants_device: bool,
    pub(super) browser_mode: bool,
}

pub(super) fn insert_challenge(
    tx: &mut Tx<'_>,
    user: UserId,
    digest: ChallengeDigest,
    password_digest: PasswordDigest,
    terms: &Terms,
    browser_mode: bool,
    ttl: Duration,
) -> QueryResult<()> {
    let row = (
        mfa_challenges::id.eq(ChallengeId::new(tx.now)),
        mfa_challenges::user_id.eq(user),
        mfa_challenges::digest.eq(digest),
        mfa_challenges::password_digest.eq(password_digest),
        mfa_challenges::client_id.eq(&terms.client_id),
        mfa_challenges::scope.eq(terms.requested.clone().unwrap_or_default()),
        mfa_challenges::label.eq(terms.label.as_deref()),
        mfa_challenges::wants_device.eq(terms.device.is_wanted),
        mfa_challenges::browser_mode.eq(browser_mode),
        mfa_challenges::attempts.eq(0),
        mfa_challenges::expires_at.eq(tx.now + ttl),
    );
    let insert = diesel::insert_into(mfa_challenges::table).values(row);
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

pub(super) fn find_challenge(tx: &mut Tx<'_>, digest: ChallengeDigest) -> QueryResult<Option<Challenge>> {
    let live = mfa_challenges::table
        .filter(mfa_challenges::digest.eq(digest))
        .filter(mfa_challenges::attempts.lt(MAX_ATTEMPTS))
        .filter(mfa_challenges::expires_at.gt(tx.now));
    on!(tx.conn, |c| live.select(Challenge::as_select()).first(c).optional())
}

/// Counts an attempt at a challenge, which is locked from then on; tells whether it was still open to one.
pub(super) fn count_attempt(tx: &mut Tx<'_>, id: ChallengeId) -> QueryResult<bool> {
    let live = mfa_challenges::table
        .find(id)
        .filter(mfa_challenges::attempts.lt(MAX_ATTEMPTS))
        .filter(mfa_challenges::expires_at.gt(tx.now));
    let update = diesel::update(live).set(mfa_challenges::attempts.eq(mfa_challenges::attempts + 1));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

pub(super) fn delete_challenge(tx: &mut Tx<'_>, id: ChallengeId) -> QueryResult<()> {
    let delete = diesel::delete(mfa_challenges::table.find(id));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Removes at most `limit` challenges that expired at `before` or earlier, and as many factors that waited in vain from
/// `unconfirmed` on.
pub(crate) fn delete_over(
    tx: &mut Tx<'_>,
    before: Timestamp,
    unconfirmed: Timestamp,
    limit: i64,
) -> QueryResult<usize> {
    let over = mfa_challenges::table.filter(mfa_challenges::expires_at.le(before));
    let over: Vec<ChallengeId> = on!(tx.conn, |c| over.select(mfa_challenges::id).limit(limit).load(c))?;
    let challenges = diesel::delete(mfa_challenges::table.filter(mfa_challenges::id.eq_any(over)));
    let removed = on!(tx.conn, |c| challenges.execute(c))?;
    let vain = totp_factors::confirmed_at.is_null().and(totp_factors::created_at.le(unconfirmed));
    let waiting: Vec<FactorId> =
        on!(tx.conn, |c| totp_factors::table.filter(vain).select(totp_factors::id).limit(limit).load(c))?;
    // Asked again: one may have been confirmed since.
    let factors = diesel::delete(totp_factors::table.filter(totp_factors::id.eq_any(waiting)).filter(vain));
    Ok(removed + on!(tx.conn, |c| factors.execute(c))?)
}
