//! `GET, DELETE /v1/admin/users/{id}/sessions` — where somebody is signed in, and the end of it.
//!
//! Emits: SessionsEnded.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::{user, user_in_path};
use crate::account::UserId;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::http::query::Page;
use crate::session::list::{self, SessionPage};
use crate::session::{SessionId, end};

/// Answers 200 with a page.
pub async fn show(app: Data<App>, _: Admin, http: HttpRequest, page: Page<SessionId>) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    user::find(&app, id).await?;
    Ok(HttpResponse::Ok().json(list::page_of(&app.db, id, page, None).await?))
}

/// What the API description says.
pub fn describe_show() -> Operation {
    Operation::new(Tag::Admin, "list_sessions_of_user", "Where a user is signed in")
        .in_path::<UserId>("id", "The user's id.")
        .pages::<SessionId>()
        .answers::<SessionPage>(StatusCode::OK, "A page of sessions, newest first.")
        .refuses([Error::NotFound])
}

/// How many sessions are over now.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Ended {
    ended: usize,
}

/// Answers 200 with how many there were; the user may log in again.
pub async fn end(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    let ended = end::of_user(&app.db, by, id).await?;
    Ok(HttpResponse::Ok().json(Ended { ended }))
}

/// What the API description says.
pub fn describe_end() -> Operation {
    Operation::new(Tag::Admin, "end_sessions_of_user", "End every session of a user")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<Ended>(StatusCode::OK, "They are over.")
        .refuses([Error::NotFound])
}
