//! The queries on `throttles` and `known_sources`.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::bucket::{BucketId, SourceDigest};
use super::rules::State;
use crate::account::UserId;
use crate::account::email::Email;
use crate::clock::Timestamp;
use crate::db::schema::{known_sources, throttles, users};
use crate::db::types::id;
use crate::db::{Conn, Tx, on};

id! {
    /// Names a source that an account knows; sorts by when it came to know it.
    KnownSourceId
}

type Row = (BucketId, Timestamp, Timestamp);

fn into_state((id, clear_at, closed_until): Row) -> (BucketId, State) {
    (id, State { clear_at, closed_until })
}

/// The buckets as they are; one that was never used is not among them.
pub(super) fn read_buckets(tx: &mut Tx<'_>, ids: &[BucketId]) -> QueryResult<Vec<(BucketId, State)>> {
    let query = throttles::table.filter(throttles::id.eq_any(ids));
    let rows: Vec<Row> = on!(tx.conn, |c| query.load(c))?;
    Ok(rows.into_iter().map(into_state).collect())
}

/// The same, each under its lock until the transaction ends. One that was never used is made, so that there is something
/// to lock: two that come first at once must not both find nothing.
///
/// `ids` are in order, so that no two transactions wait for each other.
pub(super) fn lock_buckets(tx: &mut Tx<'_>, ids: &[BucketId]) -> QueryResult<Vec<(BucketId, State)>> {
    let rows: Vec<Row> = match tx.conn {
        Conn::Pg(c) => {
            let State { clear_at, closed_until } = State::EMPTY;
            let empty = |id: &BucketId| {
                (throttles::id.eq(*id), throttles::clear_at.eq(clear_at), throttles::closed_until.eq(closed_until))
            };
            diesel::insert_into(throttles::table)
                .values(ids.iter().map(empty).collect::<Vec<_>>())
                .on_conflict(throttles::id)
                .do_update()
                .set(throttles::clear_at.eq(throttles::clear_at))
                .returning(throttles::all_columns)
                .load(c)?
        }
        // This transaction holds the only write lock already.
        Conn::Sqlite(c) => throttles::table.filter(throttles::id.eq_any(ids)).load(c)?,
    };
    Ok(rows.into_iter().map(into_state).collect())
}

/// Locks a bucket if it was ever used.
pub(super) fn lock_bucket(tx: &mut Tx<'_>, id: BucketId) -> QueryResult<Option<State>> {
    let query = throttles::table.find(id);
    let row: Option<Row> = match tx.conn {
        Conn::Pg(c) => query.for_update().first(c).optional()?,
        Conn::Sqlite(c) => query.first(c).optional()?,
    };
    Ok(row.map(|row| into_state(row).1))
}

/// Whether a bucket for guesses admits none now; to be asked in the statement that makes use of it. None is never closed.
#[diesel::dsl::auto_type]
pub(crate) fn admits_none(bucket: Option<BucketId>, now: Timestamp) -> _ {
    let closed = throttles::table.filter(throttles::id.nullable().eq(bucket)).filter(throttles::closed_until.gt(now));
    diesel::dsl::exists(closed)
}

/// Writes buckets whose locks are held.
pub(super) fn write_buckets(tx: &mut Tx<'_>, buckets: &[(BucketId, State)]) -> QueryResult<()> {
    let row = |(id, state): &(BucketId, State)| {
        (throttles::id.eq(*id), throttles::clear_at.eq(state.clear_at), throttles::closed_until.eq(state.closed_until))
    };
    match tx.conn {
        Conn::Pg(c) => diesel::insert_into(throttles::table)
            .values(buckets.iter().map(row).collect::<Vec<_>>())
            .on_conflict(throttles::id)
            .do_update()
            .set((
                throttles::clear_at.eq(excluded(throttles::clear_at)),
                throttles::closed_until.eq(excluded(throttles::closed_until)),
            ))
            .execute(c)
            .map(|_| ()),
        // Diesel has no statement of many rows with ON CONFLICT for SQLite, where there is no round trip to save.
        Conn::Sqlite(c) => buckets.iter().try_for_each(|bucket| {
            let (_, State { clear_at, closed_until }) = bucket;
            diesel::insert_into(throttles::table)
                .values(row(bucket))
                .on_conflict(throttles::id)
                .do_update()
                .set((throttles::clear_at.eq(clear_at), throttles::closed_until.eq(closed_until)))
                .execute(c)
                .map(|_| ())
        }),
    }
}

