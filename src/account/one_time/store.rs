//! The queries on `one_time_tokens` and `invitations`.

use std::time::Duration;

use diesel::prelude::*;

use super::{OneTimeToken, Purpose, Taken};
use crate::account::UserId;
use crate::account::email::Email;
use crate::clock::Timestamp;
use crate::db::schema::{email_changes, invitations, one_time_tokens};
use crate::db::types::id;
use crate::db::{Tx, on};

id! {
    /// Names a row.
    TokenId
}

/// Puts a token in the place of the one of its purpose that the user may have.
pub(super) fn replace(
    tx: &mut Tx<'_>,
    user: UserId,
    token: &OneTimeToken,
    by_mail: bool,
    ttl: Duration,
) -> QueryResult<()> {
    let values = (
        one_time_tokens::digest.eq(token.digest()),
        one_time_tokens::by_mail.eq(by_mail),
        one_time_tokens::issued_at.eq(tx.now),
        one_time_tokens::expires_at.eq(tx.now + ttl),
    );
    let row = (
        one_time_tokens::id.eq(TokenId::new(tx.now)),
        one_time_tokens::user_id.eq(user),
        one_time_tokens::purpose.eq(token.purpose().as_str()),
        values,
    );
    let insert = diesel::insert_into(one_time_tokens::table)
        .values(row)
        .on_conflict((one_time_tokens::user_id, one_time_tokens::purpose))
        .do_update()
        .set(values);
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

pub(super) fn was_issued_since(tx: &mut Tx<'_>, user: UserId, purpose: Purpose, since: Timestamp) -> QueryResult<bool> {
    let query = one_time_tokens::table
        .filter(one_time_tokens::user_id.eq(user))
        .filter(one_time_tokens::purpose.eq(purpose.as_str()))
        .filter(one_time_tokens::issued_at.gt(since));
    on!(tx.conn, |c| diesel::select(diesel::dsl::exists(query)).get_result(c))
}

/// Removes the token if it still works; of any number at once, one gets it.
pub(super) fn take(tx: &mut Tx<'_>, token: &OneTimeToken) -> QueryResult<Option<Taken>> {
    let live = one_time_tokens::table
        .filter(one_time_tokens::digest.eq(token.digest()))
        .filter(one_time_tokens::purpose.eq(token.purpose().as_str()))
        .filter(one_time_tokens::expires_at.gt(tx.now));
    let delete = diesel::delete(live).returning((one_time_tokens::user_id, one_time_tokens::by_mail));
    let taken: Option<(UserId, bool)> = on!(tx.conn, |c| delete.get_result(c).optional())?;
    Ok(taken.map(|(user, by_mail)| Taken { user, by_mail }))
}

/// Whose the token is, if it still works; it is not used up.
pub(crate) fn find_holder(tx: &mut Tx<'_>, token: &OneTimeToken) -> QueryResult<Option<UserId>> {
    let live = one_time_tokens::table
        .filter(one_time_tokens::digest.eq(token.digest()))
        .filter(one_time_tokens::purpose.eq(token.purpose().as_str()))
        .filter(one_time_tokens::expires_at.gt(tx.now))
        .select(one_time_tokens::user_id);
    on!(tx.conn, |c| live.first(c).optional())
}

/// Removes a user's tokens of these purposes.
pub(crate) fn void(tx: &mut Tx<'_>, user: UserId, purposes: &[Purpose]) -> QueryResult<()> {
    let names = purposes.iter().map(|purpose| purpose.as_str());
    let target = one_time_tokens::table
        .filter(one_time_tokens::user_id.eq(user))
        .filter(one_time_tokens::purpose.eq_any(names.collect::<Vec<_>>()));
    let delete = diesel::delete(target);
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Removes all of a user's tokens, those of another release's purposes too.
pub(crate) fn void_all(tx: &mut Tx<'_>, user: UserId) -> QueryResult<()> {
    let delete = diesel::delete(one_time_tokens::table.filter(one_time_tokens::user_id.eq(user)));
    on!(tx.conn, |c| delete.execute(c)).map(|_| ())
}

/// Puts an invitation in the place of the one that the address may have.
pub(super) fn replace_invitation(
    tx: &mut Tx<'_>,
    email: &Email,
    token: &OneTimeToken,
    by_mail: bool,
    ttl: Duration,
) -> QueryResult<()> {
    let values = (
        invitations::digest.eq(token.digest()),
        invitations::by_mail.eq(by_mail),
        invitations::issued_at.eq(tx.now),
        invitations::expires_at.eq(tx.now + ttl),
    );
    let row = (invitations::id.eq(TokenId::new(tx.now)), invitations::email_key.eq(email.key()), values);
    let insert =
        diesel::insert_into(invitations::table).values(row).on_conflict(invitations::email_key).do_update().set(values);
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// Removes the invitation if it is for this address and still works; tells whether it went by mail.
pub(super) fn take_invitation(tx: &mut Tx<'_>, email: &Email, token: &OneTimeToken) -> QueryResult<Option<bool>> {
    let live = invitations::table
        .filter(invitations::digest.eq(token.digest()))
        .filter(invitations::email_key.eq(email.key()))
        .filter(invitations::expires_at.gt(tx.now));
    let delete = diesel::delete(live).returning(invitations::by_mail);
    on!(tx.conn, |c| delete.get_result(c).optional())
}

/// Removes at most `limit` tokens, invitations and changes of address, of each, that expired at `before` or earlier.
pub(crate) fn delete_expired(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> QueryResult<usize> {
    macro_rules! sweep {
        ($table:ident) => {{
            let over = $table::table.filter($table::expires_at.le(before)).select($table::id).limit(limit);
            let over: Vec<TokenId> = on!(tx.conn, |c| over.load(c))?;
            // Asked again: a row may have been renewed since.
            let target = $table::table.filter($table::id.eq_any(over)).filter($table::expires_at.le(before));
            let delete = diesel::delete(target);
            on!(tx.conn, |c| delete.execute(c))?
        }};
    }
    Ok(sweep!(one_time_tokens) + sweep!(invitations) + sweep!(email_changes))
}
