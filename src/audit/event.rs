//! The events of the trail, and what each is as a row. One enum, so that whoever reads it sees all that leaves a trace.

use serde_json::json;

use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::access::step_up::Proof;
use crate::account::UserId;
use crate::account::one_time::Purpose;
use crate::api_key::ApiKeyId;
use crate::api_key::rules::Refusal;
use crate::clock::Timestamp;
use crate::session::SessionId;
use crate::webhook::EndpointId;

/// Everything that leaves a trace.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the ids of who and what is concerned")]
pub enum Event {
    /// Somebody opened an account.
    Registered { user: UserId, session: Option<SessionId> },
    /// Somebody registered with an address that has an account.
    RegisteredAgain { user: UserId },
    /// The password of an account was taken, since two had registered with its address and nobody had verified it.
    PasswordVoided { user: UserId },
    /// Somebody asked for a mail by which an address is verified.
    VerificationRequested { user: Option<UserId> },
    /// An address was shown to be its user's.
    EmailVerified { user: UserId },
    /// Somebody asked for a new password.
    PasswordResetRequested { user: Option<UserId> },
    /// A new password was chosen with a token, and every session ended.
    PasswordReset { user: UserId },
    /// A user asked for another address.
    EmailChangeRequested { user: UserId, session: SessionId },
    /// A signed-in user who asked for another address gave a wrong password.
    EmailChangeFailed { user: UserId, session: SessionId },
    /// One of the two addresses agreed to the change.
    EmailChangeConfirmed { user: UserId, by_old: bool },
    /// Another address is in force.
    EmailChanged { user: UserId, by_operator: bool },
    /// An operator invited somebody to register.
    Invited,
    /// An operator made a link for a user.
    LinkIssued { user: UserId, purpose: Purpose },
    /// An operator opened an account for somebody.
    UserCreated { user: UserId, roles: Roles },
    /// An operator took a user over from another service.
    UserImported { user: UserId, roles: Roles },
    /// All that was asked for was right and a session began.
    LoggedIn { user: UserId, session: SessionId, proof: Proof },
    /// A password was right, and the code of a second factor is to come.
    FactorRequired { user: UserId },
    /// A second factor was refused, at a log-in or in a session.
    FactorFailed { user: UserId, session: Option<SessionId>, reason: FactorFailure },
    /// A user asked for a secret for an authenticator app, which does not count yet.
    FactorEnrolmentBegun { user: UserId, session: SessionId },
    /// A user added a second factor, and was given recovery codes.
    FactorAdded { user: UserId, session: SessionId },
    /// A user or, without a session, an operator removed it.
    FactorRemoved { user: UserId, session: Option<SessionId> },
    /// An operator had so many secrets of second factors sealed with another key.
    FactorsResealed { count: usize },
    /// A recovery code was used; so many are left.
    RecoveryCodeUsed { user: UserId, left: i64 },
    /// A user was given new recovery codes in place of the others.
    RecoveryCodesMade { user: UserId, session: SessionId },
    /// A log-in was refused.
    LoginFailed { user: Option<UserId>, reason: LoginFailure },
    /// A limit was reached; no further attempt is admitted for so long.
    LimitReached { user: Option<UserId>, limit: &'static str, wait_seconds: u64 },
    /// A user ended this session, or all of theirs.
    LoggedOut { user: UserId, session: SessionId, all: bool },
    /// A refresh token came that only a second holder of the session can have.
    TokenReused { user: UserId, session: SessionId, generation: i64 },
    /// A refresh token was used again because its successor was never seen.
    ResponseRecovered { user: UserId, session: SessionId, generation: i64 },
    /// A user changed what they are called.
    Renamed { user: UserId, session: SessionId },
    /// A user set a new password.
    PasswordChanged { user: UserId, session: SessionId },
    /// A signed-in user gave a wrong current password.
    PasswordChangeFailed { user: UserId, session: SessionId },
    /// A user ended one of their other sessions.
    SessionRevoked { user: UserId, session: SessionId, by: SessionId },
    /// A user made an API key; here and below, without a session somebody else did.
    ApiKeyCreated { user: UserId, session: Option<SessionId>, key: ApiKeyId, scope: Scope },
    /// An API key was given a new secret; the one before it goes on for so long.
    ApiKeyRotated { user: UserId, session: Option<SessionId>, key: ApiKeyId, overlap_seconds: u64 },
    /// An API key was revoked.
    ApiKeyRevoked { user: UserId, session: Option<SessionId>, key: ApiKeyId },
    /// All API keys of a user were revoked, so many.
    ApiKeysRevoked { user: UserId, session: Option<SessionId>, count: usize },
    /// Somebody presented an API key that exists and does not work.
    ApiKeyRefused { user: UserId, key: ApiKeyId, reason: Refusal },
    /// An API key was used from where it had not been used before.
    ApiKeyMoved { user: UserId, key: ApiKeyId },
    /// An administrator began to act for a user, in this session.
    ImpersonationBegun { user: UserId, session: SessionId },
    /// An administrator changed what is known about a user.
    UserUpdated { user: UserId, changed: Vec<&'static str> },
    /// An administrator took a user's password and had them choose another.
    PasswordResetForced { user: UserId, by_mail: bool },
    /// An operator set a user's roles.
    RolesChanged { user: UserId, roles: Roles },
    /// An operator disabled a user.
    UserDisabled { user: UserId, until: Option<Timestamp> },
    /// An operator let a disabled user in again.
    UserEnabled { user: UserId },
    /// An account was deleted, and goes for good at that time. No actor: an operator at the command line.
    UserDeleted { user: UserId, actor: Option<UserId>, session: Option<SessionId>, purge_at: Timestamp },
    /// A user took a copy of everything that is kept about them.
    DataExported { user: UserId, session: SessionId },
    /// A signed-in user who wanted their account deleted gave a wrong password.
    UserDeletionFailed { user: UserId, session: SessionId },
    /// A deleted account was brought back, by its user or by an operator.
    UserRestored { user: UserId, actor: Option<UserId> },
    /// Everything of a deleted account was removed.
    UserPurged { user: UserId, actor: Option<UserId> },
    /// A user logged in who was disabled until a time that is over.
    DisablingEnded { user: UserId },
    /// An operator set a user's password.
    PasswordSet { user: UserId },
    /// An operator ended every session of a user, so many.
    SessionsEnded { user: UserId, count: usize },
    /// An administrator did something with an endpoint of webhooks.
    WebhookManaged { by: UserId, session: SessionId, endpoint: EndpointId, what: WebhookChange },
    /// An endpoint said that it wants no more (410).
    WebhookGone { endpoint: EndpointId },
}

/// What was done with an endpoint of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum WebhookChange {
    Created,
    Updated,
    Deleted,
    Tested,
    Replayed,
}

/// Why a log-in was refused; the caller is never told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// No account has this address.
    UnknownUser,
    /// It is not the account's password.
    WrongPassword,
    /// The password is right, the account disabled.
    Disabled,
    /// The password is right, the address not verified, and `registration` demands it.
    Unverified,
    /// The account was changed while the password was being checked.
    Changed,
}

