//! `POST /v1/auth/mfa/totp` — begin to add an authenticator app: a secret, which counts once a code of it is shown.
//!
//! Whoever asks must have logged in a short while ago (`step_up.max_age`): otherwise a stolen access token could add a factor
//! of its thief's and lock the owner out.
//!
//! Owns: totp_factors.  Emits: FactorEnrolmentBegun.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use super::store;
use super::totp::{TotpSecret, qr_svg};
use crate::app::App;
use crate::audit::{self, Event};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

/// What the app has to be told; it is shown this once.
#[derive(Serialize, schemars::JsonSchema)]
struct Enrolment<'a> {
    /// Base32, for whoever types it in.
    secret: &'a str,
    /// `otpauth://totp/…`, for whoever is on the phone already.
    otpauth_uri: &'a str,
    /// The same as a picture for a camera: an `<svg>` element.
    qr_svg: &'a str,
}

/// Answers 200 with a new secret, in place of the one that may wait. Nothing else changes.
pub async fn handle(app: Data<App>, Account { caller, user }: Account, from: Origin) -> Result<HttpResponse> {
    let secret = TotpSecret::generate();
    let sealed = app.sealing_keys.seal(user.id, &secret).ok_or(SWITCHED_OFF)?;
    let begun = app.db.tx("mfa.enrol", move |tx| {
        if !store::replace_unconfirmed(tx, caller.user_id, &sealed)? {
            return Ok(false);
        }
        audit::record(tx, &from, &Event::FactorEnrolmentBegun { user: caller.user_id, session: caller.session_id })?;
        Ok(true)
    });
    if !begun.await? {
        return Err(Error::FactorExists);
    }
    let uri = secret.to_uri(&label(&app.config), &user.email);
    let enrolment = Enrolment { secret: &secret.to_base32(), otpauth_uri: &uri, qr_svg: &qr_svg(&uri) };
    Ok(HttpResponse::Ok().json(enrolment))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "mfa_enrol_totp", "Begin to add an authenticator app")
        .answers::<Enrolment<'_>>(StatusCode::OK, "The secret, which counts once `…/confirm` was given a code of it.")
        .refuses([SWITCHED_OFF, Error::FactorExists])
}

const SWITCHED_OFF: Error = Error::Forbidden("second factors are switched off here; ask the operator");

/// What apps call the service.
fn label(config: &Config) -> String {
    if !config.mfa.label.is_empty() {
        return config.mfa.label.clone();
    }
    let host = url::Url::parse(&config.issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| "Signet".to_owned())
}
