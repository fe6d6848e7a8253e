//! `GET /.well-known/jwks.json` — the public keys (RFC 7517), from memory.
//!
//! No database, no limit: some verifiers fetch it once for each unknown `kid`. `max-age` shrinks as an activation comes
//! near, so that no cache outlives it.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, EntityTag, Header as _, IfNoneMatch};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::keyring::{Key, Keyring};
use super::schedule::{JWKS_MAX_AGE, JWKS_STALE_IF_ERROR};
use crate::app::App;
use crate::clock::Timestamp;
use crate::http::openapi::{Operation, Tag};

/// One public key (RFC 7517 §4, RFC 7518 §6.2).
#[derive(Serialize, schemars::JsonSchema)]
pub struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    x: &'a str,
    y: &'a str,
    kid: &'a str,
    r#use: &'static str,
    alg: &'static str,
}

impl<'a> From<&'a Key> for Jwk<'a> {
    fn from(key: &'a Key) -> Self {
        let Key { kid, public, .. } = key;
        Self { kty: "EC", crv: "P-256", x: &public.x, y: &public.y, kid, r#use: "sig", alg: "ES256" }
    }
}

/// The set of the keys that verify now.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct JwkSet<'a> {
    keys: Vec<Jwk<'a>>,
}

/// The document as it is sent, until the published keys change.
#[derive(Clone, PartialEq)]
pub struct Document {
    body: Bytes,
    etag: EntityTag,
    next_activation: Option<Timestamp>,
    /// When it must be made anew even though no file changed.
    stale_at: Option<Timestamp>,
}

impl Document {
    /// The document at `now`.
    pub fn new(ring: &Keyring, now: Timestamp) -> Self {
        let keys = ring.published(now).map(Jwk::from).collect();
        let body = serde_json::to_vec(&JwkSet { keys }).expect("keys are plain data");
        let etag = EntityTag::new_strong(URL_SAFE_NO_PAD.encode(Sha256::digest(&body)));
        let next_activation = ring.next_activation(now);
        let stale_at = [next_activation, ring.next_change(now)].into_iter().flatten().min();
        Self { body: body.into(), etag, next_activation, stale_at }
    }

    /// Whether it is still what [`Document::new`] would make.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.stale_at.is_none_or(|stale_at| now < stale_at)
    }

    fn cache_control(&self, now: Timestamp) -> String {
        let (max_age, stale) = (self.max_age(now).as_secs(), JWKS_STALE_IF_ERROR.as_secs());
        format!("public, max-age={max_age}, stale-if-error={stale}")
    }

    fn max_age(&self, now: Timestamp) -> Duration {
        self.next_activation.map_or(JWKS_MAX_AGE, |activation| activation.since(now).min(JWKS_MAX_AGE))
    }
}

/// Answers 200 with the keys or 304.
pub async fn handle(app: Data<App>, http: HttpRequest) -> HttpResponse {
    let now = app.clock.now();
    let document = app.keys.document(now);
    let known = match IfNoneMatch::parse(&http) {
        Ok(IfNoneMatch::Any) => http.headers().contains_key(header::IF_NONE_MATCH),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&document.etag)),
        Err(_) => false,
    };
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::ETAG, document.etag.to_string()))
        .insert_header((header::CACHE_CONTROL, document.cache_control(now)))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    if known {
        return answer.finish();
    }
    answer.content_type("application/json").body(document.body)
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::WellKnown, "jwks", "The public keys that verify access tokens (RFC 7517)")
        .reads_header("If-None-Match", "The `ETag` of the copy at hand.")
        .answers::<JwkSet<'_>>(StatusCode::OK, "The keys.")
        .with_header(header::ETAG, "Names this version of the set.")
        .with_header(header::CACHE_CONTROL, "How long it may be kept: never past the next change of keys.")
        .answers_nothing(StatusCode::NOT_MODIFIED, "The copy at hand is current.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::key_file;

    const T0: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);

    fn key(active_from: Option<Timestamp>) -> Key {
        Key { active_from, ..key_file::parse(&key_file::generate(), "x.pem").expect("our own key") }
    }

    #[test]
    fn no_cache_outlives_the_next_activation() {
        let ring = Keyring::new(vec![key(None), key(Some(T0 + Duration::from_secs(400)))], Duration::from_secs(900));
        let document = Document::new(&ring, T0);
        assert_eq!(document.max_age(T0), JWKS_MAX_AGE);
        assert_eq!(document.max_age(T0 + Duration::from_secs(150)), Duration::from_secs(250));
        assert_eq!(document.max_age(T0 + Duration::from_secs(399)), Duration::from_secs(1));
        assert!(document.is_current(T0 + Duration::from_secs(399)));
        assert!(!document.is_current(T0 + Duration::from_secs(400)));
    }

    /// Whoever changes the header changes the constants, which `schedule` holds against the lead of a new key.
    #[test]
    fn the_header_says_what_the_schedule_counts_with() {
        let header = Document::new(&Keyring::new(vec![key(None)], Duration::from_secs(900)), T0).cache_control(T0);
        let seconds = |name: &str| {
            let (_, rest) = header.split_once(&format!("{name}=")).expect(name);
            Duration::from_secs(rest.split(',').next().and_then(|number| number.parse().ok()).expect("seconds"))
        };
        assert_eq!((seconds("max-age"), seconds("stale-if-error")), (JWKS_MAX_AGE, JWKS_STALE_IF_ERROR));
        assert_eq!(header.matches('=').count(), 2, "and no other directive that prolongs: {header}");
    }

    #[test]
    fn the_document_has_the_public_members_only() {
        let ring = Keyring::new(vec![key(None)], Duration::from_secs(900));
        let body: serde_json::Value = serde_json::from_slice(&Document::new(&ring, T0).body).expect("JSON");
        let members: Vec<&String> = body["keys"][0].as_object().expect("a key").keys().collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
}
