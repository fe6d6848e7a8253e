//! `POST /v1/auth/mfa/totp/remove` — have log-ins ask for the password alone again, for whoever proves both factors.
//!
//! Not `DELETE` with a body: content in a DELETE has no defined meaning (RFC 9110 §9.3.5), and proxies and client libraries
//! drop it. Every other session ends, as with every change of how one logs in.
//!
//! Owns: totp_factors, recovery_codes, mfa_challenges; through accounts' and sessions' verbs users and sessions.
//! Emits: FactorRemoved.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::reauthenticate::{self, Request};
use crate::account::store as accounts;
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::body::Json;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::Notice;
use crate::session::{self, RevokedReason};

/// Answers 204; the recovery codes are void, too.
pub async fn handle(app: Data<App>, account: Account, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let (id, session) = (account.caller.user_id, account.caller.session_id);
    let proven = reauthenticate::check(&app, &account, body, &from).await?;
    let (outbox, email) = (app.mail.outbox(), account.user.email);
    let removed = app.db.tx("mfa.remove", move |tx| {
        if let Err(refused) = proven.use_up(tx, &from)? {
            return Ok(Err(refused));
        }
        super::forget(tx, id)?;
        accounts::set_second_factor(tx, id, false)?;
        session::revoke_others(tx, id, session, RevokedReason::FactorRemoved)?;
        outbox.tell(tx, Notice::FactorRemoved, id, &email)?;
        audit::record(tx, &from, &Event::FactorRemoved { user: id, session: Some(session) })?;
        Ok(Ok(()))
    });
    removed.await?.map_err(|refused| refused.into_error(&app))?;
    app.mail.outbox().ring();
    Ok(HttpResponse::NoContent().finish())
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "mfa_remove_totp", "Remove the authenticator app and the recovery codes")
        .json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "A log-in asks for the password alone.")
        .refuses([Error::InvalidCredentials, Error::NotFound])
}
