//! What is wrong with a configuration's values, and what is merely unwise: judged without looking at anything else.

use std::time::Duration;

use super::{Config, Registration};
use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::db::Url;

/// The longest life of an access token.
const MAX_ACCESS_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest life of a session: no calendar that a database keeps ends within it.
const MAX_SESSION_TTL: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Whoever acts for others does it for a while.
const MAX_IMPERSONATION_TTL: Duration = Duration::from_secs(24 * 3600);
/// More than any machine has a use for; a slip of the keyboard is found here and not by the operating system.
const MAX_THREADS: usize = 1024;
const MAX_CONNECTIONS: u32 = 10_000;
const MAX_SHUTDOWN_DELAY: Duration = Duration::from_secs(600);
/// A client has gone when it waited for this long.
const LONG_WAIT: Duration = Duration::from_secs(10);
/// Fewer random bytes than this can be guessed.
const MIN_PEPPER_BYTES: usize = 16;

const HOUR: Duration = Duration::from_secs(3600);

impl Config {
    /// Everything wrong with the values themselves, one line each; reachable things (database, keys) are `check`'s.
    pub fn findings(&self) -> Vec<String> {
        [
            issuer_findings(&self.issuer),
            broken([(self.audience.trim() == self.audience, "audience: must not begin or end with a space")]),
            self.listener_findings(),
            self.database_findings(),
            self.token_and_session_findings(),
            self.password_findings(),
            self.client_findings(),
            self.ending_findings(),
            self.roles.findings(&self.oauth.scope),
            self.api_keys.findings(),
            self.account.findings(),
            self.audit.findings(),
            self.webhooks.findings(),
            self.throttle.findings(),
            self.mfa.findings(),
            self.mail.findings(&self.issuer),
            self.traces.findings(),
        ]
        .concat()
    }

    fn listener_findings(&self) -> Vec<String> {
        let Self { public, management, .. } = self;
        let mut findings = broken([
            (
                public.listen.port() == 0 || public.listen != management.listen,
                "management.listen: must be another address than public.listen",
            ),
            (public.workers <= MAX_THREADS, "public.workers: must be at most 1024"),
        ]);
        for origin in &public.allowed_origins {
            let parsed = url::Url::parse(origin).ok().map(|url| url.origin().ascii_serialization());
            if parsed.as_deref() != Some(origin.as_str()) {
                findings.push(format!("public.allowed_origins: `{origin}` does not read like https://app.example"));
            }
        }
        findings
    }

    fn database_findings(&self) -> Vec<String> {
        let Self { database, .. } = self;
        broken([
            (
                database.url.0.parse::<Url>().is_ok(),
                "database.url: reads postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH",
            ),
            (database.pool_size >= 1, "database.pool_size: must be at least 1"),
            (database.pool_size <= MAX_CONNECTIONS, "database.pool_size: must be at most 10000"),
            (!database.max_wait.0.is_zero(), "database.max_wait: must be longer than 0s"),
        ])
    }

    fn token_and_session_findings(&self) -> Vec<String> {
        let Self { token, session, .. } = self;
        let access_ttl = token.access_ttl.0;
        broken([
            (access_ttl >= Duration::from_secs(1), "token.access_ttl: must be at least 1s"),
            (access_ttl <= MAX_ACCESS_TTL, "token.access_ttl: must be at most 30d"),
            (!session.idle_ttl.0.is_zero(), "session.idle_ttl: must be longer than 0s"),
            (session.idle_ttl <= session.max_ttl, "session.idle_ttl: must not exceed session.max_ttl"),
            (session.max_ttl.0 <= MAX_SESSION_TTL, "session.max_ttl: must be at most 3650d"),
            (session.impersonation_ttl.0 <= MAX_IMPERSONATION_TTL, "session.impersonation_ttl: must be at most 1d"),
        ])
    }

    fn password_findings(&self) -> Vec<String> {
        let Self { password, hashing, .. } = self;
        let params = argon2::Params::new(hashing.memory_kib, hashing.iterations, hashing.parallelism, None);
        broken([
            ((8..=64).contains(&password.min_length), "password.min_length: must be from 8 to 64"),
            (hashing.threads <= MAX_THREADS, "hashing.threads: must be at most 1024"),
            (!hashing.max_wait.0.is_zero(), "hashing.max_wait: must be longer than 0s"),
            (
                params.is_ok(),
                "hashing: memory_kib must be at least 8 × parallelism, iterations and parallelism at least 1",
            ),
        ])
    }

    fn client_findings(&self) -> Vec<String> {
        let Self { oauth, .. } = self;
        broken([
            (is_client_id(&oauth.default_client), "oauth.default_client: must be 1 to 64 letters, digits, - . _ or ~"),
            (
                oauth.public_clients.iter().all(|client| is_client_id(client)),
                "oauth.public_clients: each must be 1 to 64 letters, digits, - . _ or ~",
            ),
        ])
    }

