//! Who stands behind an access token: the second half of authentication, after the token's own verification.
//!
//! A token is valid until it expires, wherever it is verified offline. Here the session is asked too, so that log-out,
//! disabling and a change of roles take effect at once on our own routes.

use super::store;
use crate::access::Caller;
use crate::access::step_up::Authentication;
use crate::account::User;
use crate::app::App;
use crate::error::{Error, Result};
use crate::token::claims::Claims;

/// Finds the live session and the active user of verified claims.
///
/// # Errors
/// [`Error::InvalidToken`] if either is over.
pub async fn find(app: &App, claims: Claims) -> Result<(Caller, User)> {
    let (session_id, user_id) = (claims.sid, claims.sub);
    let found = app.db.read("session.caller", move |tx| store::find_signed_in(tx, session_id, user_id)).await?;
    let user = found.ok_or(Error::InvalidToken)?;
    let authentication = Authentication::of_claims(claims.auth_time, &claims.amr);
    let caller = Caller { user_id, session_id, scope: claims.scope, roles: user.roles.clone(), authentication };
    Ok((caller, user))
}
