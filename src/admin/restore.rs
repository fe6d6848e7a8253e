//! `POST /v1/admin/users/{id}/restore` — bring a deleted user back whose time is not over.
//!
//! Emits: UserRestored.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{user, user_in_path};
use crate::account::{ManagedUser, UserId, administer};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};

/// Answers 200 with the user as they were, without their sessions; 404 for whoever was not deleted.
pub async fn handle(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    administer::restore(&app.db, by, id).await?;
    Ok(HttpResponse::Ok().json(user::find(&app, id).await?))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "restore_user", "Bring a deleted user back")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<ManagedUser>(StatusCode::OK, "The user as they were, without their sessions.")
        .refuses([Error::NotFound])
}
