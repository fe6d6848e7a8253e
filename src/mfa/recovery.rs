//! Recovery codes: ten for each user, for the day on which the phone is lost. Each has 80 random bits and works once; only
//! digests are stored.

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::account::UserId;
use crate::db::types::bytes_column;
use crate::random;

/// How many a user is given.
pub const COUNT: usize = 10;
const BYTES: usize = 10;
/// Five bits each.
const CHARACTERS: usize = BYTES * 8 / 5;
/// As it is shown: `abcd-efgh-2345-wxyz`.
const GROUP: usize = 4;
/// Base32 of RFC 4648 in lower case: it has neither 0 nor 1, which are taken for o and l.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A recovery code in clear. It is wiped when dropped and never prints itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode([u8; BYTES]);

impl RecoveryCode {
    /// As many as a user gets.
    pub(super) fn generate_all() -> Vec<Self> {
        (0..COUNT).map(|_| Self(random::bytes())).collect()
    }

    /// Reads a code of which only letters and digits are left.
    pub(super) fn parse(characters: &str) -> Option<Self> {
        if characters.len() != CHARACTERS {
            return None;
        }
        let number = characters.bytes().try_fold(0_u128, |number, character| {
            let value = ALPHABET.iter().position(|own| *own == character.to_ascii_lowercase())?;
            Some(number << 5 | u128::try_from(value).ok()?)
        })?;
        let bytes = number.to_be_bytes();
        Some(Self(bytes[bytes.len() - BYTES..].try_into().expect("cut to its length")))
    }

    /// As it is shown, in groups.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        let number = self.0.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        let mut text = Zeroizing::new(String::with_capacity(CHARACTERS + CHARACTERS / GROUP));
        for place in 0..CHARACTERS {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            let value = number >> (5 * (CHARACTERS - 1 - place)) & 31;
            text.push(char::from(ALPHABET[value as usize]));
        }
        text
    }

    /// What is stored. Two users' digests differ even if their codes were the same.
    pub(super) fn digest(&self, user: UserId) -> RecoveryDigest {
        let hash = Sha256::new().chain_update(format!("signet recovery {user}")).chain_update(self.0);
        RecoveryDigest(hash.finalize().into())
    }
}

impl std::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(recovery code)")
    }
}

bytes_column! {
    /// SHA-256 of a code and whose it is. With 80 bits to guess, no slower hash is needed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct RecoveryDigest([u8; 32]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_code_survives_the_round_trip_and_prints_nothing() {
        let codes = RecoveryCode::generate_all();
        assert_eq!(codes.len(), 10);
        for code in &codes {
            let text = code.to_text();
            assert_eq!((text.len(), text.matches('-').count()), (19, 3), "{}", *text);
            assert_eq!(RecoveryCode::parse(&text.replace('-', "")), Some(code.clone()));
            assert_eq!(RecoveryCode::parse(&text.replace('-', "").to_uppercase()), Some(code.clone()));
        }
        assert_eq!(format!("{:?}", codes[0]), "(recovery code)");
        assert_eq!(*RecoveryCode([0; BYTES]).to_text(), "aaaa-aaaa-aaaa-aaaa");
        assert_eq!(*RecoveryCode([0xff; BYTES]).to_text(), "7777-7777-7777-7777");
    }

    #[test]
    fn what_is_no_code_is_none() {
        for text in
            ["", "abcdefghijklmno", "abcdefghijklmnopq", "abcdefghijklmno1", "abcdefghijklmné", "0000000000000000"]
        {
            assert_eq!(RecoveryCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn digests_are_the_users_own() {
        let user = || UserId::new(Timestamp::from_micros(0));
        let (ada, eve, code) = (user(), user(), RecoveryCode([7; BYTES]));
        assert_eq!(code.digest(ada), code.digest(ada));
        assert_ne!(code.digest(ada), code.digest(eve));
        assert_ne!(code.digest(ada), RecoveryCode([8; BYTES]).digest(ada));
    }
}
