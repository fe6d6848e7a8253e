//! Opens a session for a user whose identity was just proven, and writes the answer that carries its first tokens.

use actix_web::web::Data;
use actix_web::{HttpResponse, HttpResponseBuilder};
use diesel::QueryResult;
use serde::Serialize;

use super::family::Rules;
use super::store::{self, NewSession};
use super::token::RefreshToken;
use super::{Grant, SessionId};
use crate::access::scope::Scope;
use crate::account::User;
use crate::account::store::Standing;
use crate::app::App;
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
    /// What it may at most do.
    pub scope: Scope,
    /// The user's name for it.
    pub label: Option<String>,
    /// How long it lives.
    pub rules: Rules,
    /// How the client is known, or wants to be.
    pub device: Device,
}

impl Terms {
    /// The terms of our own REST clients.
    pub fn first_party(app: &App, label: Option<Text>) -> Self {
        Self {
            client_id: app.config.oauth.default_client.clone(),
            scope: app.config.oauth.scope.clone(),
            label: label.map(Text::into_string),
            rules: app.rules(),
            device: Device::default(),
        }
    }

    /// The same for a client that shows a device token, or asks for one.
    pub fn with_device(self, device: Device) -> Self {
        Self { device, ..self }
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

/// How a password is called in `amr` (RFC 8176 §2).
const AMR_PASSWORD: &str = "pwd";

/// Opens a session in the transaction that found its user in good standing.
pub(crate) fn open(tx: &mut Tx<'_>, standing: Standing, terms: &Terms, from: &Origin) -> QueryResult<Opened> {
    let Standing { user, access_version } = standing;
    let refresh_token = RefreshToken::generate();
    let expires_at = tx.now + terms.rules.max_ttl;
    let idle_expires_at = (tx.now + terms.rules.idle_ttl).min(expires_at);
    let session_id: SessionId = store::insert_session(
        tx,
        &NewSession {
            token: &refresh_token,
            user_id: user.id,
            access_version,
            idle_expires_at,
            expires_at,
            client_id: &terms.client_id,
            scope: &terms.scope,
            amr: AMR_PASSWORD,
            address: from.address.map(|address| address.to_string()),
            user_agent: from.user_agent.as_deref(),
            label: terms.label.as_deref(),
            actor: None,
        },
    )?;
    let grant = Grant {
        session_id,
        user_id: user.id,
        roles: user.roles.clone(),
        scope: terms.scope.clone(),
        client_id: terms.client_id.clone(),
        auth_time: tx.now,
        amr: AMR_PASSWORD.to_owned(),
        granted_at: tx.now,
        refresh_token,
        refresh_expires_at: idle_expires_at,
    };
    Ok(Opened { user, grant, device: None })
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
