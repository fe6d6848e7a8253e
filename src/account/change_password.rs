//! `POST /v1/auth/change-password` — a new password for whoever knows the old one; every other session ends.
//!
//! Owns: users, through sessions' verbs sessions.  Emits: PasswordChanged, PasswordChangeFailed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::current_password::{self, Proven};
use super::email::Email;
use super::password::Password;
use super::reset_password::password_was_changed;
use super::{register, store};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::session::{self, RevokedReason};
use crate::throttle;

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
    let (id, session) = (caller.user_id, caller.session_id);
    let wrong = Event::PasswordChangeFailed { user: id, session };
    let Proven { admitted, stored } =
        current_password::check(&app, &caller, &body.current_password, &from, wrong).await?;
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
            session::revoke_others(tx, id, session, RevokedReason::PasswordChanged)?;
            audit::record(tx, &from, &Event::PasswordChanged { user: id, session })?;
            Ok(Ok(true))
        })
        .await?;
    let changed = changed.map_err(|refusal| throttle::refuse(&app, refusal))?;
    app.mail.outbox().ring();
    // Nobody's session is told apart from a wrong password when another change came first: try again and see.
    if changed { Ok(HttpResponse::NoContent().finish()) } else { Err(Error::InvalidCredentials) }
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "change_password", "Set a new password, which ends every other session")
        .json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "The new password is in force.")
        .refuses([Error::InvalidCredentials])
}
