//! The text of a one-time token: a prefix that says what it is for + base64url( secret (32) ‖ checksum (4) ).
//!
//! The checksum (CRC-32) refuses a mangled one without a query. Only digests are stored, and a digest covers the prefix: the
//! same secret under another prefix is another token.

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::db::types::bytes_column;
use crate::error::{Error, Result};
use crate::field::{FromField, Invalid};
use crate::random;
use crate::token_text;

const SECRET_BYTES: usize = 32;
/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To show that an address is the user's.
    VerifyEmail,
    /// To choose a new password.
    ResetPassword,
    /// To agree, for the address that an account has, to another.
    ConfirmOldAddress,
    /// To agree, for the address that an account is to have.
    ConfirmNewAddress,
    /// To bring back an account that its user has deleted.
    RestoreAccount,
    /// To open an account.
    Invitation,
}

impl Purpose {
    /// Those that users have; an invitation is for somebody who is none yet.
    pub(crate) const OF_USERS: [Self; 5] = [
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::ConfirmOldAddress,
        Self::ConfirmNewAddress,
        Self::RestoreAccount,
    ];

    /// How its tokens begin, for the eyes of secret scanners and of whoever has several mails.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::VerifyEmail => "sgv_",
            Self::ResetPassword => "sgp_",
            Self::ConfirmOldAddress => "sgo_",
            Self::ConfirmNewAddress => "sgn_",
            Self::RestoreAccount => "sgu_",
            Self::Invitation => "sgi_",
        }
    }

    /// The name in the database and in the trail.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::ConfirmOldAddress => "confirm_old_address",
            Self::ConfirmNewAddress => "confirm_new_address",
            Self::RestoreAccount => "restore_account",
            Self::Invitation => "invitation",
        }
    }
}

/// A token in clear. It is wiped when dropped and never prints itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct OneTimeToken {
    #[zeroize(skip)]
    purpose: Purpose,
    secret: [u8; SECRET_BYTES],
}

/// The text is no token of this purpose, or one that was damaged on its way.
#[derive(Debug, PartialEq, Eq)]
pub struct Mangled;

impl OneTimeToken {
    /// A fresh one.
    pub(super) fn generate(purpose: Purpose) -> Self {
        Self { purpose, secret: random::bytes() }
    }

    /// Reads a token. Whatever is not byte for byte what [`OneTimeToken::to_text`] wrote is refused, with no query made.
    ///
    /// # Errors
    /// [`Mangled`].
    pub fn parse(purpose: Purpose, text: &str) -> Result<Self, Mangled> {
        let secret = token_text::read(purpose.prefix(), text).ok_or(Mangled)?;
        Ok(Self { purpose, secret: *secret })
    }

    /// The text that goes into a mail.
    pub fn to_text(&self) -> Zeroizing<String> {
        token_text::write(self.purpose.prefix(), &[&self.secret])
    }

    pub(super) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// What its row is found by.
    pub(super) fn digest(&self) -> OneTimeDigest {
        OneTimeDigest(Sha256::new().chain_update(self.purpose.prefix()).chain_update(self.secret).finalize().into())
    }
}

impl std::fmt::Debug for OneTimeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(one-time token)")
    }
}

bytes_column! {
    /// SHA-256 of a token's prefix and secret.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct OneTimeDigest([u8; 32]);
}

/// A one-time token as a field: any string is taken here, so that a mangled token is answered as one that does not work and
/// not as a malformed field.
#[derive(Clone)]
pub struct TokenField(Zeroizing<String>);

impl FromField for TokenField {
    fn from_text(text: String) -> Result<Self, Invalid> {
        Ok(Self(text.into()))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

impl TokenField {
    /// The token, if the text is one of this purpose.
    ///
    /// # Errors
    /// [`Error::InvalidOneTimeToken`].
    pub fn parse(&self, purpose: Purpose) -> Result<OneTimeToken> {
        OneTimeToken::parse(purpose, &self.0).map_err(|Mangled| Error::InvalidOneTimeToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Purpose; 6] = [
        Purpose::VerifyEmail,
        Purpose::ResetPassword,
        Purpose::ConfirmOldAddress,
        Purpose::ConfirmNewAddress,
        Purpose::RestoreAccount,
        Purpose::Invitation,
    ];

    #[test]
    fn a_token_survives_the_round_trip_for_its_own_purpose_only_and_prints_nothing() {
        for purpose in ALL {
            let token = OneTimeToken::generate(purpose);
            let text = token.to_text();
            assert_eq!(text.len(), 52);
            for other in ALL {
                let parsed = OneTimeToken::parse(other, &text);
                assert_eq!(parsed.is_ok(), other == purpose, "{purpose:?} as {other:?}");
            }
            assert_eq!(format!("{token:?}"), "(one-time token)");
        }
    }

    #[test]
    fn the_same_secret_under_another_prefix_has_another_digest() {
        let token = OneTimeToken::generate(Purpose::VerifyEmail);
        let renamed = token.to_text().replace("sgv_", "sgp_");
        let renamed = OneTimeToken::parse(Purpose::ResetPassword, &renamed).expect("its checksum is right");
        assert_ne!(token.digest(), renamed.digest());
    }

    #[test]
    fn every_prefix_extension_and_flipped_bit_is_mangled() {
        let text = OneTimeToken::generate(Purpose::ResetPassword).to_text();
        let parse = |text: &str| OneTimeToken::parse(Purpose::ResetPassword, text);
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Err(Mangled), "cut at {end}");
        }
        for more in ["=", "A", " ", "\n"] {
            assert_eq!(parse(&format!("{}{more}", *text)), Err(Mangled));
        }
        for bit in 0..text.len() * 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = String::from_utf8(bytes) {
                assert_eq!(parse(&flipped), Err(Mangled), "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}") {
            let _ = OneTimeToken::parse(Purpose::VerifyEmail, &text);
            let _ = OneTimeToken::parse(Purpose::VerifyEmail, &format!("sgv_{text}"));
        }
    }
}
