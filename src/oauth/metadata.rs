//! `GET /.well-known/oauth-authorization-server` and `/.well-known/openid-configuration` (RFC 8414, OpenID Connect
//! Discovery 1.0): one document under both names, listing only what works.
//!
//! There is no authorization endpoint, so no response type is supported; the members about ID tokens are there because
//! discovery clients demand them, and say what such a token would be signed with.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use serde::Serialize;

use super::grant::token_exchange;
use crate::app::App;
use crate::config::Config;
use crate::http::openapi::{Operation, Tag};

/// The metadata document.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Metadata {
    issuer: String,
    jwks_uri: String,
    token_endpoint: String,
    grant_types_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    scopes_supported: Vec<String>,
    response_types_supported: Vec<&'static str>,
    subject_types_supported: Vec<&'static str>,
    id_token_signing_alg_values_supported: Vec<&'static str>,
}

impl Metadata {
    fn new(config: &Config) -> Self {
        let issuer = config.issuer.clone();
        let mut grants = vec!["refresh_token", token_exchange::GRANT_TYPE];
        if config.oauth.password_grant {
            grants.push("password");
        }
        Self {
            jwks_uri: format!("{issuer}/.well-known/jwks.json"),
            token_endpoint: format!("{issuer}/oauth2/token"),
            issuer,
            grant_types_supported: grants,
            token_endpoint_auth_methods_supported: vec!["none"],
            scopes_supported: config.rights().all().words().map(str::to_owned).collect(),
            response_types_supported: vec![],
            subject_types_supported: vec!["public"],
            id_token_signing_alg_values_supported: vec!["ES256"],
        }
    }
}

/// Answers 200.
pub async fn handle(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .json(Metadata::new(&app.config))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::WellKnown, "oauth_metadata", "What works here, for OAuth clients (RFC 8414)")
        .answers::<Metadata>(StatusCode::OK, "The metadata.")
        .with_header(header::CACHE_CONTROL, "How long it may be kept.")
}

/// What it says about the other name.
pub fn describe_openid() -> Operation {
    Operation::new(Tag::WellKnown, "openid_configuration", "The same, for OpenID Connect discovery")
        .answers::<Metadata>(StatusCode::OK, "The metadata.")
        .with_header(header::CACHE_CONTROL, "How long it may be kept.")
}
