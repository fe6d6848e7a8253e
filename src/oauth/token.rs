//! `POST /oauth2/token` — the token endpoint (RFC 6749 §3.2).
//!
//! Owns the phases that all grants share, so that none can forget one: read the form, name the client, parse the scope,
//! run the grant, narrow, issue.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use schemars::json_schema;
use serde::Serialize;

use super::client::Client;
use super::grant::{self, token_exchange};
use crate::access::scope::Scope;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::form::Form;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::session::Grant;
use crate::token::issue::{ACCESS_TOKEN_TYPE, Exchanged, Tokens};

/// Answers 200 with tokens.
pub async fn handle(app: Data<App>, http: HttpRequest, from: Origin, mut form: Form) -> Result<HttpResponse> {
    let grant_type = form.require("grant_type", "grant_type is missing")?;
    let client = Client::of(&http, &mut form)?;
    let requested = form.take("scope").map(|scope| scope.parse::<Scope>()).transpose();
    let requested = requested.map_err(|_| Error::InvalidScope)?;
    let (grant, scope, user): (Grant, _, _) = match grant_type.as_str() {
        "refresh_token" => {
            let grant = grant::refresh_token::run(&app, client, requested.clone(), &mut form, from).await?;
            let user = app.issuer.profile(&app.db, grant.user_id).await?;
            // A refresh may ask for less than the session has; the session keeps it all (RFC 6749 §6).
            let scope = grant.scope.narrowed_to(requested.as_ref()).map_err(|_| Error::InvalidScope)?;
            (grant, Some(scope), user)
        }
        "password" => {
            let opened = grant::password::run(&app, client, requested, &mut form, from).await?;
            (opened.grant, None, Some(opened.user))
        }
        token_exchange::GRANT_TYPE => {
            let exchanged = token_exchange::run(&app, client, requested, &mut form, &from).await?;
            return Ok(HttpResponse::Ok().json(Answer::Exchanged(exchanged)));
        }
        _ => return Err(Error::UnsupportedGrantType),
    };

    let tokens = app.issuer.tokens(&grant, scope, user.as_ref())?;
    Ok(HttpResponse::Ok().json(Answer::OfSession(tokens)))
}

/// What a grant leads to.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Answer {
    OfSession(Tokens),
    Exchanged(Exchanged),
}

/// What the API description says.
pub fn describe() -> Operation {
    let parameters = json_schema!({
        "type": "object",
        "description": "Unknown parameters are ignored, empty ones count as absent, none may come twice.",
        "required": ["grant_type"],
        "properties": {
            "grant_type": {
                "enum": ["refresh_token", "password", token_exchange::GRANT_TYPE],
                "description": "`password` works where `oauth.password_grant` is switched on.",
            },
            "refresh_token": {"type": "string", "description": "`refresh_token`: the newest one of the session."},
            "username": {"type": "string", "description": "`password`: the account's e-mail address."},
            "password": {"type": "string", "format": "password", "description": "`password`: the account's password."},
            "device_token": {"type": "string", "description": "`password`: what a log-in gave to this device."},
            "subject_token": {"type": "string", "description": "Exchange: the API key."},
            "subject_token_type": {"enum": [token_exchange::API_KEY_TYPE], "description": "Exchange: what it is."},
            "requested_token_type": {"enum": [ACCESS_TOKEN_TYPE], "description": "Exchange: what is wanted."},
            "audience": {"type": "string", "description": "Exchange: the `aud` of our tokens, or absent."},
            "client_id": {"type": "string", "description": "Absent: the default client. All clients are public."},
            "scope": {"type": "string", "description": "Words separated by spaces; absent: all that was granted."},
        },
    });
    Operation::new(Tag::OAuth, "token", "Trade a grant for tokens (RFC 6749 §3.2)")
        .form(parameters)
        .answers::<Answer>(StatusCode::OK, "Tokens.")
        .refuses([
            Error::InvalidGrant,
            Error::InvalidCredentials,
            Error::UnsupportedGrantType,
            Error::InvalidScope,
            Error::InvalidTarget,
            Error::InvalidClient,
        ])
}
