//! `POST /v1/auth/reset-password` — a new password for whoever has the token; every session ends, and none begins.
//!
//! A token that is unknown, expired or used costs one hash like one that works, and is answered like any other that does not.
//!
//! Owns: users, through sessions' verbs sessions.  Emits: PasswordReset.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::email::Email;
use super::one_time::{self, Purpose, TokenField};
use super::password::Password;
use super::{UserId, change_email, register, store};
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::{Notice, Outbox};
use crate::session::{self, RevokedReason};
use crate::throttle;

request_body! {
    /// What came by mail, and what is to be.
    pub struct Request {
        /// The token.
        token: TokenField,
        /// At least `password.min_length` characters, not a common one.
        new_password: Password,
    }
}

/// Answers 204; the user logs in with the new password.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let reset = reset(&app, &body.token, body.new_password, from).await;
    match &reset {
        Ok(()) => app.metrics.count_one_time_token(true),
        Err(Error::InvalidOneTimeToken) => app.metrics.count_one_time_token(false),
        // The token was not looked at, or is as good as before.
        Err(_) => {}
    }
    reset.map(|()| HttpResponse::NoContent().finish())
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "reset_password", "Set a new password with the token that came by mail")
        .json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "The new password is in force, and every session has ended.")
        .refuses([Error::InvalidOneTimeToken])
}

async fn reset(app: &App, token: &TokenField, new_password: Password, from: Origin) -> Result<()> {
    let token = token.parse(Purpose::ResetPassword)?;
    app.hasher.admit(from.address)?;
    let asked = token.clone();
    let holder = app
        .db
        .read("account.reset_holder", move |tx| {
            let Some(user) = one_time::holder(tx, &asked)? else { return Ok(None) };
            Ok(store::find_addressee_by_id(tx, user)?.map(|user| (user.email, user.name)))
        })
        .await?;
    let (address, name) = holder.unwrap_or_else(|| (NOBODY.to_owned(), None));
    let email = Email::parse(&address).map_err(|_| Error::Internal)?;
    // A password that is refused leaves the token as it is, for another try.
    let new_password = register::accept(app, new_password, &email, name.as_deref(), "new_password").await?;
    let new_hash = app.hasher.hash(new_password.password(), from.address).await?;
    let outbox = app.mail.outbox();
    let done = app
        .db
        .tx("account.reset_password", move |tx| {
            let Some(taken) = one_time::take(tx, &token)? else { return Ok(false) };
            let Some(email) = store::reset_password(tx, taken.user, &new_hash, taken.by_mail)? else {
                return Ok(false);
            };
            if let Ok(email) = Email::parse(&email) {
                throttle::start_over(tx, &email, taken.user)?;
            }
            session::revoke_all(tx, taken.user, RevokedReason::PasswordReset)?;
            password_was_changed(tx, &outbox, taken.user, &email)?;
            audit::record(tx, &from, &Event::PasswordReset { user: taken.user })?;
            Ok(true)
        })
        .await?;
    app.mail.outbox().ring();
    if done { Ok(()) } else { Err(Error::InvalidOneTimeToken) }
}

/// Against which a new password is judged when the token belongs to nobody.
const NOBODY: &str = "nobody@invalid";

/// What a new password does besides: whoever began something with the old one cannot end it, and the user is told.
pub(super) fn password_was_changed(
    tx: &mut Tx<'_>,
    outbox: &Outbox,
    user: UserId,
    email: &str,
) -> diesel::QueryResult<()> {
    one_time::void(tx, user, &[Purpose::ResetPassword, Purpose::ConfirmOldAddress, Purpose::ConfirmNewAddress])?;
    change_email::call_off(tx, user)?;
    outbox.tell(tx, Notice::PasswordChanged, user, email)
}
