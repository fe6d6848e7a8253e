//! The queries on `api_keys` and `api_key_sources`.

use std::time::Duration;

use diesel::prelude::*;

use super::create::Wanted;
use super::key::{ApiKey, Handle, SecretDigest};
use super::rules::{Previous, Standing};
use super::{ApiKeyId, Described, SourceId};
use crate::access::scope::Scope;
use crate::account::store::{ManagedRow, active};
use crate::account::{User, UserId};
use crate::clock::Timestamp;
use crate::db::schema::{api_key_sources, api_keys, users};
use crate::db::{Conn, Tx, on};

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
struct DescribedRow {
    id: ApiKeyId,
    name: String,
    handle: Handle,
    scope: Scope,
    created_at: Timestamp,
    issued_at: Timestamp,
    expires_at: Timestamp,
    previous_expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl DescribedRow {
    /// A secret that has ended is not spoken of.
    fn at(self, now: Timestamp) -> Described {
        let Self { id, name, handle, scope, created_at, issued_at, expires_at, previous_expires_at, last_used_at } =
            self;
        let previous_expires_at = previous_expires_at.filter(|end| now < *end);
        let hint = handle.hint();
        Described { id, name, hint, scope, created_at, issued_at, expires_at, previous_expires_at, last_used_at }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
struct StandingRow {
    id: ApiKeyId,
    handle: Handle,
    secret_digest: SecretDigest,
    secret_used_at: Option<Timestamp>,
    previous_digest: Option<SecretDigest>,
    previous_expires_at: Option<Timestamp>,
    scope: Scope,
    issued_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    last_refused_at: Option<Timestamp>,
}

impl StandingRow {
    fn standing(&self, is_owner_active: bool) -> Standing {
        let previous = self.previous_digest.zip(self.previous_expires_at);
        Standing {
            current: self.secret_digest,
            is_current_used: self.secret_used_at.is_some(),
            previous: previous.map(|(digest, expires_at)| Previous { digest, expires_at }),
            expires_at: self.expires_at,
            is_revoked: self.revoked_at.is_some(),
            is_owner_active,
        }
    }
}

pub(super) fn insert_key(
    tx: &mut Tx<'_>,
    key: &ApiKey,
    user_id: UserId,
    Wanted { name, scope, ttl }: &Wanted,
) -> QueryResult<Described> {
    let row = (
        (api_keys::id.eq(ApiKeyId::new(tx.now)), api_keys::user_id.eq(user_id), api_keys::name.eq(name)),
        (api_keys::handle.eq(key.handle()), api_keys::secret_digest.eq(key.secret_digest()), api_keys::scope.eq(scope)),
        (api_keys::created_at.eq(tx.now), api_keys::issued_at.eq(tx.now), api_keys::expires_at.eq(tx.now + *ttl)),
    );
    let insert = diesel::insert_into(api_keys::table).values(row);
    let inserted = on!(tx.conn, |c| insert.returning(DescribedRow::as_returning()).get_result(c))?;
    Ok(inserted.at(tx.now))
}

/// How many keys a user has that work.
pub(super) fn count_live(tx: &mut Tx<'_>, user_id: UserId) -> QueryResult<i64> {
    let query = api_keys::table.filter(api_keys::user_id.eq(user_id)).filter(live(tx.now)).count();
    on!(tx.conn, |c| query.get_result(c))
}

/// A user's keys that work, newest first, at most `limit`, older than `before` if that is given.
pub(super) fn list_live(
    tx: &mut Tx<'_>,
    user_id: UserId,
    before: Option<ApiKeyId>,
    limit: i64,
) -> QueryResult<Vec<Described>> {
    let target = api_keys::table
        .filter(api_keys::user_id.eq(user_id))
        .filter(live(tx.now))
        .order(api_keys::id.desc())
        .limit(limit);
    let rows: Vec<DescribedRow> = match before {
        None => on!(tx.conn, |c| target.select(DescribedRow::as_select()).load(c))?,
        Some(before) => {
            let target = target.filter(api_keys::id.lt(before));
            on!(tx.conn, |c| target.select(DescribedRow::as_select()).load(c))?
        }
    };
    Ok(rows.into_iter().map(|row| row.at(tx.now)).collect())
}

/// A key under its lock, for a rotation.
pub(super) struct Locked {
    pub(super) id: ApiKeyId,
    pub(super) handle: Handle,
    pub(super) standing: Standing,
    /// How long the secret in force was to live.
    pub(super) span: Duration,
}

/// Reads and locks a key of a user that works. (SQLite's transaction holds the only write lock already.)
pub(super) fn lock_live(tx: &mut Tx<'_>, user_id: UserId, id: ApiKeyId) -> QueryResult<Option<Locked>> {
    let query = api_keys::table.find(id).filter(api_keys::user_id.eq(user_id)).filter(live(tx.now));
    let row: Option<StandingRow> = match tx.conn {
        Conn::Pg(c) => query.select(StandingRow::as_select()).for_update().first(c).optional()?,
        Conn::Sqlite(c) => query.select(StandingRow::as_select()).first(c).optional()?,
    };
    Ok(row.map(|row| Locked {
        id: row.id,
        handle: row.handle,
        standing: row.standing(true),
        span: row.expires_at.since(row.issued_at),
    }))
}

/// Puts a new secret into force in a locked key.
pub(super) fn replace_secret(
    tx: &mut Tx<'_>,
    id: ApiKeyId,
    digest: SecretDigest,
    previous: Option<Previous>,
    expires_at: Timestamp,
) -> QueryResult<Described> {
    let update = diesel::update(api_keys::table.find(id)).set((
        api_keys::secret_digest.eq(digest),
        api_keys::secret_used_at.eq(None::<Timestamp>),
        api_keys::previous_digest.eq(previous.map(|previous| previous.digest)),
        api_keys::previous_expires_at.eq(previous.map(|previous| previous.expires_at)),
        api_keys::issued_at.eq(tx.now),
        api_keys::expires_at.eq(expires_at),
    ));
    let updated = on!(tx.conn, |c| update.returning(DescribedRow::as_returning()).get_result(c))?;
    Ok(updated.at(tx.now))
}

/// Revokes a key of a user that works; tells whether there was one.
pub(super) fn revoke_one(tx: &mut Tx<'_>, user_id: UserId, id: ApiKeyId) -> QueryResult<bool> {
    let target = api_keys::table.find(id).filter(api_keys::user_id.eq(user_id)).filter(live(tx.now));
    let update = diesel::update(target).set(api_keys::revoked_at.eq(tx.now));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Revokes all keys of a user that work; how many there were.
pub(super) fn revoke_all(tx: &mut Tx<'_>, user_id: UserId) -> QueryResult<usize> {
    let target = api_keys::table.filter(api_keys::user_id.eq(user_id)).filter(live(tx.now));
    let update = diesel::update(target).set(api_keys::revoked_at.eq(tx.now));
    on!(tx.conn, |c| update.execute(c))
}

/// A key that was presented, whether it works or not, with its user as they are now.
pub(super) struct Found {
    pub(super) id: ApiKeyId,
    pub(super) standing: Standing,
    pub(super) scope: Scope,
    pub(super) user: User,
    pub(super) last_used_at: Option<Timestamp>,
    pub(super) last_refused_at: Option<Timestamp>,
    /// When it was last noted that the key was used from there; `None`: never.
    pub(super) source_seen_at: Option<Timestamp>,
    /// From how many places it was used.
    pub(super) sources: i64,
}

/// All that is to be known of a presented key, by one statement.
pub(super) fn find_presented(tx: &mut Tx<'_>, handle: Handle, source: Option<&str>) -> QueryResult<Option<Found>> {
    type Row = (StandingRow, ManagedRow, Option<Timestamp>, Option<i64>);
    let sources = api_key_sources::table.filter(api_key_sources::api_key_id.eq(api_keys::id));
    let seen_at = sources.filter(api_key_sources::source.nullable().eq(source)).select(api_key_sources::seen_at);
    let query = api_keys::table.inner_join(users::table).filter(api_keys::handle.eq(handle));
    let (seen_at, sources) = (seen_at.single_value(), sources.count().single_value());
    let found: Option<Row> = on!(tx.conn, |c| {
        let columns = (StandingRow::as_select(), ManagedRow::as_select(), seen_at, sources);
        query.select(columns).first(c).optional()
    })?;
    let now = tx.now;
    Ok(found.map(|(row, user, source_seen_at, sources)| {
        let user = user.seen_at(now).user;
        Found {
            id: row.id,
            standing: row.standing(user.is_active),
            scope: row.scope,
            user,
            last_used_at: row.last_used_at,
            last_refused_at: row.last_refused_at,
            source_seen_at,
            sources: sources.unwrap_or(0),
        }
    }))
}

/// The user behind a token that a key was exchanged for, if the key and the user are what they should be.
pub(super) fn find_alive(tx: &mut Tx<'_>, id: ApiKeyId, user_id: UserId) -> QueryResult<Option<User>> {
    let query = api_keys::table
        .inner_join(users::table)
        .filter(api_keys::id.eq(id))
        .filter(users::id.eq(user_id))
        .filter(active(tx.now))
        .filter(live(tx.now));
    let found: Option<ManagedRow> = on!(tx.conn, |c| query.select(ManagedRow::as_select()).first(c).optional())?;
    Ok(found.map(|row| row.seen_at(tx.now).user))
}

/// Notes that a key was used, unless that was noted later than `since`.
pub(super) fn note_use(tx: &mut Tx<'_>, id: ApiKeyId, since: Timestamp) -> QueryResult<()> {
    let due = api_keys::last_used_at.is_null().or(api_keys::last_used_at.assume_not_null().le(since));
    let update = diesel::update(api_keys::table.find(id).filter(due)).set(api_keys::last_used_at.eq(tx.now));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Notes that a secret has arrived where it is needed, if it is still the one in force.
pub(super) fn note_arrival(tx: &mut Tx<'_>, id: ApiKeyId, secret: SecretDigest) -> QueryResult<()> {
    let unused =
        api_keys::table.find(id).filter(api_keys::secret_digest.eq(secret)).filter(api_keys::secret_used_at.is_null());
    let update = diesel::update(unused).set(api_keys::secret_used_at.eq(tx.now));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Notes that a key was refused, unless that was noted later than `since`; tells whether it did.
pub(super) fn note_refusal(tx: &mut Tx<'_>, id: ApiKeyId, since: Timestamp) -> QueryResult<bool> {
    let due = api_keys::last_refused_at.is_null().or(api_keys::last_refused_at.assume_not_null().le(since));
    let update = diesel::update(api_keys::table.find(id).filter(due)).set(api_keys::last_refused_at.eq(tx.now));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Notes that a key was used from somewhere; tells whether that was the first time.
pub(super) fn note_source(tx: &mut Tx<'_>, id: ApiKeyId, source: &str) -> QueryResult<bool> {
    let row = (
        api_key_sources::id.eq(SourceId::new(tx.now)),
        api_key_sources::api_key_id.eq(id),
        api_key_sources::source.eq(source),
        api_key_sources::seen_at.eq(tx.now),
    );
    let insert = diesel::insert_into(api_key_sources::table)
        .values(row)
        .on_conflict((api_key_sources::api_key_id, api_key_sources::source))
        .do_nothing();
    if on!(tx.conn, |c| insert.execute(c))? == 1 {
        return Ok(true);
    }
    let known =
        api_key_sources::table.filter(api_key_sources::api_key_id.eq(id)).filter(api_key_sources::source.eq(source));
    let update = diesel::update(known).set(api_key_sources::seen_at.eq(tx.now));
    on!(tx.conn, |c| update.execute(c))?;
    Ok(false)
}

/// The next `limit` keys after `after`, by id, and of each whether it ended at `before` or earlier.
pub(crate) fn look_for_ended(
    tx: &mut Tx<'_>,
    after: ApiKeyId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<(ApiKeyId, bool)>> {
    let query = api_keys::table
        .filter(api_keys::id.gt(after))
        .order(api_keys::id)
        .limit(limit)
        .select((api_keys::id, ended(before)));
    on!(tx.conn, |c| query.load(c))
}

/// Removes those of `ids` that ended at `before` or earlier, and where they were used from.
pub(crate) fn delete_ended(tx: &mut Tx<'_>, ids: &[ApiKeyId], before: Timestamp) -> QueryResult<usize> {
    let delete = diesel::delete(api_keys::table.filter(api_keys::id.eq_any(ids)).filter(ended(before)));
    on!(tx.conn, |c| delete.execute(c))
}

/// The next `limit` places after `after`, by id, and of each whether its key was last seen there at `before` or earlier.
pub(crate) fn look_for_unseen_sources(
    tx: &mut Tx<'_>,
    after: SourceId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<(SourceId, bool)>> {
    let query = api_key_sources::table
        .filter(api_key_sources::id.gt(after))
        .order(api_key_sources::id)
        .limit(limit)
        .select((api_key_sources::id, api_key_sources::seen_at.le(before)));
    on!(tx.conn, |c| query.load(c))
}

/// Removes those of `ids` that were last seen at `before` or earlier.
pub(crate) fn delete_unseen_sources(tx: &mut Tx<'_>, ids: &[SourceId], before: Timestamp) -> QueryResult<usize> {
    let target = api_key_sources::table.filter(api_key_sources::id.eq_any(ids));
    let delete = diesel::delete(target.filter(api_key_sources::seen_at.le(before)));
    on!(tx.conn, |c| delete.execute(c))
}

/// Neither revoked nor expired.
#[diesel::dsl::auto_type]
fn live(now: Timestamp) -> _ {
    api_keys::revoked_at.is_null().and(api_keys::expires_at.gt(now))
}

/// Revoked or expired, at `before` or earlier.
#[diesel::dsl::auto_type]
fn ended(before: Timestamp) -> _ {
    let revoked = api_keys::revoked_at.is_not_null().and(api_keys::revoked_at.assume_not_null().le(before));
    revoked.or(api_keys::expires_at.le(before))
}
