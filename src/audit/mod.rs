//! The audit trail: who did what to whom, when and from where, written in the transaction that did it.
//!
//! Nothing in it is ever changed. [`seal`] ties the events to a [`chain`] after they were written, so that no log-in waits for
//! another; [`verify`] says whether it holds. [`kinds`] says what follows from an event's kind, [`list`], [`feed`] and
//! [`export`] give events out.
//!
//! Owns: audit_events, audit_seals, audit_anchors.

pub mod chain;
pub mod export;
pub mod feed;
pub mod filter;
pub mod kinds;
pub mod list;
pub mod seal;
mod store;
pub mod verify;

use std::time::Duration;

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde_json::json;

use crate::access::role::Roles;
use crate::access::scope::Scope;
use crate::access::step_up::Proof;
use crate::account::UserId;
use crate::account::one_time::Purpose;
use crate::api_key::ApiKeyId;
use crate::api_key::rules::Refusal;
use crate::clock::Timestamp;
use crate::db::schema::audit_events;
use crate::db::types::{Document, Key, id};
use crate::db::{Tx, on};
use crate::http::origin::Origin;
mod actor;

use crate::session::{self, SessionId};
use crate::webhook::{self, EndpointId};
pub use actor::Actor;
pub(crate) use store::{delete_old_links, delete_unsealed, look_for_old_unsealed};

id! {
    /// Names one event; sorts by time.
    EventId
}

/// How far a clock may be behind, and a transaction take, for its events still to be sealed. Twice what any of ours takes, and
/// what clocks may differ by.
pub(crate) const LATE: Duration = Duration::from_secs(180);

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
struct Columns {
    kind: &'static str,
    subject: Option<UserId>,
    /// `None`: an operator at the command line, or a stranger.
    actor: Option<UserId>,
    session: Option<SessionId>,
    detail: serde_json::Value,
}

impl Event {
    /// The session in which it was done, if that may be one in which an administrator acts for the user. None such begins
    /// with a log-in, and none has a refresh token: the ways that are gone most cost no look.
    fn acting_session(&self, columns: &Columns) -> Option<SessionId> {
        let begins_or_goes_on =
            matches!(self, Self::LoggedIn { .. } | Self::Registered { .. } | Self::ResponseRecovered { .. });
        if begins_or_goes_on || columns.actor.is_none() {
            return None;
        }
        if let Self::SessionRevoked { by, .. } = self { Some(*by) } else { columns.session }
    }