    /// Of rows, and of the service itself.
    fn ending_findings(&self) -> Vec<String> {
        let Self { cleanup, shutdown, .. } = self;
        let audit_retention = cleanup.audit_retention.0;
        broken([
            (!cleanup.interval.0.is_zero(), "cleanup.interval: must be longer than 0s"),
            (cleanup.session_retention.0 >= HOUR, "cleanup.session_retention: must be at least 1h"),
            (
                audit_retention.is_zero() || audit_retention >= 24 * HOUR,
                "cleanup.audit_retention: must be at least 1d, or 0s to keep events for ever",
            ),
            (shutdown.delay.0 <= MAX_SHUTDOWN_DELAY, "shutdown.delay: must be at most 10m"),
            (!shutdown.deadline.0.is_zero(), "shutdown.deadline: must be longer than 0s"),
        ])
    }

    /// What works but is weaker than it should be, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let Self { hashing, session, .. } = self;
        let issuer = url::Url::parse(&self.issuer);
        let own = broken([
            (
                hashing.memory_kib >= 19_456 && hashing.iterations >= 2,
                "hashing: less than 19456 KiB and 2 iterations, the least that OWASP recommends",
            ),
            (
                hashing.pepper.0.is_empty() || hashing.pepper.0.len() >= MIN_PEPPER_BYTES,
                "hashing.pepper: shorter than 16 bytes, and so likely to be guessed",
            ),
            (hashing.max_wait.0 <= LONG_WAIT, "hashing.max_wait: longer than 10s; clients have gone by then"),
            (self.database.max_wait.0 <= LONG_WAIT, "database.max_wait: longer than 10s; clients have gone by then"),
            (
                self.rights().grant(None, &Roles::user()).contains(Scope::ACCOUNT),
                "oauth.scope: without `account`, here or in roles.user, no user can reach their own account",
            ),
            (
                session.grace < session.idle_ttl,
                "session.grace: not shorter than session.idle_ttl, so a stolen token is never noticed",
            ),
            (
                session.recovery.is_none_or(|recovery| recovery.0.is_zero() || recovery > session.grace),
                "session.recovery: not longer than session.grace, so it has no effect",
            ),
            (
                self.token.access_ttl <= session.max_ttl,
                "token.access_ttl: longer than session.max_ttl, so tokens outlive every session",
            ),
            (
                self.registration != Registration::Verified || self.mail.is_sent(),
                "registration: is `verified` without mail.url, so only `signet users verify-link` lets anybody in",
            ),
            (
                self.public.trusted_proxies.iter().all(|network| network.prefix_len() > 0),
                "public.trusted_proxies: everybody is a trusted proxy, so everybody chooses the address that is audited",
            ),
            (
                !issuer.is_ok_and(|url| is_loopback(&url)) || self.public.listen.ip().is_loopback(),
                "issuer: is a loopback address, while public.listen is not: nobody elsewhere can verify tokens",
            ),
        ]);
        let of_sections = [self.roles.warnings(), self.throttle.warnings(), self.mfa.warnings()];
        [own, self.origin_warnings(), of_sections.concat()].concat()
    }

    fn origin_warnings(&self) -> Vec<String> {
        let is_in_clear =
            |origin: &&String| url::Url::parse(origin).is_ok_and(|url| url.scheme() != "https" && !is_loopback(&url));
        let in_clear = self.public.allowed_origins.iter().filter(is_in_clear);
        in_clear
            .map(|origin| format!("public.allowed_origins: `{origin}` is not https: anybody on the way is that page"))
            .collect()
    }
}

/// What is to be said of the demands that do not hold.
fn broken<const N: usize>(demands: [(bool, &str); N]) -> Vec<String> {
    demands.into_iter().filter(|(holds, _)| !holds).map(|(_, otherwise)| otherwise.to_owned()).collect()
}

/// RFC 8414 §2 says what an issuer is; that verifiers compare it byte by byte says the rest.
fn issuer_findings(issuer: &str) -> Vec<String> {
    if issuer.is_empty() {
        return vec!["issuer: is not set; it is the URL under which clients reach this service".to_owned()];
    }
    let url = url::Url::parse(issuer).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let findings = broken([
        (url.is_some(), "issuer: is not an http(s) URL"),
        (!issuer.ends_with('/'), "issuer: must not end with a slash, since verifiers compare it byte by byte"),
    ]);
    let Some(url) = url else { return findings };
    let normal = url.as_str().trim_end_matches('/');
    let of_url = broken([
        (
            url.query().is_none() && url.fragment().is_none(),
            "issuer: must have neither query nor fragment (RFC 8414 §2)",
        ),
        (
            url.scheme() == "https" || is_loopback(&url),
            "issuer: must be https, except on loopback: tokens and passwords would travel in clear",
        ),
        (
            url.username().is_empty() && url.password().is_none(),
            "issuer: must have neither user nor password; it is in every token",
        ),
        (
            issuer.trim_end_matches('/') == normal,
            &format!("issuer: reads `{normal}` in full, and verifiers compare it byte by byte"),
        ),
    ]);
    [findings, of_url].concat()
}

