//! Secrets at rest: AES-256-GCM with a key from the configuration, bound to their user. A copy of the database alone gives
//! none of them away, and a row that is moved to another user opens nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::totp::TotpSecret;
use crate::account::UserId;
use crate::config::{MfaConfig, Secret};
use crate::db::types::bytes_column;
use crate::random;

/// The keys that secrets are sealed with.
pub struct SealingKeys {
    current: Option<Key>,
    older: Vec<Key>,
}

struct Key {
    id: KeyId,
    key: LessSafeKey,
}

bytes_column! {
    /// Names a key and tells nothing of it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct KeyId([u8; 8]);
}

/// A secret as the database has it: nonce ‖ ciphertext ‖ tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) key_id: KeyId,
    pub(super) bytes: Vec<u8>,
}

/// No configured key opens it, or it is another user's, or it was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unopened;

impl SealingKeys {
    /// The configured keys. What is no key is passed over: whoever starts the service has checked the configuration.
    pub fn of(config: &MfaConfig) -> Self {
        Self {
            current: Key::of(&config.secret_key),
            older: config.older_secret_keys.iter().filter_map(Key::of).collect(),
        }
    }

    /// Whether anything can be sealed.
    pub fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// What names the keys, the current one first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.current.iter().chain(&self.older).map(|key| key.id).collect()
    }

    /// Seals a user's secret; `None` if there is no key for it.
    pub(super) fn seal(&self, user: UserId, secret: &TotpSecret) -> Option<Sealed> {
        let Key { id, key } = self.current.as_ref()?;
        let nonce: [u8; NONCE_LEN] = random::bytes();
        let mut sealed = secret.expose().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), context(user), &mut sealed)
            .expect("a few bytes can be sealed");
        Some(Sealed { key_id: *id, bytes: [nonce.as_slice(), &sealed].concat() })
    }

    /// Opens a user's secret.
    pub(super) fn open(&self, user: UserId, sealed: &Sealed) -> Result<TotpSecret, Unopened> {
        let mut keys = self.current.iter().chain(&self.older);
        let Key { key, .. } = keys.find(|key| key.id == sealed.key_id).ok_or(Unopened)?;
        let (nonce, rest) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or(Unopened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened)?;
        let mut bytes = Zeroizing::new(rest.to_vec());
        let secret = key.open_in_place(nonce, context(user), &mut bytes).map_err(|_| Unopened)?;
        TotpSecret::from_bytes(secret).ok_or(Unopened)
    }

    /// The secret under the key of today, if it was sealed with an older one.
    pub(super) fn renew(&self, user: UserId, sealed: &Sealed, secret: &TotpSecret) -> Option<Sealed> {
        let is_current = self.current.as_ref().is_none_or(|key| key.id == sealed.key_id);
        if is_current { None } else { self.seal(user, secret) }
    }
}

impl Key {
    fn of(secret: &Secret) -> Option<Self> {
        let bytes = MfaConfig::key_bytes(secret)?;
        let key = UnboundKey::new(&AES_256_GCM, bytes.as_slice()).expect("32 bytes are a key");
        Some(Self { id: KeyId::of(&bytes), key: LessSafeKey::new(key) })
    }
}

impl KeyId {
    fn of(key: &[u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"signet mfa key").chain_update(key).finalize();
        Self(digest[..8].try_into().expect("eight of 32"))
    }
}

/// Whose it is and what it is for.
fn context(user: UserId) -> Aad<Vec<u8>> {
    Aad::from(format!("signet totp {user}").into_bytes())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::clock::Timestamp;

    fn text(byte: u8) -> Secret {
        Secret(STANDARD.encode([byte; 32]))
    }

    fn keys(current: u8, older: &[u8]) -> SealingKeys {
        let older_secret_keys = older.iter().copied().map(text).collect();
        SealingKeys::of(&MfaConfig { secret_key: text(current), older_secret_keys, ..MfaConfig::default() })
    }

    fn user() -> UserId {
        UserId::new(Timestamp::from_micros(0))
    }

    #[test]
    fn what_is_sealed_opens_for_its_own_user_under_its_own_key_only() {
        let (ada, eve, secret) = (user(), user(), TotpSecret::generate());
        let sealed = keys(1, &[]).seal(ada, &secret).expect("there is a key");
        assert_eq!(keys(1, &[]).open(ada, &sealed), Ok(secret.clone()));
        assert_eq!(keys(1, &[]).open(eve, &sealed), Err(Unopened));
        assert_eq!(keys(2, &[]).open(ada, &sealed), Err(Unopened));
        assert_eq!(SealingKeys::of(&MfaConfig::default()).open(ada, &sealed), Err(Unopened));
        // A key under another's name is found out.
        let disguised = Sealed { key_id: keys(2, &[]).seal(ada, &secret).expect("a key").key_id, ..sealed.clone() };
        assert_eq!(keys(1, &[2]).open(ada, &disguised), Err(Unopened));
        for index in 0..sealed.bytes.len() {
            let mut bytes = sealed.bytes.clone();
            bytes[index] ^= 1;
            assert_eq!(keys(1, &[]).open(ada, &Sealed { bytes, ..sealed.clone() }), Err(Unopened), "{index}");
        }
        assert_eq!(keys(1, &[]).open(ada, &Sealed { bytes: Vec::new(), ..sealed.clone() }), Err(Unopened));
        let again = keys(1, &[]).seal(ada, &secret).expect("there is a key");
        assert_ne!(again.bytes, sealed.bytes, "never the same twice");
        assert!(!sealed.bytes.windows(4).any(|window| secret.expose().windows(4).any(|part| part == window)));
    }

    #[test]
    fn an_older_key_opens_and_the_current_one_takes_over() {
        let (ada, secret) = (user(), TotpSecret::generate());
        let sealed = keys(1, &[]).seal(ada, &secret).expect("there is a key");
        assert_eq!(keys(1, &[]).renew(ada, &sealed, &secret), None);
        let rotated = keys(2, &[1]);
        assert_eq!(rotated.open(ada, &sealed), Ok(secret.clone()));
        let renewed = rotated.renew(ada, &sealed, &secret).expect("sealed anew");
        assert_eq!(keys(2, &[]).open(ada, &renewed), Ok(secret.clone()));
        assert!(!SealingKeys::of(&MfaConfig::default()).is_open());
        assert_eq!(SealingKeys::of(&MfaConfig::default()).renew(ada, &sealed, &secret), None);
    }
}
