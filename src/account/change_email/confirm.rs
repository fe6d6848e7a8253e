//! `POST /v1/auth/change-email/confirm` — one of the two addresses agrees; the second one makes the change.
//!
//! Owns: users, email_changes.  Emits: EmailChangeConfirmed, EmailChanged.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use diesel::QueryResult;
use serde::Serialize;

use super::store;
use crate::account::email::Email;
use crate::account::one_time::{self, Purpose, TokenField};
use crate::account::{UserId, store as accounts};
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::{Notice, Outbox};

request_body! {
    /// What came by mail, to either address.
    pub struct Request {
        /// The token.
        token: TokenField,
    }
}

/// How far the change is.
#[derive(Debug, Clone, Copy, Serialize, schemars::JsonSchema)]
pub(crate) struct Progress {
    /// Whether the new address is in force: both have agreed.
    changed: bool,
}

/// Answers 200 and whether the other address is still to agree.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let confirmed = confirm(&app, &body.token, from).await;
    app.metrics.count_one_time_token(confirmed.is_ok());
    confirmed.map(|progress| HttpResponse::Ok().json(progress))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "confirm_change_email", "Agree to a change of address, for one of the two")
        .json::<Request>()
        .answers::<Progress>(StatusCode::OK, "This address has agreed.")
        .refuses([Error::InvalidOneTimeToken])
}

async fn confirm(app: &App, token: &TokenField, from: Origin) -> Result<Progress> {
    let of_old = token.parse(Purpose::ConfirmOldAddress);
    let (token, is_of_old) = match of_old {
        Ok(token) => (token, true),
        Err(_) => (token.parse(Purpose::ConfirmNewAddress)?, false),
    };
    let outbox = app.mail.outbox();
    let progress = app
        .db
        .tx("account.confirm_change_email", move |tx| {
            let Some(taken) = one_time::take(tx, &token)? else { return Ok(None) };
            let Some(change) = store::agree(tx, taken.user, is_of_old)? else { return Ok(None) };
            audit::record(tx, &from, &Event::EmailChangeConfirmed { user: taken.user, by_old: is_of_old })?;
            if !(change.old_confirmed && change.new_confirmed) {
                return Ok(Some(Progress { changed: false }));
            }
            let changed = change_address(tx, &outbox, taken.user, &change.email, &from)?;
            Ok(changed.then_some(Progress { changed }))
        })
        .await?;
    app.mail.outbox().ring();
    progress.ok_or(Error::InvalidOneTimeToken)
}

/// Puts an address in force, unless it has got an account meanwhile: which is answered like a token that does not work. What
/// was sent to the former address is of no use any more.
fn change_address(tx: &mut Tx<'_>, outbox: &Outbox, user: UserId, address: &str, from: &Origin) -> QueryResult<bool> {
    store::call_off(tx, user)?;
    let Ok(email) = Email::parse(address) else { return Ok(false) };
    let change = Replacement { email: &email, is_verified: true, even_if_disabled: false };
    if !put_in_force(tx, outbox, user, change)? {
        return Ok(false);
    }
    audit::record(tx, from, &Event::EmailChanged { user, by_operator: false })?;
    Ok(true)
}

/// An address that is to take another's place.
pub(in crate::account) struct Replacement<'a> {
    pub(in crate::account) email: &'a Email,
    /// Whether it is known to be the user's.
    pub(in crate::account) is_verified: bool,
    pub(in crate::account) even_if_disabled: bool,
}

/// The same, whoever wants it, which is for the caller to write down.
pub(in crate::account) fn put_in_force(
    tx: &mut Tx<'_>,
    outbox: &Outbox,
    user: UserId,
    change: Replacement<'_>,
) -> QueryResult<bool> {
    let Replacement { email, is_verified, even_if_disabled } = change;
    let Some(before) = accounts::find_addressee_by_id(tx, user)? else { return Ok(false) };
    if !accounts::replace_email(tx, user, email, is_verified, even_if_disabled)? {
        return Ok(false);
    }
    store::call_off(tx, user)?;
    one_time::void(tx, user, &Purpose::OF_USERS)?;
    outbox.tell(tx, Notice::EmailChanged, user, &before.email)?;
    Ok(true)
}