impl LoginFailure {
    /// The name in the trail and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::Disabled => "disabled",
            Self::Unverified => "unverified",
            Self::Changed => "changed_meanwhile",
        }
    }
}

/// Why a second factor was refused; the caller is never told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorFailure {
    /// It is no code of the factor's.
    WrongCode,
    /// It is, and was used already, or an earlier one than the last.
    UsedCode,
    /// The password that came with it is not the account's.
    WrongPassword,
}

impl FactorFailure {
    /// The name in the trail and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongCode => "wrong_code",
            Self::UsedCode => "used_code",
            Self::WrongPassword => "wrong_password",
        }
    }
}

/// An event taken apart into columns.
pub(super) struct Columns {
    pub(super) kind: &'static str,
    pub(super) subject: Option<UserId>,
    /// `None`: an operator at the command line, or a stranger.
    pub(super) actor: Option<UserId>,
    pub(super) session: Option<SessionId>,
    pub(super) detail: serde_json::Value,
}

impl Event {
    /// The session in which it was done, if that may be one in which an administrator acts for the user. None such begins
    /// with a log-in, and none has a refresh token: the ways that are gone most cost no look.
    pub(super) fn acting_session(&self, columns: &Columns) -> Option<SessionId> {
        let begins_or_goes_on =
            matches!(self, Self::LoggedIn { .. } | Self::Registered { .. } | Self::ResponseRecovered { .. });
        if begins_or_goes_on || columns.actor.is_none() {
            return None;
        }
        if let Self::SessionRevoked { by, .. } = self { Some(*by) } else { columns.session }
    }

