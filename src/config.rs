//! Configuration: `signet.toml`, then `SIGNET_…` environment variables on top. The doc comments are the reference:
//! `docs/configuration.md` is made from them.

mod account;
mod agreement;
mod api_keys;
mod audit;
mod findings;
mod log;
mod mail;
mod mfa;
#[cfg(test)]
mod reference;
mod roles;
mod sources;
mod throttle;
mod traces;
mod values;
mod webhooks;

pub use account::AccountConfig;
pub use api_keys::ApiKeysConfig;
pub use audit::AuditConfig;
pub use log::{LogConfig, LogFormat, LogLevel};
pub(crate) use mail::TOKEN_PLACE;
pub use mail::{MailConfig, Registration};
pub use mfa::{MfaConfig, StepUpConfig};
pub use roles::RolesConfig;
pub use sources::{Error, Sources};
pub(crate) use sources::{one_line, variable_of};
pub use throttle::ThrottleConfig;
pub use traces::TracesConfig;
use values::networks;
pub use values::{Period, Quota, Secret};
pub use webhooks::WebhooksConfig;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;

use crate::access::scope::Scope;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The URL that names this service in tokens (`iss`) and under which clients reach its `/.well-known` documents,
    /// without a trailing slash. `serve` demands it; `dev` derives it from the address it listens on.
    pub issuer: String,
    /// Whom the access tokens are for (`aud`). Sibling services demand it. Empty: the issuer.
    pub audience: String,
    /// Who may open an account: `open`, anybody, at once; `verified`, anybody who reads mail at the address, and nobody is
    /// told whether an address has an account; `invite`, who was invited (`signet users invite`); `closed`, nobody.
    pub registration: Registration,
    /// The public listener.
    pub public: PublicConfig,
    /// The listener for operators.
    pub management: ManagementConfig,
    /// The database.
    pub database: DatabaseConfig,
    /// The signing keys.
    pub keys: KeysConfig,
    /// Access tokens.
    pub token: TokenConfig,
    /// Refresh-token families.
    pub session: SessionConfig,
    /// Accounts, and how they end.
    pub account: AccountConfig,
    /// What a new password must be like.
    pub password: PasswordConfig,
    /// How passwords are hashed.
    pub hashing: HashingConfig,
    /// The token endpoint.
    pub oauth: OAuthConfig,
    /// What each role carries: scope words, separated by spaces, which users with the role get in their tokens besides
    /// `oauth.scope`. Any role may be a key here; one that is none carries nothing and means what other services make of
    /// it. `account` and `admin` are words of this service, and only the role `admin` carries `admin`. docs/rights.md.
    pub roles: RolesConfig,
    /// API keys: what programs sign in with where nobody can log in. docs/api-keys.md.
    pub api_keys: ApiKeysConfig,
    /// How often passwords may be guessed and accounts be opened.
    pub throttle: ThrottleConfig,
    /// Second factors.
    pub mfa: MfaConfig,
    /// When a log-in must be fresh, or made with a second factor.
    pub step_up: StepUpConfig,
    /// Mail: verification, password reset, change of address, notices.
    pub mail: MailConfig,
    /// The audit trail.
    pub audit: AuditConfig,
    /// Webhooks.
    pub webhooks: WebhooksConfig,
    /// What leaves by itself.
    pub cleanup: CleanupConfig,
    /// Logs.
    pub log: LogConfig,
    /// Traces.
    pub traces: TracesConfig,
    /// How the service ends.
    pub shutdown: ShutdownConfig,
}

impl Config {
    /// `aud`: what is configured, or else the issuer.
    pub fn audience(&self) -> &str {
        if self.audience.is_empty() { &self.issuer } else { &self.audience }
    }

    /// Whether clients reach the service over TLS; decides what a cookie may carry.
    pub fn is_https(&self) -> bool {
        self.issuer.starts_with("https://")
    }
}

/// The public listener.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PublicConfig {
    /// Address and port of the API and the well-known documents. TLS is the proxy's work.
    pub listen: SocketAddr,
    /// Threads that serve HTTP. 0: one for each core.
    pub workers: usize,
    /// Proxies whose word for the client's address is believed, as addresses or networks. Nobody else's is.
    #[schemars(with = "Vec<String>")]
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which those proxies give that word: `x-forwarded-for`, as nearly all do, or `forwarded` (RFC 7239).
    /// The other one is ignored, because a proxy passes on what a client wrote into a header that it does not know.
    pub forwarded_header: ForwardedHeader,
    /// Origins of web pages that may call the API from a browser, besides the issuer's own, as `https://app.example`.
    pub allowed_origins: Vec<String>,
}

impl Default for PublicConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 0,
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            allowed_origins: Vec::new(),
        }
    }
}

/// See [`PublicConfig::forwarded_header`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ForwardedHeader {
    #[default]
    XForwardedFor,
    Forwarded,
}

/// The listener for operators.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ManagementConfig {
    /// Address and port of `/metrics`, `/health/live` and `/health/ready`. Nobody but operators should reach it.
    pub listen: SocketAddr,
}

impl Default for ManagementConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9100)) }
    }
}

/// The database.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://USER:PASSWORD@HOST/NAME` or `sqlite:PATH`. `dev` uses `signet.db` in its data folder.
    #[schemars(extend("default" = DEFAULT_DATABASE_URL))]
    pub url: Secret,
    /// Connections to the database: as many as an instance has decisions under way, which is their rate times the time that one
    /// takes. 16 are enough for 5,000 refreshes a second of 3 ms each; more only wait for each other at the database.
    pub pool_size: u32,
    /// How long a request waits for a connection before it is answered 503.
    pub max_wait: Period,
}

