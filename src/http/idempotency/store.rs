//! The queries on `idempotency_keys`.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::seal::{RequestDigest, Slot};
use crate::clock::Timestamp;
use crate::db::schema::idempotency_keys;
use crate::db::{Conn, Tx, on};

/// Takes the right to answer under this key until the transaction ends; tells whether nobody else had it.
pub(super) fn try_lock(tx: &mut Tx<'_>, slot: Slot) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        taken: bool,
    }
    match tx.conn {
        Conn::Pg(c) => {
            let query =
                diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS taken").bind::<BigInt, _>(slot.number());
            query.get_result::<Row>(c).map(|row| row.taken)
        }
        // The transaction began with the one lock there is.
        Conn::Sqlite(_) => Ok(true),
    }
}

/// What the key came with, and what was answered.
pub(super) fn find(tx: &mut Tx<'_>, slot: Slot) -> QueryResult<Option<(RequestDigest, Vec<u8>)>> {
    let query = idempotency_keys::table.find(slot).filter(idempotency_keys::expires_at.gt(tx.now));
    on!(tx.conn, |c| query.select((idempotency_keys::request, idempotency_keys::answer)).first(c).optional())
}

/// Keeps an answer, in the place of one that has expired.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    slot: Slot,
    request: RequestDigest,
    answer: &[u8],
    expires_at: Timestamp,
) -> QueryResult<()> {
    let values = (
        idempotency_keys::request.eq(request),
        idempotency_keys::answer.eq(answer),
        idempotency_keys::expires_at.eq(expires_at),
    );
    let insert = diesel::insert_into(idempotency_keys::table)
        .values((idempotency_keys::id.eq(slot), values))
        .on_conflict(idempotency_keys::id)
        .do_update()
        .set(values);
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// Removes at most `limit` answers that expired at `before` or earlier.
pub(crate) fn delete_expired(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<usize> {
    let over = idempotency_keys::table
        .filter(idempotency_keys::expires_at.le(before))
        .order(idempotency_keys::expires_at)
        .limit(limit)
        .select(idempotency_keys::id);
    let over: Vec<Slot> = on!(tx.conn, |c| over.load(c))?;
    // Asked again: a row may have been renewed since.
    let target = idempotency_keys::table
        .filter(idempotency_keys::id.eq_any(over))
        .filter(idempotency_keys::expires_at.le(before));
    let delete = diesel::delete(target);
    on!(tx.conn, |c| delete.execute(c))
}
