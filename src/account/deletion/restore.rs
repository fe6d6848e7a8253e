//! `POST /v1/auth/restore` — bring back one's own deleted account, with the token that came with the notice.
//!
//! Nobody is logged in by it: that takes the password, which is as it was.
//!
//! Owns: users.  Emits: UserRestored.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use crate::account::one_time::{self, Purpose, TokenField};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

request_body! {
    /// What came by mail.
    pub struct Request {
        /// The token.
        token: TokenField,
    }
}

/// Answers 204; the user logs in as before.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let restored = restore(&app, &body.token, from).await;
    app.metrics.count_one_time_token(restored.is_ok());
    restored.map(|()| HttpResponse::NoContent().finish())
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "restore_account", "Bring back a deleted account, with the token that came by mail")
        .json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "The account is as it was, without its sessions.")
        .refuses([Error::InvalidOneTimeToken])
}

async fn restore(app: &App, token: &TokenField, from: Origin) -> Result<()> {
    let token = token.parse(Purpose::RestoreAccount)?;
    let restored = app.db.tx("account.restore", move |tx| match one_time::take(tx, &token)? {
        Some(taken) => super::restore(tx, taken.user, true, Some(taken.user), &from),
        None => Ok(false),
    });
    if restored.await? { Ok(()) } else { Err(Error::InvalidOneTimeToken) }
}