    /// Kinds follow the OWASP logging vocabulary where it has a word. One table, long as it is: to cut it would hide what is missing.
    pub(super) fn columns(&self) -> Columns {
        match self {
            Self::Registered { user, session } => Columns { session: *session, ..by_user("user_registered", user) },
            // Who it was, nobody knows: the token, if there was one, came by mail.
            Self::RegisteredAgain { user } => of_operator("user_registered_again", user),
            Self::PasswordVoided { user } => of_operator("user_password_voided", user),
            Self::VerificationRequested { user } => of_stranger("user_email_verification_requested", user),
            Self::EmailVerified { user } => by_user("user_email_verified", user),
            Self::PasswordResetRequested { user } => of_stranger("authn_password_reset_requested", user),
            Self::PasswordReset { user } => by_user("authn_password_reset", user),
            Self::EmailChangeRequested { user, session } => own("user_email_change_requested", user, session),
            Self::EmailChangeFailed { user, session } => own("user_email_change_fail", user, session),
            Self::EmailChangeConfirmed { user, by_old } => {
                let address = if *by_old { "old" } else { "new" };
                by_user("user_email_change_confirmed", user).with(json!({"address": address}))
            }
            Self::EmailChanged { user, by_operator: false } => by_user("user_email_changed", user),
            Self::EmailChanged { user, by_operator: true } => of_operator("user_email_changed", user),
            Self::Invited => of_stranger("user_invited", &None),
            Self::LinkIssued { user, purpose } => {
                of_operator("user_link_issued", user).with(json!({"purpose": purpose.as_str()}))
            }
            Self::UserCreated { user, roles } => of_operator("user_created", user).with(json!({"roles": roles})),
            Self::UserImported { user, roles } => of_operator("user_imported", user).with(json!({"roles": roles})),
            Self::LoggedIn { user, session, proof: Proof::Password } => own("authn_login_success", user, session),
            Self::LoggedIn { user, session, proof } => {
                own("authn_login_success", user, session).with(json!({"factor": proof.as_str()}))
            }
            // Whoever has the password need not be the user.
            Self::FactorRequired { user } => of_stranger("authn_factor_required", &Some(*user)),
            Self::FactorFailed { user, session: None, reason } => {
                of_stranger("authn_factor_fail", &Some(*user)).with(json!({"reason": reason.as_str()}))
            }
            Self::FactorFailed { user, session: Some(session), reason } => {
                own("authn_factor_fail", user, session).with(json!({"reason": reason.as_str()}))
            }
            Self::FactorEnrolmentBegun { user, session } => {
                own("user_factor_enrolment_begun", user, session).with(json!({"factor": "totp"}))
            }
            Self::FactorAdded { user, session } => {
                own("user_factor_added", user, session).with(json!({"factor": "totp"}))
            }
            Self::FactorRemoved { user, session } => {
                by_either("user_factor_removed", user, session).with(json!({"factor": "totp"}))
            }
            Self::FactorsResealed { count } => {
                of_stranger("user_factors_resealed", &None).with(json!({"count": count}))
            }
            Self::RecoveryCodeUsed { user, left } => {
                by_user("authn_recovery_code_used", user).with(json!({"left": left}))
            }
            Self::RecoveryCodesMade { user, session } => own("user_recovery_codes_made", user, session),
            Self::LoginFailed { user, reason } => {
                of_stranger("authn_login_fail", user).with(json!({"reason": reason.as_str()}))
            }
            Self::LimitReached { user, limit, wait_seconds } => of_stranger("excess_rate_limit_exceeded", user)
                .with(json!({"limit": limit, "wait_seconds": wait_seconds})),
            Self::LoggedOut { user, session, all } => own("authn_logout", user, session).with(json!({"all": all})),
            // Which of the two holders it was, nobody knows.
            Self::TokenReused { user, session, generation } => Columns {
                actor: None,
                ..own("authn_token_reuse", user, session).with(json!({"generation": generation}))
            },
            Self::ResponseRecovered { user, session, generation } => {
                own("authn_token_recovered", user, session).with(json!({"generation": generation}))
            }
            Self::Renamed { user, session } => own("user_updated", user, session).with(json!({"changed": ["name"]})),
            Self::PasswordChanged { user, session } => own("authn_password_change", user, session),
            Self::PasswordChangeFailed { user, session } => own("authn_password_change_fail", user, session),
            Self::SessionRevoked { user, session, by } => {
                own("session_revoked", user, session).with(json!({"by_session": by}))
            }
            Self::ApiKeyCreated { user, session, key, scope } => {
                by_either("api_key_created", user, session).with(json!({"key_id": key, "scope": scope}))
            }
            Self::ApiKeyRotated { user, session, key, overlap_seconds } => by_either("api_key_rotated", user, session)
                .with(json!({"key_id": key, "overlap_seconds": overlap_seconds})),
            Self::ApiKeyRevoked { user, session, key } => {
                by_either("api_key_revoked", user, session).with(json!({"key_id": key}))
            }
            Self::ApiKeysRevoked { user, session, count } => {
                by_either("api_keys_revoked", user, session).with(json!({"count": count}))
            }
            // Whoever it was, it was not shown to be the user.
            Self::ApiKeyRefused { user, key, reason } => {
                of_operator("authn_api_key_fail", user).with(json!({"key_id": key, "reason": reason.as_str()}))
            }
            Self::ApiKeyMoved { user, key } => by_user("authn_api_key_new_source", user).with(json!({"key_id": key})),
            Self::RolesChanged { user, roles } => of_operator("authz_roles_change", user).with(json!({"roles": roles})),
            Self::UserDisabled { user, until: None } => of_operator("user_disabled", user),
            Self::UserDisabled { user, until: Some(until) } => {
                of_operator("user_disabled", user).with(json!({"until": until}))
            }
            Self::UserEnabled { user } => of_operator("user_enabled", user),
            Self::UserDeleted { user, actor, session, purge_at } => Columns {
                kind: "user_deleted",
                subject: Some(*user),
                actor: *actor,
                session: *session,
                detail: json!({"purge_at": purge_at}),
            },
            Self::DataExported { user, session } => own("user_data_exported", user, session),
            Self::UserDeletionFailed { user, session } => own("user_delete_fail", user, session),
            Self::UserRestored { user, actor } => Columns { actor: *actor, ..of_operator("user_restored", user) },
            Self::UserPurged { user, actor } => Columns { actor: *actor, ..of_operator("user_purged", user) },
            Self::DisablingEnded { user } => of_operator("user_enabled", user).with(json!({"by": "time"})),
            Self::ImpersonationBegun { user, session } => {
                Columns { session: Some(*session), ..of_operator("user_impersonated", user) }
            }
            Self::UserUpdated { user, changed } => of_operator("user_updated", user).with(json!({"changed": changed})),
            Self::PasswordResetForced { user, by_mail } => {
                of_operator("user_password_reset_forced", user).with(json!({"by_mail": by_mail}))
            }
            Self::PasswordSet { user } => of_operator("user_password_set", user),
            Self::SessionsEnded { user, count } => {
                of_operator("user_sessions_ended", user).with(json!({"count": count}))
            }
            Self::WebhookManaged { by, session, endpoint, what } => {
                let kind = match what {
                    WebhookChange::Created => "webhook_created",
                    WebhookChange::Updated => "webhook_updated",
                    WebhookChange::Deleted => "webhook_deleted",
                    WebhookChange::Tested => "webhook_tested",
                    WebhookChange::Replayed => "webhook_replayed",
                };
                Columns { subject: None, ..own(kind, by, session).with(json!({"endpoint": endpoint})) }
            }
            Self::WebhookGone { endpoint } => {
                of_stranger("webhook_disabled", &None).with(json!({"endpoint": endpoint, "reason": "gone"}))
            }
        }
    }
}

