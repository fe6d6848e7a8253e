//! `GET, PATCH /v1/auth/me` — the caller's own account.
//!
//! Owns: users.  Emits: Renamed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::{User, store};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, Result};
use crate::field::{Patch, Text};
use crate::http::bearer::{AccountOrActor, Reader};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

/// Answers 200 with the user as they are now.
pub async fn show(Reader { user }: Reader) -> HttpResponse {
    HttpResponse::Ok().json(user)
}

/// What the API description says.
pub fn describe_show() -> Operation {
    Operation::new(Tag::Account, "show_account", "The caller's own account")
        .answers::<User>(StatusCode::OK, "The user as they are now.")
}

request_body! {
    /// What a user may change about themselves.
    pub struct Change {
        /// The new name; `null` removes it.
        name: Patch<Text>,
    }
}

/// Answers 200 with the user as changed.
pub async fn change(
    app: Data<App>,
    AccountOrActor { caller, user }: AccountOrActor,
    from: Origin,
    Json(body): Json<Change>,
) -> Result<HttpResponse> {
    let name = match body.name {
        Patch::Keep => return Ok(HttpResponse::Ok().json(user)),
        Patch::Remove => None,
        Patch::Set(name) => Some(name.into_string()),
    };
    let user = app
        .db
        .tx("account.rename", move |tx| {
            let user = store::update_name(tx, caller.user_id, name.as_deref())?;
            if user.is_some() {
                audit::record(tx, &from, &Event::Renamed { user: caller.user_id, session: caller.session_id })?;
            }
            Ok(user)
        })
        .await?;
    Ok(HttpResponse::Ok().json(user.ok_or(Error::InvalidToken)?))
}

/// What the API description says.
pub fn describe_change() -> Operation {
    Operation::new(Tag::Account, "change_account", "Change the caller's own account")
        .json::<Change>()
        .answers::<User>(StatusCode::OK, "The user as changed.")
}
