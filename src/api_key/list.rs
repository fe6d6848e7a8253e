//! `GET /v1/auth/api-keys` — the caller's keys that work.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use diesel::QueryResult;
use serde::Serialize;

use super::{ApiKeyId, Described, store};
use crate::account::UserId;
use crate::app::App;
use crate::db::Tx;
use crate::error::Result;
use crate::http::bearer::Account;
use crate::http::openapi::{Operation, Tag};
use crate::http::query::{Page, cut};

/// A page of keys, newest first.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct ApiKeyPage {
    pub(crate) api_keys: Vec<Described>,
    /// The `after` of the next page; `null` on the last.
    pub(crate) next: Option<ApiKeyId>,
}

/// Answers 200 with a page.
pub async fn handle(app: Data<App>, Account { caller, .. }: Account, page: Page<ApiKeyId>) -> Result<HttpResponse> {
    let listed = app.db.read("api_key.list", move |tx| page_of(tx, caller.user_id, &page)).await?;
    Ok(HttpResponse::Ok().json(listed))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::ApiKeys, "list_api_keys", "The caller's API keys")
        .pages::<ApiKeyId>()
        .answers::<ApiKeyPage>(StatusCode::OK, "A page of keys, newest first.")
}

/// A page of a user's keys that work.
pub(super) fn page_of(tx: &mut Tx<'_>, user: UserId, page: &Page<ApiKeyId>) -> QueryResult<ApiKeyPage> {
    let mut api_keys = store::list_live(tx, user, page.after, page.look())?;
    let next = cut(&mut api_keys, page.limit.into(), |last| last.id);
    Ok(ApiKeyPage { api_keys, next })
}
