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

use super::create::accept_ttl;
use super::key::ApiKey;
use super::{ApiKeyId, Described, Issued, store};
use crate::account::UserId;
use crate::app::App;
use crate::audit::{self, Event};
use crate::config::ApiKeysConfig;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::field::{Invalid, Seconds};
use crate::http::bearer::Account;
use crate::http::body::{MaybeJson, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::session::SessionId;

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
    let renewal = Renewal::wanted(body, &app.config.api_keys)?;
    let (user, session) = (caller.user_id, Some(caller.session_id));
    let rotated = app.db.tx("api_key.rotate", move |tx| {
        let Some(rotated) = rotate_in(tx, user, id, &renewal)? else { return Ok(None) };
        audit::record(tx, &from, &rotated.event(user, session))?;
        Ok(Some(rotated))
    });
    let Rotated { described, key, .. } = rotated.await?.ok_or(Error::NotFound)?;
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

/// How a key goes on with a new secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewal {
    overlap: Duration,
    ttl: Option<Duration>,
    max_ttl: Duration,
}

const OVERLAP_OUT_OF_RANGE: Invalid =
    Invalid::new("out_of_range", "two secrets work beside each other for at most 7 days");

impl Renewal {
    /// What a body asks for, if it may be had.
    pub(crate) fn wanted(body: Option<Request>, config: &ApiKeysConfig) -> Result<Self> {
        let (overlap, expires_in) = body.map_or((None, None), |body| (body.overlap, body.expires_in));
        let overlap = overlap.map_or(DEFAULT_OVERLAP, |Seconds(overlap)| overlap);
        if overlap > MAX_OVERLAP {
            return Err(Error::invalid_field("overlap", OVERLAP_OUT_OF_RANGE));
        }
        Ok(Self { overlap, ttl: accept_ttl(expires_in, config)?, max_ttl: config.max_ttl.0 })
    }
}

/// A key that was given a new secret.
pub(super) struct Rotated {
    pub(super) described: Described,
    pub(super) key: ApiKey,
    /// Until when the secret before it works.
    overlap_seconds: u64,
}

impl Rotated {
    pub(super) fn event(&self, user: UserId, session: Option<SessionId>) -> Event {
        Event::ApiKeyRotated { user, session, key: self.described.id, overlap_seconds: self.overlap_seconds }
    }
}

/// Gives a key of a user that works a new secret; whoever calls this records the event.
pub(super) fn rotate_in(
    tx: &mut Tx<'_>,
    user: UserId,
    id: ApiKeyId,
    renewal: &Renewal,
) -> QueryResult<Option<Rotated>> {
    let Some(locked) = store::lock_live(tx, user, id)? else { return Ok(None) };
    // Made in here, since the handle is known only now; nothing is lost if the transaction begins afresh.
    let key = ApiKey::with_handle(locked.handle);
    let previous = locked.standing.previous_after_rotation(tx.now, renewal.overlap);
    let expires_at = tx.now + renewal.ttl.unwrap_or(locked.span).min(renewal.max_ttl);
    let described = store::replace_secret(tx, locked.id, key.secret_digest(), previous, expires_at)?;
    let overlap_seconds = previous.map_or(0, |previous| previous.expires_at.since(tx.now).as_secs());
    Ok(Some(Rotated { described, key, overlap_seconds }))
}
