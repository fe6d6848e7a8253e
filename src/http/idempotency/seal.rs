//! How an answer is kept so that only who has the key can read it again: AES-256-GCM under a key of its own for each caller and
//! key (HMAC-SHA-256 of both), which is stored nowhere.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Answer;
use crate::account::UserId;
use crate::db::types::bytes_column;
use crate::random;

bytes_column! {
    /// What a request was, whole.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct RequestDigest(pub(super) [u8; 32]);
}

bytes_column! {
    /// Where the answer to a caller's key is kept: says neither.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Slot(pub(super) [u8; 32]);
}

impl Slot {
    /// A number for an advisory lock.
    pub(super) fn number(self) -> i64 {
        i64::from_be_bytes(self.0[..8].try_into().expect("eight of thirty-two bytes"))
    }
}

pub(super) fn slot(caller: UserId, key: &str) -> Slot {
    Slot(derive("signet idempotency slot", caller, key))
}

/// Nonce and ciphertext.
pub(super) fn seal(caller: UserId, key: &str, answer: &Answer) -> Vec<u8> {
    let mut text = serde_json::to_vec(answer).expect("answers are plain data");
    let nonce = random::bytes::<NONCE_LEN>();
    let sealing =
        cipher(caller, key).seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text);
    sealing.expect("an answer is shorter than the cipher's limit");
    [nonce.as_slice(), &text].concat()
}

/// `None`: it was not sealed like this.
pub(super) fn open(caller: UserId, key: &str, mut sealed: Vec<u8>) -> Option<Answer> {
    let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = cipher(caller, key).open_in_place(nonce, Aad::empty(), text).ok()?;
    serde_json::from_slice(text).ok()
}

fn cipher(caller: UserId, key: &str) -> LessSafeKey {
    let key = derive("signet idempotency answer", caller, key);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key of 32 bytes"))
}

fn derive(purpose: &str, caller: UserId, key: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
    mac.update(purpose.as_bytes());
    mac.update(&[0]);
    mac.update(caller.to_string().as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn only_the_same_caller_with_the_same_key_reads_it_again() {
        let [ada, eve] = [0, 1].map(|_| UserId::new(Timestamp::from_micros(0)));
        let answer = Answer::created("/x".to_owned(), &serde_json::json!({"link": "sgi_secret"}));
        let sealed = seal(ada, "a key of some length", &answer);
        assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
        let opened = |caller, key: &str| open(caller, key, sealed.clone()).map(|answer| answer.body);
        assert_eq!(opened(ada, "a key of some length"), Some(answer.body.clone()));
        assert_eq!(opened(ada, "a key of some lengtH"), None);
        assert_eq!(opened(eve, "a key of some length"), None);
        assert!(open(ada, "a key of some length", vec![0; 5]).is_none());
        assert_ne!(slot(ada, "k"), slot(eve, "k"));
        assert_ne!(seal(ada, "k", &answer), seal(ada, "k", &answer), "no nonce twice");
    }
}