    /// Kinds follow the OWASP logging vocabulary where it has a word.
    fn columns(&self) -> Columns {
        let own = |kind, user: &UserId, session: &SessionId, detail| Columns {
            kind,
            subject: Some(*user),
            actor: Some(*user),
            session: Some(*session),
            detail,
        };
        let of_operator =
            |kind, user: &UserId, detail| Columns { kind, subject: Some(*user), actor: None, session: None, detail };
        let of_stranger =
            |kind, user: &Option<UserId>, detail| Columns { kind, subject: *user, actor: None, session: None, detail };
        let by_user = |kind, user: &UserId, detail| Columns {
            kind,
            subject: Some(*user),
            actor: Some(*user),
            session: None,
            detail,
        };
        let by_either = |kind, user: &UserId, session: &Option<SessionId>, detail| match session {
            Some(session) => own(kind, user, session, detail),
            None => of_operator(kind, user, detail),
        };
        match self {
            Self::Registered { user, session } => {
                Columns { session: *session, ..by_user("user_registered", user, json!({})) }
            }
            // Who it was, nobody knows: the token, if there was one, came by mail.
            Self::RegisteredAgain { user } => of_operator("user_registered_again", user, json!({})),
            Self::PasswordVoided { user } => of_operator("user_password_voided", user, json!({})),
            Self::VerificationRequested { user } => of_stranger("user_email_verification_requested", user, json!({})),
            Self::EmailVerified { user } => by_user("user_email_verified", user, json!({})),
            Self::PasswordResetRequested { user } => of_stranger("authn_password_reset_requested", user, json!({})),
            Self::PasswordReset { user } => by_user("authn_password_reset", user, json!({})),
            Self::EmailChangeRequested { user, session } => {
                own("user_email_change_requested", user, session, json!({}))
            }
            Self::EmailChangeFailed { user, session } => own("user_email_change_fail", user, session, json!({})),
            Self::EmailChangeConfirmed { user, by_old } => {
                let address = if *by_old { "old" } else { "new" };
                by_user("user_email_change_confirmed", user, json!({"address": address}))
            }
            Self::EmailChanged { user, by_operator: false } => by_user("user_email_changed", user, json!({})),
            Self::EmailChanged { user, by_operator: true } => of_operator("user_email_changed", user, json!({})),
            Self::Invited => of_stranger("user_invited", &None, json!({})),
            Self::LinkIssued { user, purpose } => {
                of_operator("user_link_issued", user, json!({"purpose": purpose.as_str()}))
            }
            Self::UserCreated { user, roles } => of_operator("user_created", user, json!({"roles": roles})),
            Self::UserImported { user, roles } => of_operator("user_imported", user, json!({"roles": roles})),
            Self::LoggedIn { user, session, proof: Proof::Password } => {
                own("authn_login_success", user, session, json!({}))
            }
            Self::LoggedIn { user, session, proof } => {
                own("authn_login_success", user, session, json!({"factor": proof.as_str()}))
            }
            // Whoever has the password need not be the user.
            Self::FactorRequired { user } => of_stranger("authn_factor_required", &Some(*user), json!({})),
            Self::FactorFailed { user, session: None, reason } => {
                of_stranger("authn_factor_fail", &Some(*user), json!({"reason": reason.as_str()}))
            }
            Self::FactorFailed { user, session: Some(session), reason } => {
                own("authn_factor_fail", user, session, json!({"reason": reason.as_str()}))
            }
            Self::FactorEnrolmentBegun { user, session } => {
                own("user_factor_enrolment_begun", user, session, json!({"factor": "totp"}))
            }
            Self::FactorAdded { user, session } => own("user_factor_added", user, session, json!({"factor": "totp"})),
            Self::FactorRemoved { user, session: Some(session) } => {
                own("user_factor_removed", user, session, json!({"factor": "totp"}))
            }
            Self::FactorRemoved { user, session: None } => {
                of_operator("user_factor_removed", user, json!({"factor": "totp"}))
            }
            Self::FactorsResealed { count } => of_stranger("user_factors_resealed", &None, json!({"count": count})),
            Self::RecoveryCodeUsed { user, left } => by_user("authn_recovery_code_used", user, json!({"left": left})),
            Self::RecoveryCodesMade { user, session } => own("user_recovery_codes_made", user, session, json!({})),
            Self::LoginFailed { user, reason } => {
                of_stranger("authn_login_fail", user, json!({"reason": reason.as_str()}))
            }
            Self::LimitReached { user, limit, wait_seconds } => {
                of_stranger("excess_rate_limit_exceeded", user, json!({"limit": limit, "wait_seconds": wait_seconds}))
            }
            Self::LoggedOut { user, session, all } => own("authn_logout", user, session, json!({"all": all})),
            // Which of the two holders it was, nobody knows.
            Self::TokenReused { user, session, generation } => {
                Columns { actor: None, ..own("authn_token_reuse", user, session, json!({"generation": generation})) }
            }
            Self::ResponseRecovered { user, session, generation } => {
                own("authn_token_recovered", user, session, json!({"generation": generation}))
            }
            Self::Renamed { user, session } => own("user_updated", user, session, json!({"changed": ["name"]})),
            Self::PasswordChanged { user, session } => own("authn_password_change", user, session, json!({})),
            Self::PasswordChangeFailed { user, session } => own("authn_password_change_fail", user, session, json!({})),
            Self::SessionRevoked { user, session, by } => {
                own("session_revoked", user, session, json!({"by_session": by}))
            }
            Self::ApiKeyCreated { user, session, key, scope } => {
                by_either("api_key_created", user, session, json!({"key_id": key, "scope": scope}))
            }
            Self::ApiKeyRotated { user, session, key, overlap_seconds } => {
                by_either("api_key_rotated", user, session, json!({"key_id": key, "overlap_seconds": overlap_seconds}))
            }
            Self::ApiKeyRevoked { user, session, key } => {
                by_either("api_key_revoked", user, session, json!({"key_id": key}))
            }
            Self::ApiKeysRevoked { user, session, count } => {
                by_either("api_keys_revoked", user, session, json!({"count": count}))
            }
            // Whoever it was, it was not shown to be the user.
            Self::ApiKeyRefused { user, key, reason } => {
                of_operator("authn_api_key_fail", user, json!({"key_id": key, "reason": reason.as_str()}))
            }
            Self::ApiKeyMoved { user, key } => by_user("authn_api_key_new_source", user, json!({"key_id": key})),
            Self::RolesChanged { user, roles } => of_operator("authz_roles_change", user, json!({"roles": roles})),
            Self::UserDisabled { user, until: None } => of_operator("user_disabled", user, json!({})),
            Self::UserDisabled { user, until: Some(until) } => {
                of_operator("user_disabled", user, json!({"until": until}))
            }
            Self::UserEnabled { user } => of_operator("user_enabled", user, json!({})),
            Self::UserDeleted { user, actor, session, purge_at } => Columns {
                kind: "user_deleted",
                subject: Some(*user),
                actor: *actor,
                session: *session,
                detail: json!({"purge_at": purge_at}),
            },
            Self::DataExported { user, session } => own("user_data_exported", user, session, json!({})),
            Self::UserDeletionFailed { user, session } => own("user_delete_fail", user, session, json!({})),
            Self::UserRestored { user, actor } => {
                Columns { actor: *actor, ..of_operator("user_restored", user, json!({})) }
            }
            Self::UserPurged { user, actor } => {
                Columns { actor: *actor, ..of_operator("user_purged", user, json!({})) }
            }
            Self::DisablingEnded { user } => of_operator("user_enabled", user, json!({"by": "time"})),
            Self::ImpersonationBegun { user, session } => {
                Columns { session: Some(*session), ..of_operator("user_impersonated", user, json!({})) }
            }
            Self::UserUpdated { user, changed } => of_operator("user_updated", user, json!({"changed": changed})),
            Self::PasswordResetForced { user, by_mail } => {
                of_operator("user_password_reset_forced", user, json!({"by_mail": by_mail}))
            }
            Self::PasswordSet { user } => of_operator("user_password_set", user, json!({})),
            Self::SessionsEnded { user, count } => of_operator("user_sessions_ended", user, json!({"count": count})),
            Self::WebhookManaged { by, session, endpoint, what } => {
                let kind = match what {
                    WebhookChange::Created => "webhook_created",
                    WebhookChange::Updated => "webhook_updated",
                    WebhookChange::Deleted => "webhook_deleted",
                    WebhookChange::Tested => "webhook_tested",
                    WebhookChange::Replayed => "webhook_replayed",
                };
                Columns { subject: None, ..own(kind, by, session, json!({"endpoint": endpoint})) }
            }
            Self::WebhookGone { endpoint } => {
                of_stranger("webhook_disabled", &None, json!({"endpoint": endpoint, "reason": "gone"}))
            }
        }
    }
}

