//! What is to be known of each kind of event: whether something succeeded or failed, and what siblings are told. Pure.
//!
//! It follows from the kind that is in the row, so it holds for the events of every earlier release, too. Siblings get ids
//! and names of what changed, never an e-mail address, an address or a user agent.

use serde_json::{Value, json};

/// Whether what somebody wanted happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused, or found to be an abuse.
    Failure,
}

impl Outcome {
    /// Kinds of failures end in `_fail`, as in the OWASP vocabulary, but for two that have names of their own there.
    pub fn of(kind: &str) -> Self {
        let is_failure = kind.ends_with("_fail") || ["authn_token_reuse", "excess_rate_limit_exceeded"].contains(&kind);
        if is_failure { Self::Failure } else { Self::Success }
    }
}

/// What siblings subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PublicType {
    UserCreated,
    UserUpdated,
    UserDisabled,
    UserEnabled,
    UserDeleted,
    SessionRevoked,
    WebhookTest,
}

impl PublicType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::UserCreated,
        Self::UserUpdated,
        Self::UserDisabled,
        Self::UserEnabled,
        Self::UserDeleted,
        Self::SessionRevoked,
        Self::WebhookTest,
    ];

    /// The `type` of a message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user.created",
            Self::UserUpdated => "user.updated",
            Self::UserDisabled => "user.disabled",
            Self::UserEnabled => "user.enabled",
            Self::UserDeleted => "user.deleted",
            Self::SessionRevoked => "session.revoked",
            Self::WebhookTest => "webhook.test",
        }
    }
}

/// A kind of event that siblings are told of, and how.
struct Public {
    kind: &'static str,
    r#type: PublicType,
    /// Of a change, what changed; of an end of sessions, why.
    what: &'static str,
    /// Which sessions ended with it.
    sessions_ended: Option<&'static str>,
}

