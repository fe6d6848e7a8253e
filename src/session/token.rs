//! The refresh token: `sgr_` + base64url( handle (16) ‖ secret (32) ‖ checksum (4) ), opaque to everybody.
//!
//! The handle finds the row, the secret proves possession, the checksum (CRC-32) refuses a mangled token without a query,
//! so that a client's bug never looks like theft. Tokens in clear and their digests are different types; only digests
//! are stored.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::db::types::bytes_column;
use crate::random;
use crate::token_text;

/// What every refresh token begins with, for the eyes of secret scanners.
pub const PREFIX: &str = "sgr_";
const HANDLE_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const BODY_BYTES: usize = HANDLE_BYTES + SECRET_BYTES;
/// Separates this use of HMAC-SHA256 from any other.
const SUCCESSOR_CONTEXT: &[u8] = b"signet refresh";

/// A refresh token in clear. It is wiped when dropped and never prints itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RefreshToken {
    handle: [u8; HANDLE_BYTES],
    secret: [u8; SECRET_BYTES],
}

/// The text is no refresh token, or one that was damaged on its way.
#[derive(Debug, PartialEq, Eq)]
pub struct Mangled;

impl RefreshToken {
    /// The first token of a new family.
    pub fn generate() -> Self {
        Self { handle: random::bytes(), secret: random::bytes() }
    }

    /// Reads a token. Whatever is not byte for byte what [`RefreshToken::to_text`] wrote is refused, with no query made.
    ///
    /// # Errors
    /// [`Mangled`].
    pub fn parse(text: &str) -> Result<Self, Mangled> {
        let body = token_text::read::<BODY_BYTES>(PREFIX, text).ok_or(Mangled)?;
        let (handle, secret) = body.split_at(HANDLE_BYTES);
        Ok(Self {
            handle: handle.try_into().expect("split at its length"),
            secret: secret.try_into().expect("split at its length"),
        })
    }

    /// The text that the client keeps.
    pub fn to_text(&self) -> Zeroizing<String> {
        token_text::write(PREFIX, &[&self.handle, &self.secret])
    }

    /// The token that follows this one under `nonce`: the same for whoever presents this token while the row keeps that
    /// nonce, and out of reach for whoever has only the row.
    pub fn successor(&self, nonce: &Nonce) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(SUCCESSOR_CONTEXT);
        mac.update(&nonce.0);
        Self { handle: self.handle, secret: mac.finalize().into_bytes().into() }
    }

    /// What the row is found by.
    pub fn handle_digest(&self) -> HandleDigest {
        HandleDigest(Sha256::digest(self.handle).into())
    }

    /// What the row compares with.
    pub fn secret_digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.secret).into())
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(refresh token)")
    }
}

bytes_column! {
    /// SHA-256 of a family's handle.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct HandleDigest([u8; 32]);
}

bytes_column! {
    /// SHA-256 of a token's secret. Compared in constant time.
    #[derive(Debug, Clone, Copy, Eq)]
    pub struct SecretDigest([u8; 32]);
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

bytes_column! {
    /// Fresh with each rotation and kept in the row; with the parent's secret it gives the successor.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Nonce([u8; 16]);
}

impl Nonce {
    /// A fresh one.
    pub fn generate() -> Self {
        Self(random::bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_survives_the_round_trip_and_prints_nothing() {
        let token = RefreshToken::generate();
        let text = token.to_text();
        assert_eq!(text.len(), 74);
        assert_eq!(RefreshToken::parse(&text), Ok(token.clone()));
        assert_eq!(format!("{token:?}"), "(refresh token)");
    }

    #[test]
    fn a_successor_depends_on_the_presented_secret_and_the_nonce() {
        let (parent, other) = (RefreshToken::generate(), RefreshToken::generate());
        let (nonce, fresh) = (Nonce::generate(), Nonce::generate());
        assert_eq!(parent.successor(&nonce), parent.successor(&nonce));
        assert_ne!(parent.successor(&nonce), parent.successor(&fresh));
        assert_ne!(parent.successor(&nonce).secret, other.successor(&nonce).secret);
        assert_eq!(parent.successor(&nonce).handle_digest(), parent.handle_digest());
    }

    #[test]
    fn every_prefix_extension_and_flipped_bit_is_mangled() {
        let text = RefreshToken::generate().to_text();
        for end in 0..text.len() {
            assert_eq!(RefreshToken::parse(&text[..end]), Err(Mangled), "cut at {end}");
            assert_eq!(RefreshToken::parse(&text[end + 1..]), Err(Mangled), "cut before {end}");
        }
        for more in ["=", "A", " ", "\n"] {
            assert_eq!(RefreshToken::parse(&format!("{}{more}", *text)), Err(Mangled));
        }
        for bit in 0..text.len() * 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = String::from_utf8(bytes) {
                assert_eq!(RefreshToken::parse(&flipped), Err(Mangled), "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,120}") {
            let _ = RefreshToken::parse(&text);
            let _ = RefreshToken::parse(&format!("{PREFIX}{text}"));
        }
    }
}
