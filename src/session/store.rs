//! The queries on `sessions`.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::QueryFragment;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use super::family::{Family, Parent};
use super::token::{HandleDigest, Nonce, RefreshToken, SecretDigest};
use super::{Grant, RevokedReason, SessionId};
use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::account::store::UserRow;
use crate::account::{User, UserId};
use crate::clock::Timestamp;
use crate::db::schema::{entered, sessions, users};
use crate::db::types::{Key, Moment};
use crate::db::{Conn, Tx, on};

/// A session to be: what it entitles to at first, and what else is in its row.
pub(super) struct NewSession<'a> {
    pub(super) grant: &'a Grant,
    pub(super) access_version: i64,
    pub(super) expires_at: Timestamp,
    pub(super) address: Option<String>,
    pub(super) user_agent: Option<&'a str>,
    pub(super) label: Option<&'a str>,
    pub(super) actor: Option<(UserId, SessionId)>,
}

pub(super) fn insert_session(tx: &mut Tx<'_>, new: &NewSession<'_>) -> QueryResult<()> {
    let NewSession { grant, .. } = new;
    let (token, at) = (&grant.refresh_token, grant.granted_at);
    let row = (
        (sessions::id.eq(grant.session_id), sessions::user_id.eq(grant.user_id)),
        sessions::access_version.eq(new.access_version),
        (sessions::handle_digest.eq(token.handle_digest()), sessions::secret_digest.eq(token.secret_digest())),
        sessions::generation.eq(0),
        (sessions::created_at.eq(at), sessions::rotated_at.eq(at), sessions::auth_time.eq(grant.auth_time)),
        (sessions::idle_expires_at.eq(grant.refresh_expires_at), sessions::expires_at.eq(new.expires_at)),
        (sessions::client_id.eq(&grant.client_id), sessions::scope.eq(&grant.scope), sessions::amr.eq(&grant.amr)),
        (
            sessions::address.eq(new.address.as_deref()),
            sessions::user_agent.eq(new.user_agent),
            sessions::label.eq(new.label),
        ),
        (
            sessions::actor_id.eq(new.actor.map(|(user, _)| user)),
            sessions::actor_session_id.eq(new.actor.map(|(_, session)| session)),
        ),
    );
    let insert = diesel::insert_into(sessions::table).values(row);
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// The same as a part of a statement, for each row of its part `entered`. Nobody acts for its user.
pub(super) fn insert_session_if_entered<'a>(new: &'a NewSession<'_>) -> impl QueryFragment<Pg> + 'a {
    let NewSession { grant, .. } = new;
    let (token, at) = (&grant.refresh_token, grant.granted_at.into_sql::<Moment>());
    entered::table
        .select((
            grant.session_id.into_sql::<Key>(),
            grant.user_id.into_sql::<Key>(),
            new.access_version.into_sql::<BigInt>(),
            token.handle_digest().into_sql::<Binary>(),
            token.secret_digest().into_sql::<Binary>(),
            0.into_sql::<BigInt>(),
            at,
            at,
            grant.auth_time.into_sql::<Moment>(),
            grant.refresh_expires_at.into_sql::<Moment>(),
            new.expires_at.into_sql::<Moment>(),
            grant.client_id.as_str().into_sql::<Text>(),
            (&grant.scope).into_sql::<Text>(),
            grant.amr.as_str().into_sql::<Text>(),
            new.address.as_deref().into_sql::<Nullable<Text>>(),
            new.user_agent.into_sql::<Nullable<Text>>(),
            new.label.into_sql::<Nullable<Text>>(),
        ))
        .insert_into(sessions::table)
        .into_columns((
            sessions::id,
            sessions::user_id,
            sessions::access_version,
            sessions::handle_digest,
            sessions::secret_digest,
            sessions::generation,
            sessions::created_at,
            sessions::rotated_at,
            sessions::auth_time,
            sessions::idle_expires_at,
            sessions::expires_at,
            sessions::client_id,
            sessions::scope,
            sessions::amr,
            sessions::address,
            sessions::user_agent,
            sessions::label,
        ))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions)]