/// Writes the event; if the transaction vanishes, so does it. What was done in a session in which an administrator acts for
/// its user was done by the administrator.
///
/// # Errors
/// The database's.
pub(crate) fn record(tx: &mut Tx<'_>, from: &Origin, event: &Event) -> QueryResult<()> {
    let mut columns = event.columns();
    if let Some(session) = event.acting_session(&columns) {
        columns.actor = session::impersonator(tx, session)?.or(columns.actor);
    }
    insert(tx, from, columns)
}

/// The same for what one does to another's account.
///
/// # Errors
/// The database's.
pub(crate) fn record_by(tx: &mut Tx<'_>, by: &Actor, event: &Event) -> QueryResult<()> {
    let mut columns = event.columns();
    if let Actor::Admin { user, session, .. } = by {
        columns.actor = Some(*user);
        columns.session = columns.session.or(Some(*session));
        if let serde_json::Value::Object(detail) = &mut columns.detail {
            detail.insert("by_session".to_owned(), json!(session));
        }
    }
    insert(tx, by.origin(), columns)
}

fn insert(tx: &mut Tx<'_>, from: &Origin, columns: Columns) -> QueryResult<()> {
    let Columns { kind, subject, actor, session, detail } = columns;
    let id = EventId::new(tx.now);
    let told = kinds::told(kind, subject.map(|id| json!(id)), session.map(|id| json!(id)), &detail);
    let row = (
        audit_events::id.eq(id),
        audit_events::at.eq(tx.now),
        audit_events::kind.eq(kind),
        audit_events::subject.eq(subject),
        audit_events::actor.eq(actor),
        audit_events::session_id.eq(session),
        audit_events::address.eq(from.address.map(|address| address.to_string())),
        audit_events::user_agent.eq(from.user_agent.as_deref()),
        audit_events::request_id.eq(from.request_id.as_deref()),
        audit_events::detail.eq(Document(detail)),
    );
    let insert = diesel::insert_into(audit_events::table).values(row);
    on!(tx.conn, |c| insert.execute(c))?;
    match told {
        Some((r#type, data)) => webhook::put(tx, id, r#type, &data),
        None => Ok(()),
    }
}

/// The log-ins since a time by their outcome, among the `limit` newest events; and how many events were looked at.
///
/// # Errors
/// The database's.
pub(crate) fn count_logins(tx: &mut Tx<'_>, since: Timestamp, limit: i64) -> QueryResult<(BTreeMap<String, i64>, i64)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = Nullable<Text>)]
        reason: Option<String>,
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let query = diesel::sql_query(
        r#"SELECT kind, reason, count(*) AS count FROM (
            SELECT kind, detail ->> 'reason' AS reason FROM "audit_events" WHERE id >= $1 ORDER BY id DESC LIMIT $2) AS latest
        GROUP BY kind, reason"#,
    );
    let query = query.bind::<Key, _>(EventId::least(since)).bind::<BigInt, _>(limit);
    let rows: Vec<Row> = on!(tx.conn, |c| query.load(c))?;
    let looked_at = rows.iter().map(|row| row.count).sum();
    let outcome = |row: Row| match row.kind.as_str() {
        "authn_login_success" => Some(("success".to_owned(), row.count)),
        "authn_login_fail" => row.reason.map(|reason| (reason, row.count)),
        _ => None,
    };
    Ok((rows.into_iter().filter_map(outcome).collect(), looked_at))
}
