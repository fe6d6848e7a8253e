//! `POST /v1/auth/api-keys` — a key for a program of the caller's.
//!
//! It may do a part of what the token that asks for it may: a key is no way to more. Never administer, since a key is a thing
//! that lies about.
//!
//! Owns: api_keys.  Emits: ApiKeyCreated.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use diesel::QueryResult;

use super::key::ApiKey;
use super::{Described, Issued, store};
use crate::access::Caller;
use crate::access::scope::Scope;
use crate::account::store as accounts;
use crate::app::App;
use crate::audit::{self, Event};
use crate::config::ApiKeysConfig;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::field::{FromField, Invalid, Seconds, Text};
use crate::http::bearer::Account;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::Notice;

request_body! {
    /// What the key is for.
    pub struct Request {
        /// A name, for the user's own list.
        name: Text,
        /// What it may do: words separated by spaces, at least one, and none that the caller's token has not.
        scope: KeyScope,
        /// Seconds that it works, at most `api_keys.max_ttl`. Absent: `api_keys.default_ttl`.
        expires_in: Option<Seconds>,
    }
}

/// The scope of a key.
#[derive(Debug, Clone)]
pub struct KeyScope(pub(crate) Scope);

impl FromField for KeyScope {
    fn from_text(text: String) -> Result<Self, Invalid> {
        let scope: Scope = text.parse().map_err(|_| Invalid::new("malformed", "this is not a scope"))?;
        if scope.is_empty() {
            return Err(Invalid::new("too_short", "a key is for something: name at least one word"));
        }
        if scope.contains(Scope::ADMIN) {
            return Err(Invalid::new("reserved", "no key administers"));
        }
        Ok(Self(scope))
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 1, "maxLength": Scope::MAX_BYTES})
    }
}

/// A key that is wanted, and that there may be.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) ttl: Duration,
}

impl Wanted {
    /// What a body asks for.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] if it is to live for longer than keys do.
    pub fn accept(body: Request, config: &ApiKeysConfig) -> Result<Self> {
        let ttl = accept_ttl(body.expires_in, config)?.unwrap_or(config.default_ttl.0);
        Ok(Self { name: body.name.into_string(), scope: body.scope.0, ttl })
    }
}

/// Answers 201 with the key, which is not shown again.
pub async fn handle(
    app: Data<App>,
    Account { caller, user }: Account,
    from: Origin,
    Json(body): Json<Request>,
) -> Result<HttpResponse> {
    if caller.scope.narrowed_to(Some(&body.scope.0)).is_err() {
        return Err(Error::invalid_field("scope", NOT_GRANTED));
    }
    let (wanted, limit) = (Wanted::accept(body, &app.config.api_keys)?, app.config.api_keys.max_per_user);
    let key = ApiKey::generate();
    let (made, outbox) = (key.clone(), app.mail.outbox());
    let created = app.db.tx("api_key.create", move |tx| {
        let created = create(tx, &caller, &made, &wanted, limit, &from)?;
        if created.is_ok() {
            outbox.tell_from(tx, Notice::ApiKeyCreated, user.id, &user.email, from.address)?;
        }
        Ok(created)
    });
    let created = created.await??;
    app.mail.outbox().ring();
    Ok(HttpResponse::Created().json(Issued::new(created, &key)))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::ApiKeys, "create_api_key", "Make an API key")
        .json::<Request>()
        .answers::<Issued>(StatusCode::CREATED, "The key, which is not shown again.")
        .refuses([Error::ApiKeyLimit])
}

const NOT_GRANTED: Invalid = Invalid::new("not_granted", "this session has not got all of these words");
const TTL_OUT_OF_RANGE: Invalid =
    Invalid::new("out_of_range", "a key lives for at least 1 s, and at most api_keys.max_ttl");

/// A life that may be asked for.
pub(super) fn accept_ttl(asked: Option<Seconds>, config: &ApiKeysConfig) -> Result<Option<Duration>> {
    match asked {
        Some(Seconds(ttl)) if ttl.is_zero() || ttl > config.max_ttl.0 => {
            Err(Error::invalid_field("expires_in", TTL_OUT_OF_RANGE))
        }
        asked => Ok(asked.map(|Seconds(ttl)| ttl)),
    }
}

fn create(
    tx: &mut Tx<'_>,
    caller: &Caller,
    key: &ApiKey,
    wanted: &Wanted,
    limit: u32,
    from: &Origin,
) -> QueryResult<Result<Described>> {
    let user_id = caller.user_id;
    // Under the user's lock, so that of many at once none passes the limit.
    if !accounts::lock_active(tx, user_id)? {
        return Ok(Err(Error::InvalidToken));
    }
    if store::count_live(tx, user_id)? >= i64::from(limit) {
        return Ok(Err(Error::ApiKeyLimit));
    }
    let created = store::insert_key(tx, key, user_id, wanted)?;
    let (session, scope) = (Some(caller.session_id), wanted.scope.clone());
    audit::record(tx, from, &Event::ApiKeyCreated { user: user_id, session, key: created.id, scope })?;
    Ok(Ok(created))
}
