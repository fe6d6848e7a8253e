//! Where configuration comes from: a file, the environment on top, and for `dev` defaults below both. The JSON schema of
//! [`Config`] says which keys there are and what kind of value an environment variable stands for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value as Schema;

use super::Config;

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
pub(super) const PREFIX: &str = "SIGNET_";
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
        let by_option = path.map(|path| ("--config", path.to_owned()));
        let named = by_option.or_else(|| Some(("SIGNET_CONFIG", PathBuf::from(environment.get("SIGNET_CONFIG")?))));
        let file = match named {
            Some((by, path)) => {
                let text = read(&path).map_err(|Error(text)| Error(format!("{text}; {by} names this file")))?;
                Some((path, text))
            }
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
                    let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
                    Error(format!("{}: line {line}: {}", path.display(), one_line(error.message())))
                })?;
                (path.display().to_string(), table)
            }
            None => ("the environment".to_owned(), toml::Table::new()),
        };
        refuse_unknown_keys(schema, &table, &mut Vec::new())
            .map_err(|Error(text)| Error(format!("{origin}: {text}")))?;
        for (name, value) in &self.environment {
            if NOT_KEYS.iter().any(|other| name == other || (other.ends_with('_') && name.starts_with(other))) {
                continue;
            }
            set_from_environment(schema, &mut table, name, value)?;
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

/// The environment variable of a key: `SIGNET_SESSION__GRACE` for `session.grace`.
pub(crate) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The JSON schema of [`Config`], from which the key reference is made and environment variables get their types.
pub(super) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let settings =
            schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        settings.into_generator().into_root_schema_for::<Config>().to_value()
    });
    &SCHEMA
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
        let Some(sub) = member(schema, key) else {
            return Err(unknown_key(&path.join(".")));
        };
        if let (toml::Value::Table(table), true) = (value, sub.get("properties").is_some()) {
            refuse_unknown_keys(sub, table, path)?;
        }
        path.pop();
    }
    Ok(())
}

/// What a key of a table stands for: one of those that there are, or where the table takes any, as `[roles]` does, that.
fn member<'a>(schema: &'a Schema, key: &str) -> Option<&'a Schema> {
    schema["properties"]
        .get(key)
        .or_else(|| schema["additionalProperties"].as_object().map(|_| &schema["additionalProperties"]))
}

fn unknown_key(key: &str) -> Error {
    let schema = schema();
    let nearest = keys(schema).into_iter().map(|(known, _)| (strsim::damerau_levenshtein(&known, key), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 6 => {
            Error(format!("there is no key `{key}`; did you mean `{nearest}`?"))
        }
        _ => Error(format!("there is no key `{key}`; docs/configuration.md lists them")),
    }
}

/// Every key, dotted, with its own schema.
pub(super) fn keys(schema: &Schema) -> Vec<(String, &Schema)> {
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

fn is_key(schema: &Schema, variable: &str) -> bool {
    let mut keys = variable.split("__");
    let root = keys.next().and_then(|key| schema["properties"].get(key));
    keys.try_fold(root, |sub, key| sub.map(|sub| sub["properties"].get(key))).flatten().is_some()
}

/// `SIGNET_SESSION__GRACE=30s`, or `SIGNET_DATABASE__URL_FILE=/run/secrets/url` for the value in a mounted file.
fn set_from_environment(schema: &Schema, table: &mut toml::Table, name: &str, value: &str) -> Result<(), Error> {
    let variable = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
    // A key may itself end so, as `mail.ca_file`: then the value is the path.
    let of_file = variable.strip_suffix("_file").filter(|_| !is_key(schema, &variable));
    let (variable, value) = match of_file {
        Some(variable) => {
            let text = read(Path::new(value)).map_err(|Error(text)| Error(format!("{name}: {text}")))?;
            (variable.to_owned(), Cow::Owned(text.trim_end_matches('\n').to_owned()))
        }
        None => (variable, Cow::Borrowed(value)),
    };
    let path: Vec<&str> = variable.split("__").collect();
    let mut sub = schema;
    for key in &path {
        sub = member(sub, key).ok_or_else(|| {
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
        "number" => text.parse().ok().map(toml::Value::Float),
        "array" => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect()))
        }
        "object" => None,
        _ => Some(toml::Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Period;

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
    fn a_role_of_any_name_is_a_key() {
        let environment = [("SIGNET_ROLES__ON_CALL", "page"), ("SIGNET_ROLES__USER", "read")];
        let config = sources("[roles]\nsupport-2 = 'tickets'", &environment).config().expect("valid");
        let rights = |roles: &str| config.rights().grant(None, &roles.parse().expect("roles")).to_string();
        assert_eq!(rights("on_call support-2 user"), "account page read tickets");
        let error = sources("[roles.user]\nx = 1", &[]).config().expect_err("no scope").0;
        assert!(!error.contains('\n'), "{error}");
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
        // Keys that are called so themselves.
        let paths = [("SIGNET_MAIL__CA_FILE", "/ca.pem"), ("SIGNET_PASSWORD__BREACHED_FILE", "/list.txt")];
        let config = sources("", &paths).config().expect("valid");
        assert_eq!(
            (config.mail.ca_file.to_str(), config.password.breached_file.to_str()),
            (Some("/ca.pem"), Some("/list.txt"))
        );
    }
}