const fn public(kind: &'static str, r#type: PublicType, what: &'static str) -> Public {
    Public { kind, r#type, what, sessions_ended: None }
}

const fn ending(sessions: &'static str, public: Public) -> Public {
    Public { sessions_ended: Some(sessions), ..public }
}

const PUBLIC: [Public; 21] = {
    use PublicType::{SessionRevoked, UserCreated, UserDisabled, UserEnabled, UserUpdated};
    [
        public("user_registered", UserCreated, ""),
        public("user_created", UserCreated, ""),
        // What changed is in its detail.
        public("user_updated", UserUpdated, ""),
        public("user_email_verified", UserUpdated, "is_verified"),
        public("user_email_changed", UserUpdated, "email"),
        public("authz_roles_change", UserUpdated, "roles"),
        ending("others", public("authn_password_change", UserUpdated, "password")),
        ending("all", public("authn_password_reset", UserUpdated, "password")),
        ending("all", public("user_password_set", UserUpdated, "password")),
        public("user_password_voided", UserUpdated, "password"),
        ending("all", public("user_password_reset_forced", UserUpdated, "password")),
        ending("others", public("user_factor_added", UserUpdated, "second_factor")),
        ending("others", public("user_factor_removed", UserUpdated, "second_factor")),
        ending("all", public("user_disabled", UserDisabled, "")),
        public("user_enabled", UserEnabled, ""),
        ending("all", public("user_deleted", PublicType::UserDeleted, "")),
        // As they were before: they may be disabled.
        public("user_restored", UserUpdated, "restored"),
        public("authn_logout", SessionRevoked, "logged_out"),
        public("session_revoked", SessionRevoked, "revoked_by_user"),
        public("authn_token_reuse", SessionRevoked, "token_reused"),
        public("user_sessions_ended", SessionRevoked, "ended_by_operator"),
    ]
};

/// Kinds that nobody outside is told of: failures, what is only asked for, log-ins, what concerns no user, what a sibling has
/// no part in; and imports, of a hundred thousand at a time.
#[cfg(test)]
const PRIVATE: [&str; 36] = [
    "user_imported",
    "user_purged",
    "user_impersonated",
    "user_data_exported",
    "user_delete_fail",
    "authn_factor_required",
    "authn_factor_fail",
    "user_factor_enrolment_begun",
    "authn_recovery_code_used",
    "user_recovery_codes_made",
    "user_factors_resealed",
    "api_key_created",
    "api_key_rotated",
    "api_key_revoked",
    "api_keys_revoked",
    "authn_api_key_fail",
    "authn_api_key_new_source",
    "user_registered_again",
    "user_email_verification_requested",
    "authn_password_reset_requested",
    "user_email_change_requested",
    "user_email_change_fail",
    "user_email_change_confirmed",
    "user_invited",
    "user_link_issued",
    "authn_login_success",
    "authn_login_fail",
    "excess_rate_limit_exceeded",
    "authn_token_recovered",
    "authn_password_change_fail",
    "webhook_created",
    "webhook_updated",
    "webhook_deleted",
    "webhook_disabled",
    "webhook_tested",
    "webhook_replayed",
];

/// What siblings are told of an event: its type, and the `data` of the message. `None`: nothing.
pub fn told(kind: &str, subject: Option<Value>, session: Option<Value>, detail: &Value) -> Option<(PublicType, Value)> {
    let Public { r#type, what, sessions_ended, .. } = PUBLIC.iter().find(|public| public.kind == kind)?;
    let mut data = json!({"user_id": subject?});
    // What an administrator did was done in a session of their own.
    let is_in_session = session.is_some() && detail["by_session"].is_null();
    match r#type {
        PublicType::UserUpdated => {
            data["changed"] = if what.is_empty() { detail["changed"].clone() } else { json!([what]) };
        }
        PublicType::SessionRevoked => {
            // The events that end all have a session only if it was from there that they were ended.
            let all = detail["all"] == true || kind == "user_sessions_ended";
            data["session_id"] = if all { Value::Null } else { session.unwrap_or_default() };
            data["all"] = all.into();
            data["reason"] = (*what).into();
        }
        PublicType::UserCreated
        | PublicType::UserDisabled
        | PublicType::UserEnabled
        | PublicType::UserDeleted
        | PublicType::WebhookTest => {}
    }
    if matches!(kind, "authz_roles_change" | "user_created") {
        data["roles"] = detail["roles"].clone();
    }
    if let Some(which) = sessions_ended {
        // Where nobody did it from one of them, there is none that the others are other than.
        data["sessions_ended"] = if is_in_session { *which } else { "all" }.into();
    }
    Some((*r#type, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The literals of the kind in `Event::columns`, as the source has them.
    fn kinds_in_the_source() -> Vec<&'static str> {
        let source = include_str!("event.rs");
        let of_columns = source.split("fn columns(").nth(1).expect("there").split("\n}\n").next().expect("its end");
        let literals = of_columns.split('"').skip(1).step_by(2);
        let prefixes = ["api_key", "authn_", "authz_", "user_", "session_", "excess_", "webhook_"];
        literals.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))).collect()
    }

    #[test]
    fn of_each_kind_it_is_decided_whether_siblings_are_told() {
        let kinds = kinds_in_the_source();
        assert!(kinds.len() > 25, "{kinds:?}");
        for kind in kinds {
            let is_public = PUBLIC.iter().any(|public| public.kind == kind);
            assert!(is_public != PRIVATE.contains(&kind), "{kind}: write it into PUBLIC or PRIVATE, not both");
        }
    }

    #[test]
    fn failures_are_told_from_successes() {
        for kind in ["authn_login_fail", "authn_token_reuse", "excess_rate_limit_exceeded", "user_email_change_fail"] {
            assert_eq!(Outcome::of(kind), Outcome::Failure, "{kind}");
        }
        for kind in ["authn_login_success", "authn_logout", "user_registered", "session_revoked"] {
            assert_eq!(Outcome::of(kind), Outcome::Success, "{kind}");
        }
    }

    #[test]
    fn a_message_has_ids_and_what_changed_and_nothing_else() {
        let data =
            |kind: &str, detail: Value| told(kind, Some(json!("u")), Some(json!("s")), &detail).map(|told| told.1);
        assert_eq!(data("user_registered", json!({})), Some(json!({"user_id": "u"})));
        assert_eq!(
            data("user_updated", json!({"changed": ["name"]})),
            Some(json!({"user_id": "u", "changed": ["name"]}))
        );
        assert_eq!(
            data("authz_roles_change", json!({"roles": ["admin"]})),
            Some(json!({"user_id": "u", "changed": ["roles"], "roles": ["admin"]}))
        );
        assert_eq!(
            data("authn_password_change", json!({})),
            Some(json!({"user_id": "u", "changed": ["password"], "sessions_ended": "others"}))
        );
        assert_eq!(
            data("user_factor_removed", json!({"factor": "totp", "by_session": "an administrator's"})),
            Some(json!({"user_id": "u", "changed": ["second_factor"], "sessions_ended": "all"}))
        );
        assert_eq!(
            data("authn_logout", json!({"all": false})),
            Some(json!({"user_id": "u", "session_id": "s", "all": false, "reason": "logged_out"}))
        );
        assert_eq!(
            data("authn_logout", json!({"all": true})),
            Some(json!({"user_id": "u", "session_id": null, "all": true, "reason": "logged_out"}))
        );
        assert_eq!(data("authn_login_fail", json!({"reason": "wrong_password"})), None);
        assert_eq!(data("a_kind_of_another_release", json!({})), None);
    }
}
