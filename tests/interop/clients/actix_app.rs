//! An actix service that trusts Signet: users log in there, tokens are verified here, offline.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Data, Json, ServiceConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Value, json};

pub fn routes(config: &mut ServiceConfig) {
    config.route("/whoami", web::get().to(whoami)).route("/admin", web::get().to(administrate));
}

async fn whoami(caller: Caller) -> Json<Value> {
    Json(json!({"user": caller.sub, "roles": caller.roles}))
}

async fn administrate(caller: Caller) -> Result<Json<Value>, Refused> {
    if !caller.roles.iter().any(|role| role == "admin") {
        return Err(Refused::NotAllowed);
    }
    Ok(Json(json!({"admin": caller.sub})))
}

/// Whoever the token speaks for. A handler that takes one is protected.
#[derive(Deserialize)]
struct Caller {
    sub: String,
    roles: Vec<String>,
}

impl FromRequest for Caller {
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let signet = request.app_data::<Data<Signet>>().expect("the service was given its Signet").clone();
        let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credentials = value.and_then(|value| value.split_once(' '));
        let token = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")).map(|(_, token)| token);
        let token = token.map(str::to_owned);
        Box::pin(async move {
            let token = token.ok_or(Refused::NoToken)?;
            // On a thread of its own: now and then it fetches the keys.
            web::block(move || signet.verify(&token)).await.map_err(|_| Refused::NoKeys)?
        })
    }
}

/// Verifies access tokens; one for the whole service.
pub struct Signet {
    jwks_uri: String,
    validation: Validation,
    keys: Mutex<Keys>,
}

struct Keys {
    set: JwkSet,
    asked_at: Option<Instant>,
}

impl Signet {
    pub fn new(issuer: &str, audience: &str) -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        let keys = Mutex::new(Keys { set: JwkSet { keys: Vec::new() }, asked_at: None });
        Self { jwks_uri: format!("{issuer}/.well-known/jwks.json"), validation, keys }
    }

    fn verify(&self, token: &str) -> Result<Caller, Refused> {
        let header = decode_header(token).map_err(|_| Refused::NotValid)?;
        let (Some("at+jwt"), Some(kid)) = (header.typ.as_deref(), &header.kid) else { return Err(Refused::NotValid) };
        let key = DecodingKey::from_jwk(&self.key(kid)?).map_err(|_| Refused::NoKeys)?;
        Ok(decode::<Caller>(token, &key, &self.validation).map_err(|_| Refused::NotValid)?.claims)
    }

    /// A published key. Asks again every five minutes, and for a key that it does not know every ten seconds at most.
    fn key(&self, kid: &str) -> Result<Jwk, Refused> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let age = keys.asked_at.map_or(Duration::MAX, |at| at.elapsed());
        if age > Duration::from_secs(300) || (age > Duration::from_secs(10) && keys.set.find(kid).is_none()) {
            keys.asked_at = Some(Instant::now());
            match self.fetch() {
                Ok(set) => keys.set = set,
                Err(error) => eprintln!("{}: {error}", self.jwks_uri), // what is known still serves
            }
        }
        let unknown = if keys.set.keys.is_empty() { Refused::NoKeys } else { Refused::NotValid };
        keys.set.find(kid).cloned().ok_or(unknown)
    }

    fn fetch(&self) -> Result<JwkSet, ureq::Error> {
        let request = ureq::get(&self.jwks_uri).config().timeout_global(Some(Duration::from_secs(5))).build();
        request.call()?.body_mut().read_json()
    }
}

#[derive(Debug)]
enum Refused {
    NoToken,
    NotValid,
    NotAllowed,
    NoKeys,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoToken => "A token is needed",
            Self::NotValid => "The token is not valid",
            Self::NotAllowed => "Administrators only",
            Self::NoKeys => "The keys cannot be fetched",
        })
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::NotValid => StatusCode::UNAUTHORIZED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NoKeys => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::NoToken => response.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
            Self::NotValid => response.insert_header((header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)),
            Self::NotAllowed | Self::NoKeys => &mut response,
        };
        response.body(self.to_string())
    }
}
