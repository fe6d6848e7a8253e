//! What an endpoint and we have in common: `whsec_` + base64( 32 random bytes ), and the signatures that are made with it
//! (Standard Webhooks 1.0: HMAC-SHA256 over `ID.TIMESTAMP.BODY`).
//!
//! It has to be kept as it is, since we sign with it: a digest would not do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::db::types::bytes_column;
use crate::random;

/// What every secret begins with, for libraries of receivers and for secret scanners.
pub const PREFIX: &str = "whsec_";

/// The first byte in the column: how the rest is kept. One day it may be another one.
const IN_CLEAR: u8 = 0;
const LENGTH: usize = 33;

bytes_column! {
    /// An endpoint's secret. It is wiped when dropped and never prints itself.
    #[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
    pub struct EndpointSecret([u8; LENGTH]);
}

impl EndpointSecret {
    /// A new one.
    pub fn generate() -> Self {
        let mut kept = [IN_CLEAR; LENGTH];
        kept[1..].copy_from_slice(&random::bytes::<32>());
        Self(kept)
    }

    fn key(&self) -> &[u8] {
        &self.0[1..]
    }

    /// The text that the receiver's library takes.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(self.key())))
    }

    /// `v1,` and the signature of a message.
    pub fn sign(&self, id: &str, timestamp_seconds: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key()).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for EndpointSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(endpoint secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_the_one_that_the_reference_libraries_make() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}");
        assert_eq!(STANDARD.encode(mac.finalize().into_bytes()), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        // Ours are longer; what is signed is the same.
        let mut kept = [7; LENGTH];
        kept[0] = IN_CLEAR;
        let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key");
        mac.update(b"id.17.{}");
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(EndpointSecret(kept).sign("id", 17, "{}"), expected);
    }

    #[test]
    fn a_secret_is_new_each_time_and_prints_nothing() {
        let secret = EndpointSecret::generate();
        assert_ne!(*secret.to_text(), *EndpointSecret::generate().to_text());
        assert_eq!(secret.to_text().len(), PREFIX.len() + 44);
        assert_eq!(format!("{secret:?}"), "(endpoint secret)");
    }
}
