//! `[throttle]`: how often passwords may be guessed, accounts be opened and mails be asked for.

use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;

use super::values::{Period, Quota, networks};
use crate::throttle::rules::Guesses;

/// How often passwords may be guessed, accounts be opened and mails be asked for. All instances on one database count together; `docs/abuse.md`
/// explains the limits and shows what they do to attackers.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleConfig {
    /// Whether anything is limited.
    pub enabled: bool,
    /// Addresses and networks from which nothing is counted and nothing limited, guesses at passwords included: for a load
    /// test, never for a proxy.
    #[schemars(with = "Vec<String>")]
    #[serde(deserialize_with = "networks")]
    pub exempt: Vec<IpNet>,
    /// Whether a private or loopback address is a client's own, as when clients in a private network reach the service
    /// directly. Otherwise such an address counts as a proxy's and has no limit of its own, unless `public.trusted_proxies`
    /// is set.
    pub private_sources: bool,
    /// How many wrong passwords for one account are followed by no wait, all sources together that the account does not
    /// know, 1 to 100. A source that it knows has as many for itself.
    pub free_guesses: u32,
    /// The wait after the last of those; each further one doubles it.
    pub first_wait: Period,
    /// No wait is longer, but after 100 wrong passwords that are not forgotten, which is followed by a day.
    pub longest_wait: Period,
    /// How long it takes to forget one wrong password.
    pub forget_guess: Period,
    /// How long an account knows a device or an address that it was not logged in to from.
    pub known_for: Period,
    /// Wrong passwords from one IPv4 address or IPv6 /64, from sources that the account does not know: so many at once, and
    /// as many again over each such time.
    pub failures_per_address: Quota,
    /// The same for an IPv4 /24 or IPv6 /48.
    pub failures_per_prefix: Quota,
    /// Accounts for which one address may be wrong.
    pub accounts_per_address: Quota,
    /// The same for an IPv4 /24 or IPv6 /48.
    pub accounts_per_prefix: Quota,
    /// Registrations from one address, successful or not.
    pub registrations_per_address: Quota,
    /// The same for an IPv4 /24 or IPv6 /48.
    pub registrations_per_prefix: Quota,
    /// All registrations together.
    pub registrations: Quota,
    /// Mails that one address asks for: to verify an address, to reset a password.
    pub mails_per_address: Quota,
    /// The same for an IPv4 /24 or IPv6 /48.
    pub mails_per_prefix: Quota,
    /// All such mails together.
    pub mails: Quota,
    /// Such mails to one address, whoever asks for them. What is more is not sent, and nobody who asks is told.
    pub mails_per_addressee: Quota,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// A guess that is never forgotten would close an account for good.
const MAX_PERIOD: Duration = Duration::from_secs(365 * 24 * 3600);

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            exempt: Vec::new(),
            private_sources: false,
            free_guesses: 5,
            first_wait: Period(MINUTE),
            longest_wait: Period(HOUR),
            forget_guess: Period(6 * HOUR),
            known_for: Period(90 * 24 * HOUR),
            failures_per_address: Quota::of(60, HOUR),
            failures_per_prefix: Quota::of(300, HOUR),
            accounts_per_address: Quota::of(20, 4 * HOUR),
            accounts_per_prefix: Quota::of(100, 4 * HOUR),
            registrations_per_address: Quota::of(20, HOUR),
            registrations_per_prefix: Quota::of(100, HOUR),
            registrations: Quota::of(1_000, HOUR),
            mails_per_address: Quota::of(20, HOUR),
            mails_per_prefix: Quota::of(100, HOUR),
            mails: Quota::of(1_000, HOUR),
            mails_per_addressee: Quota::of(10, HOUR),
        }
    }
}

impl ThrottleConfig {
    /// The rule for guesses at one password.
    pub fn guesses(&self) -> Guesses {
        Guesses {
            free: self.free_guesses,
            first_wait: self.first_wait.0,
            longest_wait: self.longest_wait.0,
            forget: self.forget_guess.0,
        }
    }

    /// Everything wrong with these values, one line each.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut demand = |holds: bool, otherwise: &str| {
            if !holds {
                findings.push(otherwise.to_owned());
            }
        };
        demand((1..=100).contains(&self.free_guesses), "throttle.free_guesses: must be from 1 to 100");
        demand(!self.first_wait.0.is_zero(), "throttle.first_wait: must be longer than 0s");
        demand(self.first_wait <= self.longest_wait, "throttle.first_wait: must not exceed throttle.longest_wait");
        for (name, period) in
            [("longest_wait", self.longest_wait), ("forget_guess", self.forget_guess), ("known_for", self.known_for)]
        {
            demand(
                !period.0.is_zero() && period.0 <= MAX_PERIOD,
                &format!("throttle.{name}: must be longer than 0s and at most 365d"),
            );
        }
        findings
    }

    /// What works but is weaker than it should be, one line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.enabled {
            warnings.push("throttle.enabled: is false, so passwords can be guessed at any speed".to_owned());
        }
        let guesses = self.guesses().in_a_day();
        if self.enabled && guesses > Guesses::IN_A_ROW {
            warnings
                .push(format!("throttle: lets strangers guess at one password {guesses} times a day, more than 100"));
        }
        if self.exempt.iter().any(|network| network.prefix_len() == 0) {
            warnings.push("throttle.exempt: everybody is exempt".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn values_are_read_judged_and_warned_of() {
        let config = |file: &str| toml::from_str::<Config>(&format!("issuer = 'https://x'\n{file}")).expect("parses");
        assert_eq!(config("").findings(), Vec::<String>::new());
        assert!(!config("").warnings().iter().any(|line| line.starts_with("throttle")));
        for (file, finding) in [
            ("throttle.free_guesses = 0", "throttle.free_guesses"),
            ("throttle.free_guesses = 101", "throttle.free_guesses"),
            ("throttle.first_wait = '0s'", "throttle.first_wait: must be longer"),
            ("throttle.first_wait = '2h'", "throttle.first_wait: must not exceed"),
            ("throttle.forget_guess = '0s'", "throttle.forget_guess"),
            ("throttle.known_for = '366d'", "throttle.known_for"),
        ] {
            let found = config(file).findings();
            assert!(found.iter().any(|line| line.starts_with(finding)), "{file}: {found:?}");
        }
        for (file, warning) in [
            ("throttle.enabled = false", "throttle.enabled"),
            ("throttle.longest_wait = '1m'\nthrottle.forget_guess = '1m'", "throttle: lets strangers guess"),
            ("throttle.exempt = ['0.0.0.0/0']", "throttle.exempt"),
        ] {
            let found = config(file).warnings();
            assert!(found.iter().any(|line| line.starts_with(warning)), "{file}: {found:?}");
        }
    }
}
