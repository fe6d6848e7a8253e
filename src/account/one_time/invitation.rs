//! Invitations: `registration = "invite"` lets in who has one. An operator makes them: `signet users invite`.
//!
//! Owns: invitations.

use std::time::Duration;

use diesel::QueryResult;

use super::{By, OneTimeToken, Purpose, store};
use crate::account::email::Email;
use crate::db::Tx;

/// People are on holiday; and who has an invitation can open an account for one address, which has none.
pub(crate) const TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// Makes an invitation in place of the one that the address may have.
pub(in crate::account) fn issue(tx: &mut Tx<'_>, email: &Email, by: By) -> QueryResult<OneTimeToken> {
    let token = OneTimeToken::generate(Purpose::Invitation);
    store::replace_invitation(tx, email, &token, by == By::Mail, TTL)?;
    Ok(token)
}

/// Uses an invitation up, if it is one for this address; tells whether it shows that its bearer reads mail there.
pub(in crate::account) fn take(tx: &mut Tx<'_>, email: &Email, token: &OneTimeToken) -> QueryResult<Option<bool>> {
    store::take_invitation(tx, email, token)
}