pub(super) fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_client_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_a_finding() {
        let findings = |file: &str| toml::from_str::<Config>(file).expect("parses").findings();
        assert_eq!(findings("issuer = 'https://id.example/auth'"), Vec::<String>::new());
        assert_eq!(findings("issuer = 'http://localhost:8080'"), Vec::<String>::new());
        for (file, finding) in [
            ("", "issuer: is not set"),
            ("issuer = 'https://id.example/'", "issuer: must not end with a slash"),
            ("issuer = 'http://id.example'", "issuer: must be https"),
            ("issuer = 'https://x'\n[token]\naccess_ttl = '31d'", "token.access_ttl: must be at most 30d"),
            ("issuer = 'https://x'\n[password]\nmin_length = 4", "password.min_length"),
            ("issuer = 'https://x'\n[database]\nurl = 'mysql://x'", "database.url"),
            ("issuer = 'https://x'\n[cleanup]\ninterval = '0s'", "cleanup.interval"),
            (
                "issuer = 'https://x'\n[cleanup]\nsession_retention = '59m'",
                "cleanup.session_retention: must be at least 1h",
            ),
            (
                "issuer = 'https://x'\n[cleanup]\naudit_retention = '365s'",
                "cleanup.audit_retention: must be at least 1d",
            ),
            ("issuer = 'https://x'\n[public]\nallowed_origins = ['https://a.example/']", "public.allowed_origins"),
            ("issuer = 'not a url'", "issuer: is not an http(s) URL"),
            ("issuer = 'https://id.example?x'", "issuer: must have neither query"),
            ("issuer = 'https://u:p@id.example'", "issuer: must have neither user"),
            ("issuer = 'HTTPS://id.example'", "issuer: reads `https://id.example`"),
            ("issuer = ' https://id.example'", "issuer: reads `https://id.example`"),
            ("issuer = 'https://id.example:443/auth'", "issuer: reads `https://id.example/auth`"),
            ("audience = ' orders'", "audience: "),
            ("public.listen = '0.0.0.0:1'\nmanagement.listen = '0.0.0.0:1'", "management.listen: must be another"),
            ("public.workers = 1025", "public.workers: "),
            ("hashing.threads = 1025", "hashing.threads: "),
            ("hashing.max_wait = '0s'", "hashing.max_wait: "),
            ("hashing.memory_kib = 7", "hashing: memory_kib"),
            ("hashing.iterations = 0", "hashing: memory_kib"),
            ("hashing.parallelism = 0", "hashing: memory_kib"),
            ("database.pool_size = 0", "database.pool_size: must be at least 1"),
            ("database.pool_size = 10001", "database.pool_size: must be at most"),
            ("database.max_wait = '0s'", "database.max_wait: "),
            ("token.access_ttl = '999ms'", "token.access_ttl: must be at least 1s"),
            ("session.idle_ttl = '0s'", "session.idle_ttl: must be longer"),
            ("session.idle_ttl = '31d'", "session.idle_ttl: must not exceed"),
            ("session.max_ttl = '3651d'", "session.max_ttl: "),
            ("oauth.default_client = ''", "oauth.default_client: "),
            ("oauth.public_clients = ['a b']", "oauth.public_clients: "),
            ("shutdown.delay = '11m'", "shutdown.delay: "),
            ("shutdown.deadline = '0s'", "shutdown.deadline: "),
        ] {
            let found = findings(file);
            assert!(found.iter().any(|line| line.starts_with(finding)), "{file}: {found:?}");
        }
    }

    #[test]
    fn each_unwise_value_is_a_warning() {
        let warnings = |file: &str| toml::from_str::<Config>(file).expect("parses").warnings();
        assert_eq!(warnings("issuer = 'https://id.example'"), Vec::<String>::new());
        assert_eq!(warnings("session.recovery = '0s'"), Vec::<String>::new(), "strict rotation");
        assert_eq!(warnings("oauth.scope = 'read'\nroles.user = 'account'"), Vec::<String>::new());
        for (file, warning) in [
            ("hashing.memory_kib = 19455", "hashing: less than"),
            ("hashing.iterations = 1", "hashing: less than"),
            ("hashing.pepper = 'short'", "hashing.pepper: "),
            ("hashing.max_wait = '11s'", "hashing.max_wait: "),
            ("database.max_wait = '11s'", "database.max_wait: "),
            ("oauth.scope = 'read'", "oauth.scope: "),
            ("session.grace = '7d'", "session.grace: "),
            ("session.recovery = '30s'", "session.recovery: "),
            ("token.access_ttl = '8d'\nsession.max_ttl = '7d'", "token.access_ttl: "),
            ("public.trusted_proxies = ['0.0.0.0/0']", "public.trusted_proxies: "),
            ("public.trusted_proxies = ['10.0.0.0/8', '::/0']", "public.trusted_proxies: "),
            ("issuer = 'http://localhost:8080'\npublic.listen = '0.0.0.0:8080'", "issuer: is a loopback"),
            ("public.allowed_origins = ['http://app.example']", "public.allowed_origins: "),
        ] {
            let found = warnings(file);
            assert!(found.len() == 1 && found[0].starts_with(warning), "{file}: {found:?}");
        }
    }
}
