//! The API key: `sgk_` + base64url( handle (16) ‖ secret (32) ‖ checksum (4) ), opaque to everybody.
//!
//! Made like a refresh token: the handle finds the row and stays through rotations, the secret proves possession, and the
//! checksum (CRC-32) refuses a typing error, and whatever a scanner tries, without a query. Of the secret only the digest is
//! stored; the handle is in the row, so that a rotation can give out a text that begins as the one before.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::db::types::bytes_column;
use crate::random;
use crate::token_text;

/// What every key begins with, for the eyes of secret scanners.
pub const PREFIX: &str = "sgk_";
const HANDLE_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const BODY_BYTES: usize = HANDLE_BYTES + SECRET_BYTES;
/// Bytes of the handle that the user is shown ever after, as the beginning of the text: it must be a multiple of three.
const HINT_BYTES: usize = 6;

/// A key in clear. It is wiped when dropped and never prints itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ApiKey {
    #[zeroize(skip)]
    handle: Handle,
    secret: [u8; SECRET_BYTES],
}

/// The text is no key, or one that was damaged on its way.
#[derive(Debug, PartialEq, Eq)]
pub struct Mangled;

impl ApiKey {
    /// A fresh one.
    pub fn generate() -> Self {
        Self::with_handle(Handle(random::bytes()))
    }

    /// A fresh one that begins as another did.
    pub fn with_handle(handle: Handle) -> Self {
        Self { handle, secret: random::bytes() }
    }

    /// Whether a text is meant to be a key, and no access token.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads a key. Whatever is not byte for byte what [`ApiKey::to_text`] wrote is refused, with no query made.
    ///
    /// # Errors
    /// [`Mangled`].
    pub fn parse(text: &str) -> Result<Self, Mangled> {
        let body = token_text::read::<BODY_BYTES>(PREFIX, text).ok_or(Mangled)?;
        let (handle, secret) = body.split_at(HANDLE_BYTES);
        Ok(Self {
            handle: Handle(handle.try_into().expect("split at its length")),
            secret: secret.try_into().expect("split at its length"),
        })
    }

    /// The text that the program keeps.
    pub fn to_text(&self) -> Zeroizing<String> {
        token_text::write(PREFIX, &[&self.handle.0, &self.secret])
    }

    /// What the row is found by.
    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    /// What the row compares with.
    pub(super) fn secret_digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.secret).into())
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(API key)")
    }
}

bytes_column! {
    /// What finds a key. It opens nothing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Handle([u8; HANDLE_BYTES]);
}

impl Handle {
    /// How the texts of its keys begin.
    pub(super) fn hint(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&self.0[..HINT_BYTES]))
    }
}

bytes_column! {
    /// SHA-256 of a key's secret. Compared in constant time.
    #[derive(Debug, Clone, Copy, Eq)]
    pub struct SecretDigest([u8; 32]);
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_survives_the_round_trip_and_prints_nothing() {
        let key = ApiKey::generate();
        let text = key.to_text();
        assert_eq!((text.len(), &text[..4]), (74, "sgk_"));
        assert_eq!(ApiKey::parse(&text), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "(API key)");
        assert!(ApiKey::is_meant(&text) && !ApiKey::is_meant("sgr_x") && !ApiKey::is_meant("eyJ"));
    }

    #[test]
    fn the_hint_shows_nothing_of_the_secret() {
        let key = ApiKey::generate();
        let other = ApiKey::with_handle(key.handle());
        let hint = key.handle().hint();
        assert_eq!(hint.len(), 12);
        assert!(key.to_text().starts_with(&hint) && other.to_text().starts_with(&hint));
        assert_ne!(key.secret_digest(), other.secret_digest());
        assert_ne!(key.to_text(), other.to_text());
    }

    #[test]
    fn every_cut_extension_and_flipped_bit_is_mangled() {
        let text = ApiKey::generate().to_text();
        for end in 0..text.len() {
            assert_eq!(ApiKey::parse(&text[..end]), Err(Mangled), "cut at {end}");
        }
        for more in ["=", "A", " ", "\n"] {
            assert_eq!(ApiKey::parse(&format!("{}{more}", *text)), Err(Mangled));
        }
        for bit in 0..text.len() * 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = String::from_utf8(bytes) {
                assert_eq!(ApiKey::parse(&flipped), Err(Mangled), "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,100}") {
            let _ = ApiKey::parse(&text);
            let _ = ApiKey::parse(&format!("sgk_{text}"));
        }
    }
}
