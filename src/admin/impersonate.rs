//! `POST /v1/admin/users/{id}/impersonate` — act for a user, to see what they see.
//!
//! Emits: ImpersonationBegun.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::user_in_path;
use crate::account::{User, UserId};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};
use crate::session::SessionId;
use crate::session::impersonate::{self, OF_ADMIN};
use crate::session::open::Terms;
use crate::token::issue::AccessToken;

const OFF: Error = Error::Forbidden("nobody acts for others here: session.impersonation_ttl is 0");

/// A token that names two: its subject, and who acts for them.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Impersonation {
    #[serde(flatten)]
    token: AccessToken,
    session_id: SessionId,
    user: User,
}

/// Answers 200 with an access token and nothing to refresh it with.
pub async fn handle(app: Data<App>, Admin { caller, by }: Admin, http: HttpRequest) -> Result<HttpResponse> {
    let id = user_in_path(&http)?;
    let ttl = app.config.session.impersonation_ttl.0;
    if ttl.is_zero() {
        return Err(OFF);
    }
    let terms = Terms::first_party(&app, None);
    let admin = (caller.user_id, caller.session_id);
    let begun = app.db.tx("session.impersonate", move |tx| impersonate::begin(tx, &by, admin, id, &terms, ttl));
    let impersonate::Impersonation { grant, user } = begun.await??;
    let token = app.issuer.token_for_another(&grant, caller.user_id, &user)?;
    Ok(HttpResponse::Ok().json(Impersonation { token, session_id: grant.session_id, user }))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "impersonate", "Act for a user")
        .in_path::<UserId>("id", "The user's id.")
        .answers::<Impersonation>(StatusCode::OK, "A token that names the user (`sub`) and the administrator (`act`).")
        .refuses([Error::NotFound, OF_ADMIN, OFF, Error::UserDisabled])
}
