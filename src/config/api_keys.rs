//! `[api_keys]`.

use std::time::Duration;

use schemars::JsonSchema;

use super::Period;

/// API keys.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeysConfig {
    /// How many keys that work one user may have, at most 1000. 0: nobody makes any; those that there are go on.
    pub max_per_user: u32,
    /// How long a key works if its user does not say.
    pub default_ttl: Period,
    /// How long a key may work at most, from its creation or its last rotation.
    pub max_ttl: Period,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// No calendar that a database keeps ends within it, and a field takes no more.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);
const MOST: u32 = 1000;

impl Default for ApiKeysConfig {
    fn default() -> Self {
        Self { max_per_user: 20, default_ttl: Period(90 * DAY), max_ttl: Period(365 * DAY) }
    }
}

impl ApiKeysConfig {
    /// What is wrong with these values, one line each.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut demand = |holds: bool, otherwise: &str| {
            if !holds {
                findings.push(otherwise.to_owned());
            }
        };
        demand(self.max_per_user <= MOST, "api_keys.max_per_user: must be at most 1000");
        demand(!self.default_ttl.0.is_zero(), "api_keys.default_ttl: must be longer than 0s");
        demand(self.default_ttl <= self.max_ttl, "api_keys.default_ttl: must not exceed api_keys.max_ttl");
        demand(self.max_ttl.0 <= LONGEST, "api_keys.max_ttl: must be at most 3650d");
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_a_finding() {
        let findings = |file: &str| toml::from_str::<ApiKeysConfig>(file).expect("parses").findings();
        assert_eq!(findings(""), Vec::<String>::new());
        for (file, finding) in [
            ("max_per_user = 1001", "api_keys.max_per_user"),
            ("default_ttl = '0s'", "api_keys.default_ttl: must be longer"),
            ("default_ttl = '366d'", "api_keys.default_ttl: must not exceed"),
            ("max_ttl = '3651d'", "api_keys.max_ttl"),
        ] {
            let found = findings(file);
            assert!(found.len() == 1 && found[0].starts_with(finding), "{file}: {found:?}");
        }
    }
}
