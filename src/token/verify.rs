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
        let begins = claims.iat.max(claims.auth_time.unwrap_or(claims.iat)).max(claims.nbf.unwrap_or(claims.iat));
        if now.as_seconds() >= claims.exp || begins > latest || claims.holder().is_none() {
            return Err(Invalid);
        }
        Ok(claims)
    }
}

fn strict_header(token: &str) -> Option<StrictHeader> {
    let (header, _) = token.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access::role::Roles;
    use crate::account::UserId;
    use crate::api_key::ApiKeyId;
    use crate::session::SessionId;
    use crate::token::claims::Act;
    use crate::token::key_file;
    use crate::token::keyring::Key;

    const NOW: Timestamp = Timestamp::from_micros(1_795_255_200_000_000);
    const SECONDS: i64 = NOW.as_seconds();

    fn world() -> (Verifier, Key) {
        let config = Config { issuer: "https://id.example".to_owned(), ..Config::default() };
        let key = key_file::parse(&key_file::generate(), "x.pem").expect("our own key");
        let ring = Keyring::new(vec![key.clone()], Duration::from_secs(900));
        (Verifier::new(&config, Arc::new(ArcSwap::from_pointee(ring))), key)
    }

    fn claims() -> Claims {
        Claims {
            iss: "https://id.example".to_owned(),
            sub: UserId::new(NOW),
            aud: "https://id.example".to_owned(),
            exp: SECONDS + 900,
            iat: SECONDS,
            nbf: None,
            jti: "x".to_owned(),
            client_id: String::new(),
            scope: crate::access::scope::Scope::account(),
            roles: Roles::user(),
            sid: Some(SessionId::new(NOW)),
            auth_time: Some(SECONDS),
            amr: Some(vec!["pwd".to_owned()]),
            acr: None,
            key_id: None,
            act: None,
            email: None,
            email_verified: None,
            name: None,
        }
    }

    /// Whether a token with these claims is valid at [`NOW`].
    fn is_valid(change: impl FnOnce(&mut Claims)) -> bool {
        let (verifier, key) = world();
        let mut claims = claims();
        change(&mut claims);
        let token = key.signing.expect("a private key").sign(&claims).expect("signed");
        verifier.verify(&token, NOW).is_ok()
    }

    #[test]
    fn a_token_is_valid_until_the_second_in_which_it_expires() {
        assert!(is_valid(|claims| claims.exp = SECONDS + 1));
        assert!(!is_valid(|claims| claims.exp = SECONDS));
    }

    #[test]
    fn a_token_may_be_from_the_future_by_the_skew_of_another_clock() {
        let skew = i64::try_from(CLOCK_SKEW.as_secs()).expect("short");
        for begin in [
            |claims: &mut Claims, at| claims.iat = at,
            |claims: &mut Claims, at| claims.auth_time = Some(at),
            |claims: &mut Claims, at| claims.nbf = Some(at),
        ] {
            assert!(is_valid(|claims| begin(claims, SECONDS + skew)));
            assert!(!is_valid(|claims| begin(claims, SECONDS + skew + 1)));
        }
    }

    #[test]
    fn a_token_is_a_sessions_or_an_api_keys_and_wholly_so() {
        fn of_key(claims: &mut Claims) {
            (claims.sid, claims.auth_time, claims.amr) = (None, None, None);
            claims.key_id = Some(ApiKeyId::new(NOW));
        }
        assert!(is_valid(|_| {}));
        assert!(is_valid(of_key));
        for change in [
            (|claims| claims.sid = None) as fn(&mut Claims),
            |claims| claims.auth_time = None,
            |claims| claims.amr = None,
            |claims| claims.key_id = Some(ApiKeyId::new(NOW)),
            |claims| {
                of_key(claims);
                claims.key_id = None;
            },
            |claims| {
                of_key(claims);
                claims.sid = Some(SessionId::new(NOW));
            },
            |claims| {
                of_key(claims);
                claims.auth_time = Some(SECONDS);
            },
            |claims| {
                of_key(claims);
                claims.amr = Some(Vec::new());
            },
            |claims| {
                of_key(claims);
                claims.act = Some(Act { sub: claims.sub });
            },
        ] {
            assert!(!is_valid(change));
        }
    }

    #[test]
    fn the_longest_of_our_tokens_is_looked_at() {
        let roles = std::array::from_fn::<_, 16, _>(|number| format!("r{number:031}")).join(" ");
        assert!(is_valid(|claims| {
            claims.roles = roles.parse().expect("as many and as long as may be");
            claims.scope = "s".repeat(512).parse().expect("as long as may be");
            claims.email = Some(format!("{}@id.example", "e".repeat(64)));
            claims.name = Some("\u{1f511}".repeat(200));
        }));
    }

    #[test]
    fn a_token_longer_than_any_of_ours_is_not_even_looked_at() {
        let (verifier, key) = world();
        let signing = key.signing.expect("a private key");
        let sign = |characters: usize| {
            signing.sign(&Claims { name: Some("x".repeat(characters)), ..claims() }).expect("signed")
        };
        // Three bytes of a name are four characters of a token.
        let fitting = (MAX_TOKEN_BYTES - sign(0).len()) / 4 * 3;
        let mut around = (fitting - 8..fitting + 8).map(sign);
        let longest = around.find(|token| token.len() == MAX_TOKEN_BYTES).expect("a token of that length");
        assert!(verifier.verify(&longest, NOW).is_ok());
        let longer = around.next().expect("one more");
        assert!(verifier.verify(&longer, NOW).is_err());
    }
}
