//! `GET /v1/auth/api-keys` — the caller's keys that work.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use super::{ApiKeyId, Described, store};
use crate::app::App;
use crate::error::Result;
use crate::http::bearer::Account;
use crate::http::openapi::{Operation, Tag};
use crate::http::query::Page;

/// A page of keys, newest first.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct ApiKeyPage {
    api_keys: Vec<Described>,
    /// The `after` of the next page; `null` on the last.
    next: Option<ApiKeyId>,
}

/// Answers 200 with a page.
pub async fn handle(app: Data<App>, Account { caller, .. }: Account, page: Page<ApiKeyId>) -> Result<HttpResponse> {
    let Page { after, limit } = page;
    let mut api_keys = app
        .db
        .read("api_key.list", move |tx| store::list_live(tx, caller.user_id, after, i64::from(limit) + 1))
        .await?;
    let more = api_keys.len() > usize::from(limit);
    api_keys.truncate(usize::from(limit));
    let next = if more { api_keys.last().map(|last| last.id) } else { None };
    Ok(HttpResponse::Ok().json(ApiKeyPage { api_keys, next }))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::ApiKeys, "list_api_keys", "The caller's API keys")
        .pages::<ApiKeyId>()
        .answers::<ApiKeyPage>(StatusCode::OK, "A page of keys, newest first.")
}
