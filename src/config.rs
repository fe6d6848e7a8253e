//! Configuration: `signet.toml`, then `SIGNET_…` environment variables on top. The doc comments are the reference:
//! `docs/configuration.md` is made from them.

#[cfg(test)]
mod reference;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::Value as Schema;

use crate::access::scope::Scope;
use crate::db::Url;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The URL that names this service in tokens (`iss`) and under which clients reach its `/.well-known` documents,
    /// without a trailing slash. `serve` demands it; `dev` derives it from the address it listens on.
    pub issuer: String,
    /// Whom the access tokens are for (`aud`). Sibling services demand it. Empty: the issuer.
    pub audience: String,
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
    /// What a new password must be like.
    pub password: PasswordConfig,
    /// How passwords are hashed.
    pub hashing: HashingConfig,
    /// The token endpoint.
    pub oauth: OAuthConfig,
    /// Logs.
    pub log: LogConfig,
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
    /// Connections to the database.
    pub pool_size: u32,
    /// How long a request waits for a connection before it is answered 503.
    pub max_wait: Period,
}

const DEFAULT_DATABASE_URL: &str = "sqlite:data/signet.db";

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: Secret(DEFAULT_DATABASE_URL.to_owned()), pool_size: 8, max_wait: Period(Duration::from_secs(3)) }
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
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            idle_ttl: Period(Duration::from_secs(7 * 24 * 3600)),
            max_ttl: Period(Duration::from_secs(30 * 24 * 3600)),
            grace: Period(Duration::from_secs(30)),
            recovery: None,
        }
    }
}

/// What a new password must be like.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordConfig {
    /// The fewest characters of a new password, 8 to 64. 15 is advisable while the password is the only factor.
    pub min_length: usize,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { min_length: 8 }
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
    /// The scope of a session, unless less is asked for. `account` opens the user's own account here.
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

/// Logs.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least level that is written: `error`, `warn`, `info`, `debug`.
    pub level: LogLevel,
    /// `json` for machines, `text` for people. `dev` writes text.
    pub format: LogFormat,
}

/// See [`LogConfig::level`].
#[derive(Debug, Clone, Copy, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

impl LogLevel {
    pub(crate) fn as_tracing(self) -> tracing::Level {
        match self {
            Self::Error => tracing::Level::ERROR,
            Self::Warn => tracing::Level::WARN,
            Self::Info => tracing::Level::INFO,
            Self::Debug => tracing::Level::DEBUG,
        }
    }
}

/// See [`LogConfig::format`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// A span of time, written `30s`, `15m`, `12h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|_| de::Error::custom("a duration reads like 30s, 15m, 12h or 7d"))
    }
}

/// As it is written in a file.
impl serde::Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "duration"})
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            _ if self.0.subsec_nanos() > 0 => humantime::format_duration(self.0).fmt(f),
            0 => f.write_str("0s"),
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

/// A configured value that is never printed, and never written either: a key that has one says its default itself.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(secret)" })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "password"})
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| de::Error::custom(format!("`{text}` is neither an address nor a network like 10.0.0.0/8")))
        })
        .collect()
}

/// Why the configuration cannot be used; one line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Error(pub String);

/// Where configuration comes from; tests bring their own environment.
#[derive(Debug, Default)]
pub struct Sources {
    /// Values for keys that neither of the others sets.
    pub defaults: Vec<(&'static str, String)>,
    /// The file's path and text, if there is a file.
    pub file: Option<(PathBuf, String)>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
}

/// Prefix of the environment variables that configure.
const PREFIX: &str = "SIGNET_";
/// Variables with the prefix that are not keys: the file's own path, and what the project's tests read.
const NOT_KEYS: [&str; 2] = ["SIGNET_CONFIG", "SIGNET_TEST_"];

impl Sources {
    /// The process's environment, and the file at `path` or, if none is named, `signet.toml` where there is one.
    ///
    /// # Errors
    /// If the named file cannot be read.
    pub fn of_process(path: Option<&Path>) -> Result<Self, Error> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        let named = path.map(Path::to_owned).or_else(|| environment.get("SIGNET_CONFIG").map(PathBuf::from));
        let file = match named {
            Some(path) => Some((path.clone(), read(&path)?)),
            None => match std::fs::read_to_string("signet.toml") {
                Ok(text) => Some((PathBuf::from("signet.toml"), text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(Error(format!("cannot read signet.toml: {error}"))),
            },
        };
        Ok(Self { defaults: Vec::new(), file, environment })
    }

    /// The configuration that these sources give.
    ///
    /// # Errors
    /// The first thing wrong: an unknown key, a value of the wrong form.
    pub fn config(&self) -> Result<Config, Error> {
        let schema = schema();
        let (origin, mut table) = match &self.file {
            Some((path, text)) => {
                let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
                    Error(format!("{}: {}", path.display(), one_line(error.message())))
                })?;
                (path.display().to_string(), table)
            }
            None => ("the environment".to_owned(), toml::Table::new()),
        };
        refuse_unknown_keys(&schema, &table, &mut Vec::new())
            .map_err(|Error(text)| Error(format!("{origin}: {text}")))?;
        for (name, value) in &self.environment {
            if NOT_KEYS.iter().any(|other| name == other || (other.ends_with('_') && name.starts_with(other))) {
                continue;
            }
            set_from_environment(&schema, &mut table, name, value)?;
        }
        for (key, value) in &self.defaults {
            let path: Vec<&str> = key.split('.').collect();
            set(&mut table, &path, toml::Value::String(value.clone()), false).map_err(Error)?;
        }
        table.try_into().map_err(|error: toml::de::Error| {
            Error(format!("the configuration is invalid: {}", one_line(&error.to_string())))
        })
    }
}

