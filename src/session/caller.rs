//! Who stands behind an access token: the second half of authentication, after the token's own verification.
//!
//! A token is valid until it expires, wherever it is verified offline. Here the session is asked too, so that log-out,
//! disabling, and a role that was taken away, take effect at once on our own routes.

use super::{SessionId, store};
use crate::access::Caller;
use crate::access::role::Roles;
use crate::access::step_up::Authentication;
use crate::account::User;
use crate::app::App;
use crate::error::{Error, Result};
use crate::token::claims::Claims;

/// Finds the live session and the active user of a session's verified claims. Where somebody acts for the user, they must be
/// an administrator still, in a session that is alive, and the user none: so the token dies with what it was issued by.
///
/// # Errors
/// [`Error::InvalidToken`] if either is over.
pub async fn find(app: &App, session_id: SessionId, claims: &Claims) -> Result<(Caller, User)> {
    let user_id = claims.sub;
    let actor = claims.act.map(|act| act.sub);
    let user = match actor {
        None => app.db.read("session.caller", move |tx| store::find_signed_in(tx, session_id, user_id)).await?,
        Some(actor) => {
            let found = app
                .db
                .read("session.caller_for_another", move |tx| store::find_impersonated(tx, session_id, user_id, actor))
                .await?;
            let is_admin = |user: &User| user.roles.contains(Roles::ADMIN);
            found.filter(|(user, actor)| is_admin(actor) && !is_admin(user)).map(|(user, _)| user)
        }
    };
    let user = user.ok_or(Error::InvalidToken)?;
    let scope = app.rights.left_of(&claims.scope, &user.roles);
    let authentication =
        Authentication::of_claims(claims.auth_time.unwrap_or_default(), claims.amr.as_deref().unwrap_or_default());
    let caller = Caller { user_id, session_id, scope, roles: user.roles.clone(), authentication, actor };
    Ok((caller, user))
}
