//! `[account]`: how accounts end.

use std::time::Duration;

use schemars::JsonSchema;

use super::Period;

/// Accounts, and how they end.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountConfig {
    /// How long an account that was deleted can be brought back. Nobody can log in to it meanwhile, and its address stays
    /// taken; then everything of it is removed. `0s`: at once.
    pub deletion_grace: Period,
}

impl Default for AccountConfig {
    fn default() -> Self {
        Self { deletion_grace: Period(Duration::from_secs(30 * 24 * 3600)) }
    }
}

/// Longer is no deletion.
const MAX_DELETION_GRACE: Duration = Duration::from_secs(3650 * 24 * 3600);

impl AccountConfig {
    /// Everything wrong with these values, one line each.
    pub(super) fn findings(&self) -> Vec<String> {
        let grace = self.deletion_grace.0;
        if grace > MAX_DELETION_GRACE {
            return vec!["account.deletion_grace: must be at most 3650d".to_owned()];
        }
        Vec::new()
    }
}
