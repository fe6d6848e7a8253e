//! Opens a session for a user whose identity was just proven, and writes the answer that carries its first tokens.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpResponse, HttpResponseBuilder};
use diesel::QueryResult;
use serde::Serialize;

use super::family::Rules;
use super::store::{self, NewSession};
use super::token::RefreshToken;
use super::{Grant, SessionId};
use crate::access::rights::Rights;
use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::access::step_up::Proof;
use crate::account::store::Standing;
use crate::account::{User, UserId};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::Result;
use crate::field::Text;
use crate::http::cookie;
use crate::http::origin::Origin;
use crate::throttle::device::{Device, DeviceToken};
use crate::token::issue::Tokens;

/// On which terms a session is opened.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The client that the session is bound to.
    pub client_id: String,
    /// What is asked for; if nothing in particular is, all that the user's roles carry.
    pub requested: Option<Scope>,
    /// What roles carry.
    pub rights: Arc<Rights>,
    /// The user's name for it.
    pub label: Option<String>,
    /// How long it lives.
    pub rules: Rules,
    /// How the client is known, or wants to be.
    pub device: Device,
    /// What a right password becomes if the account has a second factor.
    pub second_step: SecondStep,
}

/// Whether the client can be asked for a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondStep {
    /// It is given a challenge, to be answered at `POST /v1/auth/login/mfa`.
    Offered {
        /// Whether the refresh token then goes into a cookie.
        browser_mode: bool,
    },
    /// It knows no second step, so it is refused.
    Refused,
}

impl Terms {
    /// The terms of our own REST clients.
    pub fn first_party(app: &App, label: Option<Text>) -> Self {
        Self {
            client_id: app.config.oauth.default_client.clone(),
            requested: None,
            rights: Arc::clone(&app.rights),
            label: label.map(Text::into_string),
            rules: app.rules(),
            device: Device::default(),
            second_step: SecondStep::Refused,
        }
    }

    /// The same for a client that shows a device token, or asks for one.
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// The same for a client that can be asked for a second factor.
    pub fn offering_second_step(self, browser_mode: bool) -> Self {
        Self { second_step: SecondStep::Offered { browser_mode }, ..self }
    }
}

/// A session that has just been opened.
pub struct Opened {
    /// Whose it is.
    pub user: User,
    /// What it entitles to.
    pub grant: Grant,
    /// By what the account will know the device, if the client asked for it.
    pub device: Option<DeviceToken>,
}

/// Opens a session for whatever its user has proven, in the transaction that found them in good standing.
pub(crate) fn open(
    tx: &mut Tx<'_>,
    standing: Standing,
    terms: &Terms,
    proof: Proof,
    from: &Origin,
) -> QueryResult<Opened> {
    let Standing { user, access_version } = standing;
    let grant = first_grant(tx.now, user.id, &user.roles, terms, proof);
    store::insert_session(tx, &new_session(&grant, access_version, terms, from))?;
    Ok(Opened { user, grant, device: None })
}

/// What a session of a user with these roles entitles to when it is opened.
pub(super) fn first_grant(now: Timestamp, user_id: UserId, roles: &Roles, terms: &Terms, proof: Proof) -> Grant {
    Grant {
        session_id: SessionId::new(now),
        user_id,
        roles: roles.clone(),
        scope: terms.rights.grant(terms.requested.as_ref(), roles),
        client_id: terms.client_id.clone(),
        auth_time: now,
        amr: proof.amr().to_owned(),
        granted_at: now,
        refresh_token: RefreshToken::generate(),
        refresh_expires_at: (now + terms.rules.idle_ttl).min(now + terms.rules.max_ttl),
    }
}

/// The row of a session that entitles to `grant` at first.
pub(super) fn new_session<'a>(
    grant: &'a Grant,
    access_version: i64,
    terms: &'a Terms,
    from: &'a Origin,
) -> NewSession<'a> {
    NewSession {
        grant,
        access_version,
        expires_at: grant.granted_at + terms.rules.max_ttl,
        address: from.address.map(|address| address.to_string()),
        user_agent: from.user_agent.as_deref(),
        label: terms.label.as_deref(),
        actor: None,
    }
}

/// Tokens and whose they are.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct SessionBody {
    #[serde(flatten)]
    tokens: Tokens,
    user: User,
    /// To be shown at the next log-in, so that nobody elsewhere can hold it up; if `remember_device` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
}

impl Opened {
    /// Writes the tokens and the user; in browser mode the refresh token and the device token go into cookies and stay out
    /// of the body.
    pub(crate) fn answer(
        self,
        app: &Data<App>,
        answer: &mut HttpResponseBuilder,
        browser_mode: bool,
    ) -> Result<HttpResponse> {
        let mut tokens = app.issuer.tokens(&self.grant, None, Some(&self.user))?;
        let mut device = self.device;
        if browser_mode {
            answer.cookie(cookie::carrying(&app.config, &self.grant));
            tokens.without_refresh_token();
            if let Some(device) = device.take() {
                answer.cookie(cookie::carrying_device(&app.config, &device));
            }
        }
        let device_token = device.map(|device| device.to_text().to_string());
        Ok(answer.json(SessionBody { tokens, user: self.user, device_token }))
    }
}
