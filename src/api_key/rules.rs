//! What a presented secret is good for, and what becomes of the secrets in a rotation: pure.
//!
//! | presented secret | verdict |
//! |---|---|
//! | neither the one in force nor the one before it | [`Refusal::WrongSecret`] |
//! | the one before it, after the overlap | [`Refusal::Superseded`] |
//! | either, of a key that was revoked | [`Refusal::Revoked`] |
//! | either, of a key that has expired | [`Refusal::Expired`] |
//! | either, of a user who is disabled | [`Refusal::OwnerDisabled`] |
//! | the one in force; the one before it, within the overlap | it works |
//!
//! A superseded secret is not taken for theft, as a superseded refresh token is: of a program's many instances one is always
//! the last to be given the new key.

use std::time::Duration;

use super::key::SecretDigest;
use crate::clock::Timestamp;

/// What the row says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Digest of the secret in force.
    pub current: SecretDigest,
    /// Whether it was ever used.
    pub is_current_used: bool,
    /// The secret before it, while there is one.
    pub previous: Option<Previous>,
    /// When the key ends.
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// Whether its user may do anything at all.
    pub is_owner_active: bool,
}

/// The secret before the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// Its digest.
    pub digest: SecretDigest,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Which secret works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The one in force.
    Current,
    /// The one before it.
    Previous,
}

/// Why a key does not work; its bearer is never told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub enum Refusal {
    WrongSecret,
    Superseded,
    Revoked,
    Expired,
    OwnerDisabled,
}

impl Refusal {
    /// The name in the trail and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongSecret => "wrong_secret",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::OwnerDisabled => "owner_disabled",
        }
    }
}

impl Standing {
    /// Judges a presented secret at `now`. The secret comes first: nothing is said of a key to somebody who has not got it.
    ///
    /// # Errors
    /// Why it does not work.
    pub fn judge(&self, presented: &SecretDigest, now: Timestamp) -> Result<Match, Refusal> {
        let matched = match &self.previous {
            _ if *presented == self.current => Match::Current,
            Some(previous) if *presented == previous.digest && now < previous.expires_at => Match::Previous,
            Some(previous) if *presented == previous.digest => return Err(Refusal::Superseded),
            Some(_) | None => return Err(Refusal::WrongSecret),
        };
        if self.is_revoked {
            Err(Refusal::Revoked)
        } else if now >= self.expires_at {
            Err(Refusal::Expired)
        } else if !self.is_owner_active {
            Err(Refusal::OwnerDisabled)
        } else {
            Ok(matched)
        }
    }

    /// Which secret goes on beside a new one, and until when.
    ///
    /// As a rule it is the one in force. But a successor that nobody has used may never have arrived: if it is replaced while
    /// the secret before it still works, then that one goes on. So whoever lost the answer to a rotation, and asks again,
    /// has not thereby ended what their programs work with.
    pub fn previous_after_rotation(&self, now: Timestamp, overlap: Duration) -> Option<Previous> {
        if overlap.is_zero() {
            return None;
        }
        match self.previous.filter(|previous| now < previous.expires_at) {
            Some(previous) if !self.is_current_used => Some(previous),
            Some(_) | None => Some(Previous { digest: self.current, expires_at: (now + overlap).min(self.expires_at) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::ApiKey;
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const MOMENT: Duration = Duration::from_micros(1);

    fn digest() -> SecretDigest {
        ApiKey::generate().secret_digest()
    }

    fn standing() -> Standing {
        Standing {
            current: digest(),
            is_current_used: true,
            previous: Some(Previous { digest: digest(), expires_at: NOW + HOUR }),
            expires_at: NOW + 24 * HOUR,
            is_revoked: false,
            is_owner_active: true,
        }
    }

    fn previous(standing: &Standing) -> SecretDigest {
        standing.previous.expect("there is one").digest
    }

    #[test]
    fn two_secrets_work_while_they_overlap_and_then_one() {
        let standing = standing();
        assert_eq!(standing.judge(&standing.current, NOW), Ok(Match::Current));
        assert_eq!(standing.judge(&previous(&standing), NOW + HOUR - MOMENT), Ok(Match::Previous));
        assert_eq!(standing.judge(&previous(&standing), NOW + HOUR), Err(Refusal::Superseded));
        assert_eq!(standing.judge(&standing.current, NOW + HOUR), Ok(Match::Current));
        assert_eq!(standing.judge(&digest(), NOW), Err(Refusal::WrongSecret));
    }

    #[test]
    fn neither_works_when_the_key_or_its_owner_does_not() {
        for (change, refusal) in [
            ((|s| s.is_revoked = true) as fn(&mut Standing), Refusal::Revoked),
            (|s| s.expires_at = NOW, Refusal::Expired),
            (|s| s.is_owner_active = false, Refusal::OwnerDisabled),
        ] {
            let mut standing = standing();
            change(&mut standing);
            assert_eq!(standing.judge(&standing.current, NOW), Err(refusal));
            assert_eq!(standing.judge(&previous(&standing), NOW), Err(refusal));
            assert_eq!(standing.judge(&digest(), NOW), Err(Refusal::WrongSecret), "nothing is said about it");
        }
        let standing = standing();
        assert_eq!(standing.judge(&standing.current, standing.expires_at - MOMENT), Ok(Match::Current));
    }

    #[test]
    fn the_secret_in_force_goes_on_for_the_overlap_and_never_longer_than_it_would_have() {
        let used = standing();
        let expected = Previous { digest: used.current, expires_at: NOW + 2 * HOUR };
        assert_eq!(used.previous_after_rotation(NOW, 2 * HOUR), Some(expected));
        let first = Standing { previous: None, is_current_used: false, ..used.clone() };
        assert_eq!(first.previous_after_rotation(NOW, 2 * HOUR), Some(expected));
        let short = used.previous_after_rotation(NOW, 100 * HOUR).expect("an overlap");
        assert_eq!(short.expires_at, used.expires_at);
        assert_eq!(used.previous_after_rotation(NOW, Duration::ZERO), None);
    }

    #[test]
    fn a_successor_that_never_arrived_is_replaced_and_what_works_goes_on() {
        let lost = Standing { is_current_used: false, ..standing() };
        assert_eq!(
            lost.previous_after_rotation(NOW, 2 * HOUR),
            lost.previous,
            "for as long as it was given, no longer"
        );
        assert_eq!(lost.previous_after_rotation(NOW, Duration::ZERO), None);
        // Once the overlap is over, nothing works but the secret in force.
        let later = lost.previous_after_rotation(NOW + HOUR, 2 * HOUR).expect("an overlap");
        assert_eq!(later.digest, lost.current);
    }
}
