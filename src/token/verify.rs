//! Verifies our own access tokens, more strictly than RFC 9068 §4 asks: one algorithm, one type, no optional claim.

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;

use super::claims::Claims;
use super::keyring::Keyring;
use super::schedule::CLOCK_SKEW;
use super::signing::TOKEN_TYPE;
use crate::clock::Timestamp;
use crate::config::Config;

/// The text is not an access token that is valid here and now. Why, is nobody's business.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid;

/// Verifies tokens against the published keys.
pub struct Verifier {
    validation: Validation,
    ring: Arc<ArcSwap<Keyring>>,
}

/// More bytes than any token that we issue.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Exactly what our tokens' headers have: whatever else a header may carry (`jku`, `jwk`, `x5c`, `crit`, `b64`) is refused
/// by being unknown, and so is a member that comes twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    alg: String,
    typ: String,
    kid: String,
}

impl Verifier {
    /// Accepts this service's issuer and audience only.
    pub fn new(config: &Config, ring: Arc<ArcSwap<Keyring>>) -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[config.audience()]);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        // Our own clock decides, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { validation, ring }
    }

    /// The claims of a token that is valid at `now`. Expiry has no leeway, since the clock that judges is the one that
    /// issued; the times before which it is not valid may lie ahead by [`CLOCK_SKEW`], as another instance's clock may.
    ///
    /// # Errors
    /// [`Invalid`], for every reason.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Invalid> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Invalid);
        }
        let header = strict_header(token).ok_or(Invalid)?;
        if header.alg != "ES256" || header.typ != TOKEN_TYPE {
            return Err(Invalid);
        }
        let ring = self.ring.load();
        let key = ring.find(&header.kid, now).ok_or(Invalid)?;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key.verifying, &self.validation).map_err(|_| Invalid)?.claims;
        let latest = (now + CLOCK_SKEW).as_seconds();
        let begins = claims.iat.max(claims.auth_time).max(claims.nbf.unwrap_or(claims.iat));
        if now.as_seconds() >= claims.exp || begins > latest {
            return Err(Invalid);
        }
        Ok(claims)
    }
}

fn strict_header(token: &str) -> Option<StrictHeader> {
    let (header, _) = token.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}
