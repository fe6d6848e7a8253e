//! `GET /v1/admin/keys` — the signing keys, as this instance sees them. They are files: nothing here changes one.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use crate::app::App;
use crate::clock::Timestamp;
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::token::keyring::{Key, State};

/// A key.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct KeyItem {
    /// Its thumbprint (RFC 7638).
    kid: String,
    /// `scheduled`, `signing`, `retained` or `expired`.
    state: &'static str,
    /// When it may begin to sign; `null`: since ever.
    since: Option<Timestamp>,
    /// When the one that signs stops signing, or when a superseded one leaves the JWKS; `null`: nothing is planned.
    until: Option<Timestamp>,
}

/// Every key in the folder, oldest first.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct KeyList {
    keys: Vec<KeyItem>,
}

/// Answers 200 with all of them.
pub async fn handle(app: Data<App>, _: Admin) -> HttpResponse {
    let now = app.clock.now();
    let ring = app.keys.ring();
    let ring = ring.load();
    let item = |(key, state): (&Key, State)| KeyItem {
        kid: key.kid.clone(),
        state: state.as_str(),
        since: key.active_from,
        until: ring.until(state, now),
    };
    HttpResponse::Ok().json(KeyList { keys: ring.list(now).map(item).collect() })
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "list_keys", "The signing keys")
        .answers::<KeyList>(StatusCode::OK, "All keys, as the instance that answers sees them.")
}
