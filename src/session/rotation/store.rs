//! The statement of a rotation, and that of several on Postgres. Both are guarded, and kept prepared.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};

use super::{Ask, Rotated};
use crate::clock::Timestamp;
use crate::db::schema::{sessions, users};
use crate::db::types::{Key, Moment};
use crate::db::{Cached, Conn, Tx, on};
use crate::session::store::live;
use crate::session::token::{HandleDigest, Nonce, SecretDigest};

/// Rotates what can be, each as if it were alone.
///
/// The user's state is read in the statement itself. On Postgres a statement that waited for the row's lock sees the
/// session as it is now but the user as they were when it began; whatever changes a user's rights therefore also writes
/// the session's `access_version`, and then the two do not match here.
pub(super) fn rotate(tx: &mut Tx<'_>, asks: &[Ask], idle_ttl: Duration) -> QueryResult<Vec<Option<Rotated>>> {
    match &mut *tx.conn {
        Conn::Pg(c) if asks.len() > 1 => rotate_together(c, asks, tx.now, idle_ttl),
        // SQLite commits them together all the same.
        Conn::Pg(_) | Conn::Sqlite(_) => asks.iter().map(|ask| rotate_one(tx, ask, idle_ttl)).collect(),
    }
}

fn rotate_one(tx: &mut Tx<'_>, ask: &Ask, idle_ttl: Duration) -> QueryResult<Option<Rotated>> {
    let user = users::table.filter(users::id.eq(sessions::user_id)).filter(users::is_active);
    let target = sessions::table
        .filter(sessions::handle_digest.eq(ask.handle))
        .filter(sessions::secret_digest.eq(ask.presented))
        .filter(live(tx.now))
        .filter(sessions::access_version.nullable().eq(user.select(users::access_version).single_value()));
    let set = (
        sessions::secret_digest.eq(ask.successor),
        sessions::parent_digest.eq(ask.presented),
        sessions::nonce.eq(ask.nonce),
        sessions::generation.eq(sessions::generation + 1),
        sessions::rotated_at.eq(tx.now),
        sessions::idle_expires_at.eq(tx.now + idle_ttl),
    );
    let columns = (
        sessions::id,
        sessions::user_id,
        sessions::client_id,
        sessions::scope,
        sessions::amr,
        sessions::auth_time,
        sessions::expires_at,
        user.select(users::roles).single_value(),
    );
    // Two texts, each kept prepared: with and without a client that names itself.
    match &ask.client_id {
        None => {
            let update = Cached::<Rotation, _>::new(diesel::update(target).set(set).returning(columns));
            on!(tx.conn, |c| update.get_result(c).optional())
        }
        Some(client_id) => {
            let target = target.filter(sessions::client_id.eq(client_id));
            let update = Cached::<RotationOfClient, _>::new(diesel::update(target).set(set).returning(columns));
            on!(tx.conn, |c| update.get_result(c).optional())
        }
    }
}

/// The name of the statement in [`rotate_one`].
struct Rotation;
/// The name of the same with a client.
struct RotationOfClient;

/// All of them in one statement, each under the conditions of [`rotate_one`].
fn rotate_together(
    c: &mut PgConnection,
    asks: &[Ask],
    now: Timestamp,
    idle_ttl: Duration,
) -> QueryResult<Vec<Option<Rotated>>> {
    let mut places: Vec<usize> = (0..asks.len()).collect();
    // Rows are locked in one order, so that no two statements wait for each other.
    places.sort_by_cached_key(|place| asks[*place].handle);
    let in_order = || places.iter().map(|place| &asks[*place]);
    let together = Together {
        handles: in_order().map(|ask| ask.handle).collect(),
        presented: in_order().map(|ask| ask.presented).collect(),
        successors: in_order().map(|ask| ask.successor).collect(),
        nonces: in_order().map(|ask| ask.nonce).collect(),
        clients: in_order().map(|ask| ask.client_id.as_deref()).collect(),
        now,
        idle_expires_at: now + idle_ttl,
    };
    let rows: Vec<(i64, Rotated)> = Cached::<RotationTogether, _>::new(together).load(c)?;
    let mut rotated: Vec<Option<Rotated>> = asks.iter().map(|_| None).collect();
    for (number, row) in rows {
        let place = usize::try_from(number - 1).ok().and_then(|index| places.get(index));
        rotated[*place.expect("the statement numbers what it was given, from one on")] = Some(row);
    }
    Ok(rotated)
}

/// The name of the statement [`Together`].
struct RotationTogether;

/// `UPDATE … FROM`, which Diesel has no words for. Of two asks with the same token one is rotated, as if they had come one
/// after the other.
struct Together<'a> {
    handles: Vec<HandleDigest>,
    presented: Vec<SecretDigest>,
    successors: Vec<SecretDigest>,
    nonces: Vec<Nonce>,
    clients: Vec<Option<&'a str>>,
    now: Timestamp,
    idle_expires_at: Timestamp,
}

impl QueryFragment<Pg> for Together<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE \"sessions\" SET secret_digest = asked.successor, parent_digest = asked.presented, \
             nonce = asked.nonce, generation = generation + 1, rotated_at = ",
        );
        out.push_bind_param::<Moment, _>(&self.now)?;
        out.push_sql(", idle_expires_at = ");
        out.push_bind_param::<Moment, _>(&self.idle_expires_at)?;
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Binary>, _>(&self.handles)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<Binary>, _>(&self.presented)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<Binary>, _>(&self.successors)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<Binary>, _>(&self.nonces)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.clients)?;
        out.push_sql(
            "::text[]) WITH ORDINALITY AS asked (handle, presented, successor, nonce, client, number), \"users\" \
             WHERE sessions.handle_digest = asked.handle AND sessions.secret_digest = asked.presented \
             AND (asked.client IS NULL OR sessions.client_id = asked.client) \
             AND users.id = sessions.user_id AND users.is_active AND users.access_version = sessions.access_version \
             AND sessions.revoked_at IS NULL AND sessions.idle_expires_at > ",
        );
        out.push_bind_param::<Moment, _>(&self.now)?;
        out.push_sql(" AND sessions.expires_at > ");
        out.push_bind_param::<Moment, _>(&self.now)?;
        out.push_sql(
            " RETURNING asked.number, sessions.id, sessions.user_id, sessions.client_id, sessions.scope, sessions.amr, \
             sessions.auth_time, sessions.expires_at, users.roles",
        );
        Ok(())
    }
}

impl Query for Together<'_> {
    type SqlType = (BigInt, (Key, Key, Text, Text, Text, Moment, Moment, Nullable<Text>));
}
