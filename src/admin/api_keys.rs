//! `GET, POST, DELETE /v1/admin/users/{id}/api-keys` — somebody's API keys: a service's, as a rule, which nobody logs in as.
//!
//! An `Idempotency-Key` lets the creation be sent again, and be answered with the same key.
//!
//! Emits: ApiKeyCreated, ApiKeysRevoked.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::user_in_path;
use crate::account::UserId;
use crate::api_key::administer::{self, OF_ADMIN};
use crate::api_key::create::{Request, Wanted};
use crate::api_key::key::ApiKey;
use crate::api_key::list::ApiKeyPage;
use crate::api_key::{ApiKeyId, Issued};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::idempotency::{Answer, Idempotent, Repeat};
use crate::http::openapi::{Operation, Tag};
use crate::http::query::Page;

/// Answers 200 with a page.
pub async fn show(app: Data<App>, _: Admin, http: HttpRequest, page: Page<ApiKeyId>) -> Result<HttpResponse> {
    Ok(HttpResponse::Ok().json(administer::list(&app.db, user_in_path(&http)?, page).await?))
}

/// What the API description says.
pub fn describe_show() -> Operation {
    Operation::new(Tag::Admin, "list_api_keys_of_user", "A user's API keys")
        .in_path::<UserId>("id", "The user's id.")
        .pages::<ApiKeyId>()
        .answers::<ApiKeyPage>(StatusCode::OK, "A page of keys that work, newest first.")
        .refuses([Error::NotFound])
}

/// Answers 201 with the key, for whoever hands it to the program.
pub async fn create(
    app: Data<App>,
    Admin { caller, by }: Admin,
    http: HttpRequest,
    Idempotent { body, repeat }: Idempotent<Request>,
) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    let wanted = Wanted::accept(body, &app.config.api_keys)?;
    let (key, rights) = (ApiKey::generate(), app.rights.clone());
    let outbox = app.mail.outbox();
    let created = app.db.tx("admin.create_api_key", move |tx| {
        repeat.once(tx, caller.user_id, |tx| {
            let created = administer::create_in(tx, &rights, &outbox, &by, id, (&key, &wanted))?;
            Ok(created.map(|described| {
                let location = format!("/v1/admin/users/{id}/api-keys/{}", described.id);
                Answer::created(location, &Issued::new(described, &key))
            }))
        })
    });
    let answer = created.await??;
    app.mail.outbox().ring();
    Ok(answer.into_response())
}

/// What the API description says.
pub fn describe_create() -> Operation {
    Operation::new(Tag::Admin, "create_api_key_for_user", "Make an API key for a user")
        .in_path::<UserId>("id", "The user's id.")
        .json::<Request>()
        .reads_header("Idempotency-Key", "A UUID: the same request with it is answered as before, for a day.")
        .answers::<Issued>(StatusCode::CREATED, "The key, which is not shown again.")
        .with_header(actix_web::http::header::LOCATION, "Where the key is.")
        .refuses([Error::NotFound, Error::UserDisabled, OF_ADMIN])
        .refuses(Repeat::refusals())
}

/// How many keys work no more.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Revoked {
    revoked: usize,
}

/// Answers 200 with how many there were.
pub async fn revoke_all(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    let outbox = app.mail.outbox();
    let revoked = administer::revoke_all(&app.db, outbox.clone(), by, id).await?;
    outbox.ring();
    Ok(HttpResponse::Ok().json(Revoked { revoked }))
}

/// What the API description says.
pub fn describe_revoke_all() -> Operation {
    Operation::new(Tag::Admin, "revoke_api_keys_of_user", "Revoke all API keys of a user")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<Revoked>(StatusCode::OK, "None works any more.")
        .refuses([Error::NotFound])
}
