//! The times that a change of keys depends on, side by side: each is right only beside the others, which the tests below
//! hold them to.
//!
//! A key is published, then signs, then stays until its tokens are dead. Between being published and signing lies the
//! *lead*: by its end every cache that was filled before must have been filled again.

use std::time::Duration;

/// How often an instance reads the key folder. A mounted Kubernetes secret changes by a swapped symlink, which no watch
/// survives.
pub const KEY_POLL: Duration = Duration::from_secs(5);

/// The longest that a cache may keep the JWKS (`max-age`).
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);
/// How much longer a cache may go on with it while we cannot be reached (`stale-if-error`).
pub const JWKS_STALE_IF_ERROR: Duration = Duration::from_secs(3600);

/// Allowed difference between the clocks of instances and verifiers.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The shortest lead without `--force`: several verifiers look again every ten minutes, whatever our headers say.
pub const MIN_LEAD: Duration = Duration::from_secs(15 * 60);
/// The lead unless another is asked for: longer than all of the above together, and long enough for a person to notice
/// that a key did not arrive somewhere.
pub const DEFAULT_LEAD: Duration = Duration::from_secs(24 * 3600);

/// The shortest time that a superseded key stays published: verifiers cache for up to a day.
const MIN_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// How long a superseded key stays published when access tokens live for `access_ttl`: until the last token that it
/// signed has expired by the slowest clock, and no copy of the JWKS lacks what that token needs before then.
pub fn retention(access_ttl: Duration) -> Duration {
    (access_ttl + CLOCK_SKEW + JWKS_MAX_AGE).max(MIN_RETENTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What many verifiers do when they have a cache of their own: jose keeps the JWKS for ten minutes.
    const VERIFIERS_OWN_CACHE: Duration = Duration::from_secs(600);
    /// Until an instance has the file: it polls, and a Kubernetes node may take a minute and a half before that.
    const UNTIL_EVERY_INSTANCE_PUBLISHES: Duration = Duration::from_secs(90 + 2 * KEY_POLL.as_secs());

    #[test]
    fn by_default_every_cache_that_our_headers_allow_has_been_filled_again_when_a_key_begins_to_sign() {
        let longest_cache = JWKS_MAX_AGE + JWKS_STALE_IF_ERROR;
        // An outage may begin in any of them; a margin as long as the cache itself is for what we have not thought of.
        assert!(DEFAULT_LEAD >= UNTIL_EVERY_INSTANCE_PUBLISHES + CLOCK_SKEW + longest_cache * 2);
    }

    #[test]
    fn the_shortest_lead_suffices_for_caches_that_are_not_cut_off() {
        let slowest = JWKS_MAX_AGE.max(VERIFIERS_OWN_CACHE);
        assert!(MIN_LEAD >= UNTIL_EVERY_INSTANCE_PUBLISHES + CLOCK_SKEW + slowest);
    }

    #[test]
    fn a_superseded_key_outlives_its_tokens_and_every_copy_of_the_jwks() {
        for ttl in [1, 900, 24 * 3600, 30 * 24 * 3600].map(Duration::from_secs) {
            assert!(retention(ttl) >= ttl + CLOCK_SKEW + JWKS_MAX_AGE, "{ttl:?}");
        }
        const A_DAY: Duration = Duration::from_secs(86_400);
        assert_eq!(retention(Duration::from_secs(900)), A_DAY, "as long as verifiers cache");
    }
}
