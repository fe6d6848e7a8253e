//! The state table of a refresh-token family: pure, so that it can be read, tested and modelled by itself.
//!
//! Obeys RFC 9700 §4.14.2: a superseded refresh token ends its family, except for the honest retry.
//!
//! | presented secret | verdict |
//! |---|---|
//! | session revoked, expired, or its user disabled | [`Verdict::Dead`] |
//! | digest = current | [`Verdict::Rotate`] |
//! | digest = parent, within the grace window | [`Verdict::Repeat`]: the same successor again |
//! | digest = parent, later, while recovery is allowed | [`Verdict::Recover`]: another successor, the lost one is void |
//! | anything else under a known handle | [`Verdict::Reused`]: two parties hold this session |

use std::time::Duration;

use super::token::{Nonce, SecretDigest};
use crate::clock::Timestamp;

/// What the row says about a family, read under its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Digest of the secret in force.
    pub current: SecretDigest,
    /// The secret that `current` was derived from, and how; `None` until the first rotation.
    pub parent: Option<Parent>,
    /// When `current` came into force.
    pub rotated_at: Timestamp,
    /// When the family ends unless it is refreshed.
    pub idle_expires_at: Timestamp,
    /// When the family ends in any case.
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// Whether its user may do anything at all.
    pub is_user_active: bool,
}

/// The secret before the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Its digest.
    pub digest: SecretDigest,
    /// With it and the secret, the current secret is derived again.
    pub nonce: Nonce,
}

/// The times that configuration sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long a parent gives the same successor again. Zero: never.
    pub grace: Duration,
    /// How long after the rotation a parent recovers a lost response. `None`: as long as the session lives.
    pub recovery: Option<Duration>,
    /// How long a family lives without a refresh.
    pub idle_ttl: Duration,
    /// How long a family lives at most.
    pub max_ttl: Duration,
}

/// What to do with a presented secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that is presented here works any more.
    Dead(Cause),
    /// Derive a successor; the presented secret becomes the parent.
    Rotate,
    /// Derive the current secret again, with this nonce; nothing changes.
    Repeat(Nonce),
    /// Derive another successor of the parent; the one that was never seen is void.
    Recover,
    /// Two parties hold this session: end it.
    Reused,
}

/// Why a family is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Logged out, revoked, or ended after reuse.
    Revoked,
    /// Idle for too long, or at the end of its life.
    Expired,
    /// The user is disabled.
    Disabled,
}

impl Family {
    /// Judges a presented secret at `now`. Revocation is looked at first; no decision compares times of rotations, only
    /// the age of the last one.
    pub fn judge(&self, presented: &SecretDigest, now: Timestamp, rules: &Rules) -> Verdict {
        if let Some(cause) = self.cause_of_death(now) {
            return Verdict::Dead(cause);
        }
        if *presented == self.current {
            return Verdict::Rotate;
        }
        let Some(parent) = self.parent.filter(|parent| parent.digest == *presented) else {
            return Verdict::Reused;
        };
        let age = now.since(self.rotated_at);
        if age < rules.grace {
            Verdict::Repeat(parent.nonce)
        } else if rules.recovery.is_none_or(|recovery| age < recovery) {
            Verdict::Recover
        } else {
            Verdict::Reused
        }
    }

    /// Why nothing works here any more; `None` while the family lives.
    fn cause_of_death(&self, now: Timestamp) -> Option<Cause> {
        if self.is_revoked {
            Some(Cause::Revoked)
        } else if now >= self.expires_at || now >= self.idle_expires_at {
            Some(Cause::Expired)
        } else if !self.is_user_active {
            Some(Cause::Disabled)
        } else {
            None
        }
    }

