//! The queries on `users`.

use diesel::dsl::{AsSelect, SqlTypeOf, not, sql};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{Query, QueryFragment};
use diesel::result::DatabaseErrorKind::UniqueViolation;
use diesel::result::Error::DatabaseError;
use diesel::sql_types::Bool;

use super::email::Email;
use super::search::IS_ADMIN;
use super::{ManagedUser, User, UserId};
use crate::access::role::Roles;
use crate::clock::Timestamp;
use crate::db::schema::users;
use crate::db::{Cached, Conn, Tx, on};
use crate::throttle::admits_none;
use crate::throttle::bucket::BucketId;

/// A user's columns as clients may see them.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(crate) struct UserRow {
    id: UserId,
    email: String,
    name: Option<String>,
    roles: Roles,
    is_active: bool,
    is_verified: bool,
    created_at: Timestamp,
    last_login_at: Option<Timestamp>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let UserRow { id, email, name, roles, is_active, is_verified, created_at, last_login_at } = row;
        Self { id, email, name, roles, is_active, is_verified, created_at, last_login_at }
    }
}

/// A user's columns, and what they say at a time.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(crate) struct ManagedRow {
    #[diesel(embed)]
    row: UserRow,
    disabled_until: Option<Timestamp>,
}

impl ManagedRow {
    /// Whose time is over is active again, though the next log-in is what writes it down.
    pub(crate) fn seen_at(self, now: Timestamp) -> ManagedUser {
        let mut user = User::from(self.row);
        user.is_active |= self.disabled_until.is_some_and(|until| until <= now);
        ManagedUser { disabled_until: self.disabled_until.filter(|_| !user.is_active), user }
    }
}

/// What a password check needs to know of a user.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(crate) struct Credentials {
    pub(crate) id: UserId,
    pub(crate) password_hash: String,
    is_active: bool,
    pub(crate) is_verified: bool,
    /// Whether the password is only half of a log-in.
    pub(crate) has_second_factor: bool,
    disabled_until: Option<Timestamp>,
    pub(crate) roles: Roles,
    pub(crate) access_version: i64,
}

impl Credentials {
    /// Whether the user may log in.
    pub(crate) fn is_active_at(&self, now: Timestamp) -> bool {
        self.is_active || self.disabled_until.is_some_and(|until| until <= now)
    }

    /// Whether a log-in ends a time for which the user was disabled.
    pub(crate) fn was_disabled(&self) -> bool {
        !self.is_active
    }
}

/// Not disabled, or disabled until a time that is over. Whatever asks whether a user may do something asks this; only what
/// looks at sessions can do with `is_active`, since disabling ends them, and a log-in sets it.
#[diesel::dsl::auto_type]
pub(crate) fn active(now: Timestamp) -> _ {
    let is_over = users::disabled_until.is_not_null().and(users::disabled_until.assume_not_null().le(now));
    users::is_active.or(is_over)
}

/// A user together with the number that sessions compare theirs with.
pub(crate) struct Standing {
    pub(crate) user: User,
    pub(crate) access_version: i64,
}

pub(crate) fn find_credentials(tx: &mut Tx<'_>, email: &Email) -> QueryResult<Option<Credentials>> {
    let query = users::table.filter(users::email_key.eq(email.key()));
    on!(tx.conn, |c| query.select(Credentials::as_select()).first(c).optional())
}

