//! Signs access tokens with a key that was parsed once: the compact serialization of RFC 7515 §3.1 in one buffer.
//!
//! `jsonwebtoken::encode` parses the private key and encodes the header for every token. Its seam for another way of
//! signing is one function for the whole process that is handed the key as bytes; a parsed key would have to be found by
//! its bytes again there, and the header would still be encoded each time.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use p256::SecretKey;
use p256::pkcs8::EncodePrivateKey;

use super::claims::Claims;

/// `typ` of every access token (RFC 9068 §2.1).
pub const TOKEN_TYPE: &str = "at+jwt";

/// A private key, ready to sign; clones share it.
#[derive(Clone)]
pub struct Signing {
    pair: Arc<EcdsaKeyPair>,
    /// base64url of the header, and the dot after it.
    head: Arc<str>,
}

/// The library gave no signature, or takes the key for none.
#[derive(Debug, thiserror::Error)]
#[error("the key does not sign")]
pub struct Failed;

impl Signing {
    /// Tokens that it signs carry `alg`, `typ` and `kid`, and no other header.
    ///
    /// # Errors
    /// [`Failed`] if the library refuses the key.
    pub fn new(secret: &SecretKey, kid: &str) -> Result<Self, Failed> {
        let der = secret.to_pkcs8_der().map_err(|_| Failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_bytes()).map_err(|_| Failed)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(kid.to_owned());
        let header = serde_json::to_vec(&header).expect("a header is plain data");
        Ok(Self { pair: Arc::new(pair), head: format!("{}.", URL_SAFE_NO_PAD.encode(header)).into() })
    }

    /// The token that says `claims`.
    ///
    /// # Errors
    /// [`Failed`] if the library gives no signature.
    pub fn sign(&self, claims: &Claims) -> Result<String, Failed> {
        let claims = serde_json::to_vec(claims).expect("claims are plain data");
        let mut token = String::with_capacity(self.head.len() + encoded_len(claims.len()) + 1 + SIGNATURE_CHARS);
        token.push_str(&self.head);
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(|_| Failed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// Characters of a signature: r and s, 32 bytes each (RFC 7518 §3.4).
const SIGNATURE_CHARS: usize = encoded_len(64);

const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::account::UserId;
    use crate::clock::Timestamp;
    use crate::token::key_file;

    /// With names of several lengths, since three bytes are four characters.
    #[test]
    fn a_token_is_written_into_a_buffer_of_its_own_length() {
        let key = key_file::parse(&key_file::generate(), "x.pem").expect("our own key");
        let signing = key.signing.expect("a private key");
        for length in 0..3 {
            let claims = serde_json::from_value(json!({
                "iss": "https://id.example", "sub": UserId::new(Timestamp::from_micros(0)), "aud": "https://id.example",
                "exp": 2, "iat": 1, "jti": "x", "client_id": "x", "scope": "account", "roles": ["user"],
                "name": "x".repeat(length),
            }));
            let token = signing.sign(&claims.expect("claims")).expect("signed");
            assert_eq!(token.capacity(), token.len());
        }
    }
}
