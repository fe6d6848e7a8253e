//! `[webhooks]`: where messages to siblings may go.

use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;

use super::Period;
use super::values::networks;
use crate::webhook::address::Policy;

/// Webhooks: where messages to siblings may go. Administrators make the endpoints (`/v1/admin/webhooks`).
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Private networks and addresses in which receivers may be, as `10.0.0.0/8`. Any other private, loopback or link-local
    /// address is refused, whatever name leads there. `dev` allows 127.0.0.1 and ::1 besides.
    #[schemars(with = "Vec<String>")]
    #[serde(deserialize_with = "networks")]
    pub private_networks: Vec<IpNet>,
    /// Whether receivers may be reached over `http`. Messages are signed, not secret; over `http` whoever is on the way reads
    /// them. `dev` always allows it.
    pub allow_http: bool,
    /// How long messages that were delivered or given up are kept, for whoever looks or wants them sent again. At least 1 d.
    pub retention: Period,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self { private_networks: Vec::new(), allow_http: false, retention: Period(30 * DAY) }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl WebhooksConfig {
    /// Where messages may go.
    pub fn policy(&self) -> Policy {
        Policy { private_networks: self.private_networks.clone(), allow_http: self.allow_http }
    }

    /// Everything wrong with these values, one line each.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if self.retention.0 < DAY {
            findings.push("webhooks.retention: must be at least 1d".to_owned());
        }
        if self.private_networks.iter().any(|network| network.prefix_len() == 0) {
            findings.push("webhooks.private_networks: names every address there is".to_owned());
        }
        findings
    }
}
