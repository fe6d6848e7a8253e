//! `POST /v1/admin/users/{id}/disable`, `…/enable` — keep somebody out, for good or for a time, and let them in again.
//!
//! Emits: UserDisabled, UserEnabled.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{user, user_in_path};
use crate::account::{ManagedUser, UserId, administer};
use crate::app::App;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::field::Invalid;
use crate::http::bearer::Admin;
use crate::http::body::{MaybeJson, request_body};
use crate::http::openapi::{Operation, Tag};

request_body! {
    /// For how long.
    pub struct Request {
        /// When the user may log in again. Absent: when somebody enables them.
        until: Option<Timestamp>,
    }
}

/// Answers 200 with the user: every session is over, and none can be opened.
pub async fn disable(
    app: Data<App>,
    Admin { by, .. }: Admin,
    http: HttpRequest,
    MaybeJson(body): MaybeJson<Request>,
) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    let until = body.and_then(|body| body.until);
    if until.is_some_and(|until| until <= app.clock.now()) {
        return Err(Error::invalid_field("until", Invalid::new("in_the_past", "this time is over")));
    }
    administer::disable(&app.db, by, id, until).await?;
    Ok(HttpResponse::Ok().json(user::find(&app, id).await?))
}

/// What the API description says.
pub fn describe_disable() -> Operation {
    Operation::new(Tag::Admin, "disable_user", "Keep a user out, for good or for a time")
        .in_path::<UserId>("id", "The user's id.")
        .maybe_json::<Request>()
        .answers::<ManagedUser>(StatusCode::OK, "The user, whose sessions are all over.")
        .refuses([Error::NotFound, Error::LastAdmin])
}

/// Answers 200 with the user, who may log in again; the sessions that ended stay ended. A deleted one is restored, not enabled.
pub async fn enable(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    administer::enable(&app.db, by, id).await?;
    Ok(HttpResponse::Ok().json(user::find(&app, id).await?))
}

/// What the API description says.
pub fn describe_enable() -> Operation {
    Operation::new(Tag::Admin, "enable_user", "Let a disabled user in again")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<ManagedUser>(StatusCode::OK, "The user, who may log in.")
        .refuses([Error::NotFound, Error::UserDisabled])
}
