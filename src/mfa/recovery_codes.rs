//! `POST /v1/auth/mfa/recovery-codes` — ten new recovery codes, for whoever proves both factors; the others are void.
//!
//! Owns: recovery_codes.  Emits: RecoveryCodesMade.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use diesel::QueryResult;
use serde::Serialize;

use super::reauthenticate::{self, Request};
use super::recovery::{RecoveryCode, RecoveryDigest};
use super::store;
use crate::account::UserId;
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::body::Json;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

/// Codes that a user is about to be shown, and what is kept of them.
pub(super) struct RecoveryCodes {
    user: UserId,
    codes: Vec<RecoveryCode>,
}

/// Recovery codes, to be kept where the phone is not. They are never shown again.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Shown {
    /// Ten, of which each works once.
    recovery_codes: Vec<String>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.recovery_codes);
    }
}

impl RecoveryCodes {
    pub(super) fn generate(user: UserId) -> Self {
        Self { user, codes: RecoveryCode::generate_all() }
    }

    pub(super) fn digests(&self) -> Vec<RecoveryDigest> {
        self.codes.iter().map(|code| code.digest(self.user)).collect()
    }

    pub(super) fn shown(&self) -> Shown {
        Shown { recovery_codes: self.codes.iter().map(|code| code.to_text().to_string()).collect() }
    }
}

/// Puts them in the place of those that are left.
pub(super) fn put(tx: &mut Tx<'_>, user: UserId, digests: &[RecoveryDigest]) -> QueryResult<()> {
    store::replace_recovery_codes(tx, user, digests)
}

/// Answers 200 with the new codes.
pub async fn handle(app: Data<App>, account: Account, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let (user, session) = (account.caller.user_id, account.caller.session_id);
    let proven = reauthenticate::check(&app, &account, body, &from).await?;
    let codes = RecoveryCodes::generate(user);
    let digests = codes.digests();
    let made = app.db.tx("mfa.recovery_codes", move |tx| {
        if let Err(refused) = proven.use_up(tx, &from)? {
            return Ok(Err(refused));
        }
        put(tx, user, &digests)?;
        audit::record(tx, &from, &Event::RecoveryCodesMade { user, session })?;
        Ok(Ok(()))
    });
    made.await?.map_err(|refused| refused.into_error(&app))?;
    app.mail.outbox().ring();
    Ok(HttpResponse::Ok().json(codes.shown()))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(
        Tag::Account,
        "mfa_renew_recovery_codes",
        "Have ten new recovery codes in place of those that are left",
    )
    .json::<Request>()
    .answers::<Shown>(StatusCode::OK, "The new codes, shown this once.")
    .refuses([Error::InvalidCredentials, Error::NotFound])
}
