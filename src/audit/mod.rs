//! The audit trail: who did what to whom, when and from where, written in the transaction that did it.
//!
//! Owns: audit_events.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde_json::json;

use crate::access::role::Roles;
use crate::account::UserId;
use crate::account::one_time::Purpose;
use crate::clock::Timestamp;
use crate::db::schema::audit_events;
use crate::db::types::{Document, Key, id};
use crate::db::{Tx, on};
use crate::http::origin::Origin;
use crate::session::{self, SessionId};

mod actor;

pub use actor::Actor;

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
    /// A password was right and a session began.
    LoggedIn { user: UserId, session: SessionId },
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
    /// A user logged in who was disabled until a time that is over.
    DisablingEnded { user: UserId },
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
            Self::LoggedIn { user, session } => own("authn_login_success", user, session, json!({})),
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
            Self::UserDisabled { user, until: None } => of_operator("user_disabled", user, json!({})),
            Self::UserDisabled { user, until: Some(until) } => {
                of_operator("user_disabled", user, json!({"until": until}))
            }
            Self::UserEnabled { user } => of_operator("user_enabled", user, json!({})),
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
