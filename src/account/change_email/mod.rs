//! `POST /v1/auth/change-email` — another address for the account, once both addresses have agreed.
//!
//! Whether the new address has an account already, the caller does not learn: the answer is the same, and the mail to the new
//! address tells its owner instead. An address that was never verified was never shown to be the user's, so it has no say.
//!
//! Owns: email_changes.  Emits: EmailChangeRequested, EmailChangeFailed.

pub mod confirm;
mod store;

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

pub(super) use store::{call_off, pending};

use super::User;
use super::current_password::{self, Proven};
use super::email::Email;
use super::one_time::{self, Purpose};
use super::password::Password;
use super::verify_email::NO_MAIL;
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, Result};
use crate::field::Invalid;
use crate::http::bearer::Account;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::Kind;
use crate::throttle;
use crate::throttle::guess::Admitted;

request_body! {
    /// The new address, and a proof.
    pub struct Request {
        /// The address to be.
        new_email: Email,
        /// The password in force.
        password: Password,
    }
}

/// How long a change waits for both addresses. The tokens live for `mail.token_ttl` each, from when each was sent.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// Answers 202; nothing is changed yet. An earlier change that waits is called off.
pub async fn handle(
    app: Data<App>,
    Account { caller, user }: Account,
    from: Origin,
    Json(body): Json<Request>,
) -> Result<HttpResponse> {
    if !app.mail.is_open() {
        return Err(NO_MAIL);
    }
    let current = Email::parse(&user.email).map_err(|_| Error::Internal)?;
    if current.key() == body.new_email.key() {
        return Err(Error::invalid_field("new_email", UNCHANGED));
    }
    let (id, session) = (caller.user_id, caller.session_id);
    let wrong = Event::EmailChangeFailed { user: id, session };
    let Proven { admitted, .. } = current_password::check(&app, &caller, &body.password, &from, wrong).await?;
    let event = Event::EmailChangeRequested { user: id, session };
    request(&app, user, body.new_email, admitted, event, from).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "change_email", "Ask for another address; both addresses must agree")
        .json::<Request>()
        .answers_nothing(StatusCode::ACCEPTED, "Both addresses are asked by mail, if the new one has no account.")
        .refuses([Error::InvalidCredentials, NO_MAIL])
}

const UNCHANGED: Invalid = Invalid::new("unchanged", "this is the address of the account");

async fn request(
    app: &App,
    user: User,
    new_email: Email,
    admitted: Admitted,
    event: Event,
    from: Origin,
) -> Result<()> {
    let outbox = app.mail.outbox();
    let refusal = app
        .db
        .tx("account.change_email", move |tx| {
            if let Some(refusal) = admitted.succeed(tx)? {
                return Ok(Some(refusal));
            }
            store::replace_pending(tx, user.id, &new_email, !user.is_verified, TTL)?;
            one_time::void(tx, user.id, &[Purpose::ConfirmOldAddress, Purpose::ConfirmNewAddress])?;
            outbox.put(tx, Kind::ConfirmNewAddress, Some(user.id), new_email.address())?;
            if user.is_verified {
                outbox.put(tx, Kind::ConfirmOldAddress, Some(user.id), &user.email)?;
            }
            audit::record(tx, &from, &event)?;
            Ok(None)
        })
        .await?;
    if let Some(refusal) = refusal {
        return Err(throttle::refuse(app, refusal));
    }
    app.mail.outbox().ring();
    Ok(())
}