    /// When the refresh token in force expires unless it is used.
    pub fn refresh_expires_at(&self) -> Timestamp {
        self.idle_expires_at.min(self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::RefreshToken;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RULES: Rules = Rules {
        grace: Duration::from_secs(30),
        recovery: None,
        idle_ttl: Duration::from_secs(100),
        max_ttl: Duration::from_secs(1_000),
    };
    const T0: Timestamp = Timestamp::from_micros(1_000_000_000);

    /// A family rotated at `T0`, with its current and its parent's secret.
    fn family() -> (Family, SecretDigest, SecretDigest, Nonce) {
        let first = RefreshToken::generate();
        let nonce = Nonce::generate();
        let second = first.successor(&nonce);
        let family = Family {
            current: second.secret_digest(),
            parent: Some(Parent { digest: first.secret_digest(), nonce }),
            rotated_at: T0,
            idle_expires_at: T0 + RULES.idle_ttl,
            expires_at: T0 + RULES.max_ttl,
            is_revoked: false,
            is_user_active: true,
        };
        (family, second.secret_digest(), first.secret_digest(), nonce)
    }

    #[test]
    fn the_current_secret_rotates() {
        let (family, current, _, _) = family();
        assert_eq!(family.judge(&current, T0, &RULES), Verdict::Rotate);
    }

    #[test]
    fn the_parent_repeats_within_the_grace_window_and_recovers_after_it() {
        let (family, _, parent, nonce) = family();
        let judge = |age| family.judge(&parent, T0 + age, &RULES);
        assert_eq!(judge(Duration::ZERO), Verdict::Repeat(nonce));
        assert_eq!(judge(RULES.grace - Duration::from_micros(1)), Verdict::Repeat(nonce));
        assert_eq!(judge(RULES.grace), Verdict::Recover);
        assert_eq!(judge(99 * SECOND), Verdict::Recover);
    }

    #[test]
    fn recovery_is_bounded_and_zero_is_strict() {
        let (family, _, parent, nonce) = family();
        let judge = |rules: Rules, age| family.judge(&parent, T0 + age, &rules);
        let bounded = Rules { recovery: Some(60 * SECOND), ..RULES };
        assert_eq!(judge(bounded, 59 * SECOND), Verdict::Recover);
        assert_eq!(judge(bounded, 60 * SECOND), Verdict::Reused);
        let strict = Rules { recovery: Some(Duration::ZERO), ..RULES };
        assert_eq!(judge(strict, SECOND), Verdict::Repeat(nonce));
        assert_eq!(judge(strict, 30 * SECOND), Verdict::Reused);
        let strictest = Rules { grace: Duration::ZERO, ..strict };
        assert_eq!(judge(strictest, Duration::ZERO), Verdict::Reused);
    }

    #[test]
    fn anything_else_is_reuse() {
        let (family, _, _, _) = family();
        let stranger = RefreshToken::generate().secret_digest();
        assert_eq!(family.judge(&stranger, T0, &RULES), Verdict::Reused);
        let unrotated = Family { parent: None, ..family };
        assert_eq!(unrotated.judge(&stranger, T0, &RULES), Verdict::Reused);
    }

    #[test]
    fn death_comes_before_everything_else_and_revocation_first() {
        let (family, current, parent, _) = family();
        let stranger = RefreshToken::generate().secret_digest();
        let dead = [
            (Family { is_revoked: true, is_user_active: false, ..family.clone() }, T0 + RULES.max_ttl, Cause::Revoked),
            (family.clone(), T0 + RULES.idle_ttl, Cause::Expired),
            (Family { idle_expires_at: T0 + 2 * RULES.max_ttl, ..family.clone() }, T0 + RULES.max_ttl, Cause::Expired),
            (Family { is_user_active: false, ..family }, T0, Cause::Disabled),
        ];
        for (family, now, cause) in dead {
            for secret in [current, parent, stranger] {
                assert_eq!(family.judge(&secret, now, &RULES), Verdict::Dead(cause));
            }
        }
    }

    #[test]
    fn a_clock_that_lags_behind_the_rotation_is_within_the_grace_window() {
        let (family, _, parent, nonce) = family();
        assert_eq!(family.judge(&parent, T0 - 5 * SECOND, &RULES), Verdict::Repeat(nonce));
    }
}