impl Columns {
    fn new(kind: &'static str, subject: Option<UserId>, actor: Option<UserId>, session: Option<SessionId>) -> Self {
        Self { kind, subject, actor, session, detail: json!({}) }
    }

    fn with(self, detail: serde_json::Value) -> Self {
        Self { detail, ..self }
    }
}

/// A user did it, in that session.
fn own(kind: &'static str, user: &UserId, session: &SessionId) -> Columns {
    Columns::new(kind, Some(*user), Some(*user), Some(*session))
}

/// A user did it, in no session.
fn by_user(kind: &'static str, user: &UserId) -> Columns {
    Columns::new(kind, Some(*user), Some(*user), None)
}

/// It was done to a user, by an operator or by nobody.
fn of_operator(kind: &'static str, user: &UserId) -> Columns {
    Columns::new(kind, Some(*user), None, None)
}

/// Somebody did it whom nobody knows.
fn of_stranger(kind: &'static str, user: &Option<UserId>) -> Columns {
    Columns::new(kind, *user, None, None)
}

/// A user did it in a session, or an operator to them in none.
fn by_either(kind: &'static str, user: &UserId, session: &Option<SessionId>) -> Columns {
    match session {
        Some(session) => own(kind, user, session),
        None => of_operator(kind, user),
    }
}