struct SessionRow {
    id: SessionId,
    user_id: UserId,
    secret_digest: SecretDigest,
    parent_digest: Option<SecretDigest>,
    nonce: Option<Nonce>,
    generation: i64,
    rotated_at: Timestamp,
    idle_expires_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    client_id: String,
    scope: Scope,
    amr: String,
    auth_time: Timestamp,
}

/// A session under its lock, with all that the state table asks for.
pub(super) struct Locked {
    pub(super) id: SessionId,
    pub(super) user_id: UserId,
    pub(super) generation: i64,
    pub(super) family: Family,
    pub(super) client_id: String,
    pub(super) scope: Scope,
    pub(super) amr: String,
    pub(super) auth_time: Timestamp,
    pub(super) roles: Roles,
    access_version: i64,
}

/// Reads and locks a session. The user is read by a statement of its own, after the lock is held, so that it is the
/// user as of now. (SQLite's transaction holds the only write lock already.)
pub(super) fn lock_session(tx: &mut Tx<'_>, handle: HandleDigest) -> QueryResult<Option<Locked>> {
    let query = sessions::table.filter(sessions::handle_digest.eq(handle));
    let row: Option<SessionRow> = match tx.conn {
        Conn::Pg(c) => query.select(SessionRow::as_select()).for_update().first(c).optional()?,
        Conn::Sqlite(c) => query.select(SessionRow::as_select()).first(c).optional()?,
    };
    let Some(row) = row else { return Ok(None) };
    let query = users::table.find(row.user_id).select((users::is_active, users::roles, users::access_version));
    let (is_user_active, roles, access_version): (bool, Roles, i64) = on!(tx.conn, |c| query.first(c))?;
    Ok(Some(Locked {
        id: row.id,
        user_id: row.user_id,
        generation: row.generation,
        family: Family {
            current: row.secret_digest,
            parent: row.parent_digest.zip(row.nonce).map(|(digest, nonce)| Parent { digest, nonce }),
            rotated_at: row.rotated_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
            is_revoked: row.revoked_at.is_some(),
            is_user_active,
        },
        client_id: row.client_id,
        scope: row.scope,
        amr: row.amr,
        auth_time: row.auth_time,
        roles,
        access_version,
    }))
}

