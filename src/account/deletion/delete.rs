//! `DELETE /v1/auth/me` — the end of the caller's own account.
//!
//! Owns: users.  Emits: UserDeleted, UserDeletionFailed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::{By, Deleted};
use crate::account::current_password::{self, Proven};
use crate::account::password::Password;
use crate::app::App;
use crate::audit::Event;
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::throttle;
use crate::throttle::guess::Admitted;

request_body! {
    /// A proof: an access token alone deletes nothing.
    pub struct Request {
        /// The password in force.
        password: Password,
    }
}

/// Answers 204; the caller's tokens are good for nothing here any more.
pub async fn handle(
    app: Data<App>,
    Account { caller, .. }: Account,
    from: Origin,
    Json(body): Json<Request>,
) -> Result<HttpResponse> {
    let (id, session) = (caller.user_id, caller.session_id);
    let wrong = Event::UserDeletionFailed { user: id, session };
    let Proven { admitted, stored } = current_password::check(&app, &caller, &body.password, &from, wrong).await?;
    match delete(&app, admitted, id, By::Owner { checked: stored, session }, from).await? {
        Deleted::Until(_) | Deleted::Purged => Ok(HttpResponse::NoContent().finish()),
        // As with any other change that came first: try again and see.
        Deleted::Changed => Err(Error::InvalidCredentials),
        Deleted::Gone => Err(Error::InvalidToken),
    }
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "delete_account", "Delete the caller's own account")
        .json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "Nobody can log in to the account, and every session has ended.")
        .refuses([Error::InvalidCredentials, Error::LastAdmin])
}

async fn delete(app: &App, admitted: Admitted, id: crate::account::UserId, by: By, from: Origin) -> Result<Deleted> {
    let (outbox, grace) = (app.mail.outbox(), app.config.account.deletion_grace.0);
    let deleted = app
        .db
        .tx("account.delete", move |tx| match admitted.succeed(tx)? {
            Some(refusal) => Ok(Err(refusal)),
            None => super::delete(tx, &outbox, id, &by, grace, &from).map(Ok),
        })
        .await?;
    app.mail.outbox().ring();
    deleted.map_err(|refusal| throttle::refuse(app, refusal))?
}
