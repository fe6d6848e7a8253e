//! What is wrong with a configuration's values, and what is merely unwise: judged without looking at anything else.

use std::time::Duration;

use super::{Config, TracesConfig};
use crate::access::scope::Scope;
use crate::db::Url;

/// The longest life of an access token.
const MAX_ACCESS_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

const HOUR: Duration = Duration::from_secs(3600);

impl Config {
    /// Everything wrong with the values themselves, one line each; reachable things (database, keys) are `check`'s.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut demand = |holds: bool, otherwise: &str| {
            if !holds {
                findings.push(otherwise.to_owned());
            }
        };
        demand(!self.issuer.is_empty(), "issuer: is not set; it is the URL under which clients reach this service");
        if !self.issuer.is_empty() {
            let url = url::Url::parse(&self.issuer).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            demand(url.is_some(), "issuer: is not an http(s) URL");
            demand(
                !self.issuer.ends_with('/'),
                "issuer: must not end with a slash, since verifiers compare it byte by byte",
            );
            if let Some(url) = url {
                demand(
                    url.query().is_none() && url.fragment().is_none(),
                    "issuer: must have neither query nor fragment (RFC 8414 §2)",
                );
                demand(
                    url.scheme() == "https" || is_loopback(&url),
                    "issuer: must be https, except on loopback: tokens and passwords would travel in clear",
                );
            }
        }
        demand(
            self.database.url.0.parse::<Url>().is_ok(),
            "database.url: reads postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH",
        );
        demand(self.database.pool_size >= 1, "database.pool_size: must be at least 1");
        demand(!self.database.max_wait.0.is_zero(), "database.max_wait: must be longer than 0s");
        let access_ttl = self.token.access_ttl.0;
        demand(access_ttl >= Duration::from_secs(1), "token.access_ttl: must be at least 1s");
        demand(access_ttl <= MAX_ACCESS_TTL, "token.access_ttl: must be at most 30d");
        demand(!self.session.idle_ttl.0.is_zero(), "session.idle_ttl: must be longer than 0s");
        demand(self.session.idle_ttl <= self.session.max_ttl, "session.idle_ttl: must not exceed session.max_ttl");
        demand((8..=64).contains(&self.password.min_length), "password.min_length: must be from 8 to 64");
        demand(!self.hashing.max_wait.0.is_zero(), "hashing.max_wait: must be longer than 0s");
        demand(
            argon2::Params::new(self.hashing.memory_kib, self.hashing.iterations, self.hashing.parallelism, None)
                .is_ok(),
            "hashing: memory_kib must be at least 8 × parallelism, iterations and parallelism at least 1",
        );
        demand(
            is_client_id(&self.oauth.default_client),
            "oauth.default_client: must be 1 to 64 letters, digits, - . _ or ~",
        );
        demand(
            self.oauth.public_clients.iter().all(|client| is_client_id(client)),
            "oauth.public_clients: each must be 1 to 64 letters, digits, - . _ or ~",
        );
        demand(!self.cleanup.interval.0.is_zero(), "cleanup.interval: must be longer than 0s");
        demand(self.cleanup.session_retention.0 >= HOUR, "cleanup.session_retention: must be at least 1h");
        let audit_retention = self.cleanup.audit_retention.0;
        demand(
            audit_retention.is_zero() || audit_retention >= 24 * HOUR,
            "cleanup.audit_retention: must be at least 1d, or 0s to keep events for ever",
        );
        for origin in &self.public.allowed_origins {
            let parsed = url::Url::parse(origin).ok().map(|url| url.origin().ascii_serialization());
            demand(
                parsed.as_deref() == Some(origin.as_str()),
                &format!("public.allowed_origins: `{origin}` does not read like https://app.example"),
            );
        }
        findings.extend(self.traces.findings());
        findings
    }

    /// What works but is weaker than it should be, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let hashing = &self.hashing;
        if hashing.memory_kib < 19_456 || hashing.iterations < 2 {
            warnings.push("hashing: less than 19456 KiB and 2 iterations, the least that OWASP recommends".to_owned());
        }
        if !self.oauth.scope.contains(Scope::ACCOUNT) {
            warnings.push("oauth.scope: without `account` no user can reach their own account".to_owned());
        }
        warnings
    }
}

impl TracesConfig {
    /// Everything wrong with these values, one line each.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            findings.push("traces.sample_ratio: must be from 0 to 1".to_owned());
        }
        if self.service_name.is_empty() {
            findings.push("traces.service_name: must not be empty".to_owned());
        }
        let endpoint = url::Url::parse(&self.endpoint).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        match endpoint {
            _ if self.endpoint.is_empty() => {}
            None => findings.push("traces.endpoint: does not read like http://127.0.0.1:4318".to_owned()),
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                findings.push("traces.endpoint: must not carry credentials".to_owned());
            }
            Some(url) if url.scheme() == "https" && !cfg!(feature = "tls") => {
                findings.push("traces.endpoint: https needs a build with the feature `tls`".to_owned());
            }
            Some(_) => {}
        }
        findings
    }
}

fn is_loopback(url: &url::Url) -> bool {
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
            ("issuer = 'https://x'\n[traces]\nsample_ratio = 1.5", "traces.sample_ratio"),
            ("issuer = 'https://x'\n[traces]\nsample_ratio = nan", "traces.sample_ratio"),
            ("issuer = 'https://x'\n[traces]\nservice_name = ''", "traces.service_name"),
            ("issuer = 'https://x'\n[traces]\nendpoint = '127.0.0.1:4318'", "traces.endpoint: does not read"),
            ("issuer = 'https://x'\n[traces]\nendpoint = 'grpc://x:4317'", "traces.endpoint: does not read"),
            ("issuer = 'https://x'\n[traces]\nendpoint = 'http://x:4318?a=b'", "traces.endpoint: does not read"),
            ("issuer = 'https://x'\n[traces]\nendpoint = 'http://u:p@x:4318'", "traces.endpoint: must not carry"),
            ("issuer = 'https://x'\n[public]\nallowed_origins = ['https://a.example/']", "public.allowed_origins"),
        ] {
            let found = findings(file);
            assert!(found.iter().any(|line| line.starts_with(finding)), "{file}: {found:?}");
        }
    }
}