/// Forgets a bucket.
pub(super) fn delete_bucket(tx: &mut Tx<'_>, id: BucketId) -> QueryResult<()> {
    let delete = diesel::delete(throttles::table.find(id));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Which of `sources` the account of an address knows, if there is one, and when each was seen last. One statement whether
/// there is an account or not.
pub(super) fn find_known(
    tx: &mut Tx<'_>,
    email: &Email,
    sources: &[SourceDigest],
    seen_after: Timestamp,
) -> QueryResult<Vec<(SourceDigest, Timestamp)>> {
    let user = users::table.filter(users::email_key.eq(email.key())).select(users::id).single_value();
    let query = known_sources::table
        .filter(known_sources::user_id.nullable().eq(user))
        .filter(known_sources::source.eq_any(sources))
        .filter(known_sources::seen_at.gt(seen_after))
        .select((known_sources::source, known_sources::seen_at));
    on!(tx.conn, |c| query.load(c))
}

/// Notes that a source was seen with an account.
pub(super) fn upsert_known(tx: &mut Tx<'_>, user_id: UserId, kind: &str, source: SourceDigest) -> QueryResult<()> {
    let row = (
        known_sources::id.eq(KnownSourceId::new(tx.now)),
        known_sources::user_id.eq(user_id),
        known_sources::kind.eq(kind),
        known_sources::source.eq(source),
        known_sources::seen_at.eq(tx.now),
    );
    let insert = diesel::insert_into(known_sources::table)
        .values(row)
        .on_conflict((known_sources::user_id, known_sources::source))
        .do_update()
        .set(known_sources::seen_at.eq(tx.now));
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// Forgets all sources of a kind but the `kept` that an account saw last; how many it knows then.
pub(super) fn delete_known_beyond(tx: &mut Tx<'_>, user_id: UserId, kind: &str, kept: i64) -> QueryResult<usize> {
    let own = known_sources::table.filter(known_sources::user_id.eq(user_id)).filter(known_sources::kind.eq(kind));
    let newest = own.order(known_sources::seen_at.desc()).limit(kept).select(known_sources::id);
    let newest: Vec<KnownSourceId> = on!(tx.conn, |c| newest.load(c))?;
    let known = newest.len();
    if i64::try_from(known).is_ok_and(|count| count < kept) {
        return Ok(known);
    }
    let delete = diesel::delete(
        known_sources::table
            .filter(known_sources::user_id.eq(user_id))
            .filter(known_sources::kind.eq(kind))
            .filter(known_sources::id.ne_all(newest)),
    );
    on!(tx.conn, |c| delete.execute(c)).map(|_| known)
}

/// Forgets every source of an account.
pub(super) fn delete_all_known(tx: &mut Tx<'_>, user_id: UserId) -> QueryResult<()> {
    let delete = diesel::delete(known_sources::table.filter(known_sources::user_id.eq(user_id)));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// The next `limit` buckets after `after`, and of each whether nothing is remembered at `now`.
pub(crate) fn look_for_clear(
    tx: &mut Tx<'_>,
    after: BucketId,
    now: Timestamp,
    limit: i64,
) -> QueryResult<Vec<(BucketId, bool)>> {
    let query = throttles::table
        .filter(throttles::id.gt(after))
        .order(throttles::id)
        .limit(limit)
        .select((throttles::id, clear(now)));
    on!(tx.conn, |c| query.load(c))
}

/// Removes those of `ids` in which nothing is remembered at `now`, which is asked again here.
pub(crate) fn delete_clear(tx: &mut Tx<'_>, ids: &[BucketId], now: Timestamp) -> QueryResult<usize> {
    match tx.conn {
        // One that a request holds is left for the next time: requests lock several, in an order of their own.
        Conn::Pg(c) => {
            let target = throttles::table.filter(throttles::id.eq_any(ids)).filter(clear(now));
            let free: Vec<BucketId> = target.select(throttles::id).for_update().skip_locked().load(c)?;
            diesel::delete(throttles::table.filter(throttles::id.eq_any(free))).execute(c)
        }
        Conn::Sqlite(c) => {
            let target = throttles::table.filter(throttles::id.eq_any(ids)).filter(clear(now));
            diesel::delete(target).execute(c)
        }
    }
}

/// Nothing is remembered, and nothing closed.
#[diesel::dsl::auto_type]
fn clear(now: Timestamp) -> _ {
    throttles::clear_at.le(now).and(throttles::closed_until.le(now))
}

/// The next `limit` known sources after `after`, and of each whether it was last seen at `before` or earlier.
pub(crate) fn look_for_unseen(
    tx: &mut Tx<'_>,
    after: KnownSourceId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<(KnownSourceId, bool)>> {
    let query = known_sources::table
        .filter(known_sources::id.gt(after))
        .order(known_sources::id)
        .limit(limit)
        .select((known_sources::id, known_sources::seen_at.le(before)));
    on!(tx.conn, |c| query.load(c))
}

/// Removes those of `ids` that were last seen at `before` or earlier, which is asked again here.
pub(crate) fn delete_unseen(tx: &mut Tx<'_>, ids: &[KnownSourceId], before: Timestamp) -> QueryResult<usize> {
    let target = known_sources::table.filter(known_sources::id.eq_any(ids)).filter(known_sources::seen_at.le(before));
    let delete = diesel::delete(target);
    on!(tx.conn, |c| delete.execute(c))
}
