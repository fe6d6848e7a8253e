//! The challenge: what a log-in has whose password was right and whose code is to come. `sgm_` + base64url( secret (32) ‖
//! checksum (4) ), opaque; only its digest is stored.
//!
//! It is bound to its user and to the password that was right, lives for five minutes, dies with the fifth wrong code, and is
//! used up by the right one. It is found in a table of its own under a digest of its own, so nothing else can be taken for
//! it, nor it for anything else.
//!
//! Owns: mfa_challenges.

use std::time::Duration;

use diesel::QueryResult;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::store;
use crate::account::UserId;
use crate::db::Tx;
use crate::db::types::bytes_column;
use crate::field::{FromField, Invalid};
use crate::random;
use crate::session::open::Terms;
use crate::token_text;

const PREFIX: &str = "sgm_";
const SECRET_BYTES: usize = 32;
/// Long enough to find the phone.
const TTL: Duration = Duration::from_secs(5 * 60);
/// The last of so many wrong codes ends it.
pub(super) const MAX_ATTEMPTS: i64 = 5;

/// A challenge's token in clear. It is wiped when dropped and never prints itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ChallengeToken([u8; SECRET_BYTES]);

impl ChallengeToken {
    fn generate() -> Self {
        Self(random::bytes())
    }

    /// Reads a token; `None` for whatever is not byte for byte what [`ChallengeToken::to_text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        token_text::read(PREFIX, text).map(|secret| Self(*secret))
    }

    /// The text that the client gets.
    pub fn to_text(&self) -> Zeroizing<String> {
        token_text::write(PREFIX, &[&self.0])
    }

    /// What its row is found by.
    pub(super) fn digest(&self) -> ChallengeDigest {
        ChallengeDigest(Sha256::new().chain_update(PREFIX).chain_update(self.0).finalize().into())
    }
}

bytes_column! {
    /// SHA-256 of a challenge's prefix and secret.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ChallengeDigest([u8; 32]);
}

bytes_column! {
    /// SHA-256 of the password's hash that was in force.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct PasswordDigest([u8; 32]);
}

impl PasswordDigest {
    pub(super) fn of(password_hash: &str) -> Self {
        Self(Sha256::new().chain_update("signet mfa password").chain_update(password_hash).finalize().into())
    }
}

/// A challenge's token as a field: any string is taken here, so that what is none is answered as one that is over.
#[derive(Clone)]
pub struct ChallengeField(pub(super) Option<ChallengeToken>);

impl FromField for ChallengeField {
    fn from_text(text: String) -> Result<Self, Invalid> {
        Ok(Self(ChallengeToken::parse(&Zeroizing::new(text))))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

/// What the client is told of a log-in that waits for its code. It never prints its token.
#[derive(Clone)]
pub struct Pending {
    token: ChallengeToken,
}

impl Pending {
    /// `mfa_token`.
    pub(crate) fn mfa_token(&self) -> Zeroizing<String> {
        self.token.to_text()
    }

    /// Whole seconds that it lives.
    pub(crate) fn expires_in(&self) -> u64 {
        TTL.as_secs()
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(challenge)")
    }
}

/// Notes that a password was right, in the transaction that says so, and what the log-in asked for.
pub(crate) fn open(
    tx: &mut Tx<'_>,
    user: UserId,
    password_hash: &str,
    terms: &Terms,
    browser_mode: bool,
) -> QueryResult<Pending> {
    let token = ChallengeToken::generate();
    store::insert_challenge(tx, user, token.digest(), PasswordDigest::of(password_hash), terms, browser_mode, TTL)?;
    Ok(Pending { token })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::one_time::{OneTimeToken, Purpose};
    use crate::session::token::RefreshToken;

    #[test]
    fn a_token_survives_the_round_trip_and_prints_nothing() {
        let token = ChallengeToken::generate();
        let text = token.to_text();
        assert_eq!(text.len(), 52);
        assert!(ChallengeToken::parse(&text) == Some(token.clone()));
        assert!(token.digest() != ChallengeToken::generate().digest());
        assert_eq!(format!("{:?}", Pending { token }), "(challenge)");
    }

    #[test]
    fn a_mangled_token_is_none() {
        let text = ChallengeToken::generate().to_text();
        for end in 0..text.len() {
            assert!(ChallengeToken::parse(&text[..end]).is_none());
            let mut bytes = text.as_bytes().to_vec();
            bytes[end] = if bytes[end] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert!(ChallengeToken::parse(&changed).is_none(), "{changed}");
        }
        assert!(ChallengeToken::parse(&format!("{}A", *text)).is_none());
    }

    #[test]
    fn it_is_no_other_token_and_no_other_is_one() {
        let text = ChallengeToken::generate().to_text();
        assert!(RefreshToken::parse(&text).is_err());
        for purpose in Purpose::OF_USERS {
            assert!(OneTimeToken::parse(purpose, &text).is_err());
            // Nor with the prefix of the other: the checksum is right then, and the digest another.
            let crossed = text.replace(PREFIX, purpose.prefix());
            assert!(OneTimeToken::parse(purpose, &crossed).is_ok());
            assert!(ChallengeToken::parse(&crossed).is_none());
        }
    }
}