/// The JSON schema of [`Config`], from which the key reference is made and environment variables get their types.
pub fn schema() -> Schema {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>().to_value()
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error(format!("cannot read {}: {error}", path.display())))
}

/// TOML's errors draw the line they complain about, and libpq explains itself at length; a log has room for one line.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn refuse_unknown_keys(schema: &Schema, table: &toml::Table, path: &mut Vec<String>) -> Result<(), Error> {
    for (key, value) in table {
        path.push(key.clone());
        let Some(sub) = schema["properties"].get(key) else {
            return Err(unknown_key(&path.join(".")));
        };
        if let (toml::Value::Table(table), true) = (value, sub.get("properties").is_some()) {
            refuse_unknown_keys(sub, table, path)?;
        }
        path.pop();
    }
    Ok(())
}

fn unknown_key(key: &str) -> Error {
    let schema = schema();
    let nearest = keys(&schema).into_iter().map(|(known, _)| (strsim::damerau_levenshtein(&known, key), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 6 => {
            Error(format!("there is no key `{key}`; did you mean `{nearest}`?"))
        }
        _ => Error(format!("there is no key `{key}`; docs/configuration.md lists them")),
    }
}

/// Every key, dotted, with its own schema.
fn keys(schema: &Schema) -> Vec<(String, &Schema)> {
    fn walk<'a>(schema: &'a Schema, prefix: &str, found: &mut Vec<(String, &'a Schema)>) {
        for (name, sub) in schema["properties"].as_object().into_iter().flatten() {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if sub.get("properties").is_some() { walk(sub, &key, found) } else { found.push((key, sub)) }
        }
    }
    let mut found = Vec::new();
    walk(schema, "", &mut found);
    found
}

/// `SIGNET_SESSION__GRACE=30s`, or `SIGNET_DATABASE__URL_FILE=/run/secrets/url` for the value in a mounted file.
fn set_from_environment(schema: &Schema, table: &mut toml::Table, name: &str, value: &str) -> Result<(), Error> {
    let variable = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
    let (variable, value) = match variable.strip_suffix("_file") {
        Some(variable) => (variable.to_owned(), Cow::Owned(read(Path::new(value))?.trim_end_matches('\n').to_owned())),
        None => (variable, Cow::Borrowed(value)),
    };
    let path: Vec<&str> = variable.split("__").collect();
    let mut sub = schema;
    for key in &path {
        sub = sub["properties"].get(key).ok_or_else(|| {
            let Error(text) = unknown_key(&path.join("."));
            Error(format!("{name}: {text}"))
        })?;
    }
    let value = typed(sub, &value).ok_or_else(|| Error(format!("{name}: this is not a value of the key's type")))?;
    set(table, &path, value, true).map_err(|reason| Error(format!("{name}: {reason}")))
}

/// Puts a value at a path, making the tables on the way; one that is there stays unless it is to be replaced.
fn set(table: &mut toml::Table, path: &[&str], value: toml::Value, replace: bool) -> Result<(), String> {
    let (last, parents) = path.split_last().expect("a path has at least one part");
    let mut table = table;
    for key in parents {
        let entry = table.entry((*key).to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().ok_or_else(|| format!("`{key}` is no table"))?;
    }
    if replace || !table.contains_key(*last) {
        table.insert((*last).to_owned(), value);
    }
    Ok(())
}

/// Environment variables are text; the schema says what kind of text. Lists are comma-separated.
fn typed(schema: &Schema, text: &str) -> Option<toml::Value> {
    let kind = match &schema["type"] {
        Schema::String(kind) => kind.as_str(),
        Schema::Array(kinds) => kinds.first().and_then(Schema::as_str).unwrap_or_default(),
        _ => "string",
    };
    match kind {
        "boolean" => text.parse().ok().map(toml::Value::Boolean),
        "integer" => text.parse().ok().map(toml::Value::Integer),
        "array" => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect()))
        }
        "object" => None,
        _ => Some(toml::Value::String(text.to_owned())),
    }
}

