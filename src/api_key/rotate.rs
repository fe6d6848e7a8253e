//! `POST /v1/auth/api-keys/{id}/rotate` — a new secret for a key, and some time in which both work.
//!
//! Id, name and scope stay, so nothing has to be set up again. [`rules`](super::rules) says which secret goes on beside the
//! new one. A rotation begins the key's life anew: as long as it was to be, or as long as is asked for.
//!
//! Owns: api_keys.  Emits: ApiKeyRotated.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;

use super::create::{accept_ttl, refuse};
use super::key::ApiKey;
use super::{ApiKeyId, Described, Issued, store};
use crate::access::Caller;
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::field::Seconds;
use crate::http::bearer::Account;
use crate::http::body::{MaybeJson, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

request_body! {
    /// How long the secret in force goes on.
    pub struct Request {
        /// Seconds that the secret before this one still works, at most 7 days; `0`: it ends at once. Absent: 1 hour.
        overlap: Option<Seconds>,
        /// Seconds that the key works from now on. Absent: as long as it was to work before.
        expires_in: Option<Seconds>,
    }
}

const DEFAULT_OVERLAP: Duration = Duration::from_secs(3600);
/// Who needs longer makes a second key.
const MAX_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Answers 200 with the key, which is not shown again.
pub async fn handle(
    app: Data<App>,
    Account { caller, .. }: Account,
    from: Origin,
    http: HttpRequest,
    MaybeJson(body): MaybeJson<Request>,
) -> Result<HttpResponse> {
    let id: ApiKeyId = http.match_info().query("id").parse().map_err(|_| Error::NotFound)?;
    let (overlap, expires_in) = body.map_or((None, None), |body| (body.overlap, body.expires_in));
    let overlap = overlap.map_or(DEFAULT_OVERLAP, |Seconds(overlap)| overlap);
    if overlap > MAX_OVERLAP {
        return Err(refuse("overlap", "out_of_range", "two secrets work beside each other for at most 7 days"));
    }
    let ttl = accept_ttl(expires_in, &app.config.api_keys)?;
    let max_ttl = app.config.api_keys.max_ttl.0;
    let rotated = app.db.tx("api_key.rotate", move |tx| rotate(tx, &caller, id, overlap, ttl, max_ttl, &from)).await?;
    let (described, key) = rotated.ok_or(Error::NotFound)?;
    Ok(HttpResponse::Ok().json(Issued::new(described, &key)))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::ApiKeys, "rotate_api_key", "Give an API key a new secret")
        .in_path::<ApiKeyId>("id", "The key's id, from the list.")
        .maybe_json::<Request>()
        .answers::<Issued>(StatusCode::OK, "The key with its new secret, which is not shown again.")
        .refuses([Error::NotFound])
}

fn rotate(
    tx: &mut Tx<'_>,
    caller: &Caller,
    id: ApiKeyId,
    overlap: Duration,
    ttl: Option<Duration>,
    max_ttl: Duration,
    from: &Origin,
) -> QueryResult<Option<(Described, ApiKey)>> {
    let Some(locked) = store::lock_live(tx, caller.user_id, id)? else { return Ok(None) };
    // Made in here, since the handle is known only now; nothing is lost if the transaction begins afresh.
    let key = ApiKey::with_handle(locked.handle);
    let previous = locked.standing.previous_after_rotation(tx.now, overlap);
    let expires_at = tx.now + ttl.unwrap_or(locked.span).min(max_ttl);
    let described = store::replace_secret(tx, locked.id, key.secret_digest(), previous, expires_at)?;
    let overlap_seconds = previous.map_or(0, |previous| previous.expires_at.since(tx.now).as_secs());
    let (user, session) = (caller.user_id, caller.session_id);
    audit::record(tx, from, &Event::ApiKeyRotated { user, session, key: id, overlap_seconds })?;
    Ok(Some((described, key)))
}