/// Puts the successor of `parent` under `nonce` into force in a locked session.
pub(super) fn rotate_locked(
    tx: &mut Tx<'_>,
    locked: &Locked,
    parent: &RefreshToken,
    nonce: Nonce,
    idle_expires_at: Timestamp,
) -> QueryResult<()> {
    let update = diesel::update(sessions::table.find(locked.id)).set((
        sessions::secret_digest.eq(parent.successor(&nonce).secret_digest()),
        sessions::parent_digest.eq(parent.secret_digest()),
        sessions::nonce.eq(nonce),
        sessions::generation.eq(locked.generation + 1),
        sessions::rotated_at.eq(tx.now),
        sessions::idle_expires_at.eq(idle_expires_at),
        sessions::access_version.eq(locked.access_version),
    ));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Ends one live session of a user; tells whether there was one.
pub(super) fn revoke_one(tx: &mut Tx<'_>, user_id: UserId, id: SessionId, reason: RevokedReason) -> QueryResult<bool> {
    let target = sessions::table.find(id).filter(sessions::user_id.eq(user_id)).filter(live(tx.now));
    let update =
        diesel::update(target).set((sessions::revoked_at.eq(tx.now), sessions::revoked_reason.eq(reason.as_str())));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Ends every session of a user.
pub(crate) fn revoke_all(tx: &mut Tx<'_>, user_id: UserId, reason: RevokedReason) -> QueryResult<()> {
    let target = sessions::table.filter(sessions::user_id.eq(user_id)).filter(sessions::revoked_at.is_null());
    let update =
        diesel::update(target).set((sessions::revoked_at.eq(tx.now), sessions::revoked_reason.eq(reason.as_str())));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Removes every session of a user who is to be removed.
pub(crate) fn delete_all(tx: &mut Tx<'_>, user_id: UserId) -> QueryResult<()> {
    let delete = diesel::delete(sessions::table.filter(sessions::user_id.eq(user_id)));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Users with a live session that began until `cutoff`, in the order of their ids: at most `limit` of them, after `after`
/// if that is given.
pub(super) fn users_signed_in(
    tx: &mut Tx<'_>,
    cutoff: Timestamp,
    after: Option<UserId>,
    limit: i64,
) -> QueryResult<Vec<UserId>> {
    let target = sessions::table.filter(live(tx.now)).filter(sessions::created_at.le(cutoff));
    let target = target.select(sessions::user_id).distinct().order(sessions::user_id).limit(limit);
    match after {
        None => on!(tx.conn, |c| target.load(c)),
        Some(after) => {
            let target = target.filter(sessions::user_id.gt(after));
            on!(tx.conn, |c| target.load(c))
        }
    }
}

/// Ends the live sessions that began until `cutoff` of the users whose ids lie between the two, both included; names the
/// user of each.
pub(super) fn revoke_range(
    tx: &mut Tx<'_>,
    cutoff: Timestamp,
    (first, last): (UserId, UserId),
    reason: RevokedReason,
) -> QueryResult<Vec<UserId>> {
    let target = sessions::table
        .filter(sessions::user_id.between(first, last))
        .filter(live(tx.now))
        .filter(sessions::created_at.le(cutoff));
    let update = diesel::update(target)
        .set((sessions::revoked_at.eq(tx.now), sessions::revoked_reason.eq(reason.as_str())))
        .returning(sessions::user_id);
    on!(tx.conn, |c| update.load(c))
}

/// Ends every session of a user but `kept`.
pub(crate) fn revoke_others(
    tx: &mut Tx<'_>,
    user_id: UserId,
    kept: SessionId,
    reason: RevokedReason,
) -> QueryResult<()> {
    let target = sessions::table
        .filter(sessions::user_id.eq(user_id))
        .filter(sessions::id.ne(kept))
        .filter(sessions::revoked_at.is_null());
    let update =
        diesel::update(target).set((sessions::revoked_at.eq(tx.now), sessions::revoked_reason.eq(reason.as_str())));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Takes each live session's lock and marks that the user's rights have changed: see [`rotation`](super::rotation).
pub(crate) fn set_access_version(tx: &mut Tx<'_>, user_id: UserId, access_version: i64) -> QueryResult<()> {
    let target = sessions::table.filter(sessions::user_id.eq(user_id)).filter(sessions::revoked_at.is_null());
    let update = diesel::update(target).set(sessions::access_version.eq(access_version));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// One session as its user sees it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub(super) struct Listed {
    pub(super) id: SessionId,
    pub(super) client_id: String,
    pub(super) label: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) rotated_at: Timestamp,
    pub(super) idle_expires_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) address: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) actor_id: Option<UserId>,
}

/// A user's live sessions, newest first, at most `limit`, older than `before` if that is given.
pub(super) fn list_live(
    tx: &mut Tx<'_>,
    user_id: UserId,
    before: Option<SessionId>,
    limit: i64,
) -> QueryResult<Vec<Listed>> {
    let target = sessions::table
        .filter(sessions::user_id.eq(user_id))
        .filter(live(tx.now))
        .order(sessions::id.desc())
        .limit(limit);
    match before {
        None => on!(tx.conn, |c| target.select(Listed::as_select()).load(c)),
        Some(before) => {
            let target = target.filter(sessions::id.lt(before));
            on!(tx.conn, |c| target.select(Listed::as_select()).load(c))
        }
    }
}

/// The user behind an access token, if the session and the user are what they should be: one indexed read.
pub(super) fn find_signed_in(tx: &mut Tx<'_>, id: SessionId, user_id: UserId) -> QueryResult<Option<User>> {
    let query = users::table
        .inner_join(sessions::table)
        .filter(sessions::id.eq(id))
        .filter(users::id.eq(user_id))
        .filter(users::is_active)
        .filter(live(tx.now));
    let found: Option<UserRow> = on!(tx.conn, |c| query.select(UserRow::as_select()).first(c).optional())?;
    Ok(found.map(User::from))
}

/// The same for a session in which somebody acts for the user; also who that is, as they are now, if the session of theirs
/// that this one hangs on is alive.
pub(super) fn find_impersonated(
    tx: &mut Tx<'_>,
    id: SessionId,
    user_id: UserId,
    actor_id: UserId,
) -> QueryResult<Option<(User, User)>> {
    let query = sessions::table.find(id).filter(sessions::actor_id.eq(actor_id)).select(sessions::actor_session_id);
    let session: Option<Option<SessionId>> = on!(tx.conn, |c| query.first(c).optional())?;
    let Some(actor_session) = session.flatten() else { return Ok(None) };
    let Some(actor) = find_signed_in(tx, actor_session, actor_id)? else { return Ok(None) };
    let user = find_signed_in(tx, id, user_id)?;
    Ok(user.map(|user| (user, actor)))
}

/// Who acts for its user in a session, if somebody does.
pub(crate) fn find_impersonator(tx: &mut Tx<'_>, id: SessionId) -> QueryResult<Option<UserId>> {
    let query = sessions::table.find(id).select(sessions::actor_id);
    Ok(on!(tx.conn, |c| query.first(c).optional())?.flatten())
}

/// When a live session is over at the latest.
pub(super) fn find_expiry(tx: &mut Tx<'_>, id: SessionId, user_id: UserId) -> QueryResult<Option<Timestamp>> {
    let query = sessions::table.find(id).filter(sessions::user_id.eq(user_id)).filter(live(tx.now));
    on!(tx.conn, |c| query.select(sessions::expires_at).first(c).optional())
}

/// Sessions by where they are in their lives.
#[derive(QueryableByName)]
pub(crate) struct Counted {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) looked_at: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) live: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) over: i64,
}

