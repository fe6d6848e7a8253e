//! `GET /v1/auth/mfa` — which second factors the caller has, and how many recovery codes are left.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use super::store::{self, Factor};
use crate::app::App;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::http::bearer::Account;
use crate::http::openapi::{Operation, Tag};

/// What the caller has.
#[derive(Serialize, schemars::JsonSchema)]
struct Status {
    /// The authenticator app that a log-in asks for, if there is one.
    totp: Option<TotpStatus>,
    /// Recovery codes that were not used.
    recovery_codes_left: i64,
    /// Whether a factor can be added here at all.
    can_enrol: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
struct TotpStatus {
    /// Since when it counts.
    confirmed_at: Timestamp,
}

/// Answers 200. A factor that waits to be confirmed is none.
pub async fn handle(app: Data<App>, Account { caller, .. }: Account) -> Result<HttpResponse> {
    let user = caller.user_id;
    let (factor, recovery_codes_left) = app
        .db
        .read("mfa.status", move |tx| Ok((store::find_factor(tx, user)?, store::count_recovery_codes(tx, user)?)))
        .await?;
    let confirmed_at = factor.and_then(|Factor { confirmed_at, .. }| confirmed_at);
    Ok(HttpResponse::Ok().json(Status {
        totp: confirmed_at.map(|confirmed_at| TotpStatus { confirmed_at }),
        recovery_codes_left,
        can_enrol: app.sealing_keys.is_open(),
    }))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "mfa_status", "Which second factors the caller has")
        .answers::<Status>(StatusCode::OK, "The factors, and how many recovery codes are left.")
}
