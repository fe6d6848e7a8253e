//! The password in force, once more, from somebody who is signed in: whoever merely holds their access token does not have it.
//!
//! It is a guess in the session, and limited as such; a wrong one is counted and written down before it is answered.
//!
//! Emits: what the caller says of a wrong password.

use diesel::QueryResult;

use super::password::Password;
use super::{UserId, store};
use crate::access::Caller;
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::hasher::Verdict;
use crate::http::origin::Origin;
use crate::throttle;
use crate::throttle::bucket::Refusal;
use crate::throttle::guess::{Admitted, Guess};

/// A password that was right.
pub(super) struct Proven {
    /// Counts the success, in the transaction that does what was asked for.
    pub(super) admitted: Admitted,
    /// What it was compared with: whoever replaces it guards against a change that came first.
    pub(super) stored: String,
}

/// Checks the caller's password. Whether there is room for a hash is asked first, since that costs nothing.
///
/// # Errors
/// [`Error::InvalidCredentials`] for a wrong one, which is written down as `wrong`; [`Error::InvalidToken`] if there is no such
/// user any more; or whatever keeps the password from being looked at.
pub(super) async fn check(
    app: &App,
    caller: &Caller,
    password: &Password,
    from: &Origin,
    wrong: Event,
) -> Result<Proven> {
    app.hasher.admit(from.address)?;
    let id = caller.user_id;
    let guess = Guess::in_session(&app.config, caller.session_id, from);
    let looked = app.db.read("account.password", move |tx| look(tx, &guess, id)).await?;
    let (admitted, stored) = looked.map_err(|refusal| throttle::refuse(app, refusal))?;
    let stored = stored.ok_or(Error::InvalidToken)?;
    if app.hasher.verify(password, Some(&stored), from.address).await? == Verdict::Wrong {
        return Err(count_wrong(app, admitted, id, wrong, from.clone()).await?);
    }
    Ok(Proven { admitted, stored })
}

/// Whether the password may be looked at, and what to compare it with.
pub(crate) fn look(
    tx: &mut Tx<'_>,
    guess: &Guess,
    id: UserId,
) -> QueryResult<Result<(Admitted, Option<String>), Refusal>> {
    match guess.look(tx)? {
        Ok(admitted) => Ok(Ok((admitted, store::find_password_hash(tx, id)?))),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Counts a wrong password and writes it down; what to answer.
pub(crate) async fn count_wrong(
    app: &App,
    admitted: Admitted,
    user: UserId,
    event: Event,
    from: Origin,
) -> Result<Error> {
    let failing = app.db.tx("account.wrong_password", move |tx| {
        let refusal = admitted.fail(tx, Some(user), &from)?;
        if refusal.is_none() {
            audit::record(tx, &from, &event)?;
        }
        Ok(refusal)
    });
    Ok(failing.await?.map_or(Error::InvalidCredentials, |refusal| throttle::refuse(app, refusal)))
}
