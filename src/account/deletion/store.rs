//! The queries on `users` by which an account ends.

use diesel::prelude::*;

use crate::access::role::Roles;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::schema::users;
use crate::db::{Conn, Tx, on};

/// The roles of an account that can be deleted.
pub(super) fn find_roles(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<Roles>> {
    let query = users::table.find(id).filter(not_deleted()).select(users::roles);
    on!(tx.conn, |c| query.first(c).optional())
}

/// Deletes an account if its roles are those that were judged, and its password, if one was `checked`, the one in force;
/// the address.
pub(super) fn mark_deleted(
    tx: &mut Tx<'_>,
    id: UserId,
    roles: &Roles,
    checked: Option<&str>,
    purge_at: Timestamp,
) -> QueryResult<Option<String>> {
    let target = users::table.find(id).filter(users::roles.eq(roles));
    let set = (
        users::is_active.eq(false),
        users::was_active.eq(users::is_active.nullable()),
        users::purge_at.eq(purge_at),
        // A time for which they were disabled must not end what is for good.
        users::disabled_until.eq(None::<Timestamp>),
        users::access_version.eq(users::access_version + 1),
    );
    match checked {
        Some(checked) => {
            let target = target.filter(users::is_active).filter(users::password_hash.eq(checked));
            let update = diesel::update(target).set(set).returning(users::email);
            on!(tx.conn, |c| update.get_result(c).optional())
        }
        None => {
            let update = diesel::update(target.filter(not_deleted())).set(set).returning(users::email);
            on!(tx.conn, |c| update.get_result(c).optional())
        }
    }
}

/// Brings a deleted account back, if there is one whose time comes after `before`; tells whether there was.
pub(super) fn unmark_deleted(tx: &mut Tx<'_>, id: UserId, before: Option<Timestamp>) -> QueryResult<bool> {
    let earliest = before.unwrap_or(Timestamp::from_micros(0));
    let deleted = users::table
        .find(id)
        .filter(users::is_active.eq(false))
        .filter(users::purge_at.gt(earliest))
        .filter(users::was_active.is_not_null());
    let update = diesel::update(deleted).set((
        users::is_active.eq(users::was_active.assume_not_null()),
        users::was_active.eq(None::<bool>),
        users::purge_at.eq(None::<Timestamp>),
        users::access_version.eq(users::access_version + 1),
    ));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Notes of a deleted account that it was not active; tells whether that is new.
pub(super) fn unmark_active(tx: &mut Tx<'_>, id: UserId) -> QueryResult<bool> {
    let deleted = users::table.find(id).filter(users::is_active.eq(false)).filter(users::was_active.eq(true));
    let update = diesel::update(deleted).set(users::was_active.eq(false));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Whether an account is deleted, and its row still there.
pub(in crate::account) fn is_deleted(tx: &mut Tx<'_>, id: UserId) -> QueryResult<bool> {
    let deleted = users::table.find(id).filter(users::is_active.eq(false)).filter(users::purge_at.is_not_null());
    on!(tx.conn, |c| diesel::select(diesel::dsl::exists(deleted)).get_result(c))
}

/// When a deleted account goes that its user may bring back: one that was active.
pub(in crate::account) fn find_restorable(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<Timestamp>> {
    let query = users::table
        .find(id)
        .filter(users::is_active.eq(false))
        .filter(users::was_active.eq(true))
        .filter(users::purge_at.gt(tx.now))
        .select(users::purge_at.assume_not_null());
    on!(tx.conn, |c| query.first(c).optional())
}

/// Deleted accounts whose time came at `before` or earlier, each under its lock. One that somebody is bringing back this
/// very moment is left for the next time.
pub(super) fn lock_due(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<Vec<UserId>> {
    let due = users::table
        .filter(users::purge_at.le(before))
        .filter(users::is_active.eq(false))
        .order(users::purge_at)
        .limit(limit)
        .select(users::id);
    match tx.conn {
        Conn::Pg(c) => due.for_update().skip_locked().load(c),
        Conn::Sqlite(c) => due.load(c),
    }
}

/// Takes the lock that whoever refers to the user waits for.
pub(super) fn lock(tx: &mut Tx<'_>, id: UserId) -> QueryResult<()> {
    match tx.conn {
        Conn::Pg(c) => users::table.find(id).select(users::id).for_update().execute(c).map(|_| ()),
        Conn::Sqlite(_) => Ok(()),
    }
}

pub(super) fn delete_user(tx: &mut Tx<'_>, id: UserId) -> QueryResult<()> {
    let delete = diesel::delete(users::table.find(id));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Active, or disabled. The release before this one may have enabled an account that this one had deleted: it is active.
#[diesel::dsl::auto_type]
fn not_deleted() -> _ {
    users::is_active.or(users::purge_at.is_null())
}
