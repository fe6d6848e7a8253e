//! `POST /v1/auth/forgot-password` — have a token for a new password sent.
//!
//! The request puts a letter into the outbox, for whatever address, and is answered with a tick of the clock
//! ([`tick`](crate::http::tick)). So status, body and time are the same for an account, for a disabled one and for none.
//!
//! Emits: PasswordResetRequested.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::email::Email;
use super::verify_email::{NO_MAIL, request_mail};
use crate::app::App;
use crate::audit::Event;
use crate::error::Result;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::Kind;

request_body! {
    /// Who has forgotten their password.
    pub struct Request {
        /// The account's address, in any spelling.
        email: Email,
    }
}

/// Answers 202, whoever asks. The password in force stays until a new one is chosen.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    request_mail(&app, from, body.email, Kind::ResetPassword, |user| Event::PasswordResetRequested { user }).await
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "forgot_password", "Have a token for a new password sent")
        .json::<Request>()
        .answers_nothing(StatusCode::ACCEPTED, "If the address has an account, a mail is sent.")
        .refuses([NO_MAIL])
}
