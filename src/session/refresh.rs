//! `POST /v1/auth/refresh` — trade a refresh token for a new pair.
//!
//! Obeys RFC 9700 §4.14.2: a superseded token revokes its family, except for the honest retry; [`family`](super::family)
//! has the state table. The happy path is one statement; anything else is decided under the row's lock.
//!
//! Owns: sessions.  Emits: TokenReused, ResponseRecovered.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use diesel::QueryResult;

use super::family::{Cause, Rules, Verdict};
use super::rotation::{Ask, Rotated};
use super::store::{self, Locked};
use super::token::{Nonce, RefreshToken};
use super::{Grant, RevokedReason};
use crate::access::rights::Rights;
use crate::access::scope::Scope;
use crate::account::store as accounts;
use crate::app::App;
use crate::audit::{self, Event};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::http::body::{MaybeJson, request_body};
use crate::http::cookie;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::mail::{Notice, Outbox};
use crate::token::issue::Tokens;

request_body! {
    /// The token, unless the cookie carries it.
    pub struct Request {
        /// The newest refresh token of the session.
        refresh_token: Option<RefreshTokenField>,
    }
}

/// A refresh token as a field: any string is taken here, so that a mangled token is answered as a refresh token that
/// does not work and not as a malformed field.
#[derive(Clone)]
pub struct RefreshTokenField(zeroize::Zeroizing<String>);

impl crate::field::FromField for RefreshTokenField {
    fn from_text(text: String) -> Result<Self, crate::field::Invalid> {
        Ok(Self(text.into()))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

impl RefreshTokenField {
    /// The token, if the text is one.
    ///
    /// # Errors
    /// [`Error::InvalidGrant`].
    pub fn parse(&self) -> Result<RefreshToken> {
        RefreshToken::parse(&self.0).map_err(|_| Error::InvalidGrant)
    }
}

/// Answers 200 with tokens; to a cookie with a cookie.
pub async fn handle(
    app: Data<App>,
    http: HttpRequest,
    from: Origin,
    MaybeJson(body): MaybeJson<Request>,
) -> Result<HttpResponse> {
    let from_body = body.and_then(|body| body.refresh_token);
    let browser_mode = from_body.is_none();
    let presented = match from_body {
        Some(token) => token.parse(),
        None => cookie::presented(&app.config, &http)?,
    };
    let presented = presented.inspect_err(|_| count_mangled(&app))?;
    let grant = refresh(&app, presented, Conditions::default(), from).await?;
    let user = app.issuer.profile(&app.db, grant.user_id).await?;
    let mut tokens = app.issuer.tokens(&grant, None, user.as_ref())?;
    let mut answer = HttpResponse::Ok();
    if browser_mode {
        answer.cookie(cookie::carrying(&app.config, &grant));
        tokens.without_refresh_token();
    }
    Ok(answer.json(tokens))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Sessions, "refresh", "Trade a refresh token for a new pair")
        .maybe_json::<Request>()
        .answers::<Tokens>(StatusCode::OK, "The new pair; the old refresh token is used up.")
        .with_header(header::SET_COOKIE, "The new refresh token, if a cookie carried the old one.")
}

/// What a presented token led to. Whatever is in here was committed.
enum Outcome {
    Rotated(Grant),
    Repeated(Grant),
    Recovered(Grant),
    Dead(Cause),
    Reused,
    Unknown,
    OtherClient,
    ScopeExceeded,
}

/// What a session must have for its refresh token to be used; a token is not used up by asking for what it has not.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// The client that the session must be bound to.
    pub client_id: Option<String>,
    /// What the session's scope must include.
    pub scope: Option<Scope>,
}

/// Refreshes the session of `presented`.
///
/// # Errors
/// [`Error::InvalidGrant`] for every reason that lies with the token, [`Error::InvalidScope`] if the session has not the
/// scope that is asked for; neither because the database is away.
pub async fn refresh(app: &App, presented: RefreshToken, conditions: Conditions, from: Origin) -> Result<Grant> {
    let (label, granted) = match look_up(app, presented, conditions, from).await {
        Ok(Outcome::Rotated(grant)) => ("rotated", Ok(grant)),
        Ok(Outcome::Repeated(grant)) => ("repeated", Ok(grant)),
        Ok(Outcome::Recovered(grant)) => ("recovered", Ok(grant)),
        Ok(Outcome::Dead(Cause::Revoked)) => ("revoked", Err(Error::InvalidGrant)),
        Ok(Outcome::Dead(Cause::Expired)) => ("expired", Err(Error::InvalidGrant)),
        Ok(Outcome::Dead(Cause::Disabled)) => ("disabled", Err(Error::InvalidGrant)),
        Ok(Outcome::Reused) => {
            app.metrics.reuse_detections.inc();
            ("reused", Err(Error::InvalidGrant))
        }
        Ok(Outcome::Unknown) => ("unknown", Err(Error::InvalidGrant)),
        Ok(Outcome::OtherClient) => ("other_client", Err(Error::InvalidGrant)),
        Ok(Outcome::ScopeExceeded) => ("scope_exceeded", Err(Error::InvalidScope)),
        Err(error) => (error.code(), Err(error)),
    };
    count(app, label);
    // What the row has is what was granted at log-in; the roles are those of now.
    granted.map(|grant| Grant { scope: app.rights.left_of(&grant.scope, &grant.roles), ..grant })
}

