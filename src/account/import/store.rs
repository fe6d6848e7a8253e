//! The queries on `users` by which many come at once.

use diesel::prelude::*;

use crate::access::role::Roles;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::schema::users;
use crate::db::{Conn, Tx, on};

/// A user to be.
#[derive(Insertable)]
#[diesel(table_name = users)]
pub(super) struct NewRow<'a> {
    pub(super) id: UserId,
    pub(super) email: &'a str,
    pub(super) email_key: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) password_hash: String,
    pub(super) roles: Roles,
    pub(super) is_active: bool,
    pub(super) is_verified: bool,
    pub(super) access_version: i64,
    pub(super) created_at: Timestamp,
}

/// Inserts those whose address and id are free; their ids.
pub(super) fn insert_new(tx: &mut Tx<'_>, rows: &[NewRow<'_>]) -> QueryResult<Vec<UserId>> {
    match tx.conn {
        Conn::Pg(c) => {
            diesel::insert_into(users::table).values(rows).on_conflict_do_nothing().returning(users::id).load(c)
        }
        // Diesel has no statement of many rows with ON CONFLICT for SQLite, where there is no round trip to save.
        Conn::Sqlite(c) => {
            let mut inserted = Vec::with_capacity(rows.len());
            for row in rows {
                let insert = diesel::insert_into(users::table).values(row).on_conflict_do_nothing();
                let id: Option<UserId> = insert.returning(users::id).get_result(c).optional()?;
                inserted.extend(id);
            }
            Ok(inserted)
        }
    }
}

/// Which of these addresses have an account.
pub(super) fn find_keys(tx: &mut Tx<'_>, keys: &[&str]) -> QueryResult<Vec<String>> {
    let query = users::table.filter(users::email_key.eq_any(keys)).select(users::email_key);
    on!(tx.conn, |c| query.load(c))
}
