//! `GET, PATCH, DELETE /v1/admin/users/{id}` — one user.
//!
//! Emits: UserUpdated, EmailChanged, RolesChanged, UserDeleted.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::fields::{Flag, RoleList};
use super::user_in_path;
use crate::account::administer::{self, Changes};
use crate::account::email::Email;
use crate::account::{ManagedUser, UserId, search};
use crate::app::App;
use crate::error::{Error, Result};
use crate::field::{Patch, Text};
use crate::http::bearer::Admin;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};

/// Answers 200 with the user.
pub async fn show(app: Data<App>, _: Admin, http: HttpRequest) -> Result<HttpResponse> {
    Ok(HttpResponse::Ok().json(find(&app, user_in_path(&http)?).await?))
}

pub(super) async fn find(app: &App, id: UserId) -> Result<ManagedUser> {
    app.db.read("admin.show_user", move |tx| search::find(tx, id)).await?.ok_or(Error::NotFound)
}

/// What the API description says.
pub fn describe_show() -> Operation {
    Operation::new(Tag::Admin, "show_user", "One user")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<ManagedUser>(StatusCode::OK, "The user as they are now.")
        .refuses([Error::NotFound])
}

request_body! {
    /// What is to be otherwise; what is not said stays as it is.
    pub struct Change {
        /// The new name; `null` removes it.
        name: Patch<Text>,
        /// The new address, in force at once; whoever changes it vouches for it, and the former one is told.
        email: Option<Email>,
        /// Whether the address is known to be the user's. With a new `email`: it is, unless said otherwise.
        is_verified: Option<Flag>,
        /// All that the user is to have.
        roles: Option<RoleList>,
    }
}

/// Answers 200 with the user as changed.
pub async fn change(
    app: Data<App>,
    Admin { by, .. }: Admin,
    http: HttpRequest,
    Json(body): Json<Change>,
) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    let name = match body.name {
        Patch::Keep => Patch::Keep,
        Patch::Remove => Patch::Remove,
        Patch::Set(name) => Patch::Set(name.into_string()),
    };
    let changes = Changes {
        name,
        email: body.email,
        is_verified: body.is_verified.map(|flag| flag.0),
        roles: body.roles.map(|roles| roles.0),
    };
    let outbox = app.mail.outbox();
    let changed = administer::update(&app.db, outbox, by, id, changes).await?;
    app.mail.outbox().ring();
    Ok(HttpResponse::Ok().json(changed))
}

/// What the API description says.
pub fn describe_change() -> Operation {
    Operation::new(Tag::Admin, "change_user", "Change a user")
        .in_path::<UserId>("id", "The user's id.")
        .json::<Change>()
        .answers::<ManagedUser>(StatusCode::OK, "The user as changed.")
        .refuses([Error::NotFound, Error::EmailTaken, Error::LastAdmin])
}

/// Answers 204: every session is over, none can be opened, and after `account.deletion_grace` everything of the user goes.
pub async fn delete(app: Data<App>, Admin { by, .. }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let (id, outbox, grace) = (user_in_path(&http)?, app.mail.outbox(), app.config.account.deletion_grace.0);
    administer::delete(&app.db, outbox.clone(), by, id, grace).await?;
    outbox.ring();
    Ok(HttpResponse::NoContent().finish())
}

/// What the API description says.
pub fn describe_delete() -> Operation {
    Operation::new(Tag::Admin, "delete_user", "Delete a user, who can be brought back for a time")
        .in_path::<UserId>("id", "The user's id.")
        .answers_nothing(StatusCode::NO_CONTENT, "The user is out at once, and removed when the time is over.")
        .refuses([Error::NotFound, Error::LastAdmin])
}
