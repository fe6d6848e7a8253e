//! Every secret that a test sends or is sent: noted in a file for `standards::logs`, which looks for them in all that was
//! logged meanwhile. In any other run nothing is noted.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signet::config::{Config, LogLevel};
use signet::telemetry::{self, Export};

use super::Answer;

/// Names the file.
pub const FILE: &str = "SIGNET_TEST_SECRETS";

/// Members of bodies and fields of forms whose values are nobody else's business.
const PRIVATE: [&str; 18] = [
    "access_token",
    "client_secret",
    "current_password",
    "device_token",
    "email",
    "invitation",
    "key",
    "mfa_token",
    "new_email",
    "new_password",
    "otpauth_uri",
    "password",
    "recovery_codes",
    "refresh_token",
    "subject_token",
    "secret",
    "token",
    "username",
];

/// Whether somebody will look at the logs of this run.
pub fn are_noted() -> bool {
    file().is_some()
}

/// Has the services of this process log all that they ever do, if somebody will look. Spans go to a collector that is not
/// there.
pub fn watch() {
    static EXPORT: OnceLock<Option<Export>> = OnceLock::new();
    if are_noted() {
        let mut config = Config::default();
        config.log.level = LogLevel::Debug;
        config.traces.endpoint = "http://127.0.0.1:9".to_owned();
        EXPORT.get_or_init(|| telemetry::start(&config));
    }
}

/// Puts what a program wrote to its standard error into ours, if somebody will look.
pub fn pass_on(text: &str) {
    if are_noted() && !text.is_empty() {
        // At once, so that no other line comes between.
        let _ = std::io::stderr().write_all(format!("{}\n", text.trim_end_matches('\n')).as_bytes());
    }
}

fn file() -> Option<&'static File> {
    static OPEN: OnceLock<Option<File>> = OnceLock::new();
    let open = || Some(OpenOptions::new().append(true).create(true).open(std::env::var_os(FILE)?).expect("a file"));
    OPEN.get_or_init(open).as_ref()
}

/// Notes one, as a JSON string on a line of its own.
pub fn note(secret: &str) {
    if let Some(mut file) = file() {
        file.write_all(format!("{}\n", Value::from(secret)).as_bytes()).expect("written");
    }
}

/// Notes what a service is started with.
pub fn note_config(config: &Config) {
    if !are_noted() {
        return;
    }
    note(&config.hashing.pepper.0);
    note(&config.mfa.secret_key.0);
    note_database_url(&config.database.url.0);
    for entry in std::fs::read_dir(&config.keys.dir).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        text.lines().filter(|line| !line.starts_with("-----")).for_each(note);
    }
}

/// Notes the password in it.
pub fn note_database_url(url: &str) {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(before, _)| before);
    if let Some((_, password)) = authority.and_then(|user| user.split_once(':')) {
        note(password);
    }
}

/// Notes the secrets in a request.
pub fn note_request(headers: &[(String, String)], body: &[u8]) {
    if !are_noted() {
        return;
    }
    for (name, value) in headers {
        match name.as_str() {
            "authorization" => note_credentials(value),
            "x-api-key" => note(value),
            "cookie" => value.split(';').filter_map(|pair| pair.split_once('=')).for_each(|(_, value)| note(value)),
            _ => {}
        }
    }
    match serde_json::from_slice(body) {
        Ok(json) => note_members(&json),
        Err(_) => url::form_urlencoded::parse(body)
            .filter(|(name, _)| PRIVATE.contains(&name.as_ref()))
            .for_each(|(_, value)| note(&value)),
    }
}

/// Notes the secrets in an answer.
pub fn note_answer(answer: &Answer) {
    if !are_noted() {
        return;
    }
    for cookie in answer.headers.get_all("set-cookie") {
        let pair = cookie.to_str().ok().and_then(|cookie| cookie.split(';').next()?.split_once('='));
        pair.into_iter().for_each(|(_, value)| note(value));
    }
    if let Ok(json) = serde_json::from_str(&answer.text) {
        note_members(&json);
    }
}

fn note_credentials(header: &str) {
    for word in header.split_whitespace().skip(1) {
        note(word);
        let pair = STANDARD.decode(word).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((_, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
            note(secret);
        }
    }
}

fn note_members(json: &Value) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if PRIVATE.contains(&name.as_str()) => note_token_or_text(text),
                    Value::Array(items) if PRIVATE.contains(&name.as_str()) => {
                        items.iter().filter_map(Value::as_str).for_each(note_token_or_text);
                    }
                    _ => note_members(value),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(note_members),
        _ => {}
    }
}

/// Of a JWT the signature too: without it nobody gets in, and the rest of it alone would be cut off somewhere.
fn note_token_or_text(text: &str) {
    note(text);
    if let [_, claims, signature] = text.split('.').collect::<Vec<_>>()[..] {
        note(claims);
        note(signature);
    }
}