async fn look_up(app: &App, presented: RefreshToken, conditions: Conditions, from: Origin) -> Result<Outcome> {
    let (rules, rights) = (app.rules(), Arc::clone(&app.rights));
    if let Some(grant) = rotate_at_once(app, &presented, &conditions, &rules).await? {
        return Ok(Outcome::Rotated(grant));
    }
    let outbox = app.mail.outbox();
    let tx = move |tx: &mut Tx<'_>| decide(tx, &presented, &conditions, &rules, &rights, &outbox, &from);
    Ok(app.db.tx("session.refresh", tx).await?)
}

/// The happy path: the current token, nothing else to decide. `None` if it is not that, or if a scope is asked for, which
/// no statement can judge.
async fn rotate_at_once(
    app: &App,
    presented: &RefreshToken,
    conditions: &Conditions,
    rules: &Rules,
) -> Result<Option<Grant>> {
    if conditions.scope.is_some() {
        return Ok(None);
    }
    let nonce = Nonce::generate();
    let successor = presented.successor(&nonce);
    let ask = Ask::new(presented, &successor, nonce, conditions.client_id.clone());
    let rotated = app.db.gathered(&app.rotations, ask).await?;
    Ok(rotated.map(|(rotated, now)| grant_of(rotated, successor, now, rules)))
}

/// Counts a refresh with what is no refresh token.
pub fn count_mangled(app: &App) {
    count(app, "mangled");
}

fn count(app: &App, outcome: &str) {
    app.metrics.refreshes.with_label_values(&[outcome]).inc();
}

fn grant_of(rotated: Rotated, refresh_token: RefreshToken, now: Timestamp, rules: &Rules) -> Grant {
    Grant {
        session_id: rotated.id,
        user_id: rotated.user_id,
        roles: rotated.roles.expect("the statement matched the user's access version, so there is a user"),
        scope: rotated.scope,
        client_id: rotated.client_id,
        auth_time: rotated.auth_time,
        amr: rotated.amr,
        granted_at: now,
        refresh_token,
        refresh_expires_at: (now + rules.idle_ttl).min(rotated.expires_at),
    }
}

/// The state table under the row's lock.
fn decide(
    tx: &mut Tx<'_>,
    presented: &RefreshToken,
    conditions: &Conditions,
    rules: &Rules,
    rights: &Rights,
    outbox: &Outbox,
    from: &Origin,
) -> QueryResult<Outcome> {
    let Some(locked) = store::lock_session(tx, presented.handle_digest())? else {
        return Ok(Outcome::Unknown);
    };
    if conditions.client_id.as_ref().is_some_and(|client_id| *client_id != locked.client_id) {
        return Ok(Outcome::OtherClient);
    }
    let reaches = rights.left_of(&locked.scope, &locked.roles).narrowed_to(conditions.scope.as_ref()).is_ok();
    match locked.family.judge(&presented.secret_digest(), tx.now, rules) {
        Verdict::Dead(cause) => Ok(Outcome::Dead(cause)),
        Verdict::Rotate | Verdict::Repeat(_) | Verdict::Recover if !reaches => Ok(Outcome::ScopeExceeded),
        Verdict::Rotate => rotate(tx, locked, presented, rules).map(Outcome::Rotated),
        Verdict::Repeat(nonce) => {
            let expires_at = locked.family.refresh_expires_at();
            Ok(Outcome::Repeated(locked.into_grant(presented.successor(&nonce), tx.now, expires_at)))
        }
        Verdict::Recover => {
            let event = Event::ResponseRecovered {
                user: locked.user_id,
                session: locked.id,
                generation: locked.generation + 1,
            };
            audit::record(tx, from, &event)?;
            rotate(tx, locked, presented, rules).map(Outcome::Recovered)
        }
        Verdict::Reused => {
            end_reused(tx, &locked, outbox, from)?;
            Ok(Outcome::Reused)
        }
    }
}

/// Ends a session that two parties hold, and has its user told.
pub(super) fn end_reused(tx: &mut Tx<'_>, locked: &Locked, outbox: &Outbox, from: &Origin) -> QueryResult<()> {
    store::revoke_one(tx, locked.user_id, locked.id, RevokedReason::TokenReused)?;
    if outbox.is_open()
        && let Some(email) = accounts::find_email(tx, locked.user_id)?
    {
        outbox.tell(tx, Notice::SessionEnded, locked.user_id, &email)?;
    }
    let event = Event::TokenReused { user: locked.user_id, session: locked.id, generation: locked.generation };
    audit::record(tx, from, &event)
}

/// The next generation descends from the presented token, be it the current one or, when its successor was lost, the
/// parent.
fn rotate(tx: &mut Tx<'_>, locked: Locked, presented: &RefreshToken, rules: &Rules) -> QueryResult<Grant> {
    let nonce = Nonce::generate();
    let idle_expires_at = tx.now + rules.idle_ttl;
    store::rotate_locked(tx, &locked, presented, nonce, idle_expires_at)?;
    let expires_at = idle_expires_at.min(locked.family.expires_at);
    Ok(locked.into_grant(presented.successor(&nonce), tx.now, expires_at))
}

impl Locked {
    fn into_grant(self, refresh_token: RefreshToken, granted_at: Timestamp, refresh_expires_at: Timestamp) -> Grant {
        Grant {
            session_id: self.id,
            user_id: self.user_id,
            roles: self.roles,
            scope: self.scope,
            client_id: self.client_id,
            auth_time: self.auth_time,
            amr: self.amr,
            granted_at,
            refresh_token,
            refresh_expires_at,
        }
    }
}
