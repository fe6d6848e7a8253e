//! `DELETE /v1/admin/users/{id}/api-keys/{key}`, `POST …/rotate` — the end of one of somebody's API keys, or a new secret for it.
//!
//! Emits: ApiKeyRotated, ApiKeyRevoked.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::user_in_path;
use crate::account::UserId;
use crate::api_key::administer::{self, OF_ADMIN};
use crate::api_key::rotate::{Renewal, Request};
use crate::api_key::{ApiKeyId, Issued};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::body::MaybeJson;
use crate::http::openapi::{Operation, Tag};

/// Answers 204, or 404 for whatever is not a key of that user's that works.
pub async fn revoke(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let (id, key) = (user_in_path(&http)?, key_in_path(&http)?);
    let outbox = app.mail.outbox();
    administer::revoke(&app.db, outbox.clone(), by, id, key).await?;
    outbox.ring();
    Ok(HttpResponse::NoContent().finish())
}

/// What the API description says.
pub fn describe_revoke() -> Operation {
    Operation::new(Tag::Admin, "revoke_api_key_of_user", "Revoke an API key of a user")
        .in_path::<UserId>("id", "The user's id.")
        .in_path::<ApiKeyId>("key", "The key's id, from the list.")
        .answers_nothing(StatusCode::NO_CONTENT, "It works no more.")
        .refuses([Error::NotFound])
}

/// Answers 200 with the key, for whoever hands it to the program. The secret before it goes on for a while.
pub async fn rotate(
    app: Data<App>,
    Admin { by, .. }: Admin,
    http: HttpRequest,
    MaybeJson(body): MaybeJson<Request>,
) -> Result<HttpResponse> {
    let (id, key) = (user_in_path(&http)?, key_in_path(&http)?);
    let renewal = Renewal::wanted(body, &app.config.api_keys)?;
    let outbox = app.mail.outbox();
    let (described, key) = administer::rotate(&app.db, outbox.clone(), by, id, key, renewal).await?;
    outbox.ring();
    Ok(HttpResponse::Ok().json(Issued::new(described, &key)))
}

/// What the API description says.
pub fn describe_rotate() -> Operation {
    Operation::new(Tag::Admin, "rotate_api_key_of_user", "Give an API key of a user a new secret")
        .in_path::<UserId>("id", "The user's id.")
        .in_path::<ApiKeyId>("key", "The key's id, from the list.")
        .maybe_json::<Request>()
        .answers::<Issued>(StatusCode::OK, "The key with its new secret, which is not shown again.")
        .refuses([Error::NotFound, Error::UserDisabled, OF_ADMIN])
}

/// Which key a path names. What is no id names none.
fn key_in_path(http: &HttpRequest) -> Result<ApiKeyId> {
    http.match_info().query("key").parse().map_err(|_| Error::NotFound)
}
