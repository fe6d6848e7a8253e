//! `DELETE /v1/auth/sessions/{id}` — end one of the caller's sessions.
//!
//! Owns: sessions.  Emits: SessionRevoked.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{RevokedReason, SessionId, store};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, Result};
use crate::http::bearer::AccountOrActor;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

/// Answers 204, or 404 for whatever is not a live session of the caller: a stranger's, an ended one, no id at all.
pub async fn handle(
    app: Data<App>,
    AccountOrActor { caller, .. }: AccountOrActor,
    from: Origin,
    http: HttpRequest,
) -> Result<HttpResponse> {
    let id: SessionId = http.match_info().query("id").parse().map_err(|_| Error::NotFound)?;
    let revoked = app
        .db
        .tx("session.revoke", move |tx| {
            let revoked = store::revoke_one(tx, caller.user_id, id, RevokedReason::RevokedByUser)?;
            if revoked {
                let event = Event::SessionRevoked { user: caller.user_id, session: id, by: caller.session_id };
                audit::record(tx, &from, &event)?;
            }
            Ok(revoked)
        })
        .await?;
    if revoked { Ok(HttpResponse::NoContent().finish()) } else { Err(Error::NotFound) }
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Sessions, "revoke_session", "End one of the caller's sessions")
        .in_path::<SessionId>("id", "The session's id, from the list.")
        .answers_nothing(StatusCode::NO_CONTENT, "It is over.")
        .refuses([Error::NotFound])
}
