//! The buckets: what each limits, by which rule, and the digest that it is found by.
//!
//! Neither an address nor an e-mail address is stored: a bucket's id is a digest of its kind and of whom it concerns, and
//! an address that has no account has a bucket like any other.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::rules::{Rule, State};
use crate::clock::Timestamp;
use crate::config::ThrottleConfig;
use crate::db::types::bytes_column;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Wrong passwords for one address, with or without an account, from sources that it does not know.
    Account,
    /// Wrong passwords for one account from one source that it knows.
    KnownSource,
    /// Wrong current passwords in one session.
    Session,
    /// Wrong codes for one account's second factor, from sources that it does not know.
    Factor,
    /// The same from one source that it knows.
    FactorOfKnownSource,
    /// Wrong passwords from one source.
    Address,
    /// Wrong passwords from around it.
    Prefix,
    /// Accounts that one source had wrong passwords for.
    AccountsPerAddress,
    /// Accounts that those around it had wrong passwords for.
    AccountsPerPrefix,
    /// Registrations from one source.
    RegistrationsPerAddress,
    /// Registrations from around it.
    RegistrationsPerPrefix,
    /// All registrations.
    Registrations,
    /// Mails asked for from one source.
    MailsPerAddress,
    /// Mails asked for from around it.
    MailsPerPrefix,
    /// All mails that strangers ask for.
    Mails,
    /// Mails to one address that strangers asked for.
    MailsPerAddressee,
}

impl Limit {
    /// Their names in the metrics.
    pub const NAMES: [&str; 16] = [
        "account",
        "known_source",
        "session",
        "factor",
        "factor_of_known_source",
        "address",
        "prefix",
        "accounts_per_address",
        "accounts_per_prefix",
        "registrations_per_address",
        "registrations_per_prefix",
        "registrations",
        "mails_per_address",
        "mails_per_prefix",
        "mails",
        "mails_per_addressee",
    ];

    /// The name in the metrics and in the trail.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The name that clients see. Whether an account knows a source is nobody's business, so these are one.
    fn policy_name(self) -> &'static str {
        match self {
            Self::Account | Self::KnownSource | Self::Session | Self::Factor | Self::FactorOfKnownSource => "guesses",
            Self::Address => "guesses-per-address",
            Self::Prefix => "guesses-per-prefix",
            Self::AccountsPerAddress => "accounts-per-address",
            Self::AccountsPerPrefix => "accounts-per-prefix",
            Self::RegistrationsPerAddress => "registrations-per-address",
            Self::RegistrationsPerPrefix => "registrations-per-prefix",
            Self::Registrations => "registrations",
            Self::MailsPerAddress => "mails-per-address",
            Self::MailsPerPrefix => "mails-per-prefix",
            Self::Mails => "mails",
            Self::MailsPerAddressee => "mails-per-addressee",
        }
    }

    fn rule(self, config: &ThrottleConfig) -> Rule {
        match self {
            Self::Account | Self::KnownSource | Self::Session | Self::Factor | Self::FactorOfKnownSource => {
                Rule::Guesses(config.guesses())
            }
            Self::Address => Rule::Rate(config.failures_per_address.0),
            Self::Prefix => Rule::Rate(config.failures_per_prefix.0),
            Self::AccountsPerAddress => Rule::Rate(config.accounts_per_address.0),
            Self::AccountsPerPrefix => Rule::Rate(config.accounts_per_prefix.0),
            Self::RegistrationsPerAddress => Rule::Rate(config.registrations_per_address.0),
            Self::RegistrationsPerPrefix => Rule::Rate(config.registrations_per_prefix.0),
            Self::Registrations => Rule::Rate(config.registrations.0),
            Self::MailsPerAddress => Rule::Rate(config.mails_per_address.0),
            Self::MailsPerPrefix => Rule::Rate(config.mails_per_prefix.0),
            Self::Mails => Rule::Rate(config.mails.0),
            Self::MailsPerAddressee => Rule::Rate(config.mails_per_addressee.0),
        }
    }
}

/// A limit for somebody.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    pub(super) id: BucketId,
    pub(super) limit: Limit,
    pub(super) rule: Rule,
}

impl Bucket {
    /// The bucket of `limit` for `whom`.
    pub fn new(limit: Limit, config: &ThrottleConfig, whom: &[&str]) -> Self {
        Self { id: BucketId::of(limit.as_str(), whom), limit, rule: limit.rule(config) }
    }

    /// Why it does not admit an attempt now, if it does not.
    pub(super) fn refusal(&self, state: State, now: Timestamp) -> Option<Refusal> {
        let wait = self.rule.wait(state, now);
        (!wait.is_zero()).then(|| Refusal { limit: self.limit, policy: self.rule.policy(), wait })
    }
}

/// Too many attempts; nothing was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The limit that was reached.
    pub limit: Limit,
    policy: (u32, u64),
    wait: Duration,
}

impl Refusal {
    /// One to describe the answer with.
    pub const EXAMPLE: Self = Self { limit: Limit::Account, policy: (1, 60), wait: Duration::from_secs(60) };

    /// Whole seconds until the next attempt is admitted, at least 1 (`Retry-After`).
    pub fn retry_after_seconds(&self) -> u64 {
        (self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0)).max(1)
    }

    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn header_values(&self) -> [(&'static str, String); 2] {
        let (name, (quota, seconds)) = (self.limit.policy_name(), self.policy);
        [
            ("ratelimit", format!("\"{name}\";r=0;t={}", self.retry_after_seconds())),
            ("ratelimit-policy", format!("\"{name}\";q={quota};w={seconds}")),
        ]
    }
}

bytes_column! {
    /// What a bucket is found by.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct BucketId([u8; 32]);
}

impl BucketId {
    /// The least, from which on all are.
    pub(crate) const FIRST: Self = Self([0; 32]);

    pub(super) fn of(kind: &str, whom: &[&str]) -> Self {
        Self(digest(kind, whom.iter().map(|part| part.as_bytes())))
    }
}

bytes_column! {
    /// What a source that an account knows is found by.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SourceDigest([u8; 32]);
}

impl SourceDigest {
    pub(super) fn of(kind: &str, source: &[u8]) -> Self {
        Self(digest(kind, std::iter::once(source)))
    }

    /// As part of a bucket's id.
    pub(super) fn to_text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Each part with its length, so that no two lists of parts are one text.
fn digest<'a>(kind: &'a str, parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut sha = Sha256::new();
    for part in std::iter::once(kind.as_bytes()).chain(parts) {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_differ_by_kind_and_by_every_part() {
        let id = BucketId::of;
        assert_eq!(id("account", &["a@x"]), id("account", &["a@x"]));
        for other in
            [id("account", &["b@x"]), id("address", &["a@x"]), id("account", &["a@", "x"]), id("accounta", &["@x"])]
        {
            assert_ne!(other, id("account", &["a@x"]));
        }
    }

    #[test]
    fn every_limit_has_its_own_name() {
        assert_eq!(Limit::Account.as_str(), "account");
        assert_eq!(Limit::Registrations.as_str(), "registrations");
        assert_eq!(Limit::AccountsPerPrefix.as_str(), "accounts_per_prefix");
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        let refusal = |millis| Refusal { wait: Duration::from_millis(millis), ..Refusal::EXAMPLE };
        assert_eq!([1, 1_000, 1_001].map(|millis| refusal(millis).retry_after_seconds()), [1, 1, 2]);
        let headers = refusal(1_001).header_values().map(|(_, value)| value);
        assert_eq!(headers, ["\"guesses\";r=0;t=2", "\"guesses\";q=1;w=60"]);
    }
}
