//! `DELETE /v1/auth/api-keys/{id}` — end one of the caller's keys; `DELETE /v1/auth/api-keys` — end them all.
//!
//! A password reset and a log-out everywhere leave keys alone, since they would take down programs that have nothing to do
//! with a forgotten password; this is how an owner who fears that somebody else made keys ends them.
//!
//! Owns: api_keys.  Emits: ApiKeyRevoked, ApiKeysRevoked.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{ApiKeyId, store};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

/// Answers 204, or 404 for whatever is not a key of the caller's that works: a stranger's, an ended one, no id at all.
pub async fn handle(
    app: Data<App>,
    Account { caller, .. }: Account,
    from: Origin,
    http: HttpRequest,
) -> Result<HttpResponse> {
    let key: ApiKeyId = http.match_info().query("id").parse().map_err(|_| Error::NotFound)?;
    let (user, session) = (caller.user_id, Some(caller.session_id));
    let revoked = app
        .db
        .tx("api_key.revoke", move |tx| {
            let revoked = store::revoke_one(tx, user, key)?;
            if revoked {
                audit::record(tx, &from, &Event::ApiKeyRevoked { user, session, key })?;
            }
            Ok(revoked)
        })
        .await?;
    if revoked { Ok(HttpResponse::NoContent().finish()) } else { Err(Error::NotFound) }
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::ApiKeys, "revoke_api_key", "Revoke one of the caller's API keys")
        .in_path::<ApiKeyId>("id", "The key's id, from the list.")
        .answers_nothing(StatusCode::NO_CONTENT, "It works no more.")
        .refuses([Error::NotFound])
}

/// Answers 204, whether there was any or not.
pub async fn all(app: Data<App>, Account { caller, .. }: Account, from: Origin) -> Result<HttpResponse> {
    let (user, session) = (caller.user_id, Some(caller.session_id));
    app.db
        .tx("api_key.revoke_all", move |tx| {
            let count = store::revoke_all(tx, user)?;
            if count > 0 {
                audit::record(tx, &from, &Event::ApiKeysRevoked { user, session, count })?;
            }
            Ok(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What the API description says.
pub fn describe_all() -> Operation {
    Operation::new(Tag::ApiKeys, "revoke_api_keys", "Revoke all API keys of the caller")
        .answers_nothing(StatusCode::NO_CONTENT, "None works any more.")
}
