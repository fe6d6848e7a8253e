//! `POST /v1/admin/users/{id}/reset-mfa` — take the second factor from somebody who has lost it, phone and codes.
//!
//! Emits: FactorRemoved.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::user_in_path;
use crate::account::UserId;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::mfa::reset;

/// What became of it.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Reset {
    /// Whether there was a factor. If not, nothing was changed.
    removed: bool,
}

/// Answers 200: log-ins ask for the password alone, every session is over, and the user is told by mail.
pub async fn handle(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let (id, outbox) = (user_in_path(&http)?, app.mail.outbox());
    let (_, removed) = reset::of_user(&app.db, outbox.clone(), by, id).await?;
    outbox.ring();
    Ok(HttpResponse::Ok().json(Reset { removed }))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "reset_mfa", "Take a user's second factor")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<Reset>(StatusCode::OK, "A log-in asks for the password alone.")
        .refuses([Error::NotFound])
}
