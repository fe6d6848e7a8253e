//! `POST /v1/auth/change-password` — a new password for whoever knows the old one; every other session ends.
//!
//! Owns: users, through sessions' verbs sessions.  Emits: PasswordChanged.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use diesel::QueryResult;

use super::email::Email;
use super::password::Password;
use super::reset_password::password_was_changed;
use super::{UserId, register, store};
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::hasher::Verdict;
use crate::http::bearer::Account;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::session::{self, RevokedReason};
use crate::throttle;
use crate::throttle::bucket::Refusal;
use crate::throttle::guess::{Admitted, Guess};

request_body! {
    /// The old password and the new one.
    pub struct Request {
        /// The password in force.
        current_password: Password,
        /// At least `password.min_length` characters, not a common one.
        new_password: Password,
    }
}

/// Answers 204; the session that asked goes on, all others are over.
pub async fn handle(
    app: Data<App>,
    Account { caller, user }: Account,
    from: Origin,
    Json(body): Json<Request>,
) -> Result<HttpResponse> {
    let email = Email::parse(&user.email).map_err(|_| Error::Internal)?;
    let new_password = register::accept(&app, body.new_password, &email, user.name.as_deref(), "new_password").await?;
    let id = caller.user_id;
    app.hasher.admit(from.address)?;
    let guess = Guess::in_session(&app.config, caller.session_id, &from);
    let looked = app.db.read("account.password", move |tx| look(tx, &guess, id)).await?;
    let (admitted, stored) = looked.map_err(|refusal| throttle::refuse(&app, refusal))?;
    let stored = stored.ok_or(Error::InvalidToken)?;
    if app.hasher.verify(&body.current_password, Some(&stored), from.address).await? == Verdict::Wrong {
        let event = Event::PasswordChangeFailed { user: id, session: caller.session_id };
        return Err(count_wrong(&app, admitted, id, event, from).await?);
    }
    let new_hash = app.hasher.hash(new_password.password(), from.address).await?;
    let (outbox, address) = (app.mail.outbox(), user.email);
    let changed = app
        .db
        .tx("account.change_password", move |tx| {
            if let Some(refusal) = admitted.succeed(tx)? {
                return Ok(Err(refusal));
            }
            if !store::replace_password_hash(tx, id, &stored, &new_hash)? {
                return Ok(Ok(false));
            }
            password_was_changed(tx, &outbox, id, &address)?;
            session::revoke_others(tx, id, caller.session_id, RevokedReason::PasswordChanged)?;
            audit::record(tx, &from, &Event::PasswordChanged { user: id, session: caller.session_id })?;
            Ok(Ok(true))
        })
        .await?;
    let changed = changed.map_err(|refusal| throttle::refuse(&app, refusal))?;
    app.mail.outbox().ring();
    // Nobody's session is told apart from a wrong password when another change came first: try again and see.
    if changed { Ok(HttpResponse::NoContent().finish()) } else { Err(Error::InvalidCredentials) }
}

/// Whether the current password may be looked at, and what to compare it with.
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

/// Counts a wrong current password and writes it down; what to answer.
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

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "change_password", "Set a new password, which ends every other session")
        .json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "The new password is in force.")
        .refuses([Error::InvalidCredentials])
}