/// Of the `limit` newest sessions: how many there are, how many are alive, and how many ended at `before` or earlier.
pub(crate) fn count_latest(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<Counted> {
    let query = diesel::sql_query(
        r#"SELECT count(*) AS looked_at, count(*) FILTER (WHERE is_live) AS live, count(*) FILTER (WHERE is_over) AS over FROM (
            SELECT revoked_at IS NULL AND expires_at > $1 AND idle_expires_at > $1 AS is_live,
                revoked_at <= $2 OR expires_at <= $2 OR idle_expires_at <= $2 AS is_over
            FROM "sessions" ORDER BY id DESC LIMIT $3) AS latest"#,
    );
    let query = query.bind::<Moment, _>(tx.now).bind::<Moment, _>(before);
    on!(tx.conn, |c| query.bind::<diesel::sql_types::BigInt, _>(limit).get_result(c))
}

/// The next `limit` sessions after `after`, by id, and of each whether it ended at `before` or earlier.
pub(crate) fn look_for_ended(
    tx: &mut Tx<'_>,
    after: SessionId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<(SessionId, bool)>> {
    let query = sessions::table
        .filter(sessions::id.gt(after))
        .order(sessions::id)
        .limit(limit)
        .select((sessions::id, ended(before)));
    on!(tx.conn, |c| query.load(c))
}

/// Removes those of `ids` that ended at `before` or earlier, which is asked again here: a refresh under way on an instance
/// whose clock is behind may have prolonged one since it was looked at.
pub(crate) fn delete_ended(tx: &mut Tx<'_>, ids: &[SessionId], before: Timestamp) -> QueryResult<usize> {
    match tx.conn {
        // A session that a request holds is left for the next time: to wait for it, with the locks of others in hand, could
        // be a deadlock with a request that ends all sessions of a user.
        Conn::Pg(c) => {
            let target = sessions::table.filter(sessions::id.eq_any(ids)).filter(ended(before));
            let free: Vec<SessionId> = target.select(sessions::id).for_update().skip_locked().load(c)?;
            diesel::delete(sessions::table.filter(sessions::id.eq_any(free))).execute(c)
        }
        Conn::Sqlite(c) => {
            let target = sessions::table.filter(sessions::id.eq_any(ids)).filter(ended(before));
            diesel::delete(target).execute(c)
        }
    }
}

/// Neither revoked nor expired.
#[diesel::dsl::auto_type]
pub(super) fn live(now: Timestamp) -> _ {
    sessions::revoked_at.is_null().and(sessions::expires_at.gt(now)).and(sessions::idle_expires_at.gt(now))
}

/// Revoked or expired, at `before` or earlier.
#[diesel::dsl::auto_type]
fn ended(before: Timestamp) -> _ {
    let revoked = sessions::revoked_at.is_not_null().and(sessions::revoked_at.assume_not_null().le(before));
    revoked.or(sessions::expires_at.le(before)).or(sessions::idle_expires_at.le(before))
}
