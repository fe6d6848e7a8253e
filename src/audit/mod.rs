//! The audit trail: who did what to whom, when and from where, written in the transaction that did it.
//!
//! Owns: audit_events.

use diesel::prelude::*;
use serde_json::json;

use crate::access::role::Roles;
use crate::access::step_up::Proof;
use crate::account::UserId;
use crate::account::one_time::Purpose;
use crate::clock::Timestamp;
use crate::db::schema::audit_events;
use crate::db::types::{Document, id};
use crate::db::{Tx, on};
use crate::http::origin::Origin;
use crate::session::SessionId;

id! {
    /// Names one event; sorts by time.
    EventId
}

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
    /// An operator set a user's roles.
    RolesChanged { user: UserId, roles: Roles },
    /// An operator disabled a user.
    UserDisabled { user: UserId },
    /// An operator let a disabled user in again.
    UserEnabled { user: UserId },
    /// An operator set a user's password.
    PasswordSet { user: UserId },
    /// An operator ended every session of a user, so many.
    SessionsEnded { user: UserId, count: usize },
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
            Self::RolesChanged { user, roles } => of_operator("authz_roles_change", user, json!({"roles": roles})),
            Self::UserDisabled { user } => of_operator("user_disabled", user, json!({})),
            Self::UserEnabled { user } => of_operator("user_enabled", user, json!({})),
            Self::PasswordSet { user } => of_operator("user_password_set", user, json!({})),
            Self::SessionsEnded { user, count } => of_operator("user_sessions_ended", user, json!({"count": count})),
        }
    }
}

/// Writes the event; if the transaction vanishes, so does it.
///
/// # Errors
/// The database's.
pub(crate) fn record(tx: &mut Tx<'_>, from: &Origin, event: &Event) -> QueryResult<()> {
    let Columns { kind, subject, actor, session, detail } = event.columns();
    let row = (
        audit_events::id.eq(EventId::new(tx.now)),
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
    on!(tx.conn, |c| insert.execute(c)).map(|_| ())
}

/// The first `limit` events after `after`, by id, that were recorded before `before`: ids sort by time.
///
/// # Errors
/// The database's.
pub(crate) fn look_for_older(
    tx: &mut Tx<'_>,
    after: EventId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<EventId>> {
    let query = audit_events::table
        .filter(audit_events::id.gt(after))
        .filter(audit_events::id.lt(EventId::least(before)))
        .order(audit_events::id)
        .limit(limit)
        .select(audit_events::id);
    on!(tx.conn, |c| query.load(c))
}

/// Removes events, none of which changes once it is recorded.
///
/// # Errors
/// The database's.
pub(crate) fn delete(tx: &mut Tx<'_>, ids: &[EventId]) -> QueryResult<usize> {
    let delete = diesel::delete(audit_events::table.filter(audit_events::id.eq_any(ids)));
    on!(tx.conn, |c| delete.execute(c))
}
