//! The queries on `outbox`.

use diesel::prelude::*;

use super::outbox::{Kind, Letter, LetterId};
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::schema::outbox;
use crate::db::{Conn, Tx, on};

/// Puts a letter in, to be sent at once; if one with that key waits already, notes that it was asked for again.
pub(super) fn insert_letter(
    tx: &mut Tx<'_>,
    kind: Kind,
    user_id: Option<UserId>,
    email: &str,
    once_key: Option<&str>,
    address: Option<&str>,
) -> QueryResult<()> {
    let row = (
        outbox::id.eq(LetterId::new(tx.now)),
        outbox::kind.eq(kind.as_str()),
        outbox::user_id.eq(user_id),
        outbox::email.eq(email),
        outbox::once_key.eq(once_key),
        outbox::created_at.eq(tx.now),
        outbox::due_at.eq(tx.now),
        outbox::attempts.eq(0),
        outbox::asked_again.eq(false),
        outbox::address.eq(address),
    );
    let insert = diesel::insert_into(outbox::table)
        .values(row)
        .on_conflict(outbox::once_key)
        .do_update()
        .set(outbox::asked_again.eq(true));
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// How many letters wait, how many of them are due, and since when the oldest waits: ids sort by time.
pub(super) fn count_waiting(tx: &mut Tx<'_>) -> QueryResult<(i64, i64, Option<Timestamp>)> {
    let all = outbox::table.count();
    let due = outbox::table.filter(outbox::due_at.le(tx.now)).count();
    let oldest = outbox::table.order(outbox::id).select(outbox::created_at);
    on!(tx.conn, |c| Ok((all.get_result(c)?, due.get_result(c)?, oldest.first(c).optional()?)))
}

type Row = (LetterId, String, Option<UserId>, String, Option<String>, Timestamp, i64);

/// The letter that has been due for longest; nobody else gets it before this transaction ends, and nobody waits for it.
pub(super) fn lock_due(tx: &mut Tx<'_>) -> QueryResult<Option<Letter>> {
    let due = outbox::table
        .filter(outbox::due_at.le(tx.now))
        .order(outbox::due_at)
        .select((
            outbox::id,
            outbox::kind,
            outbox::user_id,
            outbox::email,
            outbox::address,
            outbox::created_at,
            outbox::attempts,
        ))
        .limit(1);
    let found: Option<Row> = match tx.conn {
        Conn::Pg(c) => due.for_update().skip_locked().first(c).optional()?,
        // The transaction began with the one lock there is.
        Conn::Sqlite(c) => due.first(c).optional()?,
    };
    Ok(found.map(|(id, kind, user_id, email, address, created_at, attempts)| Letter {
        id,
        kind: Kind::from_column(&kind),
        user_id,
        email,
        address,
        created_at,
        attempts,
    }))
}

/// Notes one more attempt, and when the next one may be.
pub(super) fn postpone(tx: &mut Tx<'_>, id: LetterId, until: Timestamp) -> QueryResult<()> {
    let update = diesel::update(outbox::table.find(id)).set((
        outbox::attempts.eq(outbox::attempts + 1),
        outbox::due_at.eq(until),
        outbox::asked_again.eq(false),
    ));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Removes a letter that was sent, or looks at it once more if it was asked for again meanwhile: what it asks for may have
/// changed since its message was made.
pub(super) fn finish(tx: &mut Tx<'_>, id: LetterId) -> QueryResult<()> {
    let delete = diesel::delete(outbox::table.find(id).filter(outbox::asked_again.eq(false)));
    if on!(tx.conn, |c| delete.execute(c))? == 1 {
        return Ok(());
    }
    let again = (outbox::attempts.eq(0), outbox::due_at.eq(tx.now), outbox::asked_again.eq(false));
    let update = diesel::update(outbox::table.find(id)).set(again);
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

pub(super) fn delete_letter(tx: &mut Tx<'_>, id: LetterId) -> QueryResult<()> {
    let delete = diesel::delete(outbox::table.find(id));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Removes the letters that concern a user.
pub(super) fn delete_of_user(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
    let delete = diesel::delete(outbox::table.filter(outbox::user_id.eq(user)));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}
