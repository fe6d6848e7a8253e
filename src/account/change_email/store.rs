//! The queries on `email_changes`.

use std::time::Duration;

use diesel::prelude::*;

use crate::account::UserId;
use crate::account::email::Email;
use crate::db::schema::email_changes;
use crate::db::types::id;
use crate::db::{Tx, on};

id! {
    /// Names a row.
    ChangeId
}

/// A change that waits.
#[derive(Queryable, Selectable)]
#[diesel(table_name = email_changes)]
pub(in crate::account) struct Change {
    pub(in crate::account) email: String,
    pub(in crate::account) email_key: String,
    pub(in crate::account) old_confirmed: bool,
    pub(in crate::account) new_confirmed: bool,
}

/// Puts a change in the place of the one that may wait.
pub(super) fn replace_pending(
    tx: &mut Tx<'_>,
    user: UserId,
    email: &Email,
    old_confirmed: bool,
    ttl: Duration,
) -> QueryResult<()> {
    call_off(tx, user)?;
    let row = (
        email_changes::id.eq(ChangeId::new(tx.now)),
        email_changes::user_id.eq(user),
        email_changes::email.eq(email.address()),
        email_changes::email_key.eq(email.key()),
        email_changes::old_confirmed.eq(old_confirmed),
        email_changes::new_confirmed.eq(false),
        email_changes::expires_at.eq(tx.now + ttl),
    );
    // Of two requests at once the first stands.
    let insert = diesel::insert_into(email_changes::table).values(row).on_conflict(email_changes::user_id).do_nothing();
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

pub(in crate::account) fn pending(tx: &mut Tx<'_>, user: UserId) -> QueryResult<Option<Change>> {
    let live =
        email_changes::table.filter(email_changes::user_id.eq(user)).filter(email_changes::expires_at.gt(tx.now));
    on!(tx.conn, |c| live.select(Change::as_select()).first(c).optional())
}

/// Notes that one side agrees; the change as it is then, under its lock.
pub(super) fn agree(tx: &mut Tx<'_>, user: UserId, is_of_old: bool) -> QueryResult<Option<Change>> {
    let live =
        email_changes::table.filter(email_changes::user_id.eq(user)).filter(email_changes::expires_at.gt(tx.now));
    if is_of_old {
        let update = diesel::update(live).set(email_changes::old_confirmed.eq(true));
        on!(tx.conn, |c| update.returning(Change::as_returning()).get_result(c).optional())
    } else {
        let update = diesel::update(live).set(email_changes::new_confirmed.eq(true));
        on!(tx.conn, |c| update.returning(Change::as_returning()).get_result(c).optional())
    }
}

/// Forgets the change that may wait.
pub(in crate::account) fn call_off(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
    let delete = diesel::delete(email_changes::table.filter(email_changes::user_id.eq(user)));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}
