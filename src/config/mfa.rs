//! `[mfa]` and `[step_up]`: second factors, and when a log-in must be fresh.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use zeroize::Zeroizing;

use super::{Period, Secret};
use crate::random;

/// Second factors.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MfaConfig {
    /// What the secrets of authenticator apps are sealed with in the database: 32 random bytes in base64, as
    /// `openssl rand -base64 32` makes them; the same on all instances. Empty: nobody can add a factor, and only recovery
    /// codes work for those who have one. `dev` keeps one in its data folder.
    #[schemars(extend("default" = ""))]
    pub secret_key: Secret,
    /// Keys that were in `secret_key` before. What is sealed with one of them is sealed anew when it is used.
    #[schemars(extend("default" = []))]
    pub older_secret_keys: Vec<Secret>,
    /// What authenticator apps call this service. Empty: the issuer's host.
    pub label: String,
}

/// When a log-in must be fresh, or made with a second factor.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StepUpConfig {
    /// How old a log-in may be for what changes how one logs in and does not ask for the password: adding a second factor.
    /// `0s`: as old as it likes.
    pub max_age: Period,
    /// Whether routes of administrators demand a log-in with a second factor.
    pub demand_mfa_for_admins: bool,
}

impl Default for StepUpConfig {
    fn default() -> Self {
        Self { max_age: Period(Duration::from_secs(15 * 60)), demand_mfa_for_admins: false }
    }
}

impl MfaConfig {
    /// The bytes of a configured key; `None` if the text is none.
    pub(crate) fn key_bytes(key: &Secret) -> Option<Zeroizing<[u8; 32]>> {
        let bytes = Zeroizing::new(STANDARD.decode(key.0.trim()).ok()?);
        <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
    }

    /// A new key, as it is written in a file.
    pub(crate) fn new_key() -> Secret {
        Secret(STANDARD.encode(random::bytes::<32>()))
    }

    /// Everything wrong with these values, one line each.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if !self.secret_key.0.is_empty() && Self::key_bytes(&self.secret_key).is_none() {
            findings.push("mfa.secret_key: must be 32 bytes in base64, as `openssl rand -base64 32` makes".to_owned());
        }
        if !self.older_secret_keys.iter().all(|key| Self::key_bytes(key).is_some()) {
            findings.push("mfa.older_secret_keys: each must be 32 bytes in base64".to_owned());
        }
        if self.label.contains(':') || self.label.chars().any(char::is_control) || self.label.chars().count() > 64 {
            findings.push("mfa.label: must have no `:`, no control character and at most 64 characters".to_owned());
        }
        findings
    }

    /// What works but is weaker than it should be, one line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let is_lost = self.secret_key.0.is_empty() && !self.older_secret_keys.is_empty();
        let line = "mfa.older_secret_keys: without mfa.secret_key nobody can add a second factor";
        is_lost.then(|| line.to_owned()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_key_is_32_bytes_in_base64_and_never_quoted() {
        let config = |file: &str| toml::from_str::<MfaConfig>(file).expect("parses");
        for good in
            ["", &format!("secret_key = '{GOOD}'"), &format!("secret_key = '{GOOD}'\nolder_secret_keys = ['{GOOD}']")]
        {
            assert_eq!(config(good).findings(), Vec::<String>::new(), "{good}");
        }
        for (file, finding) in [
            ("secret_key = 'hunter2'", "mfa.secret_key: "),
            ("secret_key = 'AAECAwQFBgcICQoLDA0ODw=='", "mfa.secret_key: "),
            ("older_secret_keys = ['hunter2']", "mfa.older_secret_keys: "),
            ("older_secret_keys = ['']", "mfa.older_secret_keys: "),
            ("label = 'a:b'", "mfa.label: "),
        ] {
            let found = config(file).findings();
            assert!(found.len() == 1 && found[0].starts_with(finding), "{file}: {found:?}");
            assert!(!found[0].contains("hunter2") && !format!("{:?}", config(file)).contains("hunter2"));
        }
        assert_eq!(config(&format!("older_secret_keys = ['{GOOD}']")).warnings().len(), 1);
        assert_eq!(config(&format!("secret_key = '{GOOD}'")).warnings(), Vec::<String>::new());
    }
}
