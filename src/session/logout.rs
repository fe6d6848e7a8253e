//! `POST /v1/auth/logout` — end this session, or all of the user's.
//!
//! Takes an access token, a refresh token or the cookie. Ending what has ended is a success, so that a retry is.
//!
//! Owns: sessions.  Emits: LoggedOut, TokenReused.

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;

use super::family::Verdict;
use super::refresh::RefreshTokenField;
use super::token::RefreshToken;
use super::{RevokedReason, SessionId, refresh, store};
use crate::access::step_up::Demand;
use crate::account::UserId;
use crate::app::App;
use crate::audit::{self, Event};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::bearer::{self, AccountOrActor};
use crate::http::body::{MaybeJson, request_body};
use crate::http::cookie;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;

request_body! {
    /// Which session, unless an access token or the cookie says it, and whether that is all.
    pub struct Request {
        /// Any token of the session.
        refresh_token: Option<RefreshTokenField>,
        /// End all of the user's sessions.
        all: bool,
    }
}

/// Answers 204.
pub async fn handle(
    app: Data<App>,
    http: HttpRequest,
    from: Origin,
    MaybeJson(body): MaybeJson<Request>,
) -> Result<HttpResponse> {
    let body = body.unwrap_or(Request { refresh_token: None, all: false });
    let mut answer = HttpResponse::NoContent();
    if let Some(token) = body.refresh_token {
        end_by_token(&app, token.parse()?, body.all, from).await?;
    } else if bearer::is_presented(&http) {
        let AccountOrActor { caller, .. } = bearer::authenticate(&http, Demand::Nothing).await?;
        let tx = move |tx: &mut Tx<'_>| end(tx, caller.user_id, caller.session_id, body.all, &from);
        app.db.tx("session.logout", tx).await?;
    } else {
        let presented = cookie::presented(&app.config, &http)?;
        answer.cookie(cookie::gone(&app.config));
        // A cookie that does not read as a token has nothing left to end; the browser forgets it all the same.
        if let Ok(presented) = presented {
            end_by_token(&app, presented, body.all, from).await?;
        }
    }
    Ok(answer.finish())
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Sessions, "logout", "End this session, or all of the user's")
        .maybe_json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "It is over, or was before.")
        .with_header(header::SET_COOKIE, "Removes the cookie, if one carried the token.")
}

enum Outcome {
    Ended,
    /// The token opens nothing any more, so it cannot speak for the user's other sessions.
    CannotEndAll,
    /// Two parties hold the session; it is over.
    Reused,
}

async fn end_by_token(app: &App, presented: RefreshToken, all: bool, from: Origin) -> Result<()> {
    let (rules, outbox) = (app.rules(), app.mail.outbox());
    let outcome = app
        .db
        .tx("session.logout_by_token", move |tx| {
            let over = if all { Outcome::CannotEndAll } else { Outcome::Ended };
            let Some(locked) = store::lock_session(tx, presented.handle_digest())? else { return Ok(over) };
            match locked.family.judge(&presented.secret_digest(), tx.now, &rules) {
                Verdict::Dead(_) => Ok(over),
                Verdict::Rotate | Verdict::Repeat(_) | Verdict::Recover => {
                    end(tx, locked.user_id, locked.id, all, &from)?;
                    Ok(Outcome::Ended)
                }
                Verdict::Reused => {
                    refresh::end_reused(tx, &locked, &outbox, &from)?;
                    Ok(Outcome::Reused)
                }
            }
        })
        .await?;
    if matches!(outcome, Outcome::Reused) {
        app.metrics.reuse_detections.inc();
    }
    match outcome {
        Outcome::Reused if all => Err(Error::InvalidGrant),
        Outcome::Ended | Outcome::Reused => Ok(()),
        Outcome::CannotEndAll => Err(Error::InvalidGrant),
    }
}

fn end(tx: &mut Tx<'_>, user: UserId, session: SessionId, all: bool, from: &Origin) -> QueryResult<()> {
    if all {
        store::revoke_all(tx, user, RevokedReason::Logout)?;
    } else {
        store::revoke_one(tx, user, session, RevokedReason::Logout)?;
    }
    audit::record(tx, from, &Event::LoggedOut { user, session, all })
}