/// The same by the user's id, and the address.
pub(crate) fn find_credentials_by_id(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<(Credentials, String)>> {
    let query = users::table.find(id);
    on!(tx.conn, |c| query.select((Credentials::as_select(), users::email)).first(c).optional())
}

/// The hash to check a signed-in user's current password against.
pub(super) fn find_password_hash(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<String>> {
    let query = users::table.find(id).select(users::password_hash);
    on!(tx.conn, |c| query.first(c).optional())
}

pub(crate) fn find_standing(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<Standing>> {
    let query = users::table.find(id);
    let found: Option<(ManagedRow, i64)> =
        on!(tx.conn, |c| query.select((ManagedRow::as_select(), users::access_version)).first(c).optional())?;
    Ok(found.map(|(row, access_version)| Standing { user: row.seen_at(tx.now).user, access_version }))
}

/// The same under the user's lock, so that what they are stays so until the transaction ends.
/// (SQLite's transaction holds the only write lock already.)
pub(crate) fn lock_standing(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<Standing>> {
    let query = users::table.find(id);
    let found: Option<(ManagedRow, i64)> = match tx.conn {
        Conn::Pg(c) => {
            query.select((ManagedRow::as_select(), users::access_version)).for_update().first(c).optional()?
        }
        Conn::Sqlite(c) => query.select((ManagedRow::as_select(), users::access_version)).first(c).optional()?,
    };
    Ok(found.map(|(row, access_version)| Standing { user: row.seen_at(tx.now).user, access_version }))
}

/// Locks an active user until the transaction ends, so that what is counted of theirs stays so; tells whether there is one.
pub(crate) fn lock_active(tx: &mut Tx<'_>, id: UserId) -> QueryResult<bool> {
    let query = users::table.find(id).filter(active(tx.now)).select(users::id);
    let found: Option<UserId> = match tx.conn {
        Conn::Pg(c) => query.for_no_key_update().first(c).optional()?,
        Conn::Sqlite(c) => query.first(c).optional()?,
    };
    Ok(found.is_some())
}

/// Every administrator under their lock, and whether they are active: of two who are to be none any more, the second is
/// looked at when it is known what became of the first.
pub(super) fn lock_admins(tx: &mut Tx<'_>) -> QueryResult<Vec<(UserId, bool)>> {
    let query = users::table.filter(sql::<Bool>(IS_ADMIN)).order(users::id).select((users::id, active(tx.now)));
    match tx.conn {
        Conn::Pg(c) => query.for_update().load(c),
        Conn::Sqlite(c) => query.load(c),
    }
}

pub(crate) fn find_id_by_email(tx: &mut Tx<'_>, email: &Email) -> QueryResult<Option<UserId>> {
    let query = users::table.filter(users::email_key.eq(email.key())).select(users::id);
    on!(tx.conn, |c| query.first(c).optional())
}

/// What a mail to a user depends on.
#[derive(Queryable)]
pub(super) struct Addressee {
    pub(super) id: UserId,
    pub(super) email: String,
    email_key: String,
    pub(super) name: Option<String>,
    /// Or disabled until a time that is over.
    pub(super) is_active: bool,
    pub(super) is_verified: bool,
    pub(super) last_login_at: Option<Timestamp>,
}

impl Addressee {
    /// Whether this is the address on file, in any spelling.
    pub(super) fn has_address(&self, email: &Email) -> bool {
        self.email_key == email.key()
    }
}

#[diesel::dsl::auto_type]
fn addressee(now: Timestamp) -> _ {
    let is_active: active = active(now);
    (users::id, users::email, users::email_key, users::name, is_active, users::is_verified, users::last_login_at)
}

pub(super) fn find_addressee(tx: &mut Tx<'_>, email: &Email) -> QueryResult<Option<Addressee>> {
    let query = users::table.filter(users::email_key.eq(email.key()));
    on!(tx.conn, |c| query.select(addressee(tx.now)).first(c).optional())
}

pub(super) fn find_addressee_by_id(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<Addressee>> {
    let query = users::table.find(id);
    on!(tx.conn, |c| query.select(addressee(tx.now)).first(c).optional())
}

/// A user to be.
#[derive(Clone)]
pub(crate) struct NewUser {
    pub(crate) email: Email,
    pub(crate) name: Option<String>,
    pub(crate) password_hash: String,
    pub(crate) roles: Roles,
    /// Whether the address was shown to be the user's, or an operator vouches for it.
    pub(crate) is_verified: bool,
    pub(crate) logs_in: bool,
}

/// A user's address.
pub(crate) fn find_email(tx: &mut Tx<'_>, id: UserId) -> QueryResult<Option<String>> {
    let query = users::table.find(id).select(users::email);
    on!(tx.conn, |c| query.first(c).optional())
}

/// Inserts a user, or nothing if the address is taken: then `None`.
pub(super) fn insert_user(tx: &mut Tx<'_>, new: &NewUser) -> QueryResult<Option<Standing>> {
    let row = (
        users::id.eq(UserId::new(tx.now)),
        users::email.eq(new.email.address()),
        users::email_key.eq(new.email.key()),
        users::name.eq(new.name.as_deref()),
        users::password_hash.eq(&new.password_hash),
        users::roles.eq(&new.roles),
        users::is_active.eq(true),
        users::is_verified.eq(new.is_verified),
        users::access_version.eq(0),
        users::created_at.eq(tx.now),
        users::last_login_at.eq(new.logs_in.then_some(tx.now)),
    );
    let insert = diesel::insert_into(users::table).values(row).on_conflict(users::email_key).do_nothing();
    let inserted: Option<UserRow> =
        on!(tx.conn, |c| insert.returning(UserRow::as_returning()).get_result(c).optional())?;
    Ok(inserted.map(|row| Standing { user: row.into(), access_version: 0 }))
}

/// Notes a log-in, and replaces an outdated hash.
///
/// Guarded by what the password check saw: an account that was disabled, whose password was changed, or that was given a
/// second factor while the password was being hashed is not logged in to, and nor is one for which `counted` admits no more
/// guesses. The row stays locked, so that disabling it now waits and then finds the session that this transaction opens.
pub(crate) fn mark_login(
    tx: &mut Tx<'_>,
    checked: &Credentials,
    new_hash: Option<&str>,
    counted: Option<BucketId>,
) -> QueryResult<Option<Standing>> {
    let unchanged = users::table
        .find(checked.id)
        .filter(active(tx.now))
        .filter(users::password_hash.eq(&checked.password_hash))
        .filter(users::has_second_factor.eq(checked.has_second_factor))
        .filter(not(admits_none(counted, tx.now)));
    let update = diesel::update(unchanged).set((
        users::last_login_at.eq(tx.now),
        users::password_hash.eq(new_hash.unwrap_or(&checked.password_hash)),
        // A time for which they were disabled ends with this.
        (users::is_active.eq(true), users::disabled_until.eq(None::<Timestamp>)),
    ));
    let updated: Option<(UserRow, i64)> = on!(tx.conn, |c| {
        let update = update.returning((UserRow::as_returning(), users::access_version));
        Cached::<LoginMark, _>::new(update).get_result(c).optional()
    })?;
    Ok(updated.map(|(row, access_version)| Standing { user: row.into(), access_version }))
}

/// The name of the statement in [`mark_login`].
struct LoginMark;

/// The same as a part of a statement, for an account that is active, whose hash stays, and whose rights are what they were.
pub(crate) fn mark_login_part<'a>(
    now: Timestamp,
    checked: &'a Credentials,
    counted: Option<BucketId>,
) -> impl QueryFragment<Pg> + Query<SqlType = SqlTypeOf<AsSelect<UserRow, Pg>>> + 'a {
    let unchanged = users::table
        .find(checked.id)
        .filter(users::is_active)
        .filter(users::password_hash.eq(&checked.password_hash))
        .filter(users::has_second_factor.eq(checked.has_second_factor))
        .filter(users::access_version.eq(checked.access_version))
        .filter(not(admits_none(counted, now)));
    diesel::update(unchanged).set(users::last_login_at.eq(now)).returning(UserRow::as_returning())
}

/// The same for the first of two steps: the user has not logged in yet, and the hash in force is `hash`. Tells whether the
/// account is as it was checked.
pub(crate) fn mark_first_step(tx: &mut Tx<'_>, checked: &Credentials, hash: &str) -> QueryResult<bool> {
    let unchanged = users::table
        .find(checked.id)
        .filter(active(tx.now))
        .filter(users::password_hash.eq(&checked.password_hash))
        .filter(users::has_second_factor.eq(checked.has_second_factor));
    let update = diesel::update(unchanged).set(users::password_hash.eq(hash));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Says whether log-ins ask for a second factor from now on; the user's address if that is news.
pub(crate) fn set_second_factor(tx: &mut Tx<'_>, id: UserId, has_second_factor: bool) -> QueryResult<Option<String>> {
    let others = users::table.find(id).filter(users::has_second_factor.ne(has_second_factor));
    let update = diesel::update(others).set(users::has_second_factor.eq(has_second_factor)).returning(users::email);
    on!(tx.conn, |c| update.get_result(c).optional())
}

pub(super) fn update_name(tx: &mut Tx<'_>, id: UserId, name: Option<&str>) -> QueryResult<Option<User>> {
    let update = diesel::update(users::table.find(id).filter(users::is_active)).set(users::name.eq(name));
    let updated: Option<UserRow> =
        on!(tx.conn, |c| update.returning(UserRow::as_returning()).get_result(c).optional())?;
    Ok(updated.map(User::from))
}

/// Sets a password if the one that was checked is still in force; tells whether it was.
pub(super) fn replace_password_hash(tx: &mut Tx<'_>, id: UserId, checked: &str, new: &str) -> QueryResult<bool> {
    let unchanged = users::table.find(id).filter(users::is_active).filter(users::password_hash.eq(checked));
    let update = diesel::update(unchanged).set(users::password_hash.eq(new));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Sets a password, whatever the one in force is.
pub(super) fn set_password_hash(tx: &mut Tx<'_>, id: UserId, new: &str) -> QueryResult<()> {
    let update = diesel::update(users::table.find(id)).set(users::password_hash.eq(new));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Sets the password of an active user, and notes that the address is theirs if `verifies`; the address.
pub(super) fn reset_password(tx: &mut Tx<'_>, id: UserId, hash: &str, verifies: bool) -> QueryResult<Option<String>> {
    let active = users::table.find(id).filter(active(tx.now));
    // What is verified stays so; the text of the statement must not depend on it.
    let is_verified = users::is_verified.or(verifies.into_sql::<Bool>());
    let update = diesel::update(active)
        .set((users::password_hash.eq(hash), users::is_verified.eq(is_verified)))
        .returning(users::email);
    on!(tx.conn, |c| update.get_result(c).optional())
}

/// Takes the password of an account that nobody has verified or used; tells whether it did.
pub(super) fn void_password(tx: &mut Tx<'_>, id: UserId, nobodys_hash: &str) -> QueryResult<bool> {
    let unused = users::table.find(id).filter(users::is_verified.eq(false)).filter(users::last_login_at.is_null());
    let update = diesel::update(unused).set(users::password_hash.eq(nobodys_hash));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Notes that the address is the user's; tells whether there is an active user.
pub(super) fn mark_verified(tx: &mut Tx<'_>, id: UserId) -> QueryResult<bool> {
    let update = diesel::update(users::table.find(id).filter(active(tx.now))).set(users::is_verified.eq(true));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Puts another address in the place of the one there is, and says whether it is the user's; tells whether it was free. Of a
/// disabled user only if that is allowed.
pub(super) fn replace_email(
    tx: &mut Tx<'_>,
    id: UserId,
    email: &Email,
    is_verified: bool,
    even_if_disabled: bool,
) -> QueryResult<bool> {
    let allowed = active(tx.now).or(even_if_disabled.into_sql::<Bool>());
    let update = diesel::update(users::table.find(id).filter(allowed)).set((
        users::email.eq(email.address()),
        users::email_key.eq(email.key()),
        users::is_verified.eq(is_verified),
    ));
    // A transaction within this one: Postgres goes on after a refusal only if the refused statement was one of its own.
    match on!(tx.conn, |c| c.transaction(|c| update.execute(c))) {
        Ok(count) => Ok(count == 1),
        Err(DatabaseError(UniqueViolation, _)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What an administrator sets as it is to be.
pub(super) fn set_name(tx: &mut Tx<'_>, id: UserId, name: Option<&str>) -> QueryResult<()> {
    let update = diesel::update(users::table.find(id)).set(users::name.eq(name));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// What an administrator knows, or vouches for.
pub(super) fn set_verified(tx: &mut Tx<'_>, id: UserId, is_verified: bool) -> QueryResult<()> {
    let update = diesel::update(users::table.find(id)).set(users::is_verified.eq(is_verified));
    on!(tx.conn, |c| update.execute(c)).map(|_| ())
}

/// Sets the roles and raises the access version, which is returned; `None` if there is no such user.
pub(super) fn update_roles(tx: &mut Tx<'_>, id: UserId, roles: &Roles) -> QueryResult<Option<i64>> {
    let update = diesel::update(users::table.find(id))
        .set((users::roles.eq(roles), users::access_version.eq(users::access_version + 1)))
        .returning(users::access_version);
    on!(tx.conn, |c| update.get_result(c).optional())
}

/// Disables a user, for good or until a time; tells whether there was one to disable.
pub(super) fn disable(tx: &mut Tx<'_>, id: UserId, until: Option<Timestamp>) -> QueryResult<bool> {
    let active = users::table.find(id).filter(active(tx.now));
    let update = diesel::update(active).set((
        users::is_active.eq(false),
        users::disabled_until.eq(until),
        users::access_version.eq(users::access_version + 1),
    ));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Sets until when a disabled user is so; tells whether that was another time.
pub(super) fn set_disabled_until(tx: &mut Tx<'_>, id: UserId, until: Option<Timestamp>) -> QueryResult<bool> {
    let disabled = users::table.find(id).filter(users::is_active.eq(false)).filter(users::purge_at.is_null());
    let changed = match until {
        None => {
            let update = diesel::update(disabled.filter(users::disabled_until.is_not_null()));
            on!(tx.conn, |c| update.set(users::disabled_until.eq(None::<Timestamp>)).execute(c))?
        }
        Some(until) => {
            let other = users::disabled_until.is_null().or(users::disabled_until.assume_not_null().ne(until));
            let update = diesel::update(disabled.filter(other));
            on!(tx.conn, |c| update.set(users::disabled_until.eq(until)).execute(c))?
        }
    };
    Ok(changed == 1)
}

/// Lets a disabled user in again; tells whether there was one. A deleted one is brought back in another way.
pub(super) fn enable(tx: &mut Tx<'_>, id: UserId) -> QueryResult<bool> {
    let disabled = users::table.find(id).filter(users::is_active.eq(false)).filter(users::purge_at.is_null());
    let update = diesel::update(disabled).set((
        users::is_active.eq(true),
        users::disabled_until.eq(None::<Timestamp>),
        users::access_version.eq(users::access_version + 1),
    ));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}

/// Writes down that the time is over for which a user was disabled; tells whether that is news.
pub(crate) fn end_disabling(tx: &mut Tx<'_>, id: UserId) -> QueryResult<bool> {
    let over = users::table
        .find(id)
        .filter(users::is_active.eq(false))
        .filter(users::disabled_until.is_not_null())
        .filter(users::disabled_until.assume_not_null().le(tx.now));
    let update = diesel::update(over).set((users::is_active.eq(true), users::disabled_until.eq(None::<Timestamp>)));
    Ok(on!(tx.conn, |c| update.execute(c))? == 1)
}