const DEFAULT_DATABASE_URL: &str = "sqlite:data/signet.db";

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: Secret(DEFAULT_DATABASE_URL.to_owned()), pool_size: 16, max_wait: Period(Duration::from_secs(3)) }
    }
}

/// The signing keys.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// The folder of PEM files. A file's name is its schedule: `2026-11-21T10-00-00Z.pem` signs from that time on.
    pub dir: PathBuf,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("keys") }
    }
}

/// Access tokens.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// How long an access token is valid: at least 1 s, at most 30 d. Siblings verify offline, so a token outlives its
    /// session by up to this long.
    pub access_ttl: Period,
    /// Claims about the user to add to access tokens: any of `email`, `email_verified`, `name`. None by default, since
    /// every service that sees a token sees them.
    pub claims: Vec<ExtraClaim>,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self { access_ttl: Period(Duration::from_secs(15 * 60)), claims: Vec::new() }
    }
}

/// A claim about the user that configuration may add (OpenID Connect Core §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraClaim {
    /// The e-mail address.
    Email,
    /// Whether the address was verified.
    EmailVerified,
    /// The name, if the user gave one.
    Name,
}

/// Refresh-token families.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// A session ends when it was not refreshed for this long.
    pub idle_ttl: Period,
    /// A session ends this long after log-in, whatever happens.
    pub max_ttl: Period,
    /// How long a used refresh token still gives its successor again, so that parallel tabs and retries converge.
    pub grace: Period,
    /// How long after its use a refresh token whose successor was never seen still recovers the session, for the client
    /// that lost the response. Unset: as long as the session lives. `0s`: never (strict rotation).
    pub recovery: Option<Period>,
    /// How long an administrator may act for a user before they have to begin anew; no longer than their own session lives.
    /// `0s`: never.
    pub impersonation_ttl: Period,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            idle_ttl: Period(Duration::from_secs(7 * 24 * 3600)),
            max_ttl: Period(Duration::from_secs(30 * 24 * 3600)),
            grace: Period(Duration::from_secs(30)),
            recovery: None,
            impersonation_ttl: Period(Duration::from_secs(15 * 60)),
        }
    }
}

/// What a new password must be like.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordConfig {
    /// The fewest characters of a new password, 8 to 64. 15 is advisable while the password is the only factor.
    pub min_length: usize,
    /// A file of SHA-1 digests of passwords that were stolen elsewhere, in their order, `DIGEST:COUNT` a line: as Have I Been
    /// Pwned gives it away. None of them is taken as a new password. Empty: none.
    pub breached_file: PathBuf,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { min_length: 8, breached_file: PathBuf::new() }
    }
}

/// How passwords are hashed: Argon2id.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HashingConfig {
    /// Threads that hash. 0: one for each core. Each keeps `memory_kib` for itself.
    pub threads: usize,
    /// How long a log-in may wait for a thread. When it would be longer the answer is 503 at once.
    pub max_wait: Period,
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes of one hash; they run one after another here.
    pub parallelism: u32,
    /// A secret mixed into every hash, kept outside the database. It cannot be changed without invalidating every
    /// password. Empty: none.
    #[schemars(extend("default" = ""))]
    pub pepper: Secret,
}

impl Default for HashingConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            max_wait: Period(Duration::from_secs(3)),
            memory_kib: 19 * 1024,
            iterations: 2,
            parallelism: 1,
            pepper: Secret::default(),
        }
    }
}

impl HashingConfig {
    /// How many threads hash here.
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }
}

/// The token endpoint.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthConfig {
    /// Whether `grant_type=password` works. Off, because it trains users to type passwords into other programs;
    /// FastAPI's `OAuth2PasswordBearer` and Swagger's "Authorize" button need it.
    pub password_grant: bool,
    /// The client that tokens are issued to when the request names none (`client_id`).
    pub default_client: String,
    /// Further public clients that may name themselves at the token endpoint.
    pub public_clients: Vec<String>,
    /// The scope of every session, whatever its user's roles are, unless less is asked for. `account` opens the user's
    /// own account here.
    #[schemars(with = "String")]
    pub scope: Scope,
}

impl Default for OAuthConfig {
    fn default() -> Self {
        Self {
            password_grant: false,
            default_client: "signet".to_owned(),
            public_clients: Vec::new(),
            scope: Scope::account(),
        }
    }
}

/// What leaves by itself.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CleanupConfig {
    /// Whether the service removes what is over. `signet cleanup` does it once.
    pub enabled: bool,
    /// How long this instance waits between two passes. Of several instances on one Postgres one at a time is at it.
    pub interval: Period,
    /// How long a session is kept after it has ended, for whoever wants to know how it did. At least 1 h, so that no
    /// instance removes what another one, whose clock is behind, still honours.
    pub session_retention: Period,
    /// How long audit events are kept, at least 1 d. `0s`: for ever.
    pub audit_retention: Period,
}

impl Default for CleanupConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Period(Duration::from_secs(3600)),
            session_retention: Period(Duration::from_secs(24 * 3600)),
            audit_retention: Period(Duration::from_secs(365 * 24 * 3600)),
        }
    }
}

/// How the service ends.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long after SIGTERM it still serves while `/health/ready` says `draining`, so that balancers notice. `dev` does
    /// without, and Ctrl-C (SIGINT) never waits.
    pub delay: Period,
    /// How long requests under way may then take to finish. Kubernetes kills after 30 s in all unless told otherwise.
    pub deadline: Period,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { delay: Period(Duration::from_secs(5)), deadline: Period(Duration::from_secs(20)) }
    }
}
