//! `[audit]`: the trail. How long it is kept says `cleanup.audit_retention`.

use std::time::Duration;

use schemars::JsonSchema;

use super::Period;

/// The audit trail. How long it is kept says `cleanup.audit_retention`.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// How often new events are tied to the chain, by one instance at a time. Until then nothing proves that they are what they
    /// were, and siblings that poll `GET /v1/admin/events` do not see them.
    pub seal_interval: Period,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { seal_interval: Period(Duration::from_secs(1)) }
    }
}

/// The connection that leads is given up by Postgres when it is idle for a minute.
const LONGEST: Duration = Duration::from_secs(45);

impl AuditConfig {
    /// Everything wrong with these values, one line each.
    pub(super) fn findings(&self) -> Vec<String> {
        let interval = self.seal_interval.0;
        if interval.is_zero() || interval > LONGEST {
            return vec!["audit.seal_interval: must be longer than 0s and at most 45s".to_owned()];
        }
        Vec::new()
    }
}