/// The longest life of an access token.
pub const MAX_ACCESS_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

impl Config {
    /// `aud`: what is configured, or else the issuer.
    pub fn audience(&self) -> &str {
        if self.audience.is_empty() { &self.issuer } else { &self.audience }
    }

    /// Whether clients reach the service over TLS; decides what a cookie may carry.
    pub fn is_https(&self) -> bool {
        self.issuer.starts_with("https://")
    }

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
        for origin in &self.public.allowed_origins {
            let parsed = url::Url::parse(origin).ok().map(|url| url.origin().ascii_serialization());
            demand(
                parsed.as_deref() == Some(origin.as_str()),
                &format!("public.allowed_origins: `{origin}` does not read like https://app.example"),
            );
        }
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

    fn sources(file: &str, environment: &[(&str, &str)]) -> Sources {
        Sources {
            file: (!file.is_empty()).then(|| (PathBuf::from("signet.toml"), file.to_owned())),
            defaults: Vec::new(),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = sources(
            "issuer = 'https://id.example'\n[session]\ngrace = '10s'\nidle_ttl = '1d'",
            &[
                ("SIGNET_SESSION__GRACE", "45s"),
                ("SIGNET_OAUTH__PASSWORD_GRANT", "true"),
                ("SIGNET_DATABASE__POOL_SIZE", "3"),
                ("SIGNET_PUBLIC__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
            ],
        )
        .config()
        .expect("valid");
        assert_eq!(config.session.grace, Period(Duration::from_secs(45)));
        assert_eq!(config.session.idle_ttl, Period(Duration::from_secs(86_400)));
        assert!(config.oauth.password_grant);
        assert_eq!(config.database.pool_size, 3);
        assert_eq!(config.public.trusted_proxies.len(), 2);
        assert_eq!(config.audience(), "https://id.example");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest() {
        let error =
            |file: &str, environment: &[(&str, &str)]| sources(file, environment).config().expect_err("unknown").0;
        assert_eq!(
            error("[session]\ngrase = '10s'", &[]),
            "signet.toml: there is no key `session.grase`; did you mean `session.grace`?"
        );
        assert_eq!(
            error("", &[("SIGNET_SESION__GRACE", "1s")]),
            "SIGNET_SESION__GRACE: there is no key `sesion.grace`; did you mean `session.grace`?"
        );
        assert!(error("wholly_different_thing = 1", &[]).contains("docs/configuration.md"));
    }

    #[test]
    fn a_value_of_the_wrong_form_is_one_clear_line() {
        let error = sources("[token]\naccess_ttl = 'soon'", &[]).config().expect_err("no duration").0;
        assert!(error.contains("a duration reads like 30s") && !error.contains('\n'), "{error}");
        let error = sources("", &[("SIGNET_DATABASE__POOL_SIZE", "many")]).config().expect_err("no number").0;
        assert_eq!(error, "SIGNET_DATABASE__POOL_SIZE: this is not a value of the key's type");
    }

    #[test]
    fn a_secret_can_come_from_a_file_and_is_never_printed() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "postgres://u:hunter2@h/d\n").expect("writes");
        let path = file.path().to_str().expect("UTF-8");
        let config = sources("", &[("SIGNET_DATABASE__URL_FILE", path)]).config().expect("valid");
        assert_eq!(config.database.url.0, "postgres://u:hunter2@h/d");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn each_bad_value_is_a_finding() {
        let findings = |file: &str| sources(file, &[]).config().expect("parses").findings();
        assert_eq!(findings("issuer = 'https://id.example/auth'"), Vec::<String>::new());
        assert_eq!(findings("issuer = 'http://localhost:8080'"), Vec::<String>::new());
        for (file, finding) in [
            ("", "issuer: is not set"),
            ("issuer = 'https://id.example/'", "issuer: must not end with a slash"),
            ("issuer = 'http://id.example'", "issuer: must be https"),
            ("issuer = 'https://x'\n[token]\naccess_ttl = '31d'", "token.access_ttl: must be at most 30d"),
            ("issuer = 'https://x'\n[password]\nmin_length = 4", "password.min_length"),
            ("issuer = 'https://x'\n[database]\nurl = 'mysql://x'", "database.url"),
            ("issuer = 'https://x'\n[public]\nallowed_origins = ['https://a.example/']", "public.allowed_origins"),
        ] {
            let found = findings(file);
            assert!(found.iter().any(|line| line.starts_with(finding)), "{file}: {found:?}");
        }
    }

    #[test]
    fn periods_print_as_they_are_written() {
        for text in ["30s", "15m", "12h", "7d", "0s", "90s", "1s 500ms"] {
            let period: Period = serde_json::from_value(text.into()).expect("parses");
            assert_eq!(period.to_string(), text);
        }
    }
}
