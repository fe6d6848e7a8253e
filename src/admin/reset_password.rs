//! `POST /v1/admin/users/{id}/reset-password` — a user has to choose another password.
//!
//! Emits: PasswordResetForced.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::handover::Handover;
use super::user_in_path;
use crate::account::UserId;
use crate::account::administer::{self, force_reset};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::mail::Link;

/// Answers 200: the password works no more, every session is over, and what the user needs to choose another one is on its way,
/// or in the answer where no mail is sent.
pub async fn handle(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    let token_ttl = app.config.mail.token_ttl.0;
    let terms = force_reset::Terms {
        outbox: app.mail.outbox(),
        by_mail: app.mail.is_open(),
        nobodys_hash: app.hasher.nobodys_hash(),
        token_ttl,
    };
    let (_, delivery) = administer::force_reset(&app.db, terms, by, id).await?;
    app.mail.outbox().ring();
    Ok(HttpResponse::Ok().json(Handover::new(&app, &delivery, Link::ResetPassword, token_ttl)))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "force_password_reset", "Have a user choose another password")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<Handover>(StatusCode::OK, "The password works no more, and every session is over.")
        .refuses([Error::NotFound, Error::UserDisabled])
}
